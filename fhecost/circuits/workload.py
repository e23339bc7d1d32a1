"""What latency models compute with: the part of a circuit profile that takes time or room.

Operations that somebody timed by themselves have it too, without being a circuit: nothing is known
of their complexity or error probability, and nothing needs to be made up.
"""

from __future__ import annotations

from typing import Protocol

from fhecost.circuits.profile import Stage


class Workload(Protocol):
    """Stages in the order of their dependencies, and bytes of keys, inputs and outputs."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages; each comes after those that it waits for."""

    @property
    def bsk_bytes(self) -> int:
        """Bytes of all bootstrap keys."""

    @property
    def ksk_bytes(self) -> int:
        """Bytes of all key-switch keys."""

    @property
    def input_bytes(self) -> int:
        """Bytes of the ciphertexts that come in."""

    @property
    def output_bytes(self) -> int:
        """Bytes of the ciphertexts that go out."""

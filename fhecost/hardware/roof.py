"""The roofline of a run: what its lookups reach, and what arithmetic and memory allow.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
multicore architectures", CACM 52(4), 2009, with the optimizer's unit of work in the place of
floating-point operations, and with the bytes that a latency model streams.
"""

from __future__ import annotations

from fhecost.fields import FiniteNonNegative
from fhecost.frozen import Frozen


class Roof(Frozen):
    """What bounds the lookups of a run from above, whatever waits for what.

    ``work_units`` of PBS and KS, in the unit of the Concrete optimizer, take ``latency_s`` of the
    run. Were the machine always full they would take ``compute_s`` for their arithmetic, and the
    time that ``streamed_bytes``, keys above all, take from memory: the longer of the two at least.
    Keys that stay on the chip aren't streamed. The bandwidth is that of all devices, None where it
    isn't known.
    """

    work_units: FiniteNonNegative
    latency_s: FiniteNonNegative
    compute_s: FiniteNonNegative
    streamed_bytes: FiniteNonNegative
    bandwidth_bytes_per_s: FiniteNonNegative | None

    @property
    def rate(self) -> float:
        """Units a second that the run reaches while it looks up."""
        return self.work_units / self.latency_s

    @property
    def peak(self) -> float:
        """Units a second of a machine that is always full and waits for no memory."""
        return self.work_units / self.compute_s

    @property
    def intensity(self) -> float | None:
        """Units by byte that is streamed; None where nothing is."""
        return self.work_units / self.streamed_bytes if self.streamed_bytes else None

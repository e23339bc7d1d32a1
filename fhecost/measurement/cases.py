"""Which single operations are timed: the parameter sets of each microbenchmark.

The sets spread over k from 1 to 6, N from 256 to 65,536, l from 1 to 5 and n from 560 to 1,300.
Each is one that Concrete accepts for small tables at a high error probability. Where a restriction
leaves nothing, Concrete falls back to its own choice; the runner therefore looks at what came out.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Operation = Literal["pbs", "ks", "linear", "keygen"]
"""What a microbenchmark is about."""


@dataclass(frozen=True)
class LookupCase:
    """A table lookup of ``bits`` bits with one (k, N, l); KS levels and n where they are forced.

    ``scale`` times as many lookups as others have tell what a run costs from what a lookup costs.
    ``single_thread`` is whether keys are used on one thread rather than on all.
    """

    bits: int
    glwe_dimension: int
    polynomial_size: int
    level_count: int
    key_switch_levels: int | None = None
    lwe_dimension: int | None = None
    scale: int = 1
    single_thread: bool = False


@dataclass(frozen=True)
class LinearCase:
    """A product of a 16 x 64 encrypted matrix with a 64 x 64 clear one at LWE dimension k*N."""

    polynomial_size: int
    glwe_dimension: int = 1
    level_count: int = 1
    key_switch_levels: None = None
    lwe_dimension: None = None


Case = LookupCase | LinearCase


@dataclass(frozen=True)
class TransferCase:
    """A circuit without lookups that takes ``inputs`` integers and returns ``outputs``."""

    inputs: int
    outputs: int


TRANSFERS: tuple[TransferCase, ...] = (
    *(TransferCase(size, size) for size in (8, 64, 256, 512, 1024, 2048, 4096)),
    *(TransferCase(size, 1) for size in (512, 1024, 2048, 4096)),
    *(TransferCase(1, size) for size in (1024, 2048, 4096)),
)

KEY_SWITCHES: tuple[LookupCase, ...] = (
    # Pairs that differ in their KS levels alone: the difference of their times is the key switch's.
    LookupCase(2, 4, 512, 1, key_switch_levels=3, lwe_dimension=700),
    LookupCase(2, 4, 512, 1, key_switch_levels=12, lwe_dimension=700),
    LookupCase(2, 1, 2048, 1, key_switch_levels=3, lwe_dimension=650),
    LookupCase(2, 1, 2048, 1, key_switch_levels=12, lwe_dimension=650),
)
SMALL: tuple[LookupCase, ...] = (
    LookupCase(2, 6, 256, 1),
    LookupCase(2, 3, 512, 1),
    LookupCase(2, 4, 512, 2),
    LookupCase(3, 2, 1024, 1),
    LookupCase(3, 2, 1024, 2),
    LookupCase(3, 1, 2048, 1),
    LookupCase(3, 1, 2048, 3),
    LookupCase(4, 1, 4096, 1),
    LookupCase(4, 1, 4096, 2),
    LookupCase(3, 1, 2048, 1, scale=4),
    LookupCase(4, 1, 4096, 2, scale=4),
    *KEY_SWITCHES[2:],
)
LARGE: tuple[LookupCase, ...] = (
    *KEY_SWITCHES[:2],
    LookupCase(2, 4, 512, 2, scale=4),
    LookupCase(5, 1, 8192, 1, scale=4),
    LookupCase(2, 5, 256, 2),
    LookupCase(2, 6, 256, 3),
    LookupCase(2, 2, 512, 5),
    LookupCase(3, 2, 1024, 4, lwe_dimension=900),
    LookupCase(3, 1, 2048, 2),
    LookupCase(3, 1, 2048, 1, lwe_dimension=1300),
    LookupCase(3, 1, 4096, 1, lwe_dimension=1100),
    LookupCase(4, 1, 4096, 1, key_switch_levels=12),
    LookupCase(3, 2, 2048, 2),
    LookupCase(5, 1, 8192, 1),
    LookupCase(5, 1, 8192, 2),
    LookupCase(6, 1, 16384, 1),
    LookupCase(7, 1, 32768, 1),
    LookupCase(7, 1, 65536, 1),
)
LINEAR: tuple[LinearCase, ...] = (LinearCase(2048), LinearCase(8192), LinearCase(32768))
KEYS_SMALL: tuple[LookupCase, ...] = (
    LookupCase(2, 6, 256, 3),
    LookupCase(2, 4, 512, 2, single_thread=True),
    LookupCase(3, 2, 1024, 2),
    LookupCase(3, 1, 2048, 1, lwe_dimension=1300, single_thread=True),
    LookupCase(3, 1, 2048, 3),
    LookupCase(4, 1, 4096, 1, key_switch_levels=12),
    LookupCase(4, 1, 4096, 2, single_thread=True),
)
KEYS_LARGE: tuple[LookupCase, ...] = (
    LookupCase(3, 2, 1024, 4, lwe_dimension=900),
    LookupCase(3, 2, 2048, 2),
    LookupCase(5, 1, 8192, 1),
    LookupCase(5, 1, 8192, 2, single_thread=True),
    LookupCase(6, 1, 16384, 1),
    LookupCase(7, 1, 32768, 1),
)

_FULL: Mapping[Operation, tuple[Case, ...]] = {
    "pbs": (*SMALL, *LARGE, *LINEAR),
    "ks": KEY_SWITCHES,
    "linear": LINEAR,
}
_QUICK: Mapping[Operation, tuple[Case, ...]] = {
    "pbs": (*SMALL, *LINEAR[:2]),
    "ks": KEY_SWITCHES[2:],
    "linear": LINEAR[:2],
}


def cases(operation: Operation, quick: bool) -> tuple[tuple[Case, ...], ...]:
    """The cases in groups whose keys fit in memory together; sets beyond 16,384 go by their N."""
    chosen = sorted((_QUICK if quick else _FULL).get(operation, ()), key=_group)
    return tuple(tuple(group) for _, group in itertools.groupby(chosen, key=_group))


def key_cases(operation: Operation, quick: bool) -> tuple[LookupCase, ...]:
    """The sets whose keys are made, used and weighed in processes of their own."""
    if operation not in ("pbs", "keygen"):
        return ()
    return KEYS_SMALL if quick else (*KEYS_SMALL, *KEYS_LARGE)


def _group(case: Case) -> int:
    return max(case.polynomial_size, 16384)

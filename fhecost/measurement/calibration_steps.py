"""What a calibration measures, in which order, and about how long that takes.

Each constant of the CPU model has sets that show it: Fourier transforms show at k = 1, products in
the Fourier domain at k = 3 to 6, the key switch in pairs that differ in its levels alone, handing
over keys in runs with few lookups and large keys, and what grows with N at 16,384. Making keys
takes most of the time; tables of 2 bits have the smallest keys of an N. Cheap sets come first.

Small rings are there with large keys. A circuit has keys of several sets, which drive each other
out of the caches; a single one of 40 MB is read up to a third faster than among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    external_product_units,
    fourier_units,
    key_conversion_units,
    key_product_units,
    key_switch_key_bytes,
    key_switch_units,
)
from fhecost.data import data_folder
from fhecost.hardware.names import MEASURED
from fhecost.hardware.reading import read_hardware
from fhecost.measurement.cases import (
    KEY_SWITCHES,
    LARGE,
    SMALL,
    TRANSFERS,
    LinearCase,
    LookupCase,
    TransferCase,
)
from fhecost.measurement.forked import Repeats

DEFAULT: tuple[LookupCase | LinearCase | TransferCase, ...] = (
    LookupCase(3, 2, 1024, 1),
    LookupCase(3, 1, 2048, 1, scale=2),
    LinearCase(2048),
    *(TransferCase(size, size) for size in (8, 512, 2048, 4096)),
    *(TransferCase(size, 1) for size in (2048, 4096)),
    *(TransferCase(1, size) for size in (2048, 4096)),
    LookupCase(3, 2, 1024, 2),
    *KEY_SWITCHES[:2],
    LookupCase(2, 4, 512, 2),
    LookupCase(2, 6, 256, 3),
    LookupCase(3, 1, 2048, 3),
    LookupCase(4, 1, 4096, 2),
    LookupCase(4, 1, 4096, 1, key_switch_levels=12),
    LinearCase(4096),
    LookupCase(2, 1, 16384, 1),
)
"""A minute's worth, of which the last takes a sixth."""

_LARGEST = 65536
"""Its keys take minutes and 7 GB; what N is larger, N of half the size tells within 10 %."""
_TOO_SMALL = frozenset({LookupCase(2, 3, 512, 1), LookupCase(2, 6, 256, 1)})
"""Their keys are of 40 and 60 MB."""
_ALL = tuple(
    case for case in (*SMALL, *LARGE) if case.polynomial_size < _LARGEST and case not in _TOO_SMALL
)
THOROUGH: tuple[LookupCase | LinearCase | TransferCase, ...] = (
    *(case for case in _ALL if case.polynomial_size <= 4096),
    LinearCase(2048),
    *TRANSFERS,
    *(case for case in _ALL if case.polynomial_size > 4096),
    LinearCase(8192),
    LinearCase(16384),
    # Once more, minutes later, in the opposite order: a machine that drifts shifts all alike.
    *(case for case in reversed(_ALL) if case.polynomial_size <= 4096),
)

_REPEATS = Repeats(together=3, alone=2)
_THOROUGH_REPEATS = Repeats(together=5, alone=4)
_TRANSFER_REPEATS = Repeats(together=9)
_TOGETHER = frozenset({LookupCase(3, 2, 1024, 1), LookupCase(3, 1, 2048, 1, scale=2)})
"""However many threads there are, these show what all of them do."""

_ALONE_S, _MOST_ALONE_S = 0.35, 2.0
"""Seconds of one run on one thread: what is enough, and the most that all threads are worth."""
_FEWEST, _MOST = 4, 64
_CHOSEN = {5: (780, 5), 6: (840, 5), 7: (900, 6)}
_CHOSEN_BELOW = (680, 4)
"""What Concrete chooses, about, where a case leaves it open: n and KS levels by a table's bits."""
_LINEAR_OPERATIONS = 2 * 16 * 64 * 64
"""Multiplications and additions of the product that a linear case is."""
_OVERHEAD_S, _TRANSFER_S = 1.2, 1.0
"""Compiling, saving, loading and probes of a step, on the machine that others are held against."""
_MOST_MEMORY = 0.6
_GIVEN_UP = 30
_LEAST_GIVEN_UP_S = 300.0


@dataclass(frozen=True)
class Step:
    """One case, in a process of its own: how many lookups a run makes, and how often it runs.

    ``expected_s`` is what it takes on the machine that others are held against, with as many
    threads as here.
    """

    case: LookupCase | LinearCase | TransferCase
    repeats: Repeats
    expected_s: float
    lookups: int | None = None

    @property
    def name(self) -> str:
        """What is timed, in words."""
        match self.case:
            case LookupCase() as case:
                more = f", {case.key_switch_levels} KS levels" if case.key_switch_levels else ""
                ring = f"k={case.glwe_dimension} N={case.polynomial_size} l={case.level_count}"
                return f"lookups, {ring}{more}"
            case LinearCase() as case:
                return f"linear operations, N={case.polynomial_size}"
            case TransferCase() as case:
                return f"{case.inputs} inputs, {case.outputs} outputs"

    @property
    def most_s(self) -> float:
        """Seconds after which it is given up: far beyond what a slow machine takes."""
        return max(_LEAST_GIVEN_UP_S, _GIVEN_UP * self.expected_s)


def calibration_steps(threads: int, thorough: bool, memory_bytes: float) -> tuple[Step, ...]:
    """The steps of a calibration, in their order.

    Args:
        threads: of the machine.
        thorough: whether for ten minutes, rather than one.
        memory_bytes: of the machine; sets whose keys would take most of it are left out.
    """
    return tuple(_steps(threads, thorough, _MOST_MEMORY * memory_bytes, known_constants()))


def known_constants() -> Mapping[str, float]:
    """The figures of the calibrated machine that comes with fhecost."""
    known = read_hardware(data_folder("hardware") / f"{MEASURED}.yaml")
    return {name: figure.value for name, figure in known.figures.items()}


def _steps(
    threads: int, thorough: bool, memory_bytes: float, known: Mapping[str, float]
) -> Iterator[Step]:
    repeats = _THOROUGH_REPEATS if thorough else _REPEATS
    if threads == 1:
        repeats = Repeats(together=repeats.together + repeats.alone)
    for case in THOROUGH if thorough else DEFAULT:
        if not isinstance(case, TransferCase) and _held_bytes(case, known) > memory_bytes:
            continue
        match case:
            case TransferCase():
                yield Step(case, _TRANSFER_REPEATS, _TRANSFER_S)
            case LinearCase():
                yield Step(case, repeats, _linear_s(case, repeats, threads, known))
            case LookupCase():
                count = _lookups(case, threads, known)
                expected_s = _lookup_s(case, count, repeats, threads, known)
                yield Step(case, repeats, expected_s, count)


def _lookups(case: LookupCase, threads: int, known: Mapping[str, float]) -> int:
    """Enough lookups that one thread has to do, and the threads have as many each."""
    one_s = _one_s(case, known)
    enough = case.scale * max(_FEWEST, min(_MOST, round(_ALONE_S / one_s)))
    if threads <= enough:
        return threads * math.ceil(enough / threads)
    return threads if case in _TOGETHER or threads * one_s <= _MOST_ALONE_S else enough


def sets_of(case: LookupCase | LinearCase) -> tuple[PbsParameters, KeySwitchParameters]:
    """What Concrete chooses for ``case``, about; decompositions' bases take no time."""
    bits = case.bits if isinstance(case, LookupCase) else 0
    dimension, levels = _CHOSEN.get(bits, _CHOSEN_BELOW)
    dimension = case.lwe_dimension or dimension
    pbs = PbsParameters(
        lwe_dimension=dimension,
        glwe_dimension=case.glwe_dimension,
        polynomial_size=case.polynomial_size,
        level_count=case.level_count,
        base_log=1,
    )
    switch = KeySwitchParameters(
        input_lwe_dimension=pbs.output_lwe_dimension,
        output_lwe_dimension=dimension,
        level_count=case.key_switch_levels or levels,
        base_log=1,
    )
    return pbs, switch


def _held_bytes(case: LookupCase | LinearCase, known: Mapping[str, float]) -> float:
    """Memory of the process that uses the keys of ``case``, about."""
    pbs, switch = sets_of(case)
    held = known["bsk_copies"] * bootstrap_key_bytes(pbs)
    held += known["ksk_copies"] * key_switch_key_bytes(switch)
    return held + known["process_memory_bytes"]


def _one_s(case: LookupCase | LinearCase, known: Mapping[str, float]) -> float:
    """Seconds of one lookup on one thread."""
    pbs, switch = sets_of(case)
    return (
        known["fourier_unit_s"] * fourier_units(pbs)
        + known["external_product_unit_s"] * external_product_units(pbs)
        + known["key_switch_unit_s"] * key_switch_units(switch)
    )


def _lookup_s(
    case: LookupCase, count: int, repeats: Repeats, threads: int, known: Mapping[str, float]
) -> float:
    one_s = _one_s(case, known)
    together_s = math.ceil(count / threads) * one_s / known["thread_efficiency"]
    # The cold run comes before, and one to decrypt after.
    runs_s = (repeats.together + 2) * together_s + repeats.alone * count * one_s
    return _OVERHEAD_S + _keys_s(case, threads, known) + runs_s


def _linear_s(
    case: LinearCase, repeats: Repeats, threads: int, known: Mapping[str, float]
) -> float:
    elements = _LINEAR_OPERATIONS * (case.polynomial_size * case.glwe_dimension + 1)
    runs = repeats.together + 2 + repeats.alone
    runs_s = runs * (elements * known["linear_element_s"] + _one_s(case, known))
    return _OVERHEAD_S + _keys_s(case, threads, known) + runs_s


def _keys_s(case: LookupCase | LinearCase, threads: int, known: Mapping[str, float]) -> float:
    """Seconds to make the keys of ``case`` and to bring them into the Fourier domain."""
    pbs, switch = sets_of(case)
    bsk_bytes = bootstrap_key_bytes(pbs)
    made_s = known["keygen_bsk_byte_s"] * bsk_bytes
    made_s += known["keygen_product_unit_s"] * key_product_units(pbs)
    converted_s = known["conversion_unit_s"] * key_conversion_units(pbs)
    converted_s += known["conversion_byte_s"] * bsk_bytes
    switch_s = known["keygen_ksk_byte_s"] * key_switch_key_bytes(switch)
    return made_s / threads + switch_s + converted_s

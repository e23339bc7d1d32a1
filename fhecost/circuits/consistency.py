"""Whether a circuit profile can be one: its parts held against each other.

A file that was damaged, or written by hand, may say of each field what that field can be and yet
describe no circuit: keys smaller than their parameter sets, a lookup that never errs in a circuit
that always does. What is refused here no circuit can have, whoever made it; what is only odd stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from pydantic_core import PydanticCustomError

from fhecost.circuits.stage import KeySwitchParameters, PbsParameters, Stage
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    key_switch_key_bytes,
    key_switch_units,
    pbs_units,
)
from fhecost.fields import inconsistent

SMALLEST_RING = 256
"""The smallest polynomial size: with smaller ones no Concrete circuit keeps its secrets."""

_TOLERANCE = 1e-2
"""How far work and complexity, or errors, may be apart, relatively: optimizers round."""


class _Circuit(Protocol):
    """What of a circuit profile is held against each other."""

    @property
    def stages(self) -> tuple[Stage, ...]: ...
    @property
    def bsk_bytes(self) -> int: ...
    @property
    def ksk_bytes(self) -> int: ...
    @property
    def max_bit_width(self) -> int: ...
    @property
    def complexity(self) -> float: ...
    @property
    def p_error(self) -> float: ...
    @property
    def global_p_error(self) -> float: ...


def first_contradiction(circuit: _Circuit) -> PydanticCustomError | None:
    """The first field that can't go with the others, and why; None where all can."""
    return next(_contradictions(circuit), None)


def _contradictions(circuit: _Circuit) -> Iterator[PydanticCustomError]:
    uses = _uses(circuit.stages)
    yield from _dimensions(circuit, uses)
    yield from _keys(circuit, uses)
    for number, stage in enumerate(circuit.stages):
        if stage.bit_width is not None and stage.bit_width > circuit.max_bit_width:
            yield inconsistent(
                f"stages.{number}.bit_width",
                f"{stage.bit_width} bits are above the circuit's max_bit_width of "
                f"{circuit.max_bit_width}",
            )
    yield from _work(circuit, uses)
    if uses.bootstraps:
        yield from _errors(circuit, uses)


class _Uses(NamedTuple):
    """Parameter sets and how often each is used, in all stages; equal ones may come repeatedly."""

    bootstraps: Sequence[tuple[PbsParameters, int]]
    key_switches: Sequence[tuple[KeySwitchParameters, int]]


def _uses(stages: Iterable[Stage]) -> _Uses:
    # By object: stages mostly share theirs, and telling whether two are equal takes longer than all
    # that is computed of them.
    sets: dict[int, PbsParameters] = {}
    switches: dict[int, KeySwitchParameters] = {}
    counts: dict[int, int] = defaultdict(int)
    for stage in stages:
        for use in stage.pbs:
            sets[id(use.parameters)] = use.parameters
            counts[id(use.parameters)] += use.count
        for switch in stage.key_switches:
            switches[id(switch.parameters)] = switch.parameters
            counts[id(switch.parameters)] += switch.count
    return _Uses(
        [(one, counts[key]) for key, one in sets.items()],
        [(one, counts[key]) for key, one in switches.items()],
    )


def _dimensions(circuit: _Circuit, uses: _Uses) -> Iterator[PydanticCustomError]:
    """Sets that fit no circuit, and key switches to where no ciphertext is.

    What comes out of a bootstrap has the dimension k*N, and so has an input, which may come from
    another function of a module; a key switch ends in the dimension n of a bootstrap that follows,
    or in that of another ring.
    """
    rotated = {parameters.lwe_dimension for parameters, _ in uses.bootstraps}
    for number, stage in enumerate(circuit.stages):
        for place, use in enumerate(stage.pbs):
            size = use.parameters.polynomial_size
            if size < SMALLEST_RING:
                yield inconsistent(
                    f"stages.{number}.pbs.{place}.parameters.polynomial_size",
                    f"N={size} is below {SMALLEST_RING}, the smallest that is secure",
                )
        for place, switch in enumerate(stage.key_switches):
            source = switch.parameters.input_lwe_dimension
            target = switch.parameters.output_lwe_dimension
            if source % SMALLEST_RING == 0 and (target in rotated or target % SMALLEST_RING == 0):
                continue
            where = f"stages.{number}.key_switches.{place}.parameters"
            if source % SMALLEST_RING:
                yield inconsistent(
                    f"{where}.input_lwe_dimension", f"{source} is k*N of no parameter set"
                )
            if target not in rotated and target % SMALLEST_RING:
                yield inconsistent(
                    f"{where}.output_lwe_dimension",
                    f"{target} is neither the n of a PBS of this circuit nor k*N of a set",
                )


def _keys(circuit: _Circuit, uses: _Uses) -> Iterator[PydanticCustomError]:
    """Keys that are smaller than those of the parameter sets that are used.

    They may be larger: functions of a module share theirs, and two keys can have one set.
    """
    bootstraps = {parameters for parameters, _ in uses.bootstraps}
    key_switches = {parameters for parameters, _ in uses.key_switches}
    for field, said, needed in (
        ("bsk_bytes", circuit.bsk_bytes, sum(map(bootstrap_key_bytes, bootstraps))),
        ("ksk_bytes", circuit.ksk_bytes, sum(map(key_switch_key_bytes, key_switches))),
    ):
        if said < needed:
            yield inconsistent(
                field, f"{said} bytes are too few: keys of the sets that are used take {needed}"
            )


def _work(circuit: _Circuit, uses: _Uses) -> Iterator[PydanticCustomError]:
    work = sum(count * pbs_units(one) for one, count in uses.bootstraps)
    work += sum(count * key_switch_units(one) for one, count in uses.key_switches)
    if work and abs(circuit.complexity / work - 1) > _TOLERANCE:
        yield inconsistent(
            "complexity",
            f"{circuit.complexity:g} isn't the work of the circuit's PBS and KS, {work:g}",
        )


def _errors(circuit: _Circuit, uses: _Uses) -> Iterator[PydanticCustomError]:
    """One error is as likely as its worst lookup's, and at most as all of them together.

    A conversion between two rings can go wrong too, so Concrete's error of all is up to a tenth
    above that of its lookups.
    """
    worst, in_all = circuit.p_error, circuit.global_p_error
    may_err = sum(count for _, count in (*uses.bootstraps, *uses.key_switches))
    most = min(1.0, may_err * worst)
    if not worst * (1 - _TOLERANCE) <= in_all <= most * (1 + _TOLERANCE):
        yield inconsistent(
            "global_p_error",
            f"{in_all:g} can't be the error of {may_err} PBS and KS of which the worst has a "
            f"p_error of {worst:g}: it is from {worst:g} to {most:g}",
        )

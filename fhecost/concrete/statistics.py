"""How often a compiled circuit does each primitive operation, with which keys, and where.

Concrete's own statistics hold every operation with its location, its keys and its count. Concrete
has no public access to those without a tag, so this module uses ``circuit.server._library`` of
concrete-python 2.11.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhecost.circuits.profile import KeySwitchParameters, LinearOperation, PbsParameters
from fhecost.circuits.stage_counts import StageCounts, count_up
from fhecost.concrete.dataflow import Operation
from fhecost.errors import ImpossibleError

_LINEAR: Mapping[str, LinearOperation] = {
    "CLEAR_ADDITION": "clear_addition",
    "ENCRYPTED_ADDITION": "encrypted_addition",
    "CLEAR_MULTIPLICATION": "clear_multiplication",
    "ENCRYPTED_NEGATION": "encrypted_negation",
}
_NO_LOCATION = "loc(unknown)"
_POOLING, _CONVOLUTION = "FHELinalg.maxpool2d", "FHELinalg.conv2d"


@dataclass(frozen=True)
class Keys:
    """The keys of a circuit, in the order in which its operations refer to them.

    Their bytes are computed from these: the size of bootstrap keys that Concrete 2.11 reports is k
    times that of the keys it makes.
    """

    secret: tuple[int, ...]
    bootstrap: tuple[PbsParameters, ...]
    key_switch: tuple[KeySwitchParameters, ...]

    def alike(self, other: Keys) -> bool:
        """Whether ``other`` has the same keys, in whatever order."""
        pairs = (
            (self.secret, other.secret),
            (self.bootstrap, other.bootstrap),
            (self.key_switch, other.key_switch),
        )
        return all(Counter(own) == Counter(others) for own, others in pairs)


def read_keys(server: Any) -> Keys:
    """The keys of what ``server`` runs."""
    keyset = server.program_info.get_keyset_info()
    secret = tuple(key.dimension() for key in keyset.secret_keys())
    bootstrap = (
        PbsParameters(
            lwe_dimension=key.input_lwe_dimension(),
            glwe_dimension=key.glwe_dimension(),
            polynomial_size=key.polynomial_size(),
            level_count=key.level(),
            base_log=key.base_log(),
        )
        for key in keyset.bootstrap_keys()
    )
    key_switch = (
        KeySwitchParameters(
            input_lwe_dimension=secret[key.input_secret_key_id()],
            output_lwe_dimension=secret[key.output_secret_key_id()],
            level_count=key.level(),
            base_log=key.base_log(),
        )
        for key in keyset.keyswitch_keys()
    )
    return Keys(secret, tuple(bootstrap), tuple(key_switch))


def counts_by_location(
    server: Any,
    function: str,
    keys: Keys,
    operations: Sequence[Operation],
    place_of: Callable[[str], str],
) -> dict[str, StageCounts]:
    """Concrete's own operation counts, by location, in the order of the program.

    ``place_of`` gives the name of a location's stage, for what is said of it.

    Raises:
        ImpossibleError: an operation has no cost here (WoP-PBS), or the lookups of some location
            aren't those of ``operations``, the circuit's dataflow.
    """
    library = server._library
    feedback = library.get_program_compilation_feedback().get_circuit_feedback(function)
    counted: dict[str, StageCounts] = defaultdict(StageCounts)
    for statistic, location in _located(feedback.statistics, operations):
        operation = statistic.operation.name
        if operation not in ("PBS", "KEY_SWITCH", *_LINEAR):
            widths = (one.bit_width or 0 for one in operations if one.location == location)
            raise ImpossibleError(
                f"the circuit's operation {operation}, of stage {place_of(location)!r} with "
                f"lookups of {max(widths, default=0)} bits, has no cost model here; narrower "
                "lookups (fewer bits) need no such operation"
            )
        ((_, key_index),) = statistic.keys
        counts = counted[location]
        if operation == "PBS":
            count_up(counts.pbs, keys.bootstrap[key_index], statistic.count)
        elif operation == "KEY_SWITCH":
            count_up(counts.key_switches, keys.key_switch[key_index], statistic.count)
        else:
            linear = _LINEAR[operation], keys.secret[key_index]
            count_up(counts.linear, linear, statistic.count)
    _check_lookups(counted, operations, place_of)
    return dict(counted)


def _check_lookups(
    counted: Mapping[str, StageCounts],
    operations: Sequence[Operation],
    place_of: Callable[[str], str],
) -> None:
    """Two readings of one circuit: a difference means that its dataflow was read wrongly."""
    lookups: dict[str, int] = defaultdict(int)
    for operation in operations:
        lookups[operation.location] += operation.lookups
    for location in dict.fromkeys([*counted, *lookups]):
        found = counted[location].pbs_count if location in counted else 0
        if found != lookups[location]:
            raise ImpossibleError(
                f"in stage {place_of(location)!r} Concrete counts {found} PBS, its MLIR shows "
                f"{lookups[location]}: what waits for what is unknown, no profile without it"
            )


def _located(
    statistics: Sequence[Any], operations: Sequence[Operation]
) -> Iterator[tuple[Any, str]]:
    """Each statistic with its location.

    Concrete loses the location of what it makes of pooling and convolutions, but keeps their order:
    a block of a pooling begins with a negation, one of a convolution with a multiplication.
    """
    begins = {"ENCRYPTED_NEGATION": _POOLING, "CLEAR_MULTIPLICATION": _CONVOLUTION}
    lost = [statistic for statistic in statistics if statistic.location == _NO_LOCATION]
    blocks = [begins[name] for one in lost if (name := one.operation.name) in begins]
    waiting: dict[str, Iterator[str]] = {}
    for name in begins.values():
        places = [operation.location for operation in operations if operation.name == name]
        # A convolution in groups is as many blocks.
        each, left = divmod(blocks.count(name), len(places)) if places else (0, blocks.count(name))
        if left:
            raise ImpossibleError(
                f"Concrete doesn't say where {blocks.count(name)} of the circuit's operations are"
            )
        waiting[name] = iter([place for place in places for _ in range(each)])
    here = None
    for statistic in statistics:
        if statistic.location != _NO_LOCATION:
            yield statistic, statistic.location
            continue
        if statistic.operation.name in begins:
            here = next(waiting[begins[statistic.operation.name]])
        if here is None:
            raise ImpossibleError(
                f"Concrete doesn't say where the circuit's {statistic.operation.name} is"
            )
        yield statistic, here

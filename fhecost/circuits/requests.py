"""Many independent requests under one key, as one circuit that answers them together."""

from __future__ import annotations

from fhecost.circuits.any_error import error_of_any
from fhecost.circuits.profile import CircuitProfile
from fhecost.circuits.stage import Stage
from fhecost.errors import FieldError


def of_requests(circuit: CircuitProfile, requests: int) -> CircuitProfile:
    """The circuit whose every tensor has one more axis, of so many inputs.

    All counts and ciphertexts are that many times as many, and so is what can run at once; steps
    and keys are those of one request, and so is the error of a lookup. One request is the circuit
    itself.

    Raises:
        FieldError: fewer than one request.
    """
    if requests < 1:
        raise FieldError("requests", "must be 1 or more", requests)
    if requests == 1:
        return circuit
    return circuit.changed(
        name=f"{circuit.name}, {requests:,} requests",
        stages=tuple(_repeated(stage, requests) for stage in circuit.stages),
        input_bytes=requests * circuit.input_bytes,
        output_bytes=requests * circuit.output_bytes,
        complexity=requests * circuit.complexity,
        global_p_error=error_of_any([(circuit.global_p_error, requests)]),
    )


def _repeated(stage: Stage, requests: int) -> Stage:
    return stage.changed(
        pbs=tuple(use.changed(count=requests * use.count) for use in stage.pbs),
        key_switches=tuple(use.changed(count=requests * use.count) for use in stage.key_switches),
        linear=tuple(use.changed(count=requests * use.count) for use in stage.linear),
        parallel_width=requests * stage.parallel_width,
        loops=tuple(loop.changed(width=requests * loop.width) for loop in stage.loops),
        distinct_values=None if stage.distinct_values is None else requests * stage.distinct_values,
    )

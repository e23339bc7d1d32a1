"""One circuit at many sequence lengths: counts, latencies, and the power laws between them.

Every length is a closed-form circuit profile of its own, estimated as ``fhecost estimate`` does it;
the laws are only fitted through these points, no point comes from a law.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fhecost.closed_form.scopes import ShapeRequest, check_request, profile_of_shape
from fhecost.errors import FieldError, ImpossibleError
from fhecost.frozen import Frozen
from fhecost.hardware.estimate import Ranged, Throughput
from fhecost.hardware.estimator import ChosenEstimator
from fhecost.hardware.names import PbsKind
from fhecost.hardware.profile import Availability
from fhecost.hardware.refusals import estimates_or_refusals
from fhecost.hardware.throughput import throughput_by
from fhecost.projection.trend_fit import Band
from fhecost.quantization.quantizer import FloatArray

POINTS = 28
"""About how many lengths of a long range are estimated."""

LONGEST = 2**24
"""Tokens, far above any model's context."""

FEWEST_FOR_LAW = 4
"""Two numbers fit any two points, and three say little of how good the law is."""

PBS = "PBS"


class LengthPoint(Frozen):
    """One sequence length.

    ``latency_s`` by machine; ``refusals`` says of the others why not. Where there is no circuit,
    ``reason`` says why, and all else is None or empty. ``cost_error`` is what the predicted
    circuit's cost may be off, inside the bands already. ``pbs_kinds`` is by machine the kind of PBS
    that its latency is for, ``availability`` whether that can be had, ``throughputs`` what it makes
    of many requests, where these were asked for.
    """

    seq_len: int
    pbs_count: int | None = None
    complexity: float | None = None
    max_bit_width: int | None = None
    global_p_error: float | None = None
    circuit_hash: str | None = None
    parameter_sets: str | None = None
    cost_error: float | None = None
    latency_s: Mapping[str, Band] = {}
    pbs_kinds: Mapping[str, PbsKind] = {}
    availability: Mapping[str, Availability | None] = {}
    throughputs: Mapping[str, Throughput] = {}
    refusals: Mapping[str, str] = {}
    reason: str | None = None


class PowerLaw(Frozen):
    """``of`` is about ``coefficient`` * L^``exponent`` from ``first`` to ``last`` tokens.

    ``worst_error`` is the largest relative distance of a point from it; ``of`` is PBS, a count, or
    a machine, in seconds.
    """

    of: str
    first: int
    last: int
    coefficient: float
    exponent: float
    worst_error: float


class LengthProjection(Frozen):
    """The points, in order of length, and the laws of the shorter and of the longer half."""

    points: tuple[LengthPoint, ...]
    laws: tuple[PowerLaw, ...]


def spread_lengths(first: int, last: int) -> tuple[int, ...]:
    """Both lengths, powers of two and some between them, evenly on a log axis; all of a few.

    Args:
        first: the shortest, in tokens.
        last: the longest.

    Raises:
        FieldError: they are no range, or the last is above ``LONGEST``.
    """
    if not 1 <= first <= last:
        raise FieldError("lengths", f"{first} to {last} is no range of tokens")
    if last > LONGEST:
        raise FieldError("lengths", f"must be at most {LONGEST:,} tokens, no model's are longer")
    if last - first < POINTS:
        return tuple(range(first, last + 1))
    chosen = {int(length) for length in np.rint(np.geomspace(first, last, POINTS))}
    powers = {2**power for power in range(last.bit_length() + 1)}
    return tuple(sorted(chosen | {power for power in powers if first <= power <= last}))


def project_lengths(
    request: ShapeRequest,
    lengths: Iterable[int],
    estimators: Mapping[str, ChosenEstimator],
    requests: int | None = None,
) -> LengthProjection:
    """Estimate ``request`` at each of ``lengths`` on each machine, by name in ``estimators``.

    With ``requests`` also so many independent inputs at once.

    Raises:
        UsageError: the request or a length is out of range for the model.
        ImpossibleError: no length has a circuit.
    """
    wanted = sorted(set(lengths))
    if not wanted:
        raise FieldError("lengths", "name at least one")
    if wanted[0] < 1:
        raise FieldError("lengths", "a sequence has at least one token", wanted[0])
    check_request(replace(request, seq_len=wanted[-1]))
    points = tuple(
        estimate_point(replace(request, seq_len=length), estimators, requests) for length in wanted
    )
    if all(point.reason is not None for point in points):
        raise ImpossibleError(str(points[0].reason))
    return LengthProjection(points=points, laws=tuple(_laws(points, estimators)))


def longest_within(projection: LengthProjection, hardware: str, target_s: float) -> int | None:
    """The longest of the estimated lengths whose latency is within ``target_s``."""
    met = [
        point.seq_len
        for point in projection.points
        if hardware in point.latency_s and point.latency_s[hardware].value <= target_s
    ]
    return max(met, default=None)


def estimate_point(
    request: ShapeRequest,
    estimators: Mapping[str, ChosenEstimator],
    requests: int | None = None,
) -> LengthPoint:
    """The circuit of ``request`` and its latency on each machine, or why there is none.

    Raises:
        UsageError: the request is out of range for the model.
    """
    try:
        circuit = profile_of_shape(request)
    except ImpossibleError as error:
        return LengthPoint(seq_len=request.seq_len, reason=str(error))
    estimates, refusals = estimates_or_refusals(circuit, estimators)
    return LengthPoint(
        seq_len=request.seq_len,
        pbs_count=circuit.pbs_count,
        complexity=circuit.complexity,
        max_bit_width=circuit.max_bit_width,
        global_p_error=circuit.global_p_error,
        circuit_hash=circuit.hash,
        parameter_sets=circuit.description.parameter_sets,
        cost_error=circuit.cost_error,
        latency_s={name: latency_of(made) for name, made in estimates.items()},
        pbs_kinds={name: made.pbs_kind for name, made in estimates.items()},
        availability={name: made.availability for name, made in estimates.items()},
        throughputs={}
        if requests is None
        else {name: throughput_by(circuit, estimators[name], requests) for name in estimates},
        refusals=refusals,
    )


def latency_of(made: Ranged) -> Band:
    """The latency of an estimate, or of what is kept of one, with its range."""
    return Band(value=made.latency_s, low=made.low_s, high=made.high_s)


def _laws(points: Sequence[LengthPoint], hardware: Iterable[str]) -> Iterator[PowerLaw]:
    counts = [(point.seq_len, point.pbs_count) for point in points if point.pbs_count is not None]
    yield from _halves(PBS, counts)
    for name in hardware:
        known = [point for point in points if name in point.latency_s]
        yield from _halves(name, [(one.seq_len, one.latency_s[name].value) for one in known])


def _halves(of: str, found: Sequence[tuple[int, float]]) -> Iterator[PowerLaw]:
    """A law for each half of the lengths on a log axis: short and long ones grow differently."""
    if not found:
        return
    lengths, values = np.array(found, dtype=float).T
    middle = (lengths[0] * lengths[-1]) ** 0.5
    halves = [lengths <= middle, lengths >= middle]
    if min(map(np.count_nonzero, halves)) < FEWEST_FOR_LAW:
        halves = [lengths > 0]
    for half in halves:
        if np.count_nonzero(half) >= FEWEST_FOR_LAW:
            yield _law(of, lengths[half], values[half])


def _law(of: str, lengths: FloatArray, values: FloatArray) -> PowerLaw:
    exponent, offset = np.polyfit(np.log(lengths), np.log(values), 1)
    fitted = np.exp(offset) * lengths**exponent
    return PowerLaw(
        of=of,
        first=int(lengths[0]),
        last=int(lengths[-1]),
        coefficient=float(np.exp(offset)),
        exponent=float(exponent),
        worst_error=float(np.abs(fitted / values - 1).max()),
    )

"""How many requests a machine answers: batches of independent inputs under one key.

A batch is one circuit with an axis more (:mod:`fhecost.circuits.requests`): its lookups fill
machines that one request leaves half empty, and its keys are read once. A machine that is given
more requests than suit it takes them in batches that do, so more never lower its throughput.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from fhecost.circuits.profile import CircuitProfile
from fhecost.circuits.requests import of_requests
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimate import MANY_TOKENS, Estimate, Ranged, Throughput
from fhecost.hardware.estimator import ChosenEstimator
from fhecost.hardware.pbs_choice import PbsChoice
from fhecost.hardware.profile import HardwareProfile

SINGLY = 16
"""Batches up to this size are all tried, larger ones by powers of two."""
FULL = 0.95
"""A machine is full with the batch that reaches this share of the throughput of a larger one."""
_LARGEST = 2**16
_LEVEL = 1.01


def throughput(
    circuit: CircuitProfile,
    hardware: HardwareProfile,
    requests: int,
    known: Iterable[Estimate] = (),
    *,
    pbs: PbsChoice | None = None,
) -> Throughput:
    """What ``hardware`` makes of so many requests to run ``circuit``.

    Args:
        circuit: what one request runs.
        hardware: where.
        requests: how many there are at once.
        known: estimates made before, of any circuits on any machines.
        pbs: the kind of PBS, or ``best``, batch by batch; that of the machine's own figures when
            None.

    Raises:
        ImpossibleError: the machine can't run it even once.
        FieldError: fewer than one request.
        UsageError: the hardware profile is incomplete.
    """
    return throughput_by(circuit, ChosenEstimator(hardware, pbs, known), requests)


def throughput_by(circuit: CircuitProfile, estimator: ChosenEstimator, requests: int) -> Throughput:
    """As :func:`throughput`, on the machine of ``estimator`` and with the PBS that it chooses.

    Raises:
        ImpossibleError: the machine can't run it even once.
        FieldError: fewer than one request.
    """
    batches = _Batches(circuit, estimator)
    # First, since it refuses a number that is none.
    batches(requests)
    sizes = [size for size in batch_sizes(requests) if batches(size) is not None]
    best = max(sizes, key=lambda size: (batches.rate(size), -size))
    last, batch = batches.last_answer(requests, sizes)
    one, tokens = batches.known(best), circuit.description.tokens_of_run
    of_token = None if tokens is None else 1 / best / tokens
    return Throughput(
        hardware=one.hardware,
        requests=requests,
        batch=batch,
        latency_s=last.latency_s,
        low_s=last.low_s,
        high_s=last.high_s,
        per_second=batches.rate(best),
        full_at=batches.full_at(),
        pbs_kind=one.pbs_kind,
        availability=one.availability,
        tokens=tokens,
        price_usd_of_1000_tokens=_times(MANY_TOKENS, of_token, one.price_usd),
        energy_j_of_token=_times(1, of_token, one.energy_j),
        energy_j=None if one.energy_j is None else one.energy_j / best,
        price_usd=None if one.price_usd is None else one.price_usd / best,
    )


def _times(many: int, share: float | None, quantity: float | None) -> float | None:
    """So many times a share of a quantity; None where one of them is unknown."""
    return None if share is None or quantity is None else many * share * quantity


def throughputs(
    circuit: CircuitProfile,
    hardware: Sequence[HardwareProfile],
    requests: int,
    known: Iterable[Estimate] = (),
    *,
    pbs: PbsChoice | None = None,
) -> tuple[Throughput, ...]:
    """Those of the machines that can run the circuit; the arguments are as above.

    Raises:
        FieldError: fewer than one request.
        UsageError: a hardware profile is incomplete.
    """
    made, rows = tuple(known), []
    for machine in hardware:
        with suppress(ImpossibleError):
            rows.append(throughput(circuit, machine, requests, made, pbs=pbs))
    return tuple(rows)


def batch_sizes(requests: int) -> list[int]:
    """Batches to try: those of fewer requests are among those of more."""
    small = range(1, min(requests, SINGLY) + 1)
    powers = (2**power for power in range(1, requests.bit_length()))
    return sorted({*small, *(size for size in powers if SINGLY < size <= requests)})


class _Batches:
    """Estimates of one circuit's batches on one machine, each made once."""

    def __init__(self, circuit: CircuitProfile, estimator: ChosenEstimator) -> None:
        self._circuit, self._estimator = circuit, estimator
        self._made: dict[int, Estimate | None] = {}
        # That one request can't be run is the caller's to know.
        self._made[1] = self._estimator(circuit)

    def __call__(self, size: int) -> Estimate | None:
        """The estimate of a batch; None where the machine can't hold it."""
        if size not in self._made:
            try:
                self._made[size] = self._estimator(of_requests(self._circuit, size))
            except ImpossibleError:
                self._made[size] = None
        return self._made[size]

    def known(self, size: int) -> Estimate:
        """The estimate of a batch that the machine holds."""
        made = self(size)
        if made is None:
            raise ImpossibleError(f"no batch of {size} requests")
        return made

    def rate(self, size: int) -> float:
        """Requests a second in batches of that size."""
        return size / self.known(size).latency_s

    def last_answer(self, requests: int, sizes: Sequence[int]) -> tuple[Ranged, int]:
        """When all are answered, in the batches that end first, and how large these are."""
        candidates = [*sizes, requests] if self(requests) is not None else sizes
        return min(
            ((self._in_turn(requests, size), size) for size in candidates),
            key=lambda found: found[0].latency_s,
        )

    def _in_turn(self, requests: int, size: int) -> Estimate:
        """Batches of that size one after the other, the last with what is left."""
        whole, left = divmod(requests, size)
        one = self.known(size)
        rest = self(left) if left else None
        parts = [(one, whole), *([(rest, 1)] if rest else [])]
        return one.changed(
            latency_s=sum(made.latency_s * times for made, times in parts),
            low_s=sum(made.low_s * times for made, times in parts),
            high_s=sum(made.high_s * times for made, times in parts),
        )

    def full_at(self) -> int | None:
        """The smallest power of two that reaches ``FULL`` of what the largest batches do."""
        rates: dict[int, float] = {}
        for power in range(_LARGEST.bit_length()):
            size = 2**power
            if self(size) is None:
                return None
            rates[size] = self.rate(size)
            # One doubling without a gain may be a step of a staircase, two are its top.
            if power > 1 and rates[size] < _LEVEL * rates[size // 4]:
                most = max(rates.values())
                return min(size for size, rate in rates.items() if rate >= FULL * most)
        return None

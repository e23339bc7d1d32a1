"""Time two of Concrete's own operations: ``python -m fhecost.measurement.concrete_probe``.

A lookup that its Fourier transforms decide, and the same with a long key switch, whose difference
is the key switch: some two seconds of lookups, after as long for keys. The fixed computation of
:mod:`fhecost.measurement.machine` says whether a machine changed; it doesn't say how fast Concrete
is on it, which takes other vector instructions than numpy does. Wants ``KMP_BLOCKTIME=0``: threads
that wait for work would otherwise spend the processor's time on it. Prints one line of JSON, the
fields of :class:`fhecost.hardware.probe.ConcreteProbe` without its processor.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from typing import Any

from fhecost.errors import ImpossibleError
from fhecost.measurement.cases import KEY_SWITCHES, LookupCase
from fhecost.measurement.machine import available_threads, now
from fhecost.measurement.single_circuits import SingleCircuit, compile_case

_LOOKUPS = 8
_SECONDS_EACH = 0.6
_MOST_THREADS = 16
"""Beyond it a run with a lookup a thread would take longer on one thread than all else."""


def main() -> None:
    """Measure and print.

    Raises:
        ImpossibleError: Concrete doesn't offer the parameter sets of the probe.
    """
    threads = available_threads()
    some = 1 < threads <= _MOST_THREADS
    lookups = threads * math.ceil(_LOOKUPS / threads) if some else _LOOKUPS
    lookup, longer = (_prepared(case, lookups) for case in KEY_SWITCHES[2:])
    started = time.perf_counter(), time.process_time()
    times = {"lookup_s": _seconds(*lookup, 1), "longer_s": _seconds(*longer, 1)}
    share = (time.process_time() - started[1]) / (time.perf_counter() - started[0])
    if some:
        times["together_s"] = _seconds(*lookup, threads)
    print(
        json.dumps(
            {
                "made": now(),
                "pbs": lookup[0].pbs.model_dump(),
                "key_switch": lookup[0].key_switch.model_dump(),
                "longer_levels": longer[0].key_switch.level_count,
                "threads": threads,
                "cpu_share": min(1.0, share),
                **times,
            }
        )
    )


def _prepared(case: LookupCase, lookups: int) -> tuple[SingleCircuit, Any]:
    """A circuit with keys and an encrypted input, run once."""
    single = compile_case(case, lookups)
    if single is None:
        raise ImpossibleError("Concrete doesn't offer the parameter sets of the probe")
    single.circuit.keygen()
    encrypted = single.circuit.encrypt(single.values)
    single.circuit.run(encrypted)
    return single, encrypted


def _seconds(single: SingleCircuit, encrypted: Any, threads: int) -> float:
    """Seconds of the processor for a lookup on one of ``threads`` threads, each with its own.

    The processor's time, since other programs may be at work: what they take says nothing of the
    machine. Of several runs the median of the three fastest: what disturbs only ever adds.
    """
    from threadpoolctl import threadpool_limits

    rounds = math.ceil(single.values.size / threads)
    found: list[float] = []
    with threadpool_limits(limits=threads, user_api="openmp"):
        until = time.perf_counter() + _SECONDS_EACH
        while len(found) < 3 or time.perf_counter() < until:
            start = time.process_time()
            single.circuit.run(encrypted)
            found.append((time.process_time() - start) / threads / rounds)
    return statistics.median(sorted(found)[:3])


if __name__ == "__main__":
    main()

"""How fast the closed form is, beside compiling the same circuits: ``python benchmark.py``.

Compiling and the closed form take turns in one process; medians over the rounds, of processor time,
since others may be at work. ``by shape`` is ``profile_of_shape``; ``by weights`` adds running the
calibration sentences through the head to see its widths; ``estimate`` is the latency model, the
figures of the machine read anew. The last lines are of 10,000 circuits each.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from itertools import cycle, islice, product

from compile_grid import quantized_case

from fhecost.closed_form.circuit import circuit_profile
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.parameter_sets import predict_sets
from fhecost.closed_form.partitions import partition
from fhecost.closed_form.plan_operators import plan_of
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.concrete.compilation import compile_circuit
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.library import find_hardware
from fhecost.hardware.profile import HardwareProfile
from fhecost.measurement.machine import settled_probe_seconds
from fhecost.models.shape import SHAPES, ModelShape

CASES = (
    ("reference", 16, 4, 3),
    ("reference", 256, 6, 3),
    ("compact", 16, 4, 3),
    ("compact", 256, 6, 4),
    ("compact", 256, 16, 4),
)
"""Variant, width (of four heads), tokens, bits."""

ROUNDS, REPEATS = 3, 25


def seconds(call: Callable[[], object], repeats: int = 1) -> float:
    """How long one call takes of a processor, the median of several."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times)


def row(variant: str, width: int, seq_len: int, bits: int, cpu: HardwareProfile) -> str:
    """One circuit, compiled and counted in turns."""
    quantized, sentences = quantized_case(variant, 1, width, 4, seq_len, bits)
    shape = ModelShape("", 1, 4, 4, width // 4, width, 4 * width, 100, 1024, "")
    request = ShapeRequest(shape, "head", seq_len, bits, variant)
    circuit = profile_of_shape(request)

    def by_weights() -> None:
        plan = plan_of(quantized.run, Sampled(sentences))
        partitions = partition(plan)
        parameters = predict_sets(variant, plan, partitions)
        circuit_profile(plan, partitions, parameters, name="")

    calls: tuple[tuple[Callable[[], object], int], ...] = (
        (lambda: compile_circuit(quantized.run, list(sentences)), 1),
        (lambda: profile_of_shape(request), REPEATS),
        (lambda: Estimator(cpu)(circuit), REPEATS),
        (by_weights, 3),
    )
    rounds = [[seconds(call, repeats) for call, repeats in calls] for _ in range(ROUNDS)]
    compiling, by_shape, estimating, weights = map(statistics.median, zip(*rounds, strict=True))
    return (
        f"{variant:9} {width:4} {seq_len:2} {bits:5} {compiling:9.2f} s "
        f"{1e3 * by_shape:7.2f} ms {1e3 * estimating:6.2f} ms {compiling / by_shape:7,.0f} "
        f"{1e3 * weights:8.1f} ms {compiling / weights:7,.0f}"
    )


def latency_or_none(on_machine: Estimator, request: ShapeRequest) -> float | None:
    """Seconds of what ``request`` names; None where the machine or the table refuses it."""
    try:
        return on_machine(profile_of_shape(request)).latency_s
    except ImpossibleError:
        return None


def main(many: int = 10_000) -> None:
    """Print both comparisons."""
    cpu = find_hardware("epyc-zen4-2")
    calibrated_probe_s = float(cpu.figures["probe_s"].value)
    print("variant      E  L  bits  compiling   by shape  estimate   ratio  by weights   ratio")
    for case in CASES:
        print(row(*case, cpu), flush=True)
    on_machine = Estimator(find_hardware("flashtfhe"))
    for scope in ("head", "block"):
        requests = [
            ShapeRequest(SHAPES[model], scope, seq_len, bits, "compact")
            for model, seq_len, bits in product(SHAPES, range(1, 1025), (3, 4))
        ]
        chosen = list(islice(cycle(requests), many))
        before = settled_probe_seconds()
        start = time.process_time()
        found = [latency_or_none(on_machine, one) for one in chosen]
        taken = time.process_time() - start
        pace = (before + settled_probe_seconds()) / 2 / calibrated_probe_s
        longest, refused = max(one or 0.0 for one in found), found.count(None)
        print(
            f"{many:,} {scope}s, up to {longest:.3g} s, {refused:,} refused: {taken:.1f} s of one "
            f"core, which ran at 1/{pace:.2f} of its calibrated speed"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

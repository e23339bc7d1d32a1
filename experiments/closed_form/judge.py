"""Judge predicted circuits by compiled ones that the table doesn't hold: ``python judge.py``.

Classes: ``within_…`` (held-out lengths, widths from the weights, by the distance of the nearest row
of the same precisions; also with all nearer ones taken out of the table), ``by_precision`` (the
same circuits, with every row of their precisions taken out), ``stated_widths`` (widths from the
shape alone, of all variants and of each). Writes ``errors.json``: the absolute error of the
modelled latency on the local CPU, an H100 and an ASIC, and the factor that 49 in 50 are within.
"""

from __future__ import annotations

import gzip
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from compile_grid import quantized_case

from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.circuit import circuit_profile
from fhecost.closed_form.cost_error import WITHIN, within
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.needs import needs_of
from fhecost.closed_form.parameter_sets import predict_sets
from fhecost.closed_form.partitions import partition
from fhecost.closed_form.plan import Plan
from fhecost.closed_form.plan_operators import plan_of
from fhecost.closed_form.scopes import ShapeRequest, plan_of_shape
from fhecost.closed_form.solved_circuits import SolvedTable, solved_circuits
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimator import estimate
from fhecost.hardware.library import find_hardware
from fhecost.models.shape import ModelShape

HERE = Path(__file__).parent
MACHINES = ("epyc-zen4-2", "h100", "strix")


@dataclass(frozen=True)
class Judged:
    """How far off one predicted circuit was on each machine, and how near its row was."""

    errors: list[float]
    distance: float | None


def judged(plan: Plan, variant: str, table: SolvedTable, compiled: CircuitProfile) -> Judged | None:
    """Relative errors of the modelled latency, on the machines that can run the circuit."""
    partitions = partition(plan)
    try:
        parameters = predict_sets(variant, plan, partitions, table)
    except ImpossibleError:
        return None
    predicted = circuit_profile(plan, partitions, parameters, name="predicted")
    errors = []
    for name in MACHINES:
        hardware = find_hardware(name)
        try:
            modelled = estimate(compiled, hardware).latency_s
            errors.append(estimate(predicted, hardware).latency_s / modelled - 1)
        except ImpossibleError:
            continue
    return Judged(errors, parameters.distance)


def main() -> None:
    """Write the errors of each class."""
    content = json.loads(gzip.decompress((HERE / "compiled.json.gz").read_bytes()))
    errors: dict[str, list[float]] = defaultdict(list)
    table = solved_circuits()
    for entry in content["compiled"]:
        case = entry["case"]
        if case["variant"] == "products":
            continue
        compiled = CircuitProfile.model_validate(entry["profile"])
        count = case["width"] // case["head_dimension"]
        width, dimension = case["width"], case["head_dimension"]
        shape = ModelShape("", 1, count, count, dimension, width, 1, 1, 10**6, "")
        stated = ShapeRequest(
            shape, "head", case["seq_len"], case["bits"], case["variant"], case["heads"]
        )
        if case["width"] > 16 or entry["held_out"]:
            found = judged(plan_of_shape(stated), case["variant"], table, compiled)
            for name in ("stated_widths", f"stated_widths_{case['variant']}"):
                errors[name] += found.errors if found else []
        if not entry["held_out"]:
            continue
        heads, sentences = quantized_case(
            case["variant"], case["heads"], width, count, case["seq_len"], case["bits"]
        )
        plan = plan_of(heads.run, Sampled(sentences))
        for found in with_fewer_rows(plan, case["variant"], table, compiled):
            errors[class_of(found.distance)] += found.errors
    write({name: errors[name] for name in sorted(errors)})


def with_fewer_rows(
    plan: Plan, variant: str, table: SolvedTable, compiled: CircuitProfile
) -> Iterator[Judged]:
    """Predictions from the whole table, then with the nearest rows taken out, farther each time."""
    partitions = partition(plan)
    needs = needs_of(plan, partitions)
    circuits, distances = table.distances(variant, needs, partitions.lookup_count)
    apart = dict(zip(circuits, map(float, distances), strict=True))
    seen: set[float] = set()
    for least in (0.0, *WITHIN, math.inf):
        rows = [row for row in table.rows if apart.get(row, math.inf) >= least]
        found = judged(plan, variant, SolvedTable(rows), compiled)
        if found is None or found.distance in seen:
            continue
        if found.distance is not None:
            seen.add(found.distance)
        yield found


def class_of(distance: float | None) -> str:
    """The class of a prediction whose nearest row was that far."""
    return "by_precision" if distance is None else f"within_{within(distance):g}"


def write(errors: dict[str, list[float]]) -> None:
    """Print and keep what the classes came to."""
    summary = {}
    for name, values in errors.items():
        absolute, ratios = np.abs(values), 1 + np.array(values)
        factors = np.maximum(ratios, 1 / ratios) - 1
        summary[name] = {
            "n": len(values),
            "median_abs_error": round(float(statistics.median(absolute)), 4),
            "p90_abs_error": round(float(np.quantile(absolute, 0.9)), 4),
            "worst_abs_error": round(float(absolute.max()), 4),
            "p98_factor_error": round(float(np.quantile(factors, 0.98)), 4),
        }
        print(name, summary[name])
    path = HERE / "errors.json"
    # Those of solved sets are check_optimizer.py's.
    solved = json.loads(path.read_text())["errors"]["solved"]
    path.write_text(json.dumps({"errors": {**summary, "solved": solved}}, indent=1) + "\n")


if __name__ == "__main__":
    main()

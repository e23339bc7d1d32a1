"""Judge predicted circuits by compiled ones that the table doesn't hold: ``python judge.py``.

Three classes: ``same_precisions`` (held-out lengths, widths from the weights), ``by_precision``
(the same circuits, with every row of their precisions taken out of the table), ``stated_widths``
(widths from the shape alone). Writes ``errors.json``: the absolute error of the modelled latency on
the local CPU, an H100 and an ASIC.
"""

from __future__ import annotations

import gzip
import json
import statistics
from collections import defaultdict
from pathlib import Path

import numpy as np
from compile_grid import quantized_case

from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.circuit import circuit_profile
from fhecost.closed_form.heads import plan_of_quantized
from fhecost.closed_form.model_shapes import TransformerShape
from fhecost.closed_form.parameter_table import SolvedCircuit, predict_sets, solved_circuits
from fhecost.closed_form.partitions import partition
from fhecost.closed_form.plan import Plan
from fhecost.closed_form.scopes import ShapeRequest, plan_of_heads
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimator import estimate
from fhecost.hardware.library import load_machine

HERE = Path(__file__).parent
MACHINES = ("epyc-zen4-2", "h100", "strix")


def latency_errors(
    plan: Plan, variant: str, table: list[SolvedCircuit], compiled: CircuitProfile
) -> list[float]:
    """Relative errors of the modelled latency, on the machines that can run the circuit."""
    partitions = partition(plan)
    predicted = circuit_profile(
        plan,
        partitions,
        predict_sets(variant, plan, partitions, table),
        name="predicted",
        description={},
        cost_error=None,
    )
    errors = []
    for name in MACHINES:
        machine = load_machine(name)
        try:
            modelled = estimate(compiled, machine).latency_s
            errors.append(estimate(predicted, machine).latency_s / modelled - 1)
        except ImpossibleError:
            continue
    return errors


def main() -> None:
    """Write the errors of each class."""
    content = json.loads(gzip.decompress((HERE / "compiled.json.gz").read_bytes()))
    errors: dict[str, list[float]] = defaultdict(list)
    rows = list(solved_circuits())
    for entry in content["compiled"]:
        case = entry["case"]
        if case["variant"] == "products":
            continue
        compiled = CircuitProfile.model_validate(entry["profile"])
        count = case["width"] // case["head_dimension"]
        shape = TransformerShape("", 1, count, case["width"], 1, 1, 10**6, "")
        stated = ShapeRequest(
            shape, "head", case["seq_len"], case["bits"], case["variant"], case["heads"]
        )
        if case["width"] > 16 or entry["held_out"]:
            errors["stated_widths"] += tried(plan_of_heads(stated), case["variant"], rows, compiled)
        if not entry["held_out"]:
            continue
        plan = plan_of_quantized(
            *quantized_case(
                case["variant"], case["heads"], case["width"], count, case["seq_len"], case["bits"]
            )
        )
        errors["same_precisions"] += tried(plan, case["variant"], rows, compiled)
        reads = set(partition(plan).precisions)
        others = [row for row in rows if set(row.sets) != reads]
        errors["by_precision"] += tried(plan, case["variant"], others, compiled)
    write(errors)


def tried(
    plan: Plan, variant: str, table: list[SolvedCircuit], compiled: CircuitProfile
) -> list[float]:
    """The errors, or none where no set can be predicted."""
    try:
        return latency_errors(plan, variant, table, compiled)
    except ImpossibleError:
        return []


def write(errors: dict[str, list[float]]) -> None:
    """Print and keep what the classes came to."""
    summary = {}
    for name, values in errors.items():
        absolute = np.abs(values)
        summary[name] = {
            "n": len(values),
            "median_abs_error": round(float(statistics.median(absolute)), 4),
            "p90_abs_error": round(float(np.quantile(absolute, 0.9)), 4),
            "worst_abs_error": round(float(absolute.max()), 4),
        }
        print(name, summary[name])
    (HERE / "errors.json").write_text(json.dumps({"errors": summary}, indent=1) + "\n")


if __name__ == "__main__":
    main()

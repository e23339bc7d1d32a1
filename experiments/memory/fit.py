"""The figures of ``hardware/concrete/memory.yaml``: ``python experiments/memory/fit.py``.

From ``copies.json``, by least squares of relative residuals: a run without lookups holds its inputs
and outputs so many times, and something of its own; one with lookups, whose bootstrap keys are made
ready beside the inputs, so many times then.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

RETURNED_BYTES = 2**25
"""Blocks from this size on the C library gives back when they are freed."""

FEW_ELEMENTS = 10**6
"""Values of fewer elements take less than what compiling varies by."""


def most_bytes(case: dict[str, Any]) -> float:
    """The most that was held in any step."""
    return float(max(step["most_bytes"] for step in case["steps"].values()))


def derived() -> dict[str, float]:
    """The figures by name."""
    cases = json.loads((Path(__file__).parent / "copies.json").read_text())["cases"]
    plain = [case for case in cases if case["kind"] in ("sum", "added to")]
    terms, held = [], []
    for case in plain:
        moved = []
        for size in (case["input_bytes"], case["output_bytes"]):
            small = size < RETURNED_BYTES
            moved += [size * (not small), size * small]
        terms.append([1.0, *moved])
        held.append(most_bytes(case))
    rows, measured = np.array(terms), np.array(held)
    fitted = np.linalg.lstsq(rows / measured[:, None], np.ones(len(rows)), rcond=None)[0]
    names = (
        "run_bytes",
        *(f"{size}{of}_copies" for of in ("input", "output") for size in ("", "small_")),
    )
    found = dict(zip(names, map(float, fitted), strict=True))
    beside = [
        (most_bytes(case) - case["bsk_bytes"] - found["run_bytes"]) / case["input_bytes"]
        for case in cases
        if case["kind"] == "four lookups" and case["input_bytes"] >= RETURNED_BYTES
    ]
    return {**found, "computing_input_copies": float(np.median(beside)), **_of_compiling()}


def _of_compiling() -> dict[str, float]:
    """What compiling takes: that of circuits of few values, and each element of many."""
    cases = json.loads((Path(__file__).parent / "compile.json").read_text())["cases"]
    took = {
        case["value_elements"]: case["peak_memory_bytes"] - case["before_bytes"] for case in cases
    }
    few = [held for elements, held in took.items() if elements < FEW_ELEMENTS]
    usual = float(np.median(few))
    many = [(elements, held) for elements, held in took.items() if elements >= FEW_ELEMENTS]
    each = [(held - usual) / elements for elements, held in many]
    return {"compile_bytes": usual, "compile_element_bytes": max(each)}


if __name__ == "__main__":
    for name, value in derived().items():
        print(f"{name}: {value:.4g}")

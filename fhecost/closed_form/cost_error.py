"""How far the cost of a predicted circuit may be off: what was measured on circuits set apart.

``experiments/closed_form/judge.py`` predicts compiled circuits that the table of parameter sets
doesn't hold, and writes down the errors of their latency that nine in ten stay below.
"""

from __future__ import annotations

import json
from functools import cache

from fhecost.closed_form.parameter_sets import ParameterSets
from fhecost.data import data_folder

WITHIN = (0.5, 1.0, 2.0, 4.0)
"""Distances of the nearest row, in bits, by which errors are told apart; the last holds beyond."""


def within(distance: float) -> float:
    """The class of distances that ``distance`` is in."""
    return next((edge for edge in WITHIN if distance <= edge), WITHIN[-1])


def cost_error(parameters: ParameterSets, *, stated: str | None) -> float:
    """The error of a prediction's cost that nine in ten stay below, as a fraction.

    Where noise exceeds all that the table has, each bit of it is taken to double the cost at worst,
    as a bit of precision about does. Stated widths go wrong by variant and almost always the same
    way, so there it is the factor that 49 in 50 stay below.

    Args:
        parameters: the predicted sets.
        stated: the variant, where widths were stated rather than calibrated on sentences.
    """
    errors = _measured("p90_abs_error")
    distance = parameters.distance
    if parameters.solved:
        of_sets = errors["solved"]
    else:
        of_sets = errors["by_precision" if distance is None else f"within_{within(distance):g}"]
    of_widths = 0.0
    if stated is not None:
        # What lookups may err doesn't change how wide their inputs are.
        variant = stated.partition("@")[0]
        of_variant = _measured("p98_factor_error").get(f"stated_widths_{variant}", 0.0)
        of_widths = max(errors["stated_widths"], of_variant)
    return float((1 + max(of_sets, of_widths)) * 2**parameters.beyond - 1)


@cache
def _measured(quantile: str) -> dict[str, float]:
    path = data_folder("experiments/closed_form") / "errors.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: float(entry[quantile])
        for name, entry in content["errors"].items()
        if quantile in entry
    }

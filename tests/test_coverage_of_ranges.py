"""How many measured runs lie inside the stated range, and what that says of the range."""

import pytest

from fhecost.report.render import as_table
from fhecost.report.validation_document import validation_document
from fhecost.validation.comparison import validate
from fhecost.validation.coverage import CLAIMED, Coverage, coverage, expected


@pytest.mark.parametrize(
    # Quantiles of the binomial distribution at 0.9, from tables.
    ("runs", "least", "most"),
    [(1, 0, 1), (10, 7, 10), (20, 15, 20), (32, 25, 32), (100, 84, 95)],
)
def test_how_many_a_range_of_nine_in_ten_would_hold(runs, least, most):
    assert expected(runs) == (least, most)


@pytest.mark.parametrize(
    ("inside", "fits"), [(100, False), (95, True), (90, True), (84, True), (83, False)]
)
def test_too_many_fit_as_little_as_too_few(inside, fits):
    found = coverage([(1.0, 2.0, 3.0)] * inside + [(1.0, 4.0, 3.0)] * (100 - inside))
    assert found == Coverage(runs=100, inside=inside, claimed=CLAIMED, least=84, most=95)
    assert found.fits == fits


def test_without_runs_there_is_nothing_to_say():
    assert coverage([]) is None


def test_the_shipped_runs_are_counted_and_said():
    report = validate()
    warm = [row for row in report.rows if row.quantity == "warm"]
    inside = sum(row.low <= row.measured <= row.high for row in warm)
    assert (report.coverage.runs, report.coverage.inside) == (len(warm), inside)
    text = " ".join(as_table(validation_document(report)).split())
    assert f"{inside} of {len(warm)} warm runs lie inside their stated range" in text
    assert f"would hold {report.coverage.least} to {report.coverage.most}: it fits." in text

"""The trend of dated figures: what they are, the fit, and what it can't know."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhecost.errors import UsageError
from fhecost.projection.dated import DatedFigures, decimal_year, read_dated
from fhecost.projection.trend import fit_trend
from fhecost.projection.trend_fit import fit_terms, make_term
from fhecost.projection.years import (
    project_years,
)
from tests.dated import MEASURED, figure, latency, synthetic

slopes = st.floats(-0.5, 0.5).map(lambda value: round(value, 3))


@settings(max_examples=25, deadline=None)
@given(slopes, st.tuples(slopes, slopes), slopes.map(lambda value: value / 50), st.booleans())
def test_the_fit_recovers_known_terms(software, steps, p_fail, with_work):
    trend = fit_trend("cpu", synthetic(software, steps, p_fail, with_work=with_work))
    assert trend.software.estimate == pytest.approx(software, abs=1e-6)
    assert trend.p_fail.estimate == pytest.approx(p_fail, abs=1e-6)
    assert [one.step.estimate for one in trend.steps] == pytest.approx(list(steps), abs=1e-6)
    # Machines came two years apart: the slope through three of them is half of the mean step.
    assert trend.hardware.estimate == pytest.approx(sum(steps) / 4, abs=1e-6)
    assert trend.together.estimate == pytest.approx(software + sum(steps) / 4, abs=1e-6)
    assert trend.longest_generation == pytest.approx(2)
    # Where the generations aren't on a line, the rate has the error of their scatter.
    if abs(steps[0] - steps[1]) > 1e-3:
        assert trend.hardware.high - trend.hardware.low > 1e-3


def test_a_term_that_moves_with_another_is_not_known():
    figures = [
        figure(software=str(year), date=2020.0 + year, machine=f"machine {year > 1}",
               log2_p_fail=-40 - 20 * year, precision=precision, seconds=1.5**-year)
        for year in range(5)
        for precision in ("2 bits", "4 bits")
    ]  # fmt: skip
    trend = fit_trend("cpu", DatedFigures(figures=tuple(figures)))
    assert trend.software is None
    assert trend.p_fail is None
    assert trend.reason == "dates and machines can't be told apart"
    projection = project_years(latency(1.0), "cpu", 2024, (2024, 2025), trend=trend)
    assert projection.points == ()
    assert projection.reason == trend.reason


def test_two_generations_have_a_step_and_no_rate():
    figures = [one for one in synthetic(-0.1, (-0.4, 0.0), 0.0).figures if one.date < 2024]
    trend = fit_trend("cpu", DatedFigures(figures=tuple(figures)))
    assert [one.step.estimate for one in trend.steps] == pytest.approx([-0.4])
    assert trend.hardware is None
    assert "no rate" in trend.not_known["hardware"]
    point = project_years(latency(1.0), "cpu", 2023, (2024,), trend=trend).points[0]
    assert point.hardware is None
    assert point.factor.value == pytest.approx(math.exp(-0.1))


def test_as_many_unknowns_as_figures_are_no_fit():
    assert fit_terms([1.0, 2.0], {"years": [0, 1]}, ["a", "a"], ["1", "2"]) is None
    assert make_term(0.1, 0.0, 0, 2) is None
    trend = fit_trend("cpu", DatedFigures(figures=(figure(), figure(date=2024.0, software="2"))))
    assert "as many unknowns" in trend.reason


def test_figures_of_one_release_are_no_independent_evidence():
    """Each figure ten times over must not make the rate ten times surer."""
    few, many = [], []
    for index, rest in enumerate((0.2, -0.2, 0.1, -0.3, 0.2)):
        one = figure(
            software=str(index), date=2020.0 + index, seconds=math.exp(-0.3 * index + rest)
        )
        few += [one, figure(**{**one.__dict__, "precision": "8 bits"})]
        many += [figure(**{**one.__dict__, "precision": f"{bits} bits"}) for bits in range(20)]
    errors = [
        fit_trend("cpu", DatedFigures(figures=tuple(figures))).software for figures in (few, many)
    ]
    assert errors[0].degrees_of_freedom == errors[1].degrees_of_freedom == 3
    assert errors[1].standard_error > 0.7 * errors[0].standard_error


def test_every_dated_figure_has_a_source_and_a_date():
    dated = read_dated()
    assert {one.kind for one in dated.figures} == set(MEASURED)
    for one in (*dated.figures, *dated.repeated):
        assert one.source
        assert 2020 < one.date < 2030
        assert one.seconds > 0
    for kind in MEASURED:
        assert all(one.source for one in fit_trend(kind).figures)


def test_a_table_that_repeats_the_release_before_counts_once():
    dated = read_dated()
    kept = {(one.kind, one.software) for one in dated.figures}
    assert ("cpu", "tfhe-rs 0.2.0") in kept
    assert ("cpu", "tfhe-rs 0.3.0") not in kept
    assert ("cpu", "tfhe-rs 0.3.0") in {(one.kind, one.software) for one in dated.repeated}
    # On one machine, no measured table has the same seconds as the one before it in all places.
    assert len({one.name for one in dated.figures}) == len(dated.figures)


def test_what_the_figures_say_of_each_kind():
    cpu, gpu, fpga = (fit_trend(kind) for kind in MEASURED)
    # On CPUs, software is flat a unit of work, and the machine is what got faster.
    assert cpu.software.low < 0 < cpu.software.high
    assert all(one.step.high < 0 for one in cpu.steps)
    assert cpu.together.high < 0
    assert cpu.p_fail.low > 0
    # On one GPU, software got faster, by a band that just holds no change; another generation is a
    # step without a rate.
    assert gpu.software.estimate < -0.5
    assert gpu.software.high < 0.1
    assert gpu.hardware is None
    assert [(one.before[:4], one.after[:4]) for one in gpu.steps] == [("A100", "H100")]
    assert gpu.steps[0].step.high < 0
    assert fpga.hardware is None
    assert "one machine only" in fpga.not_known["hardware"]
    for trend in (cpu, gpu, fpga):
        assert set(trend.not_known) == {
            name
            for name in ("software", "hardware", "p_fail", "parameter_sets", "price_per_hour")
            if getattr(trend, name) is None
        }


@pytest.mark.parametrize(
    ("date", "year"), [("2026", 2026.5), ("2026-07", 2026 + 6.5 / 12), ("2026-01-01", 2026.0)]
)
def test_dates(date, year):
    assert decimal_year(date) == pytest.approx(year, abs=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tables": [{"date": "soon"}]}, "tables.0.date"),
        ({"tables": [{"records": {"2 bits": "nothing"}}]}, "no record is named 'nothing'"),
        ({"tables": [{"log2_p_fail": None}]}, "tables.0: the table of 2024 needs log2_p_fail"),
    ],
)
def test_a_broken_file_of_dates(tmp_path, change, message):
    table = {
        "lineage": "a", "kind": "cpu", "software": "1", "date": "2024", "date_ref": "a page",
        "machine": "m", "log2_p_fail": -40, "records": {"2 bits": "r"},
    }  # fmt: skip
    path = tmp_path / "dated.json"
    path.write_text(json.dumps({"tables": [{**table, **change["tables"][0]}]}))
    with pytest.raises(UsageError, match=message):
        read_dated(path)

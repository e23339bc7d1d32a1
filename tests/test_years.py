"""Latency over the years: what the trend says of it, and how that is shown."""

import subprocess
import sys

import pytest

from fhecost.cli.parsing import parse_duration, parse_years
from fhecost.errors import UsageError
from fhecost.projection.trend import fit_trend
from fhecost.projection.years import (
    YearsReport,
    latency_in,
    project_years,
    release_latencies,
    year_of_target,
)
from fhecost.report.columns import Table
from fhecost.report.document import Document
from fhecost.report.render import as_markdown, as_table
from fhecost.report.years_document import change, years_blocks, years_figures
from tests.conftest import ROOT
from tests.dated import MEASURED, latency, synthetic

YEARS = tuple(range(2023, 2036))


def report(*kinds, target_s=None, base_year=2026):
    projections = tuple(
        project_years(
            latency(4.8, 3.2, 8.1), kind, base_year, YEARS, name=f"a-{kind}",
            price_usd=0.01, energy_j=100.0,
        )
        for kind in kinds
    )  # fmt: skip
    targets = tuple(year_of_target(one, target_s) for one in projections) if target_s else ()
    return YearsReport(fhecost_version="0", years=YEARS, projections=projections, targets=targets)


@pytest.mark.parametrize("kind", MEASURED)
def test_the_band_holds_the_estimate_and_grows(kind):
    projection = project_years(latency(4.8, 3.2, 8.1), kind, 2026, YEARS, price_usd=0.01)
    assert projection.points
    widths = {}
    for point in projection.points:
        for band in (point.factor, point.software, point.p_fail, point.latency_s, point.price_usd):
            assert band.low <= band.value <= band.high
        widths[point.year] = point.factor.high / point.factor.low
    ahead = [width for year, width in widths.items() if year >= 2026]
    assert ahead == sorted(ahead)
    base = next(point for point in projection.points if point.year == 2026)
    assert (base.factor.low, base.factor.high) == (1, 1)
    assert base.latency_s == projection.latency_s


@pytest.mark.parametrize("kind", MEASURED)
def test_no_figure_beyond_the_data(kind):
    projection = project_years(latency(4.8), kind, 2026, YEARS)
    trend = projection.trend
    span = trend.last_date - trend.first_date
    assert all(
        trend.first_date <= point.year + 0.5 <= trend.last_date + span
        for point in projection.points
    )
    assert 2035 in projection.beyond_data
    assert {point.year for point in projection.points} | set(projection.beyond_data) == set(YEARS)
    with pytest.raises(UsageError, match="2035: not within the data"):
        latency_in(projection, 2035)


def test_software_and_hardware_multiply_to_the_whole():
    for point in project_years(latency(1.0), "cpu", 2026, YEARS).points:
        product = point.software.value * point.hardware.value * point.p_fail.value
        assert point.factor.value == pytest.approx(product)


def test_a_base_year_outside_the_data_has_no_projection():
    projection = project_years(latency(1.0), "gpu", 2018, YEARS)
    assert projection.points == ()
    assert projection.reason.startswith("the estimate is of 2018, and the data speak for")


def test_an_asic_has_no_data_and_no_points():
    projection = project_years(latency(1.68), "asic", 2023, YEARS)
    assert projection.points == ()
    assert projection.beyond_data == YEARS
    assert projection.reason.startswith("no dated measurements of one lineage")
    target = year_of_target(projection, 0.1)
    assert (target.earliest, target.expected, target.latest) == (None, None, None)
    assert "no dated measurements" in target.reason


def test_the_year_of_a_target():
    projection = project_years(latency(4.8), "cpu", 2026, YEARS)
    first, last = latency_in(projection, 2026), latency_in(projection, 2029)
    met = year_of_target(projection, first.value)
    assert (met.earliest, met.expected, met.latest, met.reason) == (2026, 2026, 2026, None)
    between = year_of_target(projection, last.value)
    assert between.earliest <= between.expected == 2029
    assert between.latest is None
    assert "no year after 2029" in between.reason
    never = year_of_target(projection, last.low / 2)
    assert never.earliest is None
    assert "low end" in never.reason
    with pytest.raises(UsageError, match="must be positive"):
        year_of_target(projection, 0.0)


def test_a_sure_trend_has_a_latest_year():
    trend = fit_trend("cpu", synthetic(-0.5, (0.0, 0.0), 0.0))
    projection = project_years(latency(1.0, 0.8, 1.5), "cpu", 2025, (2026,), trend=trend)
    met = year_of_target(projection, 0.3)
    # exp(-0.5 t) times 0.8, 1 and 1.5 comes down to 0.3 after 1.96, 2.4 and 3.2 years.
    assert (met.earliest, met.expected, met.latest, met.reason) == (2027, 2028, 2029, None)


def test_releases_lie_about_the_line():
    projection = project_years(latency(4.8), "cpu", 2026, YEARS)
    marks = release_latencies(projection)
    assert len(marks) == len({(one.software, one.machine) for one in projection.trend.figures})
    # The estimate's machine is the newest: its release lies where the estimate does.
    level, seconds = marks[-1]
    assert level.machine == "hpc8a.96xlarge"
    assert seconds == pytest.approx(4.8, rel=0.1)


def test_price_and_energy_follow_the_latency():
    known = {"price_usd": 0.01, "energy_j": 100.0}
    cpu = project_years(latency(4.8), "cpu", 2026, (2029,), **known).points[0]
    assert cpu.energy_j.value == pytest.approx(100 * cpu.factor.value)
    # A CPU server of a later generation costs more an hour.
    assert cpu.price_usd.value > 0.01 * cpu.factor.value
    gpu = project_years(latency(4.8), "gpu", 2026, (2027,), price_usd=0.01)
    assert gpu.points[0].price_usd.value == pytest.approx(0.01 * gpu.points[0].factor.value)
    assert gpu.points[0].energy_j is None
    assert any("price an hour stays" in text for text in gpu.assumptions)


def test_years_and_durations_are_read():
    assert parse_years("2023..2025") == range(2023, 2026)
    assert parse_years(" 2030 ") == range(2030, 2031)
    for text, seconds in (
        ("100ms", 0.1),
        ("5 us", 5e-6),
        ("2.5s", 2.5),
        ("1min", 60),
        ("2h", 7200),
    ):
        assert parse_duration("--target", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "2023-2035", "soon", "2023..", "23..35", "0001..2000"])
def test_years_that_cannot_be_read(text):
    with pytest.raises(UsageError, match=r"--years .*must be FIRST\.\.LAST"):
        parse_years(text)


def test_years_in_the_wrong_order():
    with pytest.raises(UsageError, match="the last year is before the first"):
        parse_years("2035..2023")


@pytest.mark.parametrize("text", ["", "100", "ms", "0s", "-1s", "1e999s", "1.2.3s", "5 days"])
def test_durations_that_cannot_be_read(text):
    with pytest.raises(UsageError, match=r"--target .*must be a positive number and a unit"):
        parse_duration("--target", text)


def test_a_latency_must_be_within_its_range():
    for wrong in (latency(0.0), latency(1.0, 2.0, 3.0)):
        with pytest.raises(UsageError, match="must be positive and within"):
            project_years(wrong, "cpu", 2026, YEARS)


def blocks(shown):
    """What ``fhecost project`` prints of the years."""
    return Document(years_blocks(shown), Table(), shown)


def test_tables_fit_a_terminal_and_say_what_is_not_known():
    text = as_table(blocks(report(*MEASURED, "asic", target_s=3.0)))
    assert max(map(len, text.splitlines())) <= 80
    assert "hardware: not known" in text
    assert "no projection: no dated measurements" in text
    assert "not within the data: 2030..2035" in text
    assert "a-asic: 3.00 s not within the data" in text
    assert "| 2027 |" in as_markdown(blocks(report("cpu")))


def test_every_year_has_a_row_or_is_said_to_be_beyond_the_data():
    lines = as_table(blocks(report("gpu"))).splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line[:2] == "20"}
    beyond = "not within the data: 2023..2024, 2028..2035"
    assert beyond in lines
    assert list(rows) == ["2025", "2026", "2027"]
    (first,) = [line for line in lines if line.startswith("2027") and line.endswith("1.00")]
    # The rate of the hardware is unknown: no figure, and no 1 either.
    *_, software, hardware, p_fail = first.split()
    assert 0 < float(software) < 1
    assert (hardware, p_fail) == ("-", "1.00")


def test_nothing_is_drawn_beyond_the_data():
    pytest.importorskip("plotly")
    shown = report("cpu", "gpu", "asic", target_s=3.0)
    figures = years_figures(shown)
    assert [heading.split()[0] for heading, _ in figures] == ["Latency", "Price", "Energy"]
    lines = [trace for trace in figures[0][1].data if trace.name in ("a-cpu", "a-gpu")]
    assert {trace.name: max(trace.x) for trace in lines} == {"a-cpu": 2029.5, "a-gpu": 2027.5}
    assert any(note.text == "beyond the data" for note in figures[0][1].layout.annotations)
    assert years_figures(report("asic")) == []


def test_a_projection_loads_neither_torch_nor_concrete_nor_plotly():
    code = (
        "import sys\n"
        "from fhecost.projection.trend_fit import Band\n"
        "from fhecost.projection.years import project_years\n"
        "from fhecost.report import projection_document, render, years_document\n"
        "project_years(Band(value=1, low=1, high=1), 'cpu', 2026, [2027])\n"
        "heavy = {'torch', 'concrete', 'plotly', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_of_the_years_says_what_the_fit_says():
    page = (ROOT / "docs" / "years.md").read_text(encoding="utf-8")
    trends = [fit_trend(kind) for kind in MEASURED]
    for label, name, units in (
        ("software, a year", "software", 1),
        ("hardware, a year", "hardware", 1),
        ("p_fail, 2^-64 to 2^-128", "p_fail", 64),
        ("parameter sets, a year", "parameter_sets", 1),
        ("price an hour, a year", "price_per_hour", 1),
    ):
        cells = " | ".join(change(getattr(trend, name), units) for trend in trends)
        assert f"| {label} | {cells} | |" in page
    counted = " | ".join(f"{len(one.figures)}, {len(one.releases)}" for one in trends)
    assert f"| figures, releases | {counted} | none |" in page
    ranges = " | ".join(f"{one.years_within[0]} to {one.years_within[-1]}" for one in trends)
    assert f"| years they speak for | {ranges} | |" in page

"""Projections over lengths: every point is an estimate, every law only a line through points."""

import csv
import io
import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fhecost
from fhecost.cli.parsing import parse_lengths
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.errors import ImpossibleError, UsageError
from fhecost.hardware.library import find_hardware
from fhecost.models.shape import SHAPES
from fhecost.projection.lengths import (
    PBS,
    LengthPoint,
    LengthProjection,
    _laws,
    longest_within,
    project_lengths,
    spread_lengths,
)
from fhecost.projection.projection import project
from fhecost.projection.trend_fit import Band
from fhecost.report.pages import figure_page
from fhecost.report.projection_document import (
    projection_document,
    projection_figures,
    projection_plot,
)
from fhecost.report.render import as_csv, as_json, as_markdown, as_table
from fhecost.schemas import schema_path

GPT2 = SHAPES["gpt2"]
HEAD = ShapeRequest(GPT2, "head", 1, 4, "compact")
NAMES = ["epyc-zen4-2", "h100", "strix"]


@pytest.fixture(scope="module")
def report():
    return project(HEAD, spread_lengths(1, 64), NAMES, years=range(2023, 2036), target_s=5.0)


@pytest.mark.parametrize(
    ("text", "lengths"),
    [("6", (6,)), ("8,2,8", (2, 8)), ("1..4", (1, 2, 3, 4)), (" 3 .. 5 ", (3, 4, 5))],
)
def test_lengths(text, lengths):
    assert parse_lengths("--seq-len", text) == lengths


@given(first=st.integers(1, 50), more=st.integers(0, 5000))
@settings(max_examples=50, deadline=None)
def test_a_range_has_its_ends_and_its_powers_of_two(first, more):
    lengths = spread_lengths(first, first + more)
    assert lengths[0] == first
    assert lengths[-1] == first + more
    assert list(lengths) == sorted(set(lengths))
    assert all(2**k in lengths for k in range(14) if first <= 2**k <= first + more)
    assert len(lengths) < 50


@pytest.mark.parametrize("text", ["", "0..4", "5..4", "a", "1-4", "0", "1,,2", "1..", "-3"])
def test_lengths_that_are_none(text):
    with pytest.raises(UsageError, match="--lengths"):
        parse_lengths("--lengths", text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lengths": []}, "lengths: name at least one"),
        ({"lengths": [4, 0]}, "lengths 0: a sequence has at least one token"),
        ({"lengths": [4], "years": [20, 2026]}, "years 20: must be between 1990 and 2200"),
        ({"lengths": [4], "years": [2026], "target_s": -1}, "target_s -1: must be positive"),
    ],
)
def test_fields_out_of_range_are_named(given, message):
    with pytest.raises(UsageError, match=message):
        project(HEAD, hardware=["h100"], **given)


def test_every_point_is_the_estimate_of_that_length_to_the_digit(report):
    for point in (report.lengths.points[0], report.lengths.points[5], report.lengths.points[-1]):
        shape = ShapeRequest(GPT2, "head", point.seq_len, 4, "compact")
        estimated = fhecost.estimate_circuit(fhecost.PredictedShape(shape), NAMES)
        assert point.pbs_count == estimated.circuit.pbs_count
        assert point.circuit_hash == estimated.circuit.hash
        for made in estimated.estimates:
            band = point.latency_s[made.hardware]
            assert (band.value, band.low, band.high) == (made.latency_s, made.low_s, made.high_s)


def test_the_years_start_from_the_estimate(report):
    assert report.years is not None
    assert report.years_seq_len == 64
    last = report.lengths.points[-1]
    for one in report.years.projections:
        assert one.latency_s == last.latency_s[one.name]


def test_an_exact_power_law_is_found():
    points = [
        LengthPoint(seq_len=n, pbs_count=7 * n**2, latency_s={}) for n in (1, 2, 4, 8, 16, 32, 64)
    ]
    short, long = _laws(points, [])
    assert (short.first, short.last, long.first, long.last) == (1, 8, 8, 64)
    for law in (short, long):
        assert law.of == PBS
        assert law.exponent == pytest.approx(2)
        assert law.coefficient == pytest.approx(7)
        assert law.worst_error < 1e-9


def test_few_points_have_no_law():
    points = [LengthPoint(seq_len=n, pbs_count=n) for n in (1, 2, 3)]
    assert list(_laws(points, [])) == []


def test_laws_say_how_far_points_lie_from_them(report):
    for law in report.lengths.laws:
        known = {
            point.seq_len: float(point.pbs_count)
            if law.of == PBS
            else point.latency_s[law.of].value
            for point in report.lengths.points
            if law.first <= point.seq_len <= law.last
        }
        errors = [abs(law.coefficient * n**law.exponent / value - 1) for n, value in known.items()]
        assert max(errors) == pytest.approx(law.worst_error)


def test_attention_grows_from_linear_to_quadratic():
    projected = project_lengths(HEAD, spread_lengths(1, 1024), {})
    short, long = [law for law in projected.laws if law.of == PBS]
    assert 1 < short.exponent < 1.5 < long.exponent < 2


def test_the_longest_length_within_a_target(report):
    assert report.target_s == 5
    for name, longest in report.longest.items():
        meeting = [
            p.seq_len for p in report.lengths.points if p.latency_s[name].value <= report.target_s
        ]
        assert longest == (max(meeting) if meeting else None)
    point = LengthPoint(seq_len=3, latency_s={"one": Band(value=2, low=1, high=3)})
    lengths = LengthProjection(points=(point,), laws=())
    assert longest_within(lengths, "one", 2) == 3
    assert longest_within(lengths, "one", 1.9) is None


def test_a_length_without_a_circuit_says_so_and_is_not_drawn():
    """At 512 tokens and 6 bits, lookups are wider than any circuit of the table reads."""
    rounded = ShapeRequest(GPT2, "head", 1, 6, "reference-rounded")
    made = project(rounded, [4, 8, 16, 512], ["hpc8a-96xlarge"])
    point = made.lengths.points[-1]
    assert point.pbs_count is None
    assert not point.latency_s
    assert "use fewer bits or a variant that rounds" in point.reason
    assert "no circuit at 512 tokens" in as_table(projection_document(made))
    for _, figure in projection_figures(made):
        assert all(512 not in (trace.x or ()) for trace in figure.data)
    with pytest.raises(ImpossibleError, match="use fewer bits"):
        project(rounded, [512, 1024], ["hpc8a-96xlarge"])


def test_a_machine_without_any_figure_is_refused_by_name():
    with pytest.raises(ImpossibleError, match="matcha: can't hold the parameter set"):
        project(HEAD, [4, 8], "matcha")
    every = project(HEAD, [4, 8], "all")
    assert "matcha" in every.refusals
    assert "not matcha: can't hold" in as_table(projection_document(every))
    assert "matcha" in figure_page(projection_plot(every))


def test_a_machine_without_a_year_has_no_later_years(tmp_path):
    text = find_hardware("h100").model_dump_json(exclude={"name", "year"}, exclude_none=True)
    (tmp_path / "mine.yaml").write_text(text)
    made = project(HEAD, [4], ["mine"], [tmp_path], years=[2026])
    assert made.years is not None
    assert not made.years.projections
    assert "has no year" in made.refusals["mine"]


def test_what_is_printed(report):
    document = projection_document(report)
    text = as_table(document)
    assert max(map(len, text.splitlines())) <= 80
    assert "OVER THE YEARS, AT 64 TOKENS" in text
    assert "not within the data" in text
    assert "PBS: " in text
    rows = list(csv.DictReader(io.StringIO(as_csv(document))))
    assert len(rows) == 3 * len(report.lengths.points)
    assert float(rows[0]["latency_s"]) == report.lengths.points[0].latency_s["epyc-zen4-2"].value
    assert as_markdown(document).count("| ---: |") > 1
    schema = json.loads(schema_path("projection").read_text())
    jsonschema.validate(json.loads(as_json(document)), schema)


def test_figures_have_the_points_of_the_report(report):
    figures = dict(projection_figures(report))
    counts = figures["PBS against sequence length"].data[0]
    assert list(counts.y) == [point.pbs_count for point in report.lengths.points]
    latency = figures["Latency against sequence length"]
    for name in ("epyc-zen4-2", "h100", "strix"):
        (trace,) = [trace for trace in latency.data if trace.name == name]
        assert list(trace.y) == [p.latency_s[name].value for p in report.lengths.points]


def test_the_command_line(run_fhecost, tmp_path):
    ran = run_fhecost(
        "project", "--seq-len", "1..1024", "--scope", "layer", "--hardware", "h100,flashtfhe",
        "--years", "2023..2035", "--target", "100ms", "-o", "out.html",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "1,024" in ran.stdout
    assert "flashtfhe: 100 ms" in ran.stdout
    page = (tmp_path / "out.html").read_text()
    assert "Latency against the year, at 1,024 tokens" in page


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["--seq-len", "1..2048"], 2, "--seq-len 2048: gpt2 takes 1 to 1024"),
        (["--seq-len", "x"], 2, "--seq-len x: must be FIRST..LAST"),
        (["--years", "soon"], 2, "--years soon: must be FIRST..LAST"),
        (["--target", "5"], 2, "--target 5: must be a positive number and a unit"),
        (["--scope", "layer", "--heads", "1"], 2, "--heads: --scope layer has all heads"),
        (["--hardware", "matcha"], 1, "matcha: can't hold"),
        (["--model", "nowhere"], 2, "--model nowhere: no shape of that name"),
    ],
)
def test_bad_usage(run_fhecost, arguments, status, line):
    ran = run_fhecost("project", *arguments)
    assert ran.returncode == status
    assert ran.stderr.startswith(f"fhecost: {line}")
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("heads", [(0, 1, 2), tuple(range(12))])
def test_a_report_projects_as_many_heads_as_the_saved_circuit_has(heads, tmp_path):
    request = ShapeRequest(SHAPES["gpt2"], "head", 6, 4, "compact", len(heads))
    saved = fhecost.find_circuit(fhecost.PredictedShape(request))
    assert saved.description.heads == heads
    path = tmp_path / "heads.json"
    fhecost.save_profile(saved, path)
    report = fhecost.make_report(fhecost.SavedCircuit(path), ["h100"], lengths=[6])
    (point,) = report.projection.lengths.points
    assert point.pbs_count == saved.pbs_count

"""Figures: what they show is what reports say, and what they need is said on them."""

import itertools
import json
import re
from contextlib import nullcontext
from dataclasses import replace

import pytest

from fhecost.accuracy.records import load_accuracy
from fhecost.circuits.description import CircuitDescription
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.engine.here import Here
from fhecost.errors import FieldError, ImpossibleError, UsageError
from fhecost.full_report import known_accuracy
from fhecost.hardware.comparison import compare
from fhecost.hardware.estimate import OPERATIONS
from fhecost.hardware.estimator import Estimator, estimate_all
from fhecost.hardware.library import load_hardware
from fhecost.models.shape import find_shape
from fhecost.projection.bits import project_bits, rows_about, with_costs
from fhecost.projection.projection import project
from fhecost.report.accuracy_document import accuracy_document, accuracy_figures
from fhecost.report.backtest_document import backtest_document
from fhecost.report.bits_figures import bits_blocks, bits_figures
from fhecost.report.columns import Table
from fhecost.report.comparison_document import comparison_document
from fhecost.report.estimate_document import estimate_document, estimate_figures
from fhecost.report.hardware_document import list_document
from fhecost.report.machine_figures import operations_figure, roofline, utilization_figure
from fhecost.report.plots import check_plot, plot_of, write_plot
from fhecost.report.sweep_figures import by_bits as by_bits_of
from fhecost.report.validation_document import validation_document
from fhecost.report.years_document import RESCALED, shown_years
from fhecost.sweep import run
from fhecost.validation.backtest import backtest
from fhecost.validation.comparison import validate
from tests.chromium import needs_chromium
from tests.conftest import SAVED_PROFILE

MACHINES = load_hardware("all")
FAST = ShapeRequest(find_shape("embedded"), "head", 6, 4, "fast")


@pytest.fixture(scope="module")
def estimates(saved_profile):
    return estimate_all(saved_profile, MACHINES, skip_impossible=True)


@pytest.fixture(scope="module")
def accuracies():
    return {path.stem: load_accuracy(path) for path in known_accuracy()}


def said_on(figure):
    return " ".join(note.text for note in figure.layout.annotations).replace("<br>", " ")


def test_operations_add_up_and_what_is_unknown_is_named(estimates):
    figure = operations_figure(estimates.estimates)
    labels = dict(zip(figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext, strict=True))
    for number, made in enumerate(estimates.estimates):
        parts = [trace.x[number] for trace in figure.data]
        assert sum(part for part in parts if part is not None) == pytest.approx(1)
        unknown = [name for name in OPERATIONS if made.by_operation_s[name] is None]
        assert [part is None for part in parts] == [name in unknown for name in OPERATIONS]
        for name in ("keys", "transfer"):
            said = labels[made.hardware].partition("not known: ")[2]
            assert (name in said) == (name in unknown)


def test_marks_and_roofs_are_those_of_the_estimates(estimates):
    figure = roofline(estimates.estimates)
    marks = {}
    for trace in figure.data:
        if trace.mode == "markers":
            marks |= {text.split(": ")[0]: point for text, *point in zip(
                trace.text, trace.x, trace.y, strict=True)}  # fmt: skip
    for made in estimates.estimates:
        assert marks[made.hardware] == [made.roof.intensity, made.roof.rate]
    ends = {note.text: 10**note.y for note in figure.layout.annotations}
    assert ends == {made.hardware: pytest.approx(made.roof.peak) for made in estimates.estimates}
    (cpu,) = [made for made in estimates.estimates if made.hardware == "epyc-zen4-2"]
    assert cpu.roof.bandwidth_bytes_per_s is None
    assert "dashed: bandwidth not known" in figure.layout.xaxis.title.text


def test_labels_of_roofs_do_not_overlap(estimates):
    figure = roofline(estimates.estimates)
    low, high = figure.layout.yaxis.range
    by_decade = (figure.layout.height - 150) / (high - low)
    places = sorted((note.y - low) * by_decade - note.ay for note in figure.layout.annotations)
    apart = [above - below for below, above in itertools.pairwise(places)]
    assert min(apart) > 13


def test_utilization_is_that_of_the_estimates(estimates):
    drawn = {
        name: x
        for trace in utilization_figure(estimates.estimates).data
        for name, x in zip(trace.y, trace.x, strict=True)
    }
    assert drawn == {made.hardware: made.utilization for made in estimates.estimates}


def test_stages_have_their_utilization_where_there_is_room(estimates):
    few = estimates.changed(estimates=estimates.estimates[:3])
    *_, (heading, figure) = estimate_figures(few)
    assert heading == "Utilization, by stage and machine"
    (cells,) = figure.data
    for x, made in zip(cells.x, few.estimates, strict=True):
        assert x == made.hardware
        parts = {part.stage: part for part in made.by_stage}
        for stage, row in zip(cells.y, cells.z, strict=True):
            share = row[list(cells.x).index(x)]
            assert share == pytest.approx(parts[stage].busy_s / parts[stage].latency_s)
    assert len(estimate_figures(estimates)) == len(estimate_figures(few)) - 1


def test_figures_that_show_two_models_say_so(accuracies):
    ((_, figure),) = accuracy_figures(accuracies["by_bits"])
    assert any("GPT-2 124M" in trace.name for trace in figure.data)
    assert "GPT-2 124M as published, another model, other sentences" in said_on(figure)
    own = accuracies["by_bits"].changed(model="gpt2")
    ((_, figure),) = accuracy_figures(own)
    assert "GPT-2 124M as published, other sentences" in said_on(figure)


def test_marks_over_the_years_say_that_they_are_rescaled():
    made = project(FAST, [4], ["h100"], years=range(2023, 2036))
    (figure,) = [
        f for heading, f in plot_of(made).figures if heading.startswith("Latency against the")
    ]
    assert RESCALED in said_on(figure)


@pytest.mark.parametrize(
    ("asked", "spoken", "shown"),
    [
        (range(2023, 2028), (2023, 2028), (2023, 2028)),
        (range(2023, 2030), (2023, 2028), (2023, 2030)),
        (range(2023, 2036), (2023, 2028), (2023, 2033)),
        (range(2013, 2038), (2023, 2028), (2020.5, 2030.5)),
        (range(2000, 2028), (2023, 2028), (2018, 2028)),
    ],
)
def test_years_without_data_take_no_more_room_than_those_with(asked, spoken, shown):
    assert shown_years(asked, spoken) == pytest.approx(shown)


def tables(document):
    return [block for block in document.blocks if isinstance(block, Table)]


def test_no_two_rows_are_alike(estimates, accuracies):
    """What isn't a figure tells the rows of each table apart, or what the rows are counted by."""
    both = accuracies["by_bits"].rows + accuracies["fast"].rows + accuracies["simulated"].rows
    documents = {
        "estimate": estimate_document(estimates),
        "comparison": comparison_document(compare(estimates, MACHINES)),
        "accuracy": accuracy_document(accuracies["by_bits"].changed(rows=both)),
        "validation": validation_document(validate()),
        "backtest": backtest_document(backtest()),
        "machines": list_document(MACHINES),
    }
    keys = ("bits", "L", "layer", "run")
    for name, document in documents.items():
        for table in tables(document):
            columns = [one for one in table.columns if not one.right or one.heading in keys]
            rows = list(zip(*(one.cells for one in columns), strict=True))
            assert len(set(rows)) == len(rows), (name, table.title, rows)


def test_no_two_maps_are_drawn_into_one(accuracies):
    report = accuracies["by_head"]
    other = [row.model_copy(update={"variant": "compact-attention"}) for row in report.rows]
    alone, together = (
        accuracy_figures(report.changed(rows=rows))
        for rows in (report.rows, (*report.rows, *other))
    )
    assert len(together) == 2 * len(alone)
    assert len({heading for heading, _ in together}) == len(together)


@pytest.fixture(scope="module")
def by_bits(accuracies):
    """Of the fast head at 4 bits, as if it had been compiled from the embedded model's weights."""
    found = profile_of_shape(FAST)
    said = found.description.changed(
        model_sha256=accuracies["fast"].model_sha256, layer=0, heads=(0,)
    )
    machines = load_hardware(["h100", "epyc-zen4-2"])
    known = [Estimator(machine)(found) for machine in machines]
    rows = rows_about(said, accuracies.values())
    return project_bits(FAST, machines, rows, known=known, said=said)


def test_bits_have_the_latency_and_the_accuracy_of_each_variant(by_bits, accuracies):
    points = {(one.variant, one.bits): one for one in by_bits.points}
    assert {variant for variant, _ in points} == {"fast", "compact"}
    assert {bits for variant, bits in points if variant == "fast"} == set(range(2, 9))
    for (variant, bits), one in points.items():
        made = profile_of_shape(replace(FAST, variant=variant, bits=bits))
        assert one.pbs_count == made.pbs_count
        (machine,) = load_hardware("h100")
        if "h100" in one.latency_s:
            assert one.latency_s["h100"].value == Estimator(machine)(made).latency_s
        else:
            with pytest.raises(ImpossibleError, match=re.escape(one.refusals["h100"])):
                Estimator(machine)(made)
    assert by_bits.judged_seq_len == 32
    rows = [row for row in accuracies["fast"].rows if row.seq_len == 32]
    assert rows
    for row in rows:
        assert points["fast", row.bits].accuracy == row
    assert points["fast", 8].accuracy is None


def test_the_chosen_point_is_the_circuits_own(by_bits):
    figures = dict(bits_figures(by_bits))
    chosen = by_bits.chosen
    for heading, x, y in (
        ("Latency by bits", [4, 4], [band.value for band in chosen.latency_s.values()]),
        ("Accuracy by bits", [4], [chosen.accuracy.top1]),
        (
            "Accuracy against latency on epyc-zen4-2",
            [chosen.latency_s["epyc-zen4-2"].value],
            [chosen.accuracy.top1],
        ),
    ):
        (star,) = [one for one in figures[heading].data if one.name == "this circuit"]
        assert list(star.x) == x
        assert list(star.y) == y
    assert "accuracy on windows of 32 tokens" in said_on(
        figures["Accuracy against latency on epyc-zen4-2"]
    )
    said, table, _, refusals = bits_blocks(by_bits)
    assert "not h100 for compact at 6, 7, 8 bits: can't hold" in refusals.lines[0]
    assert len(table.rows) == len(by_bits.points)
    assert "latency at 6 tokens, by closed form" in said.lines[0]


def test_other_weights_lend_no_accuracy(accuracies):
    said = profile_of_shape(FAST).description.changed(model_sha256="0" * 64, layer=0, heads=(0,))
    assert rows_about(said, accuracies.values()) == []
    report = project_bits(FAST, load_hardware("h100"), said=said)
    assert [heading for heading, _ in bits_figures(report)] == ["Latency by bits"]


def test_accuracies_get_latencies_by_group_of_heads(accuracies):
    rows = [row for row in accuracies["by_bits"].rows if row.bits < 6]
    made = with_costs(accuracies["by_bits"].changed(rows=rows), "embedded", "compact", "h100")
    assert [one.of for one in made.costs] == ["layer 0, head 0", "layer 0, heads 0,1,2,3"]
    one, every = ({p.bits: p.latency_s["h100"].value for p in cost.points} for cost in made.costs)
    assert all(one[bits] < every[bits] for bits in one)
    headings = [heading for heading, _ in plot_of(made).figures]
    assert headings == [
        "Accuracy against bits",
        "Latency by bits, layer 0, head 0",
        "Accuracy against latency on h100, layer 0, head 0",
        "Latency by bits, layer 0, heads 0,1,2,3",
        "Accuracy against latency on h100, layer 0, heads 0,1,2,3",
    ]


def test_rows_of_several_layers_are_not_those_of_the_first(accuracies):
    """Nor has a model that is known by no shape's name a cost."""
    rows = [row for row in accuracies["by_bits"].rows if row.bits < 6]
    every = [row.changed(layers="0..3", top1=0.0, top1_low=0.0) for row in rows]
    both = accuracies["by_bits"].changed(rows=(*rows, *every))
    alone = accuracies["by_bits"].changed(rows=rows)
    asked = ("embedded", "compact", "h100")
    assert with_costs(both, *asked).costs == with_costs(alone, *asked).costs
    assert with_costs(alone.changed(rows=every), *asked).costs == ()
    assert with_costs(alone, "somebody/model", "compact", "h100").costs == ()
    said = CircuitDescription(model_sha256=both.model_sha256, layer=0, heads=(0,))
    assert rows_about(said, [both]) == rows_about(said, [alone]) != []


def test_published_figures_are_drawn_with_those_that_were_fitted_to():
    report = backtest()
    drawn = []
    for heading, figure in plot_of(report).figures:
        assert heading.endswith(", predicted against published")
        for trace in figure.data:
            if trace.mode == "markers":
                assert (trace.marker.symbol == "circle-open") == ("fitted" in trace.name)
                fitted = "fitted" in trace.name
                drawn += [(x, y, fitted) for x, y in zip(trace.x, trace.y, strict=True)]
    assert sorted(drawn) == sorted(
        (row.published, row.predicted, row.fitted) for row in report.rows
    )


@pytest.fixture(scope="module")
def swept(tmp_path_factory, accuracies):
    """Points of two variants, four widths, two lengths and two machines; some were judged."""
    file = tmp_path_factory.mktemp("swept") / "small.yaml"
    grid = {"variant": ["fast", "compact"], "bits": [2, 3, 4, 5], "seq_len": [4, 6]}
    grid |= {"hardware": ["h100", "strix"], "widths": "stated"}
    file.write_text(json.dumps({"steps": ["count", "estimate"], "grid": grid}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "runner", lambda *_, **__: nullcontext(Here()))
        report = run.run_sweep(file, file.with_suffix(".jsonl"))
    rows = {
        (row.variant, row.bits): row
        for name in ("fast", "by_bits")
        for row in accuracies[name].rows
        if (row.seq_len, row.heads) == (32, "0")
    }
    judged = [
        one.changed(accuracy=rows.get((one.point.variant_name, one.point.bits)))
        if one.point.seq_len == 6
        else one
        for one in report.results
    ]
    return report.changed(results=judged)


def test_a_sweep_is_drawn_by_bits_where_nothing_else_differs(swept):
    headings = [heading for heading, _ in plot_of(swept).figures]
    assert headings == [
        "Latency by bits, layer 0 heads 0, L=4",
        "Latency by bits, layer 0 heads 0, L=6",
        "Accuracy by bits, layer 0 heads 0, L=6",
        "Accuracy against latency on strix, layer 0 heads 0, L=6",
    ]
    of_six = list(by_bits_of(swept.results))[1]
    points = {(one.variant, one.bits): one for one in of_six.points}
    assert len(points) == 8
    for one in swept.results:
        if one.point.seq_len == 6:
            point = points[one.point.variant_name, one.point.bits]
            assert point.pbs_count == one.counted.pbs_count
            assert point.accuracy == one.accuracy
            if one.estimate is not None:
                band = point.latency_s[one.point.hardware]
                assert band.value == one.estimate.latency_s


def test_a_sweep_without_bits_has_nothing_to_draw(swept):
    alike = [one for one in swept.results if one.point.bits == 4 and one.point.variant == "fast"]
    with pytest.raises(ImpossibleError, match="no two points that are done differ in bits"):
        plot_of(swept.changed(results=alike))


def test_a_plot_is_a_page_or_pictures(estimates, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    (file,) = write_plot(estimates, tmp_path / "page.html", command="fhecost estimate")
    assert "<footer>Made 1970-01-02 by: fhecost estimate.</footer>" in file.read_text()
    assert "Where the time goes, by operation" in file.read_text()
    for name in ("page.pdf", "page", "none/page.html"):
        with pytest.raises(UsageError):
            check_plot(tmp_path / name)
    with pytest.raises(FieldError, match="no figures are made of a HardwareProfile"):
        plot_of(MACHINES[0])


@needs_chromium
@pytest.mark.slow
def test_pictures_are_named_after_their_figures(estimates, tmp_path):
    pytest.importorskip("kaleido")
    files = write_plot(estimates, tmp_path / "fast.svg")
    assert len(files) == len(estimate_figures(estimates))
    assert files[0].name == "fast-latency-and-its-range-by-machine.svg"
    assert all(file.read_text().startswith("<svg") for file in files)


def test_the_command_says_what_it_can_not_draw(run_fhecost, tmp_path):
    ran = run_fhecost("estimate", "--profile", SAVED_PROFILE, "--plot", "page.pdf")
    assert ran.returncode == 2
    assert ran.stderr == "fhecost: --plot page.pdf: must end in .html, .svg or .png\n"
    ran = run_fhecost("accuracy", "--hardware", "h100")
    assert ran.returncode == 2
    assert ran.stderr == "fhecost: --hardware: go with --plot\n"
    ran = run_fhecost("estimate", "--profile", SAVED_PROFILE, "--plot", "page.html")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "page.html").stat().st_size > 1e6

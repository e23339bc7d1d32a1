"""The report as a page: whole, honest about what is missing, and silent on the network."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import fhecost
from fhecost.accuracy.records import load_accuracy
from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import save_profile
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.errors import ImpossibleError, UsageError
from fhecost.full_report import known_accuracy, make_report, matching_accuracy
from fhecost.models.shape import SHAPES
from fhecost.pipeline import find_circuit
from fhecost.report.report_page import report_figures, report_page
from fhecost.report.saved_figures import save_figures
from fhecost.units import duration
from tests.chromium import look_at, needs_chromium
from tests.conftest import SAVED_PROFILE


@pytest.fixture(scope="module")
def compact_profile(saved_profile):
    """The saved circuit as if it were the compact variant, whose accuracy is known."""
    known = load_accuracy(next(p for p in known_accuracy() if p.name == "by_head.json"))
    return saved_profile.changed(
        description=saved_profile.description.changed(
            variant="compact", model_sha256=known.model_sha256, heads=(0,)
        )
    )


@pytest.fixture(scope="module")
def report():
    return make_report(fhecost.SavedCircuit(SAVED_PROFILE), target_s=0.1)


@pytest.fixture(scope="module")
def page(report):
    return report_page(report)


class Outline(HTMLParser):
    """Tags that are open, ids, links and headings of a page."""

    VOID = ("meta", "br", "input", "img", "link", "hr")

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.headings = [], [], [], []
        self.sources = []

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if "id" in about:
            self.ids.append(about["id"])
        if tag == "a":
            self.links.append(about["href"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.sources += [about[name] for name in ("src", "srcset", "data") if name in about]

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def outline(page):
    parsed = Outline()
    parsed.feed(page)
    return parsed


def test_the_page_is_well_formed(outline):
    assert not outline.open
    assert len(outline.ids) == len(set(outline.ids))
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in zip(
        outline.headings, outline.headings[1:], strict=False))  # fmt: skip


def test_links_lead_somewhere_on_the_page(outline):
    assert len(outline.links) == 9
    assert {link.removeprefix("#") for link in outline.links} <= set(outline.ids)


def test_the_page_loads_nothing(page, outline):
    assert not outline.sources
    assert "default-src 'none'" in page
    assert not re.search(r"@import|url\(\s*['\"]?http", page)


def test_every_question_is_answered(report, page):
    for heading in (
        "In short", "The circuit", "Machines side by side", "Accuracy by sequence length",
        "What bits cost, and what they keep",
        "Predicted against measured", "Longer sequences, later years", "Assumptions and sources",
    ):  # fmt: skip
        assert f">{heading}</h2>" in page
    for row in report.comparison.rows:
        assert row.hardware in page
        assert duration(row.latency_s) in page
    for made in report.estimates.estimates:
        for text in (*made.assumptions, *made.references):
            assert text.replace("&", "&amp;").replace("'", "&#x27;") in page


def test_figures_agree_with_the_estimate(report):
    figures = report_figures(report)
    (_, machines), *_ = figures["machines"]
    drawn = {name: x for trace in machines.data for name, x in zip(trace.y, trace.x, strict=True)}
    assert drawn == {made.hardware: made.latency_s for made in report.estimates.estimates}
    by_name = {made.hardware: made for made in report.estimates.estimates}
    for one in report.projection.years.projections:
        assert one.latency_s.value == by_name[one.name].latency_s


def test_accuracy_is_that_of_this_very_circuit(compact_profile):
    reports = [load_accuracy(path) for path in known_accuracy()]
    found = matching_accuracy(compact_profile, reports)
    assert found is not None
    assert {(row.variant, row.bits, row.heads) for row in found.rows} == {("compact", 3, "0")}
    for name, value in (("heads", (7,)), ("bits", 9), ("model_sha256", "0"), ("variant", "new")):
        other = compact_profile.description.changed(**{name: value})
        changed = compact_profile.changed(description=other)
        assert matching_accuracy(changed, reports) is None


def test_of_rows_of_one_setting_the_surest_is_kept(saved_profile):
    """SmolLM2's heads are judged on ten sentences, a hundred, and another text."""
    reports = {path.stem: load_accuracy(path) for path in known_accuracy()}
    surest = reports["heads"]
    head = saved_profile.description.changed(
        model="smollm2", model_sha256=surest.model_sha256, variant="fast", bits=4,
        layer=10, heads=(3,),
    )  # fmt: skip
    circuit = saved_profile.changed(description=head)
    for order in (list(reports.values()), list(reports.values())[::-1]):
        found = matching_accuracy(circuit, order)
        (row,) = [row for row in found.rows if row.seq_len == 32]
        (kept,) = [one for one in surest.rows if (one.layer, one.heads) == (10, "3")]
        assert row == kept
        assert {row.seq_len for row in found.rows} == {8, 16, 32, 64, 128}
        assert sorted(found.sentences.split("; ")) == [
            "fhecost's evaluation sentences", "the first 10 of fhecost's evaluation sentences",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "variant", "bits", "heads", "rows"),
    [
        (SHAPES["smollm2"], "fast", 4, 1, {(0, 1, length) for length in (8, 16, 32, 64, 128)}),
        (SHAPES["smollm2"], "fast", 6, 9, {(0, 9, 8), (0, 9, 32)}),
        (SHAPES["smollm2"], "compact", 4, 1, None),
        # A folder of that name, with a shape of its own.
        (replace(SHAPES["smollm2"], reference="its config.json"), "fast", 4, 1, None),
        (SHAPES["tinyllama"], "fast", 4, 1, None),
    ],
)
def test_a_named_shape_has_the_accuracy_of_its_weights(shape, variant, bits, heads, rows):
    """Where they aren't here: their first layer's, as the explorer says it."""
    reports = [load_accuracy(path) for path in known_accuracy()]
    request = ShapeRequest(shape, seq_len=6, bits=bits, variant=variant, heads=heads)
    found = matching_accuracy(find_circuit(fhecost.PredictedShape(request)), reports)
    if rows is None:
        assert found is None
    else:
        assert {(row.layer, len(row.heads.split(",")), row.seq_len) for row in found.rows} == rows
        assert found.model == "smollm2"


def test_what_is_unknown_is_said(report, page):
    assert report.accuracy is None
    assert "Unknown: not measured for this model, variant, width and these heads" in page
    shape = ShapeRequest(SHAPES["gpt2"], "layer", 16, 4)
    made = make_report(fhecost.PredictedShape(shape))
    assert made.accuracy is None
    assert made.projection is not None
    assert made.projection.years_seq_len == 16
    assert "Decoder layer of gpt2, encrypted: 16 tokens, 4 bits" in report_page(made)


def test_a_foreign_circuit_has_no_projection(saved_profile, tmp_path):
    path = tmp_path / "foreign.json"
    save_profile(saved_profile.changed(description=CircuitDescription()), path)
    made = make_report(fhecost.SavedCircuit(path))
    assert made.projection is None
    assert "None: the circuit doesn&#x27;t say of which heads of which model it is." in report_page(
        made
    )


def test_the_users_own_runs_must_be_there():
    with pytest.raises(UsageError, match=r"none\.jsonl"):
        make_report(fhecost.SavedCircuit(SAVED_PROFILE), runs=["none.jsonl"])


def test_the_command_line(run_fhecost, tmp_path):
    ran = run_fhecost("report", "--profile", SAVED_PROFILE, "--target", "100ms")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "report.html\n"
    assert (tmp_path / "report.html").stat().st_size > 1e6
    ran = run_fhecost("report", "--profile", SAVED_PROFILE, "-o", "nowhere/x.html")
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1


@needs_chromium
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_in_a_browser(page, report, tmp_path, width, dark):
    """No console message, no request, and every figure has its traces.

    Whatever the page asked for would be a resource that it got, or a console message of its policy.
    """
    found = look_at(page, tmp_path, width=width, dark=dark)
    assert len(found["drawn"]) == sum(map(len, report_figures(report).values()))
    assert all(count > 0 for count in found["drawn"])
    assert found["outside"] == []
    assert found["wide"] <= width


@needs_chromium
def test_figures_as_files(report, tmp_path):
    pytest.importorskip("kaleido")
    figures = {"machines": report_figures(report)["machines"][:1]}
    (path,) = save_figures(figures, tmp_path / "figures")
    assert path.read_text().startswith("<svg")
    assert "epyc-zen4-2" in path.read_text()
    (path,) = save_figures(figures, tmp_path / "figures", "png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_a_browser_one_line_says_how_to_get_one(report, tmp_path, monkeypatch):
    pytest.importorskip("kaleido")
    monkeypatch.setenv("BROWSER_PATH", "/nonexistent")
    figures = {"machines": report_figures(report)["machines"][:1]}
    with pytest.raises(ImpossibleError, match="needs kaleido and a Chrome or Chromium"):
        save_figures(figures, tmp_path / "figures")
    assert not list((tmp_path / "figures").iterdir())


def test_the_cards_say_what_is_kept_of_the_model():
    shape = ShapeRequest(SHAPES["smollm2"], "head", 6, 4, "fast", 1)
    made = make_report(fhecost.PredictedShape(shape), "h100")
    row = next(row for row in made.accuracy.rows if row.seq_len == 8)
    card = re.search(r"<dt>Top token kept</dt>(.*?)</div>", report_page(made))
    assert f"{row.top1:.3f}" in card[1]
    assert f"{row.top1_low:.3f} to {row.top1_high:.3f}; layer 0, head 0 quantized" in card[1]


def test_the_cards_name_no_machine_that_cant_be_had_the_fastest(page):
    card = r'<dt>(.*?)</dt><dd class="value">.*?</dd><dd class="about">(.*?)</dd>'
    cards = re.findall(card, page)
    leads = {label: about for label, about in cards if label.startswith("Fastest")}
    assert set(leads) == {"Fastest CPU", "Fastest GPU"}
    for about in leads.values():
        (machine,) = fhecost.load_hardware([re.split("[,;]", about)[0]])
        assert machine.availability == "available"
    (asic,) = [about for label, about in cards if label == "ASIC on paper"]
    assert "(simulated by its authors)" in asic
    assert "hypothetical" not in asic


def test_the_page_begins_with_the_answer_and_says_what_made_it(report, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    made = report_page(report, command="fhecost report --target 100ms")
    lead, _, rest = made.partition("</header>")
    assert "Made 1970-01-02 by: fhecost report --target 100ms</p>" in lead
    answer = rest[rest.index('<section id="answer"') :]
    assert answer.index("Fastest that can be had: ") < answer.index('<dl class="cards">')
    assert report_page(report, command="fhecost report --target 100ms").count("1970-01-02") == 2


def test_marks_of_machines_that_cant_be_had_are_open(report):
    (_, machines), *_ = report_figures(report)["machines"]
    had = {row.hardware: row.availability == "available" for row in report.comparison.rows}
    for trace in machines.data:
        for name, symbol in zip(trace.y, trace.marker.symbol, strict=True):
            assert (symbol == "circle") == had[name]

"""Documents: what each renderer makes of a small one, and that every command has one."""

import csv
import io
import json
import subprocess
import sys

import pytest

from fhecost.accuracy.records import load_accuracy
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.data import data_folder
from fhecost.generation import TokenEstimate, generate
from fhecost.hardware.comparison import compare
from fhecost.hardware.estimate import Refusal
from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.library import find_hardware, load_hardware
from fhecost.measurement.records import load_microbenchmark
from fhecost.measurement.results import results_of
from fhecost.measurement.run_record import load_records
from fhecost.models.shape import SHAPES
from fhecost.projection.projection import project
from fhecost.report.accuracy_document import accuracy_document
from fhecost.report.backtest_document import backtest_document
from fhecost.report.columns import Table, column, names, numbers, records
from fhecost.report.comparison_document import comparison_document
from fhecost.report.document import Document, Heading, Listing, Note, Refusals, Text
from fhecost.report.estimate_document import estimate_document
from fhecost.report.generation_document import generation_document
from fhecost.report.hardware_document import list_document, machine_document
from fhecost.report.measurement_document import microbenchmark_document, run_document
from fhecost.report.pages import html
from fhecost.report.projection_document import projection_document
from fhecost.report.render import RENDERERS, as_csv, as_json, as_markdown, as_table
from fhecost.report.tables import text_tables
from fhecost.report.validation_document import validation_document
from fhecost.units import duration
from fhecost.validation.backtest import backtest
from fhecost.validation.comparison import validate

TOY = Document(
    blocks=(
        Heading("What it takes"),
        Text("one line", Listing("assumed:", ("a | b", "long " * 30))),
        Text(),
        Table(
            names("machine", ["a|b", "c"]),
            numbers("latency", [1.5, None], duration),
            numbers("PBS", [12345, "none"]),
            title="The machines",
        ),
        Note("-: unknown"),
        Refusals("d: too small", "e: too old"),
    ),
    records=records(
        ["hardware", "latency_s", "refused"],
        [{"hardware": "a|b", "latency_s": 1.5}, {"hardware": "d", "refused": "too, small"}],
    ),
    report=Refusal(hardware="d", reason="too small"),
)


def test_a_table_is_for_a_terminal():
    lines = as_table(TOY).splitlines()
    assert lines[:4] == ["WHAT IT TAKES", "", "one line", "assumed:"]
    assert lines[4] == "  - a | b"
    assert lines[5].startswith("  - long long")
    assert lines[6].startswith("    long")
    table = lines.index("The machines") + 2
    assert lines[table : table + 4] == [
        "machine  latency     PBS",
        "───────  ───────  ──────",
        "a|b       1.50 s  12,345",
        "c              -    none",
    ]
    assert lines[-4:] == ["-: unknown", "", "d: too small", "e: too old"]
    assert max(map(len, lines)) <= 80


def test_markdown_keeps_lines_and_cells_apart():
    lines = as_markdown(TOY).splitlines()
    assert lines[:5] == ["### What it takes", "", "one line", "", "assumed:"]
    assert lines[5] == "  - a | b"
    table = lines.index("The machines") + 2
    assert lines[table : table + 4] == [
        "| machine | latency | PBS |",
        "| --- | ---: | ---: |",
        r"| a\|b | 1.50 s | 12,345 |",
        "| c | - | none |",
    ]
    assert lines[-5:] == ["-: unknown", "", "d: too small", "", "e: too old"]


def test_csv_is_raw_and_unknown_is_empty():
    assert as_csv(TOY) == 'hardware,latency_s,refused\na|b,1.5,\nd,,"too, small"\n'


def test_json_is_the_report():
    assert json.loads(as_json(TOY)) == {"hardware": "d", "reason": "too small"}


def test_a_page_folds_what_is_long():
    page = html(*TOY.blocks)
    assert "<h3>What it takes</h3>" in page
    assert "<details><summary>assumed:</summary>\n<ul>\n<li>a | b</li>" in page
    assert '<p class="note">-: unknown</p>' in page
    assert "<caption>The machines</caption>" in page
    assert page.count("<details>") == 2
    many = Table(numbers("n", range(100)))
    assert "<summary>all (100 rows)</summary>" in html(many)


def test_columns_are_cut_only_where_they_must():
    long = ["the first of the long names", "the first of the long titles"]
    table = Table(names("name", long), column("title", long, least=12))
    assert text_tables(table, width=80)[0].count("the first of the long names") == 2
    (narrow,) = text_tables(table, width=40)
    cells = [line.split("  ") for line in narrow.splitlines()[2:]]
    assert max(map(len, narrow.splitlines())) <= 40
    assert cells[0][0] != cells[1][0]


def test_a_table_is_spread_after_its_fixed_columns():
    table = Table(numbers("n", [1]), *(numbers(f"machine-{n}", [n]) for n in range(9)), fixed=1)
    parts = text_tables(table, width=40)
    assert len(parts) == 3
    for part in parts:
        assert part.splitlines()[0].startswith("n  machine-")
        assert max(map(len, part.splitlines())) <= 40


@pytest.fixture(scope="module")
def generated():
    """Two tokens as if they had been compiled, the second one without a count."""
    made = generate("The ship was\nlost", heads=(0, 1), tokens=2)
    latency = TokenEstimate(hardware="h100", latency_s=1.0, low_s=0.5, high_s=2.0)
    first, second = made.tokens
    tokens = (
        first.model_copy(update={"pbs_count": 10, "estimates": (latency,), "refusals": ()}),
        second.model_copy(
            update={
                "pbs_count": None,
                "estimates": (),
                "refusals": (Refusal(hardware="h100", reason="too wide"),),
            }
        ),
    )
    return made.model_copy(update={"mode": "simulate", "tokens": tokens})


@pytest.fixture(scope="module")
def documents(saved_profile, generated):
    """A document of each command, by its name."""
    machines = load_hardware("all")
    times = load_microbenchmark(data_folder("experiments/microbenchmarks") / "epyc-zen4-2.json")
    run = load_records(data_folder("experiments/runs") / "epyc-zen4-2.jsonl")[0]
    shape = ShapeRequest(SHAPES["gpt2"], "head", 1, 4, "compact")
    projection = project(shape, (2, 4, 8, 16), "all", years=(2026, 2027), target_s=5.0)
    estimates = estimate_all(saved_profile, machines, skip_impossible=True)
    made = {
        "estimate": estimate_document(estimates),
        "compare": comparison_document(compare(estimates, machines)),
        "project": projection_document(projection),
        "accuracy": accuracy_document(
            load_accuracy(data_folder("experiments/accuracy") / "simulated.json")
        ),
        "generate": generation_document(generated),
        "backtest": backtest_document(backtest()),
        "validate": validation_document(validate()),
        "measure head": run_document(run),
        "hardware list": list_document(machines),
        "hardware show": machine_document(find_hardware("h100")),
    }
    for operation in ("pbs", "ks", "linear", "keygen"):
        made[f"measure {operation}"] = microbenchmark_document(results_of(times, operation))
    return made


COMMANDS = [
    "estimate", "compare", "project", "accuracy", "generate", "backtest", "validate",
    "measure head", "measure pbs", "measure ks", "measure linear", "measure keygen",
    "hardware list", "hardware show",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_document_in_every_format(documents, command):
    document = documents[command]
    texts = {name: render(document) for name, render in RENDERERS.items()}
    assert max(map(len, texts["table"].splitlines())) <= 80
    assert all(text.endswith("\n") and not text.endswith("\n\n") for text in texts.values())
    assert "\n\n\n" not in texts["table"] + texts["markdown"]
    assert "None" not in texts["table"] + texts["markdown"] + texts["csv"]
    assert type(document.report).model_validate_json(texts["json"])
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert {len(row) for row in rows} == {len(document.records.columns)}
    assert html(*document.blocks)


def test_unknown_is_no_number():
    simulated = load_accuracy(data_folder("experiments/accuracy") / "simulated.json")
    unknown = {"lookups": None, "p_error": None, "expected_wrong_lookups": None, "inputs": 0}
    row = simulated.rows[0].model_copy(update={**unknown, "wrong_values": None, "saturated": 0})
    text = as_table(accuracy_document(simulated.model_copy(update={"rows": (row,)})))
    *_, losses, wrong = (line.split() for line in text.splitlines() if line.startswith("    0"))
    assert wrong[-4:] == ["-", "-", "-", "-"]
    assert losses[-2] == "-"


def test_a_sum_over_what_is_unknown_is_unknown(generated):
    text = as_table(generation_document(generated))
    (total,) = [line.split() for line in text.splitlines() if line.split()[:1] == ["all"]]
    assert total == ["all", "-", "-"]
    assert "h100: no estimate at" in text


def test_renderers_of_the_latency_half_need_few_libraries():
    code = (
        "import sys\n"
        "from fhecost.report import comparison_document, estimate_document, hardware_document\n"
        "from fhecost.report import render\n"
        "allowed = {'numpy', 'pydantic', 'pydantic_core', 'yaml', 'annotated_types', 'fhecost',\n"
        "           'typing_extensions', 'typing_inspection'}\n"
        "folders = {name: getattr(module, '__file__', None) or ''\n"
        "           for name, module in sys.modules.items() if '.' not in name}\n"
        "others = {name for name, file in folders.items() if 'site-packages' in file} - allowed\n"
        "assert not {name for name in others if not name.startswith('_')}, others\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""What people read: units and tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.library import load_hardware
from fhecost.report.columns import Table, column, names, numbers
from fhecost.report.estimate_document import estimate_document
from fhecost.report.render import as_markdown, as_table
from fhecost.report.tables import folded, text_tables, wrap
from fhecost.units import amount, duration, share


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (2.5e-9, "2.50 ns"),
        (1.234e-5, "12.3 µs"),
        (0.0999, "99.9 ms"),
        (0.99996, "1.00 s"),
        (12.34, "12.3 s"),
        (99.96, "1 min 40 s"),
        (472, "7 min 52 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (864000, "10.0 days"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@given(st.floats(1e-9, 99.9))
def test_short_durations_keep_three_digits(seconds):
    number, unit = duration(seconds).split()
    scale = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}[unit]
    assert float(number) * scale == pytest.approx(seconds, rel=5.1e-3)


def test_amounts_and_shares():
    assert amount(2_955_051_008, "B") == "2.96 GB"
    assert amount(999.9e6, "B") == "1.00 GB"
    assert amount(12) == "12.0"
    assert share(0.004) == "<1 %"
    assert share(0.0) == "0 %"
    assert share(0.876) == "88 %"


def test_tables_align():
    (table,) = text_tables(Table(column("name", ["a", "long"]), numbers("n", [10, 2])))
    assert table.splitlines() == ["name   n", "────  ──", "a     10", "long   2"]


@given(st.text("ab -./_", max_size=60), st.integers(1, 20))
def test_folded_lines_fit_and_are_the_text(text, width):
    lines = folded(text, width)
    assert lines
    assert all(len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("an accelerator", 11, ["an", "accelerator"]),
        ("epyc-zen4-2", 9, ["epyc-", "zen4-2"]),
        ("tfhe-rs 1.7.0 2^-128", 13, ["tfhe-rs 1.7.0", "2^-128"]),
        ("head.softmax.exponential", 13, ["head.softmax.", "exponential"]),
        ("abcdef", 4, ["abcd", "ef"]),
    ],
)
def test_a_text_is_folded_where_a_reader_would(text, width, lines):
    assert folded(text, width) == lines


def test_a_number_stays_with_its_unit():
    assert wrap("takes 44.2 ms, or 35 % of it", width=11).splitlines() == [
        "takes",
        "  44.2 ms,",
        "  or 35 %",
        "  of it",
    ]


NAMES = st.lists(st.text("ab-. ", min_size=1, max_size=60).map(str.strip).filter(bool), min_size=1)


@given(NAMES, st.integers(40, 120))
def test_a_table_folds_and_cuts_nothing(found, width):
    table = Table(
        names("machine", found), column("title", found, least=12), numbers("n", range(len(found)))
    )
    (text,) = text_tables(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    columns = text.splitlines()[1].split("  ")
    first, cells = len(columns[0]), ""
    for line in text.splitlines()[2:]:
        cells += line[:first]
    assert cells.replace(" ", "") == "".join(found).replace(" ", "")


@pytest.fixture
def many_machines(saved_profile):
    """A report on nine machines with long names that begin and end alike."""
    (strix,) = load_hardware("strix")
    names = [f"accelerator-{index}-of-the-future" for index in range(9)]
    machines = [strix.changed(name=name) for name in names]
    return estimate_all(saved_profile, machines)


def test_the_stage_table_is_there_once_with_the_span_of_all_machines(many_machines):
    text = as_table(estimate_document(many_machines))
    assert max(map(len, text.splitlines())) <= 80
    (heading,) = [line for line in text.splitlines() if line.startswith("stage ")]
    assert heading.split()[5:] == ["of", "the", "time"]
    (scores,) = [line for line in text.splitlines() if line.startswith("scores  ")]
    made = many_machines.estimates[0]
    (part,) = [one for one in made.by_stage if one.stage == "scores"]
    # The machines differ in their names alone.
    assert scores.endswith(f" {share(part.latency_s / made.latency_s)}")


def test_where_there_is_room_each_machine_has_its_column(many_machines):
    text = as_table(estimate_document(many_machines), 200)
    (stage,) = [number for number, line in enumerate(text.splitlines()) if line[:6] == "stage "]
    scores = next(line for line in text.splitlines()[stage:] if line.startswith("scores  "))
    assert len(scores.split()) == 5 + 2 * len(many_machines.estimates)
    for made in many_machines.estimates:
        assert f"{made.hardware}: " in text


def test_markdown_has_one_table_with_full_names(many_machines):
    text = as_markdown(estimate_document(many_machines))
    (heading,) = [line for line in text.splitlines() if "| stage |" in line]
    for estimate in many_machines.estimates:
        assert f" {estimate.hardware} |" in heading

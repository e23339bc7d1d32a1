"""What people read: units and tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.library import load_hardware
from fhecost.report.columns import Table, column, numbers
from fhecost.report.estimate_document import estimate_document
from fhecost.report.render import as_markdown, as_table
from fhecost.report.tables import distinct, elide, text_tables
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


def test_a_long_text_is_cut_with_an_ellipsis():
    assert elide("accelerator", 11) == "accelerator"
    assert elide("an accelerator", 4) == "an…"


@given(st.lists(st.text("ab-", min_size=1, max_size=30), unique=True), st.integers(7, 20))
def test_shortened_names_fit_and_stay_distinct(names, width):
    shortened = distinct(names, width)
    assert len(set(shortened)) == len(names)
    assert all(len(name) <= width for name in shortened)
    assert all(s == n for s, n in zip(shortened, names, strict=True) if len(n) <= width)


def test_names_that_begin_alike_show_their_ends():
    assert distinct(["epyc-zen4-2", "epyc-zen4-96", "h100"], 9) == [
        "epyc…n4-2",
        "epyc…4-96",
        "h100",
    ]


@pytest.fixture
def many_machines(saved_profile):
    """A report on nine machines with long names that begin and end alike."""
    (strix,) = load_hardware("strix")
    names = [f"accelerator-{index}-of-the-future" for index in range(9)]
    machines = [strix.changed(name=name) for name in names]
    return estimate_all(saved_profile, machines)


def test_every_machine_has_its_column_in_80(many_machines):
    text = as_table(estimate_document(many_machines))
    assert max(map(len, text.splitlines())) <= 80
    headings = [line.split()[5:] for line in text.splitlines() if line.startswith("stage ")]
    assert len(headings) > 1
    columns = [name for names in headings for name in names]
    assert len(set(columns)) == len(columns) == 9
    shares = [line.split() for line in text.splitlines() if line.startswith("scores  ")]
    assert [len(cells) - 5 for cells in shares] == [2 * len(names) for names in headings]


def test_markdown_has_one_table_with_full_names(many_machines):
    text = as_markdown(estimate_document(many_machines))
    (heading,) = [line for line in text.splitlines() if "| stage |" in line]
    for estimate in many_machines.estimates:
        assert f" {estimate.hardware} |" in heading

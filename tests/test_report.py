"""What people read: units and tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhecost.report.tables import Column, text_table
from fhecost.report.units import amount, duration, share


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
    table = text_table([Column("name"), Column("n", right=True)], [["a", "10"], ["long", "2"]])
    assert table.splitlines() == ["name   n", "────  ──", "a     10", "long   2"]

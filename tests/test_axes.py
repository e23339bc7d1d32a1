"""Axes that people read: times as clocks and calendars call them, numbers in plain decades."""

import math

import pytest

from fhecost.cli.parsing import parse_duration
from fhecost.report.drawing import log_axis, time_axis

YEAR_S = 365.25 * 86400


def seconds_of(tick):
    number, unit = tick.replace(",", "").replace(" M", "e6").split(" ")
    long = {"day": 86400, "days": 86400, "year": YEAR_S, "years": YEAR_S, "ns": 1e-9}
    if unit in long:
        return float(number) * long[unit]
    return parse_duration("tick", f"{number}{unit}")


@pytest.mark.parametrize("values", [None, [1.0, 50.0], [1e-3, 1e6]])
def test_a_tick_of_time_is_where_its_words_say(values):
    axis = time_axis("latency", values)
    assert axis["tickvals"] == sorted(axis["tickvals"])
    assert len(set(axis["ticktext"])) == len(axis["ticktext"])
    for value, text in zip(axis["tickvals"], axis["ticktext"], strict=True):
        assert seconds_of(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("values", "there", "not_there"),
    [
        (None, {"100 ms", "1 s", "10 s", "1 min", "1 h", "1 day", "1 year"}, {"60 s", "2 s"}),
        ([1.0, 50.0], {"1 s", "2 s", "5 s", "10 s", "20 s", "1 min"}, {"50 s"}),
    ],
)
def test_minutes_follow_seconds(values, there, not_there):
    shown = set(time_axis("latency", values)["ticktext"])
    assert there <= shown
    assert not not_there & shown


def test_numbers_have_plain_decades():
    axis = log_axis("PBS")
    shown = dict(zip(axis["tickvals"], axis["ticktext"], strict=True))
    assert all(math.log10(value) == pytest.approx(round(math.log10(value))) for value in shown)
    assert [shown[10.0**power] for power in (-2, 0, 3, 5, 6, 9)] == [
        *("0.01", "1", "1,000", "100,000", "1 M", "1 G"),
    ]
    assert "20" in log_axis("tokens", fine=True)["ticktext"]
    assert "20" in log_axis("USD", [3, 40])["ticktext"]
    assert "20" not in log_axis("USD", [3, 40_000])["ticktext"]

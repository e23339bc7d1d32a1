"""What ``print`` and a notebook show of an estimate."""

import re

import pytest

import fhecost
from fhecost.units import duration


@pytest.fixture(scope="module")
def report(saved_profile):
    return fhecost.estimate_circuit(saved_profile, "all")


def test_an_estimate_is_printed_in_a_few_lines(report):
    for made in report.estimates:
        lines = str(made).splitlines()
        assert lines[0].startswith(f"{made.hardware}: {duration(made.latency_s)} (")
        assert f"bound by {made.bottleneck}" in lines[0]
        assert "rests on" in lines[1]
        assert len(lines) <= 11
        longest = max(made.by_stage, key=lambda part: part.latency_s)
        assert lines[2].split()[0] == longest.stage
        # What isn't shown by itself is in the last line: the shares add up to all.
        shares = [int(found) for found in re.findall(r"(\d+) %", "\n".join(lines[2:]))]
        assert sum(shares) == pytest.approx(100, abs=len(shares))


def test_a_notebook_gets_a_table_and_no_markup_of_the_circuits(report):
    made = report.estimates[0]
    html = made.changed(title="<b>mine</b>")._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;mine" in html
    assert html.count("<tr>") == 1 + len(str(made).splitlines()) - 2


def test_a_report_has_a_line_a_machine_and_a_reason_a_refusal(report):
    text, html = str(report), report._repr_html_()
    assert len(text.splitlines()) == 1 + len(report.estimates) + len(report.refusals)
    for made in report.estimates:
        assert f"{duration(made.low_s)} to {duration(made.high_s)}" in text
        assert f"<td>{duration(made.latency_s)}</td>" in html
    for refused in report.refusals:
        assert f"{refused.hardware}: {refused.reason}" in text
        assert refused.hardware in html

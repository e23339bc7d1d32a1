"""Names that hold terminal escapes, markup or formulas go out as text."""

from fhecost.hardware.estimate import LatencyRange
from fhecost.plain import LONGEST_LINE, bounded_line, plain
from fhecost.report.columns import column
from fhecost.report.document import Document, Text
from fhecost.report.drawing import finish, new_figure
from fhecost.report.render import RENDERERS, Table

HOSTILE = "\x1b[31m<a href='https://example.org'>=1|2</a>\n\u202e\x9b"


def test_what_a_name_says_goes_out_as_text():
    table = Table(column("name", [HOSTILE, "=1+1"]), column("value", [-1.5, "+x"]))
    report = LatencyRange(latency_s=1, low_s=1, high_s=1)
    document = Document((Text(HOSTILE), table), table, report)
    for name, render in RENDERERS.items():
        text = render(document)
        assert not [one for one in text if (ord(one) < 32 and one != "\n") or 127 <= ord(one) < 160]
        assert "\u202e" not in text
        if name == "csv":
            assert "'=1+1" in text
            assert "'+x" in text
            assert "-1.5" in text
            assert "'-1.5" not in text
        if name == "markdown":
            rows = [line for line in text.splitlines() if line.startswith("|")]
            assert len(rows) == 4
            assert all(row.replace(r"\|", "").count("|") == 3 for row in rows)
            assert "<a" not in text


def test_a_backslash_before_a_bar_ends_no_cell():
    table = Table(column("name", ["a\\|b"]))
    text = RENDERERS["markdown"](
        Document((table,), table, LatencyRange(latency_s=1, low_s=1, high_s=1))
    )
    assert r"| a\\\|b |" in text


def test_a_name_in_a_figure_is_no_link():
    figure = new_figure()
    link = "<a href='https://example.org'>x</a>"
    figure.add_bar(x=[1.0], y=[link], name=link, text=[f"{link}<br>1 s"])
    finish(figure, {}, {})
    said = figure.to_json()
    assert "<a" not in said.replace("\\u003c", "<")
    assert figure.data[0].text[0].endswith("<br>1 s")


def test_plain_text_stays_as_it_is_and_lines_are_bounded():
    assert plain("größer ≤ 3 µs → √2\n") == "größer ≤ 3 µs → √2\n"
    assert bounded_line("a\n" * 5000).count("\n") == 0
    assert len(bounded_line("a" * 10**6)) == LONGEST_LINE
    assert plain("\x1b]0;x\x07") == r"\x1b]0;x\x07"

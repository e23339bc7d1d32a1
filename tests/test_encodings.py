"""Texts, arguments and outputs of any bytes."""

import json
import os
import subprocess
import sys

import pytest

from fhecost.accuracy.sweep import judged_sentences, read_sentences
from fhecost.errors import UsageError


def test_a_byte_order_mark_is_no_part_of_a_sentence(tmp_path):
    lines = ["The ship left at dawn.", "Nobody waved."]
    plain, marked, joined = (tmp_path / name for name in ("plain", "marked", "joined"))
    plain.write_text("\n".join(lines), encoding="utf-8")
    marked.write_text("\n".join(lines), encoding="utf-8-sig")
    joined.write_bytes(b"\n".join(line.encode("utf-8-sig") for line in lines))
    for path in (plain, marked, joined):
        assert read_sentences(path) == lines
        assert judged_sentences(path).sha256 == judged_sentences(lines).sha256


def test_no_sentences_are_refused():
    for nothing in ((), ("", " ")):
        with pytest.raises(UsageError, match="sentences: hold no text"):
            judged_sentences(nothing)


@pytest.mark.parametrize("arguments", [["generate", b"caf\xe9"], ["estimate", "--model", b"\xff"]])
def test_an_argument_of_bad_bytes_is_one_line(arguments):
    ran = subprocess.run(
        [sys.executable, "-m", "fhecost", *arguments], capture_output=True, timeout=60, check=False
    )
    shown = os.fsdecode(arguments[-1]).encode("ascii", "backslashreplace").decode()
    number = len(arguments)
    expected = f"fhecost: argument {number}, {shown.replace('udc', 'x')}: not utf-8 text\n"
    assert (ran.returncode, ran.stderr.decode()) == (2, expected)


TITLE = "Größe ≤ 3 → „x“ 中 \N{LINEAR B SYLLABLE B008 A}"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "utf-8"])
def test_an_output_that_lacks_a_letter_gets_a_plain_one(encoding):
    """A machine's texts have dashes, arrows and signs that not every encoding has."""
    code = (
        "from fhecost.cli import options, encodings\n"
        "from fhecost.hardware.library import find_hardware\n"
        "from fhecost.report.hardware_document import machine_document\n"
        "encodings.write_plainly()\n"
        f"machine = find_hardware('strix').model_copy(update={{'title': {TITLE!r}}})\n"
        "for format in ('table', 'json', 'csv', 'markdown'):\n"
        "    options.deliver(machine_document(machine), format)\n"
        "    print('=====')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    # Typer writes UTF-8 where a terminal says that it has nothing but ASCII.
    text = ran.stdout.decode("utf-8" if encoding == "ascii" else encoding)
    table, as_json, _, markdown, _ = text.split("=====\n")
    assert TITLE in json.dumps(json.loads(as_json), ensure_ascii=False)
    if encoding == "latin-1":
        assert "Größe <= 3 -> " in table
        assert "Größe <= 3 -> " in markdown

"""Files that aren't read: keys twice, bombs, pipes, devices, more bytes than a kind has."""

import os
import shutil
import time

import pytest

from fhecost.data import data_folder
from fhecost.errors import UsageError
from fhecost.files import LARGEST_BYTES, parse_json, read_json, read_text
from fhecost.hardware.library import load_hardware, read_hardware
from fhecost.hardware.yaml_text import read_yaml


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"b": {"a": 1, "a": 1}}'])
def test_a_key_is_there_once_in_json(text):
    with pytest.raises(UsageError, match=r"here: .* the key 'a' is there twice"):
        parse_json(text, "here: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "line 2: 'a' is twice"),
        ("a: {b: 1, b: 1}\n", "line 1: 'b' is twice"),
        ("<<: {a: 1}\n", "merge keys"),
        ("a: &x [1, 2]\nb: *x\n", "an alias may stand for a text"),
        ("a: &x {b: *x}\n", "."),
        ("a: !!python/object/apply:os.system [id]\n", "could not determine a constructor"),
        ("[" * 20000, "nested too deeply"),
        ('a: "\\ud800"\n', "half a character"),
    ],
)
def test_yaml_that_isnt_read(text, message, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_yaml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("33:43", "33:43"), ("yes", "yes"), ("no", "no"), ("010", 10), ("1e9", 1e9)),
        *(("1.0e+9", 1e9), (".5", 0.5), ("-3", -3), ("true", True), ("~", None), ("", None)),
        *(("2026-01-01", "2026-01-01"), ("1_000", "1_000"), ("0x10", "0x10")),
    ],
)
def test_words_of_yaml_1_2(text, value, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"a: {text}\n")
    found = read_yaml(path)["a"]
    assert (found, type(found)) == (value, type(value))


def test_a_bomb_of_merge_keys_is_refused_at_once(tmp_path):
    levels = "\n".join(f"l{n}: &l{n}\n  <<: [*l{n - 1}, *l{n - 1}]" for n in range(1, 25))
    path = tmp_path / "bomb.yaml"
    path.write_text(f"l0: &l0 {{a: 1}}\n{levels}\n")
    started = time.process_time()
    with pytest.raises(UsageError, match="not YAML"):
        read_hardware(path)
    assert time.process_time() - started < 1


def test_a_pipe_or_a_device_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(UsageError, match=rf"{name}\.yaml: can't be read: it is a "):
            read_text(tmp_path / f"{name}.yaml")
    shutil.copy(data_folder("hardware") / "h100.yaml", tmp_path / "good.yaml")
    with pytest.warns(UserWarning, match="this machine is left out"):
        assert "good" in [machine.name for machine in load_hardware("all", [tmp_path])]


def test_a_file_that_is_too_large_isnt_read(tmp_path):
    path = tmp_path / "large.json"
    with path.open("wb") as stream:
        stream.truncate(LARGEST_BYTES + 1)
    with pytest.raises(UsageError, match="larger than 16 MiB"):
        read_json(path)

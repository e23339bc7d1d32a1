"""What compiling takes of memory: known from the traced function, and warned of."""

import warnings

import numpy as np
import pytest

from fhecost.hardware.limits import free_memory_bytes
from fhecost.hardware.run_memory import run_memory
from tests.test_limits import GIB, tree


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 4 * GIB),
        ({"memory.max": str(2 * GIB), "memory.current": str(GIB)}, GIB),
        ({"memory.max": str(2 * GIB), "memory.current": str(3 * GIB)}, 0),
        ({"memory.max": "max", "memory.current": str(GIB)}, 4 * GIB),
        # Files that were read are given up before any process is.
        (
            {
                "memory.max": str(2 * GIB),
                "memory.current": str(2 * GIB),
                "memory.stat": f"anon 1\ninactive_file {GIB}\n",
            },
            GIB,
        ),
    ],
)
def test_free_memory_is_that_of_the_machine_and_of_the_group(tmp_path, files, free):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: 9999999999 kB\nMemAvailable:  {4 * GIB // 1024} kB\n")
    assert free_memory_bytes(meminfo, *tree(tmp_path, "0::/\n", files)) == free


def test_unknown_memory_is_not_none_left(tmp_path):
    assert free_memory_bytes(tmp_path / "a", tmp_path / "b", tmp_path / "c") is None


def test_the_elements_of_all_values_are_counted():
    pytest.importorskip("concrete.fhe", reason="needs the extra [concrete]")
    from fhecost.concrete.compile_memory import value_elements

    def pairs(values):
        return np.sum((values.reshape((-1, 1)) + values.reshape((1, -1))) * 2)

    # The input, two shapes of it, a million sums and their doubles, 2, and the result.
    assert value_elements(pairs, np.zeros(1000, dtype=np.int64)) == 3 * 1000 + 2 * 10**6 + 2


def test_lookups_melt_before_they_are_counted():
    pytest.importorskip("concrete.fhe", reason="needs the extra [concrete]")
    from fhecost.concrete.compile_memory import value_elements

    def looked_up(values):
        return np.rint(np.sqrt(values)).astype(np.int64)

    sample = np.zeros(50, dtype=np.int64)
    assert value_elements(looked_up, sample) == 100
    assert value_elements(looked_up, sample, fused=False) == 200


def test_a_circuit_that_takes_more_than_is_free_is_warned_of(monkeypatch):
    pytest.importorskip("concrete.fhe", reason="needs the extra [concrete]")
    from fhecost.concrete import compile_memory

    sample = np.zeros(1000, dtype=np.int64)
    needed = run_memory().compile_bytes_of(2001)
    monkeypatch.setattr(compile_memory, "free_memory_bytes", lambda: needed + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile_memory.warn_of_memory(lambda x: x + 1, sample)
    monkeypatch.setattr(compile_memory, "free_memory_bytes", lambda: needed - 1)
    with pytest.warns(UserWarning, match="compiling this circuit takes about"):
        compile_memory.warn_of_memory(lambda x: x + 1, sample)


def test_compiling_was_measured_for_circuits_of_every_size():
    import json

    from tests.conftest import ROOT

    cases = json.loads((ROOT / "experiments" / "memory" / "compile.json").read_text())["cases"]
    assert len(cases) >= 8
    for case in cases:
        took = case["peak_memory_bytes"] - case["before_bytes"]
        assert took == pytest.approx(
            run_memory().compile_bytes_of(case["value_elements"]), rel=0.5
        ), case["name"]

"""Profiles of circuits of every kind: counts, work, depth and predecessors, read in two ways."""

from functools import cache

import pytest

import fhecost
from fhecost.circuits.work import key_switch_units, pbs_units
from tests.mlir_text import read_mlir_text

pytest.importorskip("concrete", reason="needs the extra [concrete]")

from tests.concrete_corpus import CIRCUITS
from tests.test_concrete_reader import assert_adds_up

FAST = (
    "table lookup",
    "chain of a clear table",
    "tables in a row",
    "squares and product",
    "less",
    "list of comparisons",
    "lowest bits",
    "if then else",
    "two maxpools",
    "convolution",
    "hamming distance",
    "first strategy",
    "parallel dataflow",
    "strange place",
    "odd tags",
    "half from tfhe-rs",
)
UNCOUNTED = {
    "parallel dataflow": "small network",
    "automatic parallelism": "small network",
    "squares and product, in parallel": "squares and product",
    "rectified, in parallel": "rectified",
}
"""Concrete's own statistics miss what it puts into tasks."""


def check(name):
    """Hold the profile of a circuit to Concrete's counts and another reading of its MLIR."""
    circuit = CIRCUITS[name]()
    profile = fhecost.profile_circuit(circuit)
    work = sum(
        sum(use.count * pbs_units(use.parameters) for use in stage.pbs)
        + sum(use.count * key_switch_units(use.parameters) for use in stage.key_switches)
        for stage in profile.stages
    )
    if profile.pbs_count:
        assert profile.complexity == pytest.approx(work, rel=1e-3)
    if name in UNCOUNTED:
        assert circuit.programmable_bootstrap_count == 0
        alike = fhecost.profile_circuit(CIRCUITS[UNCOUNTED[name]]())
        assert profile.stages == tuple(stage.changed(loops=()) for stage in alike.stages)
    elif name == "first strategy":
        assert circuit.complexity * profile.pbs_count == pytest.approx(work, rel=1e-3)
        any_wrong = 1 - (1 - circuit.p_error) ** profile.pbs_count
        assert circuit.statistics["global_p_error"] == 0 < profile.global_p_error
        assert profile.global_p_error == pytest.approx(any_wrong)
    else:
        # With a large error of the whole circuit Concrete states less than that of its lookups.
        assert_adds_up(profile, circuit, errors_bounded=name != "error of the circuit")
    fused = not name.endswith("not fused")
    shapes = read_mlir_text(circuit.mlir_module, circuit.graph, profile.stages, fused)
    for stage in profile.stages:
        found = shapes[stage.name]
        assert stage.pbs_count == found.pbs, stage.name
        assert stage.depth == max(1, found.depth), stage.name
        assert stage.bit_width == found.bit_width, stage.name
        assert set(stage.predecessors) == found.predecessors, stage.name
    return profile


@pytest.mark.parametrize("name", FAST)
def test_a_circuit_is_read_as_compiled(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CIRCUITS if name not in FAST])
def test_any_circuit_is_read_as_compiled(name):
    check(name)


def test_the_corpus_is_wide():
    assert len(CIRCUITS) >= 60
    assert set(FAST) <= set(CIRCUITS)


@cache
def profiled(name):
    return fhecost.profile_circuit(CIRCUITS[name]())


@pytest.mark.parametrize(
    ("name", "pbs", "depth"),
    [
        # The lookup that widens a comparison's bit becomes one with the comparison's last: 105
        # lookups, where each of the 7 maxima would have 16 of depth 5 without.
        ("largest", 105, 12),
        ("relu", 56, 10),
        ("lowest bits", 28, 7),
        ("maxpool", 16, 4),
        ("chain of a clear table", 15, 5),
        ("if then else", 15, 4),
        ("less", 7, 3),
        ("list of comparisons", 28, 3),
        ("from tfhe-rs", 4, 1),
        ("half from tfhe-rs", 13, 9),
        ("from and to tfhe-rs", 18, 10),
    ],
)
def test_steps_are_those_of_the_compiled_circuit(name, pbs, depth):
    (stage,) = profiled(name).stages
    assert (stage.pbs_count, stage.depth) == (pbs, depth)


@pytest.mark.parametrize(
    ("name", "loops"),
    [
        ("less", [(1, 7)]),
        ("largest", [(4, 15), (2, 15), (1, 15)]),
        ("lowest bits", [(4, 7)]),
        ("maxpool", [(4, 4)]),
        ("encrypted matrix product", [(4, 6)]),
        ("encrypted product", [(3, 2)]),
    ],
)
def test_loops_are_those_of_the_compiled_operations(name, loops):
    (stage,) = profiled(name).stages
    assert [(loop.width, loop.times) for loop in stage.loops] == loops


def test_without_parallel_loops_each_lookup_is_alone():
    loops = [[(one.width, one.times) for one in s.loops] for s in profiled("serial loops").stages]
    assert loops == [[(1, 3)], [(1, 1)]]


@pytest.mark.parametrize("name", ["squares and product", "rectified"])
def test_what_runs_in_tasks_of_its_own_is_counted(name):
    """Concrete's statistics of these have no PBS; the same circuits without tasks have."""
    alone, in_tasks = profiled(name), profiled(f"{name}, in parallel")
    assert CIRCUITS[f"{name}, in parallel"]().programmable_bootstrap_count == 0
    assert in_tasks.pbs_count == alone.pbs_count == {"squares and product": 3}.get(name, 2)
    assert in_tasks.complexity == alone.complexity
    machine = fhecost.find_hardware("h100")
    estimates = [fhecost.estimate(circuit, machine) for circuit in (alone, in_tasks)]
    assert estimates[0].latency_s == estimates[1].latency_s > 1e-3


def test_counts_that_dont_give_the_complexity_are_refused(monkeypatch):
    """A circuit whose statistics are of another one."""
    circuit, other = CIRCUITS["less"](), CIRCUITS["table lookup"]()
    monkeypatch.setattr(type(circuit), "complexity", other.complexity)
    with pytest.raises(fhecost.ImpossibleError, match="units of work") as caught:
        fhecost.profile_circuit(circuit)
    assert "\n" not in str(caught.value)


def test_tags_and_files_keep_their_letters():
    names = [stage.name for stage in profiled("odd tags").stages]
    assert names == ["máx", 'a "quoted" \\ name | with a bar', "two\nlines"]
    (stage,) = profiled("strange place").stages
    assert stage.name == 'á | "b\\c\n.py:3'


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("less", 4),
        ("less, one_tlu_promoted", 5),
        ("largest", 4),
        ("minimum, one_tlu_promoted", 5),
        ("dynamic table", 3),
        ("maxpool", 5),
        ("hamming distance", 4),
        ("hamming distance, words side by side", 8),
    ],
)
def test_the_width_is_what_lookups_read(name, width):
    """That of the MLIR, where the graph has comparisons of 4 bits and pooling of 4."""
    assert max(stage.bit_width for stage in profiled(name).stages) == width
    assert profiled(name).max_bit_width >= width

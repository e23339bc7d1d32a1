"""Profiles read from Concrete: counts equal Concrete's own, stages follow the circuit's graph."""

import numpy as np
import pytest

import fhecost
from fhecost.circuits.profile import LINEAR_OPERATIONS
from fhecost.circuits.work import (
    compressed_input_bytes,
    compressed_key_bytes,
    key_switch_units,
    pbs_units,
)
from fhecost.concrete.compilation import compile_circuit, import_concrete
from fhecost.gpt2.head_circuit import HeadRequest, compile_heads

pytest.importorskip("concrete", reason="needs the extra [concrete]")
pytest.importorskip("transformers", reason="needs the extra [gpt2]")

fhe = import_concrete()


def assert_adds_up(profile, circuit, *, errors_bounded=True):
    """Every count of the stages sums to what Concrete reports for the circuit."""
    assert profile.pbs_count == circuit.programmable_bootstrap_count
    assert profile.key_switch_count == circuit.key_switch_count
    assert [profile.linear_count(operation) for operation in LINEAR_OPERATIONS] == [
        circuit.clear_addition_count,
        circuit.encrypted_addition_count,
        circuit.clear_multiplication_count,
        circuit.encrypted_negation_count,
    ]
    by_set = {}
    for stage in profile.stages:
        for use in stage.pbs:
            p = use.parameters
            key = (p.lwe_dimension, p.glwe_dimension, p.polynomial_size, p.level_count, p.base_log)
            by_set[key] = by_set.get(key, 0) + use.count
    expected = {}
    for p, count in circuit.programmable_bootstrap_count_per_parameter.items():
        key = (
            p.input_lwe_dimension(), p.glwe_dimension(), p.polynomial_size(), p.level(),
            p.base_log(),
        )  # fmt: skip
        expected[key] = expected.get(key, 0) + count
    assert by_set == expected
    assert profile.ksk_bytes == circuit.size_of_keyswitch_keys
    assert profile.complexity == circuit.complexity
    # The p_error is that of the worst lookup; the circuit's lies between one and all such lookups.
    any_wrong = 1 - (1 - profile.p_error) ** profile.pbs_count
    assert profile.global_p_error == circuit.statistics["global_p_error"]
    if profile.pbs_count and errors_bounded:
        assert profile.p_error <= profile.global_p_error <= any_wrong * (1 + 1e-6)


def test_what_reads_a_merged_lookup_waits_for_the_one_it_was_merged_into():
    """Two equal lookups are computed once, and both readers wait for that one."""

    def equal_squares(x, y):
        results = []
        for branch in range(2):
            with fhe.tag(f"branch{branch}.square"):
                square = x**2
            with fhe.tag(f"branch{branch}.shift"):
                results.append((square + y + branch) // 2)
        return results[0] + results[1]

    inputset = [(x, y) for x in range(4) for y in range(4)]
    compiler = fhe.Compiler(equal_squares, {"x": "encrypted", "y": "encrypted"})
    circuit = compiler.compile(inputset)
    profile = fhecost.profile_circuit(circuit)
    waits_for = {stage.name: stage.predecessors for stage in profile.stages}
    assert "branch1.square" not in waits_for
    assert waits_for["branch0.square"] == ()
    assert waits_for["branch0.shift"] == ("branch0.square",)
    assert waits_for["branch1.shift"] == ("branch0.square",)


@pytest.mark.parametrize(
    ("function", "steps"),
    [
        (lambda x, y: x < y, 3),
        (lambda x, y: x & y, 2),
        (lambda x, y: fhe.round_bit_pattern(x + y, lsbs_to_remove=1) // 2, 2),
        (lambda x, y: x * y, 1),
    ],
)
def test_operations_that_the_compiler_unfolds_wait_for_each_other(function, steps):
    inputset = [(np.array([3, 0, 1, 2]), np.array([0, 3, 2, 1]))]
    compiler = fhe.Compiler(function, {"x": "encrypted", "y": "encrypted"})
    circuit = compiler.compile(inputset)
    (stage,) = (stage for stage in fhecost.profile_circuit(circuit).stages if stage.pbs)
    assert stage.depth == steps
    assert stage.depth * stage.parallel_width >= stage.pbs_count


@pytest.mark.parametrize(
    ("seq_len", "bits", "layer", "head"),
    [
        (2, 3, 2, 0),
        (2, 4, 0, 0),
        (3, 3, 0, 1),
        (4, 4, 3, 3),
        (5, 3, 2, 0),
        (6, 4, 0, 0),
        (8, 4, 1, 1),
    ],
)
def test_counts_of_a_head_add_up(seq_len, bits, layer, head):
    request = HeadRequest(
        seq_len=seq_len, bits=bits, layer=layer, heads=(head,), variant="reference"
    )
    circuit = compile_heads(request).circuit
    profile = fhecost.profile_circuit(circuit)
    assert_adds_up(profile, circuit)
    names = [stage.name for stage in profile.stages]
    assert names[0] == "projection"
    assert names[-1] == "weighted_values"
    assert set(profile.stages[-1].predecessors) == {"value.requantize", "softmax.requantize"}


def test_a_circuit_that_is_no_head_adds_up():
    """Untagged lines, a tag around several operations, lookups that wait for each other."""
    fhe = import_concrete()
    table = fhe.LookupTable([(5 * i + 3) % 16 for i in range(16)])

    def network(x, y):
        with fhe.tag("layer"):
            z = np.maximum(x @ np.array([[1, -2, 3], [2, 1, -1]]) + 3, 0)
            z = np.minimum(z // 4, 7)
        product = z[:, :2] * y
        worst = product[:, 0]
        for column in range(1, 2):
            worst = worst + np.maximum(product[:, column] - worst, 0)
        chained = table[table[y[:, 0]]]
        return worst - chained

    rng = np.random.default_rng(7)
    inputset = [(rng.integers(0, 8, (4, 2)), rng.integers(0, 8, (4, 2))) for _ in range(100)]
    circuit = fhe.Compiler(network, {"x": "encrypted", "y": "encrypted"}).compile(inputset)
    profile = fhecost.profile_circuit(circuit)
    assert_adds_up(profile, circuit)
    by_name = {stage.name: stage for stage in profile.stages}
    # The compiler makes one table of lookups that directly follow each other: 12 elements, 12 PBS.
    assert (by_name["layer"].pbs_count, by_name["layer"].depth) == (12, 1)
    chained = [stage for stage in profile.stages if not stage.predecessors and stage.pbs_count == 4]
    assert [(stage.depth, stage.parallel_width) for stage in chained] == [(1, 4)]
    assert all("/" not in name for name in by_name), "a profile holds no path of this machine"


def test_lines_of_one_loop_are_one_stage_with_several_steps():
    def running_maximum(values, operators):
        largest = values[0]
        for index in range(1, 5):
            step = values[index] - largest
            largest = largest + np.maximum(step, 0)
        return largest

    inputset = [np.array(row) for row in ([0, 7, 3, 1, 6], [7, 0, 0, 0, 0], [0, 1, 2, 3, 7])]
    circuit = compile_circuit(running_maximum, inputset)
    profile = fhecost.profile_circuit(circuit)
    assert_adds_up(profile, circuit)
    (stage,) = [stage for stage in profile.stages if stage.pbs]
    assert (stage.pbs_count, stage.depth, stage.parallel_width) == (4, 4, 1)


def test_profile_keeps_independent_stages_apart():
    def two_branches(values, operators):
        with operators.tag("left-hand side/1"):
            left = values**2
        with operators.tag("right"):
            right = abs(values - 3)
        with operators.tag("join"):
            return left + right

    circuit = compile_circuit(two_branches, [np.arange(8), np.arange(8)[::-1]])
    profile = fhecost.profile_circuit(circuit)
    predecessors = {stage.name: set(stage.predecessors) for stage in profile.stages}
    left = "left-hand side/1"
    assert predecessors[left] == predecessors["right"] == set()
    assert predecessors["join"] == {left, "right"}


def test_a_circuit_that_concrete_cant_compile_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputset = [np.array([0, 200_000]), np.array([131_071, 5])]
    with pytest.raises(fhecost.ImpossibleError, match="this 18-bit value is used as") as caught:
        compile_circuit(lambda values, _: values % 7, inputset)
    assert "only up to 16-bit table lookups are supported" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_lookup_that_no_bootstrap_does_is_refused_by_its_stage_and_width():
    def wide_lookup(values, operators):
        with operators.tag("one/wide | lookup"):
            return values // 3

    inputset = [np.array([0, 2**16 - 1]), np.array([1, 5])]
    circuit = compile_circuit(wide_lookup, inputset)
    with pytest.raises(fhecost.ImpossibleError, match="WOP_PBS") as caught:
        fhecost.profile_circuit(circuit)
    assert "stage 'one/wide | lookup' with lookups of 16 bits" in str(caught.value)
    assert "loc(" not in str(caught.value)


def test_a_tag_with_a_plus_is_no_stage_of_two_tags():
    """Places a and b wait for each other: one stage, which isn't that of the tag a+b."""

    def tangled(values, operators):
        with operators.tag("a"):
            first = values**2
        with operators.tag("b"):
            second = (first + 1) // 3
        with operators.tag("a"):
            third = (second + values) ** 2
        with operators.tag("a+b"):
            return (third + 1) // 2

    profile = fhecost.profile_circuit(compile_circuit(tangled, [np.arange(4), np.arange(4)[::-1]]))
    merged, last = [stage for stage in profile.stages if stage.pbs]
    assert (merged.name, last.name) == ("a + b", "a+b")
    assert (merged.depth, last.depth) == (3, 1)
    assert last.predecessors == (merged.name,)


def test_tables_of_one_value_are_told_from_those_of_several():
    """Two tables of each of eight values, one of them negated for a third that shares nothing."""
    first, second = (fhe.LookupTable([(f * i + 1) % 16 for i in range(16)]) for f in (3, 7))

    def three_tables(values, _):
        with fhe.tag("tables"):
            return first[values] + second[values] + first[15 - values]

    inputset = [np.arange(8), np.arange(8)[::-1] + 8]
    profile = fhecost.profile_circuit(compile_circuit(three_tables, inputset))
    (stage,) = (stage for stage in profile.stages if stage.pbs)
    assert (stage.pbs_count, stage.distinct_values) == (24, 16)


def test_a_circuit_without_cost_is_refused():
    circuit = compile_circuit(lambda values, _: values, [np.arange(4)])
    with pytest.raises(fhecost.ImpossibleError, match="no operation on encrypted data"):
        fhecost.profile_circuit(circuit)


def test_work_and_key_bytes_are_concretes_own():
    """The parameter sets give back Concrete's complexity, and the bytes of the keys it makes."""
    fhe = import_concrete()
    table = fhe.LookupTable([(3 * i + 1) % 8 for i in range(8)])
    circuit = compile_circuit(lambda values, _: table[values], [np.arange(8)])
    profile = fhecost.profile_circuit(circuit)
    ((pbs,), (switch,)) = profile.stages[0].pbs, profile.stages[0].key_switches
    lookup = pbs_units(pbs.parameters) + key_switch_units(switch.parameters)
    assert circuit.complexity == pytest.approx(8 * lookup, rel=1e-3)
    # Concrete's size_of_bootstrap_keys is k times too large; the keys themselves are the judge.
    assert pbs.parameters.glwe_dimension > 1
    circuit.keygen()
    serialized = len(circuit.client.evaluation_keys.serialize())
    assert profile.bsk_bytes + profile.ksk_bytes == pytest.approx(serialized, rel=1e-3)
    assert circuit.size_of_bootstrap_keys == pbs.parameters.glwe_dimension * profile.bsk_bytes


def test_compressed_keys_are_seeds_and_bodies():
    fhe = import_concrete()
    compiler = fhe.Compiler(
        lambda x: (x**2) + fhe.univariate(lambda v: v % 7)(x), {"x": "encrypted"}
    )
    circuit = compiler.compile(
        [np.arange(4) * 3, np.full(4, 15)],
        compress_evaluation_keys=True,
        compress_input_ciphertexts=True,
    )
    profile = fhecost.profile_circuit(circuit)
    sent = len(circuit.client.evaluation_keys.serialize())
    whole = profile.bsk_bytes + profile.ksk_bytes
    expected = compressed_key_bytes(profile.stages, profile.bsk_bytes, profile.ksk_bytes)
    assert expected < whole / 3
    # Beside them only some headers.
    assert 0 < sent - expected < 1000
    assert compressed_key_bytes((), 0, 0) == 0
    assert compressed_key_bytes((), 8, 0) is None
    # Inputs go over the line as a seed of 16 bytes and a body of 8 each; a run holds them whole.
    assert circuit.size_of_inputs == 4 * 24
    assert compressed_input_bytes(profile.stages, profile.input_bytes) == circuit.size_of_inputs
    assert compressed_input_bytes((), 0) == 0
    assert compressed_input_bytes((), 24) is None
    (dimension,) = {use.parameters.input_lwe_dimension for use in profile.stages[0].key_switches}
    assert profile.input_bytes == 4 * (dimension + 1) * 8 == circuit.size_of_outputs

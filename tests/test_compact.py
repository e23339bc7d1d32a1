"""The compact variant: its lookups by law, its integers against plain numpy, and its counters."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhecost.gpt2.hybrid import MultiHeadsQGPT2Model
from fhecost.heads.compact_circuit import CompactHead, HeadRun
from fhecost.heads.head_quantization import UNBOUNDED, signed_bits
from fhecost.heads.low_rank import hadamard_rotation
from fhecost.heads.operators import ClearOperators
from fhecost.heads.pairs import Pairs
from fhecost.quantization import Quantizer


def lookups(head, kept_bits, projection_bits, seq_len):
    """PBS of each stage of a compact head; rounding costs one for each bit that it drops."""
    d, L = head.rank, seq_len
    pairs = L * (L + 1) // 2
    product = d * L * (1 + max(0, projection_bits - kept_bits))
    return {
        "query.requantize": product,
        "key.requantize": product,
        "value.requantize": product,
        "scores": pairs * d + 2 * L * d,  # (q + k)^2 for each pair, q^2 and k^2 for each token
        "scores.round": pairs * max(0, head.score_bits - kept_bits),
        "softmax.exponential": pairs,
        "softmax.sum": pairs,
        "weighted_values": pairs * d + pairs + L * d,  # (e + v)^2, e^2 and v^2
    }


@pytest.mark.parametrize(
    ("seq_len", "bits", "heads"), [(2, 3, (0,)), (3, 4, (2,)), (5, 3, (1,)), (2, 3, (0, 3))]
)
def test_lookups_of_compiled_heads(seq_len, bits, heads):
    pytest.importorskip("transformers", reason="needs the extra [gpt2]")
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    model = MultiHeadsQGPT2Model.from_pretrained(
        n_bits=bits, heads=heads, calibration_length=seq_len
    )
    model.compile([[0] * seq_len])
    compact = model.quantized
    expected = {}
    for index, head in enumerate(compact.heads):
        counts = lookups(head, compact.kept_bits, compact.projection_bits, seq_len)
        prefix = f"head{index}." if len(heads) > 1 else ""
        expected |= {prefix + name: count for name, count in counts.items() if count}
    profile = model.profile()
    assert {stage.name: stage.pbs_count for stage in profile.stages if stage.pbs} == expected


def made_up_head(rng, *, n_bits, d=3, width=4):
    """A head with random integers and scales: no value of it has been calibrated."""
    largest = 2 ** (n_bits - 1) - 1
    quantizer = Quantizer(scale=1.0, n_bits=n_bits)
    return CompactHead(
        weight=rng.integers(-largest, largest + 1, (width, 3 * d)),
        column_scale=rng.uniform(0.02, 0.5, 3 * d),
        column_offset=rng.normal(0, 1, 3 * d),
        query=replace(quantizer, scale=float(rng.uniform(0.5, 2))),
        key=replace(quantizer, scale=float(rng.uniform(0.5, 2))),
        value=quantizer,
        value_scale=rng.uniform(0.5, 2, d),
        value_mean=np.zeros(d),
        score_unit=float(rng.uniform(0.01, 0.2)),
        exponential_shift=float(rng.uniform(-1, 3)),
        exponential_bits=n_bits + 1,
        projection_bits=UNBOUNDED,
        score_bits=UNBOUNDED,
        attended_bits=UNBOUNDED,
        rank=d,
    )


def rounded(values, bits, kept_bits):
    """The nearest multiple of 2^(bits - kept_bits), halves upwards."""
    step = 2 ** max(0, bits - kept_bits)
    return (np.floor(values / step + 0.5) * step).astype(np.int64)


def plain_head(head, integers, kept_bits):
    """The head as its description has it, token by token, with products instead of squares."""
    d, L = head.rank, len(integers)
    product = rounded(integers @ head.weight, head.projection_bits, kept_bits)
    query, key, value = np.split(product * head.column_scale + head.column_offset, 3, axis=1)
    query, key = head.query.quantize(query), head.key.quantize(key)
    value = head.value.quantize(value / head.value_scale)
    sums, totals = np.zeros((L, d), dtype=np.int64), np.zeros((L, 1), dtype=np.int64)
    most = 2**head.exponential_bits - 1
    for i in range(L):
        for j in range(i + 1):
            score = rounded(2 * int(query[i] @ key[j]), head.score_bits, kept_bits)
            exponent = score * head.score_unit / 2 - head.exponential_shift
            weight = int(np.clip(np.rint(most * np.exp(min(float(exponent), 1.0))), 0, most))
            sums[i] += 2 * weight * value[j]
            totals[i] += weight
    return sums, totals


made_up = {
    "seed": st.integers(0, 2**32 - 1),
    "n_bits": st.integers(2, 6),
    "seq_len": st.integers(1, 6),
}


@settings(max_examples=60, deadline=None)
@given(**made_up)
def test_squares_give_twice_the_product_of_query_and_key(seed, n_bits, seq_len):
    rng = np.random.default_rng(seed)
    head = made_up_head(rng, n_bits=n_bits)
    integers = rng.integers(-(2**n_bits), 2**n_bits, (seq_len, 4))
    run = HeadRun(head, ClearOperators(), Pairs(seq_len), UNBOUNDED, UNBOUNDED)
    scores, own = run.scores(integers)
    real = integers @ head.weight * head.column_scale + head.column_offset
    query, key = head.query.quantize(real[:, :3]), head.key.quantize(real[:, 3:6])
    assert np.array_equal(scores, 2 * (query @ key.T)[np.tril_indices(seq_len)])
    assert np.array_equal(
        own.value, head.value.quantize(real[:, 6:] / head.value_scale) + head.value.largest
    )


@settings(max_examples=60, deadline=None)
@given(**made_up, dropped=st.integers(0, 5))
def test_a_head_is_what_its_description_says(seed, n_bits, seq_len, dropped):
    rng = np.random.default_rng(seed)
    head = made_up_head(rng, n_bits=n_bits)
    integers = rng.integers(-(2**n_bits), 2**n_bits, (seq_len, 4))
    seen = ClearOperators()
    HeadRun(head, seen, Pairs(seq_len), UNBOUNDED, UNBOUNDED).outputs(integers)
    kept_bits = 6
    head = replace(
        head,
        projection_bits=kept_bits + dropped,
        score_bits=kept_bits + dropped,
        attended_bits=signed_bits(seen.largest["attended"]),
    )
    run = HeadRun(head, ClearOperators(), Pairs(seq_len), head.projection_bits, kept_bits)
    sums, totals = run.outputs(integers)
    expected = plain_head(head, integers, kept_bits)
    assert np.array_equal(sums, expected[0])
    assert np.array_equal(totals, expected[1])


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(1, 6), st.lists(st.integers(-5000, 5000), min_size=1))
def test_sums_beyond_their_accumulator_are_counted(bits, kept_bits, values):
    operators, values = ClearOperators(), np.array(values)
    outcome = operators.accumulator("sums", values, bits, kept_bits)
    assert np.array_equal(outcome, rounded(values, bits, kept_bits))
    limit = 2 ** (bits - 1)
    assert operators.exceeded["sums"] == sum(not -limit <= value < limit for value in outcome)
    assert operators.largest["sums"] == max(abs(int(value)) for value in values)
    fitting = ClearOperators()
    fitting.accumulator("sums", values, signed_bits(fitting_magnitude(values)))
    assert fitting.exceeded["sums"] == 0


def fitting_magnitude(values):
    return float(np.abs(values).max())


@pytest.mark.parametrize("width", [1, 6, 16, 96])
def test_the_rotation_changes_no_product(width):
    rotation = hadamard_rotation(width)
    assert np.allclose(rotation @ rotation.T, np.eye(width))
    rng = np.random.default_rng(0)
    hidden, weight = rng.normal(size=(5, width)), rng.normal(size=(width, 3))
    assert np.allclose((hidden @ rotation) @ (rotation.T @ weight), hidden @ weight)


@pytest.fixture
def model():
    pytest.importorskip("transformers", reason="needs the extra [gpt2]")
    return MultiHeadsQGPT2Model.from_pretrained(heads=(0, 1), calibration_length=12)


@pytest.fixture
def hidden():
    """Normalized hidden states of a sentence that calibration never saw."""
    from fhecost.gpt2.model import find_model, load_gpt2

    gpt2 = load_gpt2(find_model("embedded"))
    return gpt2.hidden_states([gpt2.tokens("The bell rang twice that night.")], 0)[0]


def test_saturated_inputs_are_counted(model, hidden):
    quantized = model.quantized
    for factor in (1, 2, 8):
        larger = hidden * factor
        before = model.usage.saturated
        model._attend(larger)
        entering = (larger - quantized.mean) @ quantized.rotation
        restored = quantized.input.dequantize(quantized.quantize_input(larger))
        clipped = np.count_nonzero(
            np.abs(entering - restored) > quantized.input.scale / 2 * (1 + 1e-9)
        )
        assert model.usage.saturated - before == clipped
    assert clipped > hidden.size / 10
    assert model.usage.inputs == 3 * hidden.size


def test_accumulators_that_are_too_narrow_are_counted(model, hidden):
    model._attend(hidden)
    assert model.usage.exceeded == 0
    narrow = [replace(head, score_bits=head.score_bits - 3) for head in model.quantized.heads]
    model.quantized = replace(model.quantized, heads=tuple(narrow))
    model._attend(hidden)
    exceeded = dict(model.usage.operators.exceeded)
    assert exceeded["head0.scores"] > 0
    assert exceeded["head0.projection"] == exceeded["head0.attended"] == 0
    assert model.usage.exceeded == sum(exceeded.values())

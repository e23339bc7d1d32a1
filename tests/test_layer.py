"""A decoder layer's run: a circuit that Concrete compiles, with the counts of its plan."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fhecost.circuits.work import ciphertext_bytes
from fhecost.closed_form.circuit import circuit_profile
from fhecost.closed_form.held import Sampled, Stated
from fhecost.closed_form.parameter_sets import predict_sets
from fhecost.closed_form.partitions import partition
from fhecost.closed_form.plan_operators import plan_of
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.concrete.compilation import compile_circuit
from fhecost.concrete.reader import profile_circuit
from fhecost.errors import FieldError
from fhecost.heads.head_quantization import SPARE, signed_bits
from fhecost.heads.layer import gelu, state_layer, state_model
from fhecost.heads.operators import ClearOperators
from fhecost.heads.stated import StatedMatrix, StatedShape, least_error_spread
from fhecost.models.shape import SHAPES
from fhecost.quantization import largest_integer

WIDTH, TOKENS, BITS, INNER = 8, 2, 3, 16
SHAPE = StatedShape(WIDTH, WIDTH // 2, 2, TOKENS, BITS)


def drawn(value, generator):
    """``value`` with integers drawn in the place of stated weights."""
    if isinstance(value, StatedMatrix):
        weights = np.rint(generator.normal(0, value.spread, value.shape))
        return np.clip(weights, -(2**BITS), 2**BITS).astype(np.int64)
    if isinstance(value, tuple):
        return tuple(drawn(part, generator) for part in value)
    if hasattr(value, "__dataclass_fields__"):
        parts = {name: getattr(value, name) for name in value.__dataclass_fields__}
        return replace(value, **{name: drawn(part, generator) for name, part in parts.items()})
    return value


def calibrated(layer, inputs):
    """``layer`` with accumulators of heads as wide as quantizing would make them."""
    seen = ClearOperators()
    for sentence in inputs:
        layer.run(sentence, seen)
    attention, most = layer.attention, seen.largest
    heads = tuple(
        replace(
            head,
            projection_bits=signed_bits(SPARE * most[f"head{index}.projection"]),
            score_bits=signed_bits(SPARE * most[f"head{index}.scores"]),
        )
        for index, head in enumerate(attention.heads.heads)
    )
    attended_bits = signed_bits(SPARE * max(most["head0.attended"], most["head1.attended"]))
    compact = replace(attention.heads, heads=heads)
    return replace(layer, attention=replace(attention, heads=compact, attended_bits=attended_bits))


def sentences(generator, count=64):
    bits = BITS + 2
    values = np.rint(generator.normal(0, least_error_spread(bits), (count, TOKENS, WIDTH)))
    return np.clip(values, -largest_integer(bits), largest_integer(bits)).astype(np.int64)


def real_norm(hidden):
    return (hidden - hidden.mean(-1, keepdims=True)) / hidden.std(-1, keepdims=True)


def test_its_layer_norm_normalizes():
    """On integers, up to what so few of them can say."""
    generator = np.random.default_rng(0)
    norm = state_layer(StatedShape(64, 32, 2, TOKENS, 6), 64).heads.norm1
    bits = 8
    hidden = generator.normal(3, least_error_spread(bits), (40, 64))
    hidden = np.clip(np.rint(hidden), -largest_integer(bits), largest_integer(bits)).astype(int)
    given = norm.run(hidden, ClearOperators(), "norm")
    for row, wanted in zip(given, real_norm(hidden), strict=True):
        assert np.corrcoef(row, wanted)[0, 1] > 0.97


def test_its_activation_is_gelu():
    values = np.linspace(-4, 4, 9)
    published = [-0.0001, -0.0036, -0.0454, -0.1588, 0.0, 0.8412, 1.9546, 2.9964, 3.9999]
    assert gelu(values) == pytest.approx(published, abs=1e-4)


def test_every_part_of_it_counts():
    """No update of the residual stream is zero: the compiler would leave its part out."""
    generator = np.random.default_rng(1)
    layer = drawn(state_layer(SHAPE, INNER).heads, generator)
    seen = ClearOperators()
    for sentence in sentences(generator):
        layer.run(sentence, seen)
    assert min(seen.largest[name] for name in ("attention", "mlp", "mlp.up")) > 0


def test_layers_alike_are_written_down_once_and_counted_each():
    entering = Stated.symmetric((TOKENS, WIDTH), largest_integer(BITS + 2), 5.0)
    model = state_model(SHAPE, INNER, layers=3, vocabulary=50).heads
    alike = plan_of(model.run, entering)
    # Distinct objects are written down one by one.
    apart = plan_of(replace(model, layers=tuple(map(replace, model.layers))).run, entering)
    assert len(alike.wires) < len(apart.wires) / 2
    assert pbs_by_stage(alike) == pbs_by_stage(apart)
    assert alike.output.integers == 50
    layer = plan_of(model.layers[0].run, entering)
    assert alike.stages["mlp.gelu"].depth == 3 * layer.stages["mlp.gelu"].depth
    assert alike.stages["norm.mean"].depth == layer.stages["norm1.mean"].depth


def pbs_by_stage(plan):
    counts = Counter()
    for lookup in partition(plan).lookups:
        counts[lookup.wire.stage] += lookup.wire.integers
    return counts


def test_a_compiled_layer_has_the_counts_of_its_plan():
    generator = np.random.default_rng(1)
    inputs = sentences(generator)
    layer = calibrated(drawn(state_layer(SHAPE, INNER).heads, generator), inputs)
    compiled = profile_circuit(compile_circuit(layer.run, list(inputs)))
    plan = plan_of(layer.run, Sampled(inputs))
    partitions = partition(plan)
    found = circuit_profile(
        plan, partitions, predict_sets("compact-attention", plan, partitions), name="layer"
    )
    assert counts(found) == counts(compiled)


def counts(profile):
    """All but KS: results that go to another key need none where both keys have one k and N.

    Which keys do is the optimizer's choice, and this layer is in no table of solved circuits.
    """
    return {
        stage.name: (
            stage.pbs_count,
            sorted((use.operation, use.count) for use in stage.linear),
            stage.depth,
            stage.parallel_width,
            set(stage.predecessors),
        )
        for stage in profile.stages
    }


def test_a_model_returns_its_logits_and_nothing_else():
    request = ShapeRequest(SHAPES["gpt2"], "model", 16, 4)
    model = profile_of_shape(request)
    (logits,) = (stage for stage in model.stages if stage.name == "logits")
    (dimension,) = {use.lwe_dimension for use in logits.linear}
    vocabulary = SHAPES["gpt2"].vocabulary
    assert model.output_bytes == vocabulary * ciphertext_bytes(dimension)
    assert logits.linear_count("clear_multiplication") == vocabulary * SHAPES["gpt2"].width
    assert {"norm.mean", "norm.inverse", "norm.requantize"} <= {s.name for s in model.stages}
    # A layer's output is its residual stream, under another key.
    layer = profile_of_shape(replace(request, scope="layer"))
    residual = next(stage for stage in layer.stages if stage.name == "mlp.residual")
    (dimension,) = {use.lwe_dimension for use in residual.linear}
    assert layer.output_bytes == 16 * SHAPES["gpt2"].width * ciphertext_bytes(dimension)


def test_a_cached_token_takes_keys_values_and_their_squares():
    request = ShapeRequest(SHAPES["gpt2"], "cached-token", 101, 4)
    shape, profile = request.shape, profile_of_shape(request)
    before = 100 * shape.layers
    ciphertexts = before * (3 * shape.width + shape.heads)
    sizes = {ciphertext_bytes(use.lwe_dimension) for s in profile.stages for use in s.linear}
    cached = profile.description.cached_bytes
    assert min(sizes) * ciphertexts <= cached <= max(sizes) * ciphertexts
    assert profile.input_bytes > cached


def test_some_heads_of_a_whole_attention_are_refused(run_fhecost):
    with pytest.raises(FieldError, match="heads: compact-attention needs all heads of a layer"):
        profile_of_shape(ShapeRequest(SHAPES["gpt2"], "head", 6, 4, "compact-attention", 1))
    ran = run_fhecost(
        "estimate", "--no-compile", "--model", "gpt2", "--variant", "compact-attention",
        "--heads", "0",
    )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stderr == "fhecost: --heads: compact-attention needs all heads of a layer\n"

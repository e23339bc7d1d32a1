"""A Llama's decoder layer: a circuit that Concrete compiles, with the counts of its plan."""

from dataclasses import replace

import numpy as np
import pytest

from fhecost.circuits.description import CircuitDescription
from fhecost.closed_form.circuit import predicted_profile
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.plan_operators import plan_of
from fhecost.concrete.compilation import compile_circuit
from fhecost.concrete.reader import profile_circuit
from fhecost.heads.head_quantization import SPARE, signed_bits
from fhecost.heads.layer import SILU_SIZE, Mlp, quarter_square, silu, state_layer
from fhecost.heads.operators import ClearOperators
from fhecost.heads.rotary import TurnedWeights
from fhecost.heads.stated import StatedMatrix, StatedShape, least_error_spread
from fhecost.quantization import largest_integer
from tests.test_closed_form import operations
from tests.test_layer import drawn

TOKENS, BITS, INNER = 2, 3, 8


def shape(width, heads, kv_heads):
    return StatedShape(
        width=width, dimension=width // heads, heads=heads, seq_len=TOKENS, n_bits=BITS,
        family="llama", of_layer=heads, kv_heads=kv_heads,
    )  # fmt: skip


def turned(matrix, rank, bits, generator):
    """Weights that turn in the place of stated ones."""
    rows = generator.normal(0, matrix.spread, (matrix.rows, 2 * rank))
    value = np.rint(generator.normal(0, matrix.spread, (matrix.rows, matrix.columns - 2 * rank)))
    return TurnedWeights(
        rows=rows,
        mean=np.zeros(2 * rank),
        frequencies=1.0 / (1 + np.arange(rank // 2)),
        of_query=np.eye(rank),
        of_key=np.eye(rank),
        scale=np.ones(2 * rank),
        largest=2**bits,
        value=np.clip(value, -(2**bits), 2**bits).astype(np.int64),
    )


def drawn_layer(of, generator):
    """A layer with drawn weights, its accumulators as wide as quantizing would make them."""
    layer = state_layer(of, INNER).heads
    heads = tuple(
        replace(head, weight=turned(head.weight, head.rank, of.n_bits, generator))
        for head in layer.attention.heads.heads
    )
    compact = replace(layer.attention.heads, heads=heads)
    assert compact.sharing == of.heads // of.kv_heads
    layer = drawn(replace(layer, attention=replace(layer.attention, heads=compact)), generator)
    inputs = sentences(of, generator)
    # As large as they are in a wide layer.
    mlp = layer.mlp
    mlp = replace(mlp, gate=3 * mlp.gate, up=3 * mlp.up, down=3 * mlp.down)
    layer = replace(layer, mlp=mlp)
    # What one sum is rounded to changes those after it.
    for _ in range(4):
        layer = fitted(layer, inputs)
    assert run_clear(layer, inputs).total_exceeded == 0
    return layer, inputs


def run_clear(layer, inputs):
    """What the layer's accumulators hold."""
    seen = ClearOperators()
    for sentence in inputs:
        layer.run(sentence, seen)
    return seen


def fitted(layer, inputs):
    """``layer`` with accumulators that hold what comes: those of heads with quantizing's reserve.

    So few values reach further than the stated widths of a real layer have it.
    """
    seen = run_clear(layer, inputs).largest

    def bits(name):
        return signed_bits(SPARE * max(most for each, most in seen.items() if each.endswith(name)))

    def widened(to, name):
        needed = signed_bits(seen[name]) if to.signed else int(seen[name]).bit_length()
        return replace(to, bits=max(to.bits, needed))

    def norm(of, name):
        parts = ("centre", "inverse", "product")
        return replace(of, **{p: widened(getattr(of, p), f"{name}.{p}") for p in parts})

    scores = [bits(each) for each in seen if each.endswith("scores")]
    heads = tuple(
        replace(head, projection_bits=bits("projection"), score_bits=score_bits)
        for head, score_bits in zip(layer.attention.heads.heads, scores, strict=True)
    )
    attention = replace(
        layer.attention,
        heads=replace(layer.attention.heads, heads=heads),
        attended_bits=bits("attended"),
    )
    mlp = layer.mlp
    return replace(
        layer,
        norm1=norm(layer.norm1, "norm1"),
        attention=attention,
        attended=widened(layer.attended, "attention"),
        norm2=norm(layer.norm2, "norm2"),
        mlp=replace(
            mlp,
            silu=widened(mlp.silu, "mlp.gate"),
            linear=widened(mlp.linear, "mlp.up"),
            product=widened(mlp.product, "mlp.product"),
        ),
        activated=widened(layer.activated, "mlp"),
        residual_bits=max(
            layer.residual_bits,
            *(signed_bits(seen[f"{name}.residual"]) for name in ("attention", "mlp")),
        ),
    )


def sentences(of, generator, count=64):
    bits = of.n_bits + 2
    size = (count, of.seq_len, of.width)
    values = np.rint(generator.normal(0, least_error_spread(bits), size))
    return np.clip(values, -largest_integer(bits), largest_integer(bits)).astype(np.int64)


@pytest.mark.slow
@pytest.mark.parametrize(("heads", "kv_heads"), [(2, 1), (2, 2), (4, 2)])
def test_a_compiled_layer_has_the_counts_of_its_closed_form(heads, kv_heads):
    """All counts of every stage, key switches too, since the parameter sets are solved."""
    layer, inputs = drawn_layer(shape(8, heads, kv_heads), np.random.default_rng(1))
    compiled = profile_circuit(compile_circuit(layer.run, list(inputs)))
    plan = plan_of(layer.run, Sampled(inputs))
    found = predicted_profile(plan, "layer", CircuitDescription(), solve=True)
    counted = {stage.name: operations(stage) for stage in found.stages}
    assert counted == {stage.name: operations(stage) for stage in compiled.stages}
    names = {stage.name for stage in compiled.stages}
    assert {"mlp.silu", "mlp.product", "norm1.inverse"} <= names
    assert "norm1.mean" not in names


def test_every_part_of_it_counts():
    """No update of the residual stream is zero: the compiler would leave its part out."""
    seen = run_clear(*drawn_layer(shape(8, 2, 1), np.random.default_rng(1)))
    assert min(seen.largest[name] for name in ("attention", "mlp", "mlp.gate", "mlp.up")) > 0


def test_its_norm_is_rms_norm():
    """On integers, up to what so few of them can say: the mean stays."""
    generator = np.random.default_rng(0)
    norm = state_layer(replace(shape(64, 2, 1), n_bits=6), 64).heads.norm1
    hidden = generator.normal(6, least_error_spread(8) / 2, (40, 64))
    hidden = np.clip(np.rint(hidden), -largest_integer(8), largest_integer(8)).astype(int)
    given = norm.run(hidden, ClearOperators(), "norm")
    wanted = hidden / np.sqrt((hidden**2).mean(-1, keepdims=True))
    scale = (given * wanted).sum() / (wanted**2).sum()
    assert np.sqrt(((given / scale - wanted) ** 2).mean()) < 0.15


def test_its_mlp_multiplies_what_the_gate_lets_by():
    generator = np.random.default_rng(2)
    of = replace(shape(64, 2, 1), n_bits=7)
    mlp = drawn(state_layer(of, 32).heads.mlp, generator)
    assert not isinstance(mlp, Mlp)
    spread = least_error_spread(8)
    values = np.clip(np.rint(generator.normal(0, spread, (200, 64))), -127, 127).astype(int)
    gate, up = values @ mlp.gate, values @ mlp.up
    # A sum's deviation fills its accumulator but for the reserve, and stands for one.
    unit = 2 ** (mlp.silu.bits - 1) / (SPARE * 4.5)
    wanted = silu(gate / unit) * (up / unit)

    class Inner(ClearOperators):
        def accumulator(self, name, values, bits, kept_bits=None, signed=True, exact=True):
            if name == "mlp.product":
                self.product = values
            return super().accumulator(name, values, bits, kept_bits, signed, exact)

    operators = Inner()
    mlp.run(values, operators)
    assert np.corrcoef(operators.product.ravel(), wanted.ravel())[0, 1] > 0.98


def test_quarter_squares_multiply_exactly():
    a, b = np.meshgrid(np.arange(-15, 16), np.arange(-15, 16))
    assert np.array_equal(quarter_square(a + b) - quarter_square(a - b), a * b)


def test_silu_is_the_published_one():
    drawn_values = np.random.default_rng(0).normal(size=200_000)
    assert np.sqrt((silu(drawn_values) ** 2).mean()) == pytest.approx(SILU_SIZE, abs=2e-3)
    values = np.array([-4.0, -1.0, 0.0, 1.0, 4.0])
    published = [-0.0719, -0.2689, 0.0, 0.7311, 3.9281]
    assert silu(values) == pytest.approx(published, abs=1e-4)


def test_shared_keys_and_values_are_those_of_each_head():
    """Heads with one key and one value give the same whether these are made once or twice."""
    layer, inputs = drawn_layer(shape(8, 4, 2), np.random.default_rng(3))
    heads = layer.attention.heads
    copied = tuple(
        replace(
            head,
            weight=replace(
                head.weight,
                rows=np.concatenate(
                    (head.weight.rows[:, :2], heads.heads[index // 2 * 2].weight.rows[:, 2:]), 1
                ),
                value=heads.heads[index // 2 * 2].weight.value,
            ),
        )
        for index, head in enumerate(heads.heads)
    )
    shared = replace(layer.attention, heads=replace(heads, heads=copied))
    alone = replace(shared, heads=replace(shared.heads, sharing=1))
    for values in inputs[:10]:
        assert np.array_equal(*(one.run(values, ClearOperators()) for one in (shared, alone)))


def test_stated_weights_are_one_matrix_a_token():
    matrix = StatedMatrix(8, 6, 2.0, turns=True)
    assert matrix.shape == (8, 6)
    assert matrix.for_each(5).shape == (5, 8, 6)
    assert matrix.for_each(5)[:, :2].shape == (5, 8, 2)
    assert matrix.for_each(5).norm2 == matrix.norm2

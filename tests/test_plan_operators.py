"""Small programs: what is written down of each is what Concrete compiles it to."""

import numpy as np
import pytest

from fhecost.circuits.description import CircuitDescription
from fhecost.closed_form.circuit import predicted_profile
from fhecost.closed_form.held import Sampled, Stated
from fhecost.closed_form.plan_operators import plan_of
from fhecost.closed_form.scopes import ShapeRequest, plan_of_shape
from fhecost.concrete.compilation import compile_circuit
from fhecost.concrete.reader import profile_circuit
from fhecost.models.shape import SHAPES
from tests.test_closed_form import operations


def halved(values):
    return np.floor(values / 2.0)


def three(values):
    return np.minimum(values / 2.0, 0.0) + 3.0


def negative_sum(x, o):
    return o.lookup(np.sum(x, axis=-1), halved)


def negative_concatenation(x, o):
    return o.lookup(np.concatenate((x, x + 1), axis=-1), halved)


def sum_by_position(x, o):
    return o.lookup(np.sum(x, 0), halved)


def constant_row(x, o):
    return o.lookup(x[:, :1] + np.arange(3), halved)


def exceeded_hint(x, o):
    """The accumulator has 3 bits for sums that need 5: rounding drops what was asked for."""
    return o.lookup(o.accumulator("sum", np.sum(x, axis=1) - 3, 3, 2), halved)


def exceeded_hint_alone(x, o):
    """So does a lookup without rounding: it reads 3 bits, and gives nonsense."""
    sums = o.narrow(np.sum(x, axis=1) - 3, 3)
    return o.lookup(sums, halved) + o.lookup(sums, three)


def few_of_many_bits(x, o):
    """Sums of 6 bits where 8 of 9 are kept, looked up twice."""
    sums = o.accumulator("sum", np.sum(x, axis=1) - 10, 9, 8)
    return o.lookup(sums, halved) + o.lookup(sums, lambda v: v // 4.0)


def few_of_many_bits_above_zero(x, o):
    sums = o.accumulator("sum", np.sum(x, axis=1), 10, 7, signed=False)
    return o.lookup(sums, halved)


def hardly_negative(x, o):
    """Rounding leaves no negative value."""
    return o.lookup(o.accumulator("sum", np.sum(x, axis=1) - 1, 6, 3), halved)


def two_tables_of_a_constant(x, o):
    constant = o.lookup(x, three)
    return o.lookup(constant, halved) + o.lookup(constant, lambda v: v * 0.5 + 1.0) + x


def products_of_a_constant(x, o):
    constant = o.lookup(x, three)
    return constant * constant + (constant @ constant) + x


def wide_constant(x, o):
    sums = np.sum(x, axis=1)
    return o.lookup(sums * sums, three) + o.lookup(sums, halved)


def known_after_rounding(x, o):
    rounded = o.accumulator("sum", np.sum(x, axis=1), 7, 4, signed=False)
    return o.lookup(o.within(rounded, 0, 24), halved)


PROGRAMS = [
    negative_sum, negative_concatenation, sum_by_position, constant_row, exceeded_hint,
    two_tables_of_a_constant, products_of_a_constant, wide_constant, known_after_rounding,
    exceeded_hint_alone, few_of_many_bits, few_of_many_bits_above_zero, hardly_negative,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_plan_has_the_lookups_of_what_is_compiled(program):
    sentences = np.random.default_rng(0).integers(0, 8, (40, 3, 3))
    sentences[0], sentences[1] = 0, 7

    def run(values, operators):
        with operators.tag("all"):
            return program(values, operators)

    compiled = profile_circuit(compile_circuit(run, list(sentences)))
    plan = plan_of(run, Sampled(sentences))
    found = predicted_profile(plan, "program", CircuitDescription(), solve=True)
    assert counts(found) == counts(compiled)
    assert found.pbs_count == compiled.pbs_count


def counts(profile):
    """By stage, the operations that there are."""
    (stage,) = profile.stages
    return {name: count for name, count in operations(stage)["linear"].items() if count}


def test_what_is_stated_has_the_shape_of_what_is_seen():
    stated = Stated.symmetric((3, 4), 7, 2.0)
    for run, size in (
        (lambda x, o: np.sum(x, axis=-1), 3),
        (lambda x, o: x[:, :1] + np.arange(4), 12),
        (lambda x, o: np.concatenate((x, x), axis=-1), 24),
        (lambda x, o: np.transpose(x), 12),
    ):
        seen = Sampled(np.zeros((5, 3, 4), dtype=np.int64))
        assert plan_of(run, stated).output.size == plan_of(run, seen).output.size == size


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda x, o: o.accumulator("a", x, 7, 4)[:1] + 1, "a rounding must come right before"),
        (lambda x, o: o.rounded(x, 2) + 1, "a rounding must come right before"),
        (lambda x, o: np.sum(x), "may not use sum on encrypted tensors so"),
        (lambda x, o: np.transpose(x, (1, 0)), "may not use transpose on encrypted tensors so"),
    ],
)
def test_what_would_be_counted_wrong_is_refused(run, message):
    with pytest.raises(TypeError, match=message):
        plan_of(run, Sampled(np.ones((4, 3, 3), dtype=np.int64)))


@pytest.mark.parametrize("seq_len", [12, 64])
def test_what_is_known_of_a_sum_sets_its_width(seq_len):
    """All exponentials of a row may be the largest, 7 at 4 bits."""
    plan = plan_of_shape(ShapeRequest(SHAPES["gpt2"], "head", seq_len, 4, "reference"))
    lookups = (wire for wire in plan.wires if wire.kind == "lookup")
    (inverse,) = (wire for wire in lookups if wire.stage == "softmax.inverse")
    read = plan.wires[inverse.sources[0]]
    assert (read.range.low, read.range.high) == (7, 7 * seq_len)
    assert read.width == (7 * seq_len).bit_length()

"""A head is one file and one line: what everything else makes of a variant it has never seen."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import fhecost
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.partitions import partition
from fhecost.closed_form.plan_operators import plan_of
from fhecost.concrete.compilation import compile_circuit
from fhecost.concrete.reader import profile_circuit
from fhecost.errors import FieldError, ImpossibleError
from fhecost.heads import variants
from fhecost.heads.operators import ClearOperators
from fhecost.heads.saved import load_heads, save_heads
from tests import toy_variant

MACHINES = ["epyc-zen4-2", "h100", "strix"]


@pytest.fixture(autouse=True)
def _registry_as_it_was():
    before = dict(variants._VARIANTS)
    yield
    variants._VARIANTS.clear()
    variants._VARIANTS.update(before)


@pytest.fixture
def toy():
    variants.register(toy_variant.VARIANT)
    return fhecost.HeadRequest(heads=(0, 2), seq_len=3, bits=3, variant="toy")


@pytest.fixture
def compiled(toy):
    return fhecost.compile_heads(toy)


def counts(profile):
    return {
        stage.name: (
            stage.pbs_count,
            stage.key_switch_count,
            sorted((use.operation, use.count) for use in stage.linear),
            stage.depth,
            stage.parallel_width,
            set(stage.predecessors),
        )
        for stage in profile.stages
    }


def test_its_circuit_computes_its_clear_result(compiled):
    sentence = compiled.inputset[-1]
    clear = compiled.heads.run(sentence, ClearOperators())
    assert clear.shape == (3, 2 * 64)
    assert np.any(clear)
    assert np.array_equal(compiled.circuit.graph(sentence), clear)


def test_its_closed_form_has_the_counts_of_its_circuit(toy):
    circuit = fhecost.profile_heads(toy, use_cache=False)
    predicted = fhecost.find_circuit(fhecost.PredictedHeads(toy))
    assert circuit.pbs_count > 0
    assert counts(predicted) == counts(circuit)
    assert predicted.description.widths == "calibrated"
    assert predicted.description.variant == "toy"
    assert predicted.description.heads == circuit.description.heads == (0, 2)


def test_its_stated_widths_give_a_circuit_of_any_shape(toy):
    shape = fhecost.ShapeRequest(fhecost.find_shape("gpt2"), "head", 100, 3, "toy", heads=2)
    stated = fhecost.find_circuit(fhecost.PredictedShape(shape))
    rounded = next(stage for stage in stated.stages if stage.name == "head0.value.requantize")
    # A lookup a value, and one on a bit for each bit that rounding drops.
    assert rounded.pbs_count == 100 * 64 * rounded.depth
    assert stated.description.widths == "stated"
    assert stated.pbs_count == 2 * rounded.pbs_count


def test_it_is_estimated_judged_and_reported(toy, tmp_path):
    report = fhecost.estimate_circuit(fhecost.PredictedHeads(toy), MACHINES)
    assert [made.hardware for made in report.estimates] == MACHINES
    accuracy = fhecost.measure_accuracy(heads=[0], bits=[4], seq_lens=[6], variant="toy")
    (row,) = accuracy.rows
    assert row.variant == "toy"
    # A plain mean is no attention, but the rest of the model still speaks.
    assert 0.2 < row.top1 < 1
    full = fhecost.make_report(fhecost.PredictedHeads(toy), MACHINES, lengths=[3, 6])
    assert full.projection is not None
    assert full.projection.description.variant == "toy"
    page = tmp_path / "report.html"
    fhecost.write_report(full, page)
    assert "Toy heads of embedded" in page.read_text()


def test_its_heads_are_saved_and_loaded(compiled, tmp_path):
    path = tmp_path / "heads.json"
    save_heads(compiled.heads, path, {})
    loaded = load_heads(path, {})
    sentence = compiled.inputset[0]
    assert np.array_equal(
        loaded.run(sentence, ClearOperators()), compiled.heads.run(sentence, ClearOperators())
    )


def test_without_stated_widths_a_shape_alone_is_refused(toy):
    variants._VARIANTS["toy"] = replace(toy_variant.VARIANT, state=None)
    assert fhecost.find_circuit(fhecost.PredictedHeads(toy)).pbs_count > 0
    request = fhecost.ShapeRequest(fhecost.find_shape("gpt2"), "head", 6, 3, "toy")
    with pytest.raises(FieldError) as caught:
        fhecost.find_circuit(fhecost.PredictedShape(request))
    assert str(caught.value) == (
        "variant toy: has no stated widths: it takes a model whose weights are at hand"
    )


def test_a_half_registered_variant_raises():
    @dataclass(frozen=True)
    class WithoutRun:
        n_bits: int
        projected = False

        def quantize_input(self, hidden):
            return hidden

    with pytest.raises(TypeError, match="variant half: WithoutRun has no saturated, run, rules"):
        variants.register(replace(toy_variant.VARIANT, name="half", heads=WithoutRun))
    with pytest.raises(TypeError, match="variant half: quantize and state must be functions"):
        variants.register(replace(toy_variant.VARIANT, name="half", quantize=None))
    with pytest.raises(TypeError, match="variant half: object is no data class"):
        variants.register(replace(toy_variant.VARIANT, name="half", parts=(object,)))
    with pytest.raises(ValueError, match="variant compact: there is one of that name"):
        variants.register(replace(toy_variant.VARIANT, name="compact"))
    assert "half" not in variants.VARIANTS


def test_what_a_run_may_not_use_is_named():
    class Wrong:
        def run(self, values, operators):
            return np.sort(values)

    with pytest.raises(TypeError, match="a head's run may not use sort on encrypted tensors"):
        plan_of(Wrong().run, Sampled(np.ones((4, 2, 2), dtype=np.int64)))


class Constant:
    """A lookup that gives the same whatever it reads: Concrete computes nothing for it."""

    def run(self, values, operators):
        with operators.tag("real"):
            real = operators.lookup(values, lambda v: v / 2)
        with operators.tag("constant"):
            constant = operators.lookup(values * values, lambda v: np.minimum(v / 2, 0.0) + 3.0)
        with operators.tag("sum"):
            return real + constant


def test_constants_cost_what_the_compiler_leaves_of_them():
    sentences = np.random.default_rng(0).integers(0, 8, (32, 3))
    plan = plan_of(Constant().run, Sampled(sentences))
    circuit = profile_circuit(compile_circuit(Constant().run, list(sentences)))
    looked_up = {lookup.wire.stage for lookup in partition(plan).lookups}
    assert looked_up == {stage.name for stage in circuit.stages if stage.pbs_count} == {"real"}


def test_a_name_is_one_that_an_option_can_have():
    for name in ("", "a b", "Toy"):
        with pytest.raises(ValueError, match="a name has small letters, digits and dashes"):
            variants.register(replace(toy_variant.VARIANT, name=name))


def test_heads_that_could_not_be_loaded_are_not_saved(compiled, tmp_path):
    variants._VARIANTS["toy"] = replace(toy_variant.VARIANT, parts=())
    path = tmp_path / "heads.json"
    with pytest.raises(ImpossibleError, match="ToyHead is no part of a registered variant"):
        save_heads(compiled.heads, path, {})
    assert not path.exists()

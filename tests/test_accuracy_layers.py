"""Accuracy of heads in any layers of a small Llama, held to whole passes through transformers."""

import numpy as np
import pytest

from fhecost.accuracy.judge import Setting
from fhecost.accuracy.records import load_accuracy
from fhecost.accuracy.sweep import evaluation_sentences, judged_sentences, measure_accuracy
from fhecost.errors import FieldError
from fhecost.gpt2 import attention_interface
from fhecost.gpt2.model import calibration_windows, load_gpt2, sentence_windows
from fhecost.gpt2.some_layers import Entering, logits_of
from fhecost.heads.operators import ClearOperators
from fhecost.heads.variants import variant_named
from fhecost.report.accuracy_document import accuracy_document
from fhecost.report.render import RENDERERS
from tests.llama_folders import write_llama

torch = pytest.importorskip("torch", reason="needs the extra [gpt2]")
pytest.importorskip("transformers", reason="needs the extra [gpt2]")

SEQ_LEN, SENTENCES, BITS = 6, 3, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    # What a head does has to show in the logits of random weights.
    return write_llama(tmp_path_factory.mktemp("small"), "llama", intermediate_size=16)


@pytest.fixture(scope="module")
def gpt2(folder):
    return load_gpt2(folder)


@pytest.fixture(scope="module")
def tokens(gpt2):
    return np.array(sentence_windows(gpt2, evaluation_sentences()[:SENTENCES], SEQ_LEN))


def whole_pass(gpt2, tokens):
    with torch.no_grad():
        return gpt2.model(torch.tensor(tokens), use_cache=False).logits


@pytest.mark.parametrize(("first", "layer"), [(0, 0), (0, 2), (1, 2), (2, 2)])
def test_a_pass_goes_on_from_any_layer(gpt2, tokens, first, layer):
    entering = Entering(tokens).through(gpt2, first).through(gpt2, layer)
    assert np.array_equal(entering.normalized(gpt2), gpt2.hidden_states(tokens.tolist(), layer))
    logits = logits_of(gpt2, entering.final(gpt2))
    assert np.allclose(logits, whole_pass(gpt2, tokens).numpy(), atol=1e-6)
    assert len(gpt2.model.model.layers) == gpt2.shape.layers


@pytest.mark.parametrize("layers", [(2,), (0, 1), (0, 2), (0, 1, 2)])
def test_rows_are_what_whole_passes_through_quantized_layers_give(folder, gpt2, tokens, layers):
    """Each layer calibrated on what those before it hand on, in a model that is never cut."""
    (row,) = measure_accuracy(
        str(folder),
        layers=[layers],
        heads=["all"],
        variant="compact",
        bits=[BITS],
        seq_lens=[SEQ_LEN],
        first=SENTENCES,
        processes=1,
    ).rows
    exact = whole_pass(gpt2, tokens)
    numbers = tuple(range(gpt2.shape.heads))
    try:
        for layer in layers:
            hidden = gpt2.hidden_states(calibration_windows(gpt2, SEQ_LEN), layer)
            floats = [gpt2.head(layer, head) for head in numbers]
            heads = variant_named("compact").quantize(floats, hidden, BITS)

            def replace(states, heads=heads):
                return heads.dequantize_output(
                    heads.run(heads.quantize_input(states), ClearOperators())
                )

            attention_interface.install(gpt2.model, layer, numbers, replace)
        logits = whole_pass(gpt2, tokens)
    finally:
        for layer in layers:
            attention_interface.remove(gpt2.model, layer)
    kept = (logits.argmax(-1) == exact.argmax(-1)).double().mean()
    assert row.layers == (
        None if len(layers) == 1 else Setting(0, (), 4, 6, "disable", "", layers).layers_text
    )
    assert (row.sentences, row.positions) == (SENTENCES, tokens.size)
    assert row.top1 == pytest.approx(float(kept))
    assert row.logit_rmse == pytest.approx(float((logits - exact).square().mean().sqrt()), rel=1e-4)
    assert row.logit_rmse_low < row.logit_rmse < row.logit_rmse_high
    losses = [
        torch.nn.functional.cross_entropy(
            one[:, :-1].reshape(-1, one.shape[-1]), torch.tensor(tokens)[:, 1:].reshape(-1)
        )
        for one in (exact, logits)
    ]
    assert row.float_perplexity == pytest.approx(float(losses[0].exp()), rel=1e-5)
    assert row.quantized_perplexity == pytest.approx(float(losses[1].exp()), rel=1e-5)
    assert row.perplexity_ratio_low < row.perplexity_ratio < row.perplexity_ratio_high


def test_more_quantized_layers_go_on_from_fewer(folder):
    """The same rows together as one by one."""
    asked = {"heads": [0], "bits": [3], "seq_lens": [SEQ_LEN], "first": 2, "processes": 1}
    together = measure_accuracy(str(folder), layers=[(0,), (0, 1), (0, 1, 2)], **asked)
    alone = measure_accuracy(str(folder), layers=[(0, 1, 2)], **asked)
    assert [row.layers for row in together.rows] == [None, "0, 1", "0..2"]
    assert together.rows[-1] == alone.rows[0]


def test_a_sweep_takes_the_layers_that_are_named(folder):
    report = measure_accuracy(
        str(folder), sweep_heads=True, layers=[(2,), (0,)], bits=[3], seq_lens=[4], first=1
    )
    assert [(row.layer, row.heads) for row in report.rows] == [
        (layer, str(head)) for layer in (0, 2) for head in range(6)
    ]
    assert report.sentences == "the first 1 of fhecost's evaluation sentences"
    # Of one sentence nothing is known of how sentences differ.
    assert {row.logit_rmse_low for row in report.rows} == {None}


def test_rows_of_a_variant_that_counts_no_sums_are_read_back(folder, tmp_path):
    report = measure_accuracy(
        str(folder), heads=[0], bits=[4], seq_lens=[4], first=1, variant="reference", processes=1
    )
    assert report.rows[0].exceeded is None
    path = tmp_path / "rows.json"
    path.write_text(RENDERERS["json"](accuracy_document(report)))
    assert load_accuracy(path) == report


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"layers": [(0, 3)]}, "layers: the model has layers 0 to 2"),
        ({"layers": [(1, 1)]}, "layers: name at least one, and none twice"),
        (
            {"layers": [(0, 1)], "mode": "simulate"},
            "layers: only one at a time is simulated; mode disable takes several",
        ),
        ({"first": 101}, "first: must be from 1 to 100, the sentences that there are"),
    ],
)
def test_what_cant_be_is_refused(folder, asked, message):
    field, _, said = message.partition(": ")
    with pytest.raises(FieldError) as caught:
        measure_accuracy(str(folder), heads=["all"], bits=[3], seq_lens=[4], **asked)
    assert (caught.value.field, caught.value.message) == (field, said)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layers", "3..1"), "--layers 3..1: must be FIRST..LAST, as in 0..9"),
        (("--layers", "0..9"), "--layers 4: the model has layers 0 to 3"),
        (("--layers", "0", "--layer", "1"), "--layer: --layers names them; leave it out"),
    ],
)
def test_bad_options_are_one_line(run_fhecost, arguments, message):
    finished = run_fhecost("accuracy", *arguments)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1


def test_the_first_of_some_sentences():
    some = judged_sentences(["one", "two", "three"], 2)
    assert some.lines == ("one", "two")

"""GPT-2 with quantized heads: float agreement, batches, circuits bit for bit, and errors."""

from contextlib import nullcontext

import numpy as np
import pytest

from fhecost.accuracy.sweep import evaluation_sentences
from fhecost.concrete.compilation import _reason
from fhecost.errors import UsageError
from fhecost.gpt2 import attention_interface
from fhecost.gpt2.hybrid import MultiHeadsQGPT2Model, SingleHeadQGPT2Model
from fhecost.gpt2.model import find_model, load_gpt2
from fhecost.heads.operators import ClearOperators
from fhecost.heads.variants import VARIANTS

torch = pytest.importorskip("torch", reason="needs the extra [gpt2]")

SENTENCES = ("The bell rang twice that night.", "Nobody on the ship slept.", "A letter had come.")
FLOAT32 = 1e-4
"""Logits may differ so much when float32 sums are made in another order; one integer more or less
in a quantized head changes them by about 1e-2."""
NEARLY_SURE = 2.0**-40
"""Of all lookups of a circuit, the probability that one goes wrong in a simulation."""
MANY_NEARLY_SURE = 2.0**-35
"""The same where there are so many lookups that Concrete has no parameters for less."""


def quantized(layer=0, variant="compact", heads=None, **options):
    """A model of its own for each test: heads are replaced in place."""
    return MultiHeadsQGPT2Model.from_pretrained(
        layer=layer, variant=variant, heads=heads, calibration_length=12, **options
    )


def float_model():
    return load_gpt2(find_model("embedded")).model


def logits(model, rows, **options):
    """Logits as numpy, shape (B, L, vocabulary)."""
    with torch.no_grad():
        return model(torch.tensor(rows), use_cache=False, **options).logits.numpy()


@pytest.fixture(scope="module")
def ids():
    tokenizer = load_gpt2(find_model("embedded")).tokenizer
    return [tokenizer(sentence)["input_ids"] for sentence in SENTENCES]


def padded(ids, side):
    """A batch with its attention mask and the positions of real tokens, each of shape (B, L)."""
    length = max(map(len, ids))
    rows, mask = [], []
    for sentence in ids:
        pad, real = [0] * (length - len(sentence)), [1] * len(sentence)
        rows.append(pad + sentence if side == "left" else sentence + pad)
        mask.append([0] * len(pad) + real if side == "left" else real + [0] * len(pad))
    positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    return rows, {"attention_mask": torch.tensor(mask), "position_ids": torch.from_numpy(positions)}


@pytest.mark.parametrize("layer", [0, 3])
def test_in_floating_point_it_is_the_float_model(ids, layer):
    model = quantized(layer)
    rows, masks = padded(ids, "left")
    real = masks["attention_mask"].numpy() == 1
    with attention_interface.floating_point(model.model):
        ours = logits(model, rows, **masks)
    theirs = logits(float_model(), rows, **masks)
    assert np.abs(ours - theirs)[real].max() < FLOAT32
    assert np.abs(logits(model, rows, **masks) - theirs)[real].max() > 0.01


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("variant", "heads"), [("compact", (0, 2)), ("reference", (1,)), ("compact-attention", None)]
)
def test_padding_changes_nothing_at_real_tokens(ids, variant, heads, side):
    model = quantized(variant=variant, heads=heads)
    rows, masks = padded(ids, side)
    batch = logits(model, rows, **masks)
    for row, sentence in enumerate(ids):
        real = masks["attention_mask"][row].numpy() == 1
        alone = logits(model, [sentence])[0]
        assert np.abs(batch[row, real] - alone).max() < FLOAT32


@pytest.mark.parametrize("floating", [False, True])
def test_a_hole_in_the_mask_is_a_token_less(ids, floating):
    """The tokens around the hole keep their positions, so position 2 is left out."""
    model, sentence = quantized(), ids[0]
    mask, positions = torch.ones(1, len(sentence), dtype=torch.long), torch.arange(len(sentence))
    mask[0, 2] = 0
    rest = mask[0] == 1
    kept = [token for token, stays in zip(sentence, rest, strict=True) if stays]
    with attention_interface.floating_point(model.model) if floating else nullcontext():
        with_hole = logits(model, [sentence], attention_mask=mask, position_ids=positions[None])
    alone = logits(
        float_model() if floating else model,
        [kept],
        # Without a mask, transformers takes the gap for the start of another sentence.
        attention_mask=torch.ones(1, len(kept), dtype=torch.long),
        position_ids=positions[rest][None],
    )
    assert np.abs(with_hole[0, rest] - alone[0]).max() < FLOAT32


def test_a_row_of_padding_alone_disturbs_no_other(ids):
    model, sentence = quantized(heads=(0,)), ids[0]
    mask = torch.tensor([[1] * len(sentence), [0] * len(sentence)])
    batch = logits(model, [sentence, sentence], attention_mask=mask)
    assert np.abs(batch[0] - logits(model, [sentence])[0]).max() < FLOAT32


def test_it_generates_batches_like_single_sentences(ids):
    model = quantized()
    rows, masks = padded(ids, "left")
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    batch = model.generate(torch.tensor(rows), attention_mask=masks["attention_mask"], **options)
    for row, sentence in zip(batch, ids, strict=True):
        alone = model.generate(torch.tensor([sentence]), **options)[0]
        assert len(alone) == len(sentence) + 4
        assert row[-len(alone) :].tolist() == alone.tolist()


@pytest.mark.parametrize("variant", ["compact", "compact-attention"])
def test_to_float_gives_the_float_model_back(ids, variant):
    model, fresh = quantized(variant=variant), float_model()
    changed = logits(model, ids[:1])
    floats = model.to_float()
    assert model.to_float() is floats
    exact = logits(fresh, ids[:1])
    assert np.array_equal(logits(floats, ids[:1]), exact)
    assert not np.array_equal(changed, exact)
    assert floats.config._attn_implementation == fresh.config._attn_implementation
    assert floats.config.use_cache == fresh.config.use_cache
    prompt, options = torch.tensor(ids[:1]), {"max_new_tokens": 3, "do_sample": False}
    assert floats.generate(prompt, **options).tolist() == fresh.generate(prompt, **options).tolist()


def test_two_models_dont_disturb_each_other(ids):
    one, other = quantized(0, heads=(0, 1)), quantized(1, "compact-attention")
    before = logits(one, ids[:1]), logits(other, ids[:1])
    assert np.array_equal(logits(one, ids[:1]), before[0])
    assert one.usage.sentences == 2
    assert other.usage.sentences == 1
    one.to_float()
    assert np.array_equal(logits(other, ids[:1]), before[1])


def test_two_layers_of_one_model_can_be_quantized(ids):
    gpt2 = load_gpt2(find_model("embedded"))
    first = MultiHeadsQGPT2Model(gpt2, layer=0, heads=(0,), calibration_length=12)
    second = MultiHeadsQGPT2Model(gpt2, layer=2, heads=(1,), calibration_length=12)
    assert first.usage.sentences == 0  # calibrating the other one is no use of this one
    alone = quantized(2, heads=(1,))
    logits(first, ids[:1])
    assert (first.usage.sentences, second.usage.sentences) == (1, 1)
    first.to_float()
    assert np.array_equal(logits(second, ids[:1]), logits(alone, ids[:1]))
    assert np.array_equal(logits(second.to_float(), ids[:1]), logits(float_model(), ids[:1]))


def test_a_layer_is_quantized_once(ids):
    gpt2 = load_gpt2(find_model("embedded"))
    MultiHeadsQGPT2Model(gpt2, layer=1, heads=(0,), calibration_length=12)
    with pytest.raises(UsageError, match="layer 1 of this model has quantized heads already"):
        MultiHeadsQGPT2Model(gpt2, layer=1, heads=(1,), calibration_length=12)


@pytest.fixture(scope="module")
def not_compiled():
    return quantized(heads=(0,))


def test_a_cache_is_refused(not_compiled, ids):
    with pytest.raises(UsageError, match="run the model with use_cache=False"):
        not_compiled.generate(torch.tensor(ids[:1]), use_cache=True, max_new_tokens=2)
    cache = float_model()(torch.tensor(ids[:1]), use_cache=True).past_key_values
    with pytest.raises(UsageError, match="without past_key_values"):
        not_compiled(torch.tensor([[5]]), past_key_values=cache)


def test_sentences_beyond_the_context_are_refused(not_compiled):
    with pytest.raises(UsageError, match="257 tokens, more than the model's context of 256"):
        not_compiled(torch.zeros(1, 257, dtype=torch.long))
    with pytest.raises(UsageError, match="must be from 2 to 256, the model's context"):
        not_compiled.compile(torch.zeros(1, 257, dtype=torch.long))


def test_several_sentences_in_a_row_are_refused(not_compiled, ids):
    positions = torch.tensor([[*range(len(ids[0])), *range(len(ids[1]))]])
    with pytest.raises(UsageError, match="give each sentence a row of its own"):
        not_compiled(torch.tensor([ids[0] + ids[1]]), position_ids=positions)


@pytest.mark.parametrize("mode", ["simulate", "execute"])
def test_a_mode_needs_a_circuit(not_compiled, mode):
    with pytest.raises(UsageError, match=f"FHE mode '{mode}': compile the model first"):
        not_compiled.set_fhe_mode(mode)
    with pytest.raises(UsageError, match="compile the model first"):
        not_compiled.profile()


def test_an_unknown_mode_is_refused(not_compiled):
    with pytest.raises(UsageError, match="'fast': must be disable, simulate, execute"):
        not_compiled.set_fhe_mode("fast")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": (4,)}, "heads 4: the layer has heads 0 to 3"),
        ({"heads": ()}, "heads: name at least one"),
        ({"heads": (1, 1)}, "heads: the same head is named twice"),
        ({"layer": 4}, "layer 4: the model has layers 0 to 3"),
        ({"n_bits": 1}, "bits 1: must be from 2 to 8"),
        ({"variant": "best"}, "variant best: unknown"),
        ({"variant": "compact-attention", "heads": (0,)}, "needs all heads of a layer"),
        ({"calibration_length": 1}, "must be from 2 to 256"),
    ],
)
def test_what_the_model_hasnt_got_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        MultiHeadsQGPT2Model.from_pretrained(**options)


def test_a_model_that_is_no_gpt2_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match="model_type: must be gpt2, llama, mistral or qwen2"):
        MultiHeadsQGPT2Model.from_pretrained(str(tmp_path))


def test_a_single_head_model_has_one_head():
    assert SingleHeadQGPT2Model.from_pretrained(calibration_length=4).heads == (0,)
    with pytest.raises(UsageError, match="a single-head model quantizes one head"):
        SingleHeadQGPT2Model.from_pretrained(heads=(0, 1))


def unseen(model, count, length):
    """The first tokens of sentences that no head is calibrated on."""
    rows = [model.gpt2.tokens(sentence) for sentence in evaluation_sentences()]
    return [row[:length] for row in rows if len(row) >= length][:count]


def integers(model, rows):
    """What the quantized heads return for each sentence, in the mode that is set."""
    with attention_interface.floating_point(model.model):
        hidden = model.gpt2.hidden_states(rows, model.layer)
    return [np.asarray(model._run(model.quantized.quantize_input(one))) for one in hidden]


@pytest.mark.parametrize(
    ("variant", "bits", "heads"),
    [
        *(("compact", 4, (head,)) for head in range(4)),
        ("compact", 4, (0, 1, 2, 3)),
        ("reference", 3, (0,)),
    ],
)
def test_simulated_circuits_are_the_clear_heads_bit_for_bit(variant, bits, heads):
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    model = MultiHeadsQGPT2Model.from_pretrained(
        n_bits=bits, heads=heads, variant=variant, calibration_length=4
    )
    rows = unseen(model, 3, 4)
    clear, clear_logits = integers(model, rows), logits(model, rows[:1])
    assert not model.usage.exceeded  # None where the variant counts none
    model.compile(rows, global_p_error=NEARLY_SURE if len(heads) == 1 else MANY_NEARLY_SURE)
    model.set_fhe_mode("simulate")
    for ours, theirs in zip(integers(model, rows), clear, strict=True):
        assert np.array_equal(ours, theirs)
        assert np.any(theirs != 0)
    assert np.array_equal(logits(model, rows[:1]), clear_logits)


def test_a_circuit_is_for_sentences_up_to_its_length_and_can_be_compiled_anew():
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    model = quantized(heads=(0,), n_bits=3)
    rows = unseen(model, 1, 3)
    model.compile(rows)
    assert model.usage.sentences == 0
    assert model.profile().description.seq_len == 3
    model.set_fhe_mode("simulate")
    longer = unseen(model, 1, 4)
    with pytest.raises(UsageError, match="has 4 tokens, the heads are compiled for 3; compile"):
        logits(model, longer)
    model.compile(longer, global_p_error=MANY_NEARLY_SURE, simulation_only=True)
    simulated = logits(model, longer), logits(model, [longer[0][:2]])
    with pytest.raises(UsageError, match="'execute': the model is compiled to be simulated only"):
        model.set_fhe_mode("execute")
    model.set_fhe_mode("disable")
    assert np.array_equal(simulated[0], logits(model, longer))
    assert np.array_equal(simulated[1], logits(model, [longer[0][:2]]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_token_sees_those_after_it(variant):
    """So that a sentence which is filled up gives in a longer circuit what it gives in its own."""
    model = quantized(heads="all", n_bits=4, variant=variant)
    (row,) = model.inputset(6)[:1]
    whole = model.quantized.run(row, ClearOperators())
    for length in (2, 5):
        filled = np.pad(row[:length], ((0, 6 - length), (0, 0)), mode="edge")
        ran = model.quantized.run(filled, ClearOperators())
        alone = model.quantized.run(row[:length], ClearOperators())
        same = [np.array_equal(one[:length], alone) for one in (ran, whole)]
        assert same == [VARIANTS[variant].any_length] * 2


def test_a_failure_without_a_reason_is_said_in_a_line():
    """Concrete's optimizer fails so at 2^-40 for all four heads and 4 tokens."""
    (line,) = _reason(RuntimeError("")).splitlines()
    assert "a larger global_p_error may help" in line


@pytest.mark.slow
def test_encrypted_heads_are_the_clear_ones_bit_for_bit():
    """Two heads at L=3 and 3 bits, with real keys and ciphertexts."""
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    model = quantized(heads=(0, 2), n_bits=3)
    rows = unseen(model, 1, 3)
    clear = integers(model, rows)
    model.compile(rows)
    model.set_fhe_mode("execute")
    assert np.array_equal(integers(model, rows)[0], clear[0])

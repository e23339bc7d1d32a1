"""Greedy generation with quantized heads, beside the float model's own, and what each token costs.

A token more is a sequence one longer, and a circuit of its own: nothing of the encrypted part is
kept from token to token, so each takes the heads over the whole sequence. What that costs is told
by closed form, or by the compiled circuit where the heads really run. A simulation compiles once,
for the longest sequence: no token sees those after it, so shorter ones give the same in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from fhecost.circuits.description import FheMode
from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.requests import predict_lengths
from fhecost.errors import FieldError, ImpossibleError, UsageError
from fhecost.files import AnyPath
from fhecost.frozen import Frozen
from fhecost.gpt2 import attention_interface
from fhecost.gpt2.hybrid import MultiHeadsQGPT2Model
from fhecost.gpt2.model import GPT2, check_layer, find_model, fingerprint, load_gpt2, model_shape
from fhecost.hardware.estimate import Refusal
from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.library import HardwareNames, load_hardware
from fhecost.hardware.names import DEFAULT
from fhecost.hardware.profile import HardwareProfile
from fhecost.heads.variants import variant_named
from fhecost.models.shape import EMBEDDED, Heads
from fhecost.progress import Progress, silent
from fhecost.quantization import check_bits
from fhecost.version import VERSION

LEAST_LENGTH = 2
"""Tokens of the shortest circuit."""

_Price = dict[str, Any]
"""Fields of a :class:`GeneratedToken` that say what it costs."""


class Token(Frozen):
    """A token and the text that it adds; a part of a character adds none until the rest is there.

    Texts, put together, are the whole continuation.
    """

    token_id: int
    text: str


class TokenEstimate(Frozen):
    """How long one machine takes for the encrypted heads of one token."""

    hardware: str
    latency_s: float
    low_s: float
    high_s: float


class GeneratedToken(Token):
    """A token of the quantized model, and the encrypted heads that it takes.

    The heads saw ``seq_len`` tokens; counts and errors are those of a circuit of that length, None
    where there is none, and each machine's refusal then says why. ``measured_s`` holds encryption,
    run and decryption, ``keys_s`` the circuit's new keys; both are None unless it really ran.
    """

    seq_len: int
    pbs_count: int | None = None
    p_error: float | None = None
    global_p_error: float | None = None
    measured_s: float | None = None
    keys_s: float | None = None
    estimates: tuple[TokenEstimate, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class GenerationReport(Frozen):
    """What ``fhecost generate`` prints.

    ``compiled_for`` is the length of the one circuit that was simulated, None in other modes and
    where each token had its own.
    ``parted_at`` is the index of the first token that the float model chose otherwise, None where
    it never did. ``stopped`` says why tokens are missing at the end, ``interrupted`` whether an
    interrupt is why. ``exceeded`` sums did not fit their accumulator; they are counted in mode
    disable only.
    """

    schema_version: Literal[1] = 1
    fhecost_version: str
    model: str
    model_sha256: str
    prompt: str
    prompt_tokens: int
    layer: int
    heads: tuple[int, ...]
    bits: int
    variant: str
    mode: FheMode
    compiled_for: int | None = None
    tokens: tuple[GeneratedToken, ...]
    text: str
    float_tokens: tuple[Token, ...]
    float_text: str
    parted_at: int | None = None
    stopped: str | None = None
    interrupted: bool = False
    inputs: int
    saturated: int
    exceeded: int | None = None


def generate(
    text: str,
    model: str = EMBEDDED,
    *,
    bits: int | None = None,
    layer: int = 0,
    heads: Heads = "all",
    variant: str = "fast",
    mode: FheMode = "disable",
    tokens: int = 12,
    hardware: HardwareNames = DEFAULT,
    hardware_path: Iterable[AnyPath] = (),
    progress: Progress = silent,
    on_token: Callable[[GeneratedToken], None] = silent,
) -> GenerationReport:
    """What ``fhecost generate`` does: go on with quantized heads, and with the float model.

    Args:
        text: what to go on from.
        model: ``embedded``, a folder, or a Hugging Face name.
        bits: width of the quantized tensors; what the variant usually has when None.
        layer: from 0.
        heads: which heads of the layer, from 0, or ``all``.
        variant: which quantized circuit.
        mode: in the clear, simulated in one circuit for the longest sequence, or encrypted, for
            which a circuit is compiled for each token. In the clear, what tokens cost is told last.
        tokens: how many to generate.
        hardware: where to estimate each token's circuit: names of machines or hardware profiles,
            ``all``, or ``default``. One that can't run it is a refusal.
        hardware_path: folders of further machines.
        progress: called with the name of each step when it begins.
        on_token: called with each token of the quantized model when it is there; in mode
            ``disable`` before it is known what it costs.

    After an interrupt the report has the tokens that were there, if there were any.

    Raises:
        UsageError: the request doesn't fit the model.
        ImpossibleError: heads that are to be simulated or run can't be compiled, or those of the
            first token run on no machine. A later one that can't is said in the report, after the
            tokens that were there.
    """
    profiles = load_hardware(hardware, hardware_path)
    folder = find_model(model)
    shape = model_shape(folder)
    check_bits(variant_named(variant).width(bits))
    check_layer(shape, layer)
    if tokens < 1:
        raise FieldError("tokens", "must be at least 1", tokens)
    if not text:
        raise UsageError("the text is empty; give one to go on from")
    progress("loading the model")
    gpt2 = load_gpt2(folder)
    prompt = gpt2.tokens(text)
    if not prompt:
        raise UsageError("the text holds no token; give one to go on from")
    if len(prompt) < LEAST_LENGTH and mode != "disable":
        raise UsageError("the text has one token; a circuit needs at least 2")
    if len(prompt) + tokens > shape.context:
        raise FieldError(
            "tokens",
            f"with the {len(prompt)} of the text more than the model's context of {shape.context}",
            tokens,
        )
    progress("calibrating the heads")
    # The longest sentence that the heads will see.
    longest = max(LEAST_LENGTH, len(prompt) + tokens - 1)
    quantized = MultiHeadsQGPT2Model(
        gpt2,
        n_bits=bits,
        layer=layer,
        heads=heads,
        variant=variant,
        calibration_length=longest,
    )
    with attention_interface.floating_point(quantized.model):
        float_tokens = [Token.like(token) for token in _continuation(quantized, prompt, tokens)]
    prices: Mapping[int, _Price] = {}
    if mode == "simulate":
        progress("estimating the circuits")
        prices = _prices(quantized, range(len(prompt), len(prompt) + tokens), profiles)
        _check_runs(prices[len(prompt)])
        if quantized.any_length:
            progress("compiling the circuit")
            quantized.compile([[0] * longest], simulation_only=True)
            quantized.set_fhe_mode(mode)
    generated: list[GeneratedToken] = []
    stopped, interrupted = None, False
    try:
        for token in _continuation(quantized, prompt, tokens, mode, profiles, progress, prices):
            generated.append(token)
            on_token(token)
    except ImpossibleError as error:
        if not generated:
            raise
        stopped = f"token {len(generated) + 1} of {tokens}: {error}"
    except KeyboardInterrupt:
        if not generated:
            raise
        interrupted, stopped = True, f"interrupted at token {len(generated) + 1} of {tokens}"
    if mode == "disable" and not interrupted:
        try:
            progress("estimating the circuits")
            generated = _with_prices(quantized, generated, profiles)
        except KeyboardInterrupt:
            interrupted, stopped = True, "interrupted before it was known what the tokens cost"
    ids = [token.token_id for token in generated]
    float_ids = [token.token_id for token in float_tokens]
    return GenerationReport(
        fhecost_version=VERSION,
        model=EMBEDDED if model == EMBEDDED else folder.resolve().name,
        model_sha256=fingerprint(folder),
        prompt=text,
        prompt_tokens=len(prompt),
        layer=layer,
        heads=quantized.heads,
        bits=quantized.n_bits,
        variant=quantized.variant,
        mode=mode,
        compiled_for=longest if mode == "simulate" and quantized.any_length else None,
        tokens=tuple(generated),
        text=_decoded(gpt2, ids),
        float_tokens=tuple(float_tokens),
        float_text=_decoded(gpt2, float_ids),
        parted_at=first_difference(ids, float_ids),
        stopped=stopped,
        interrupted=interrupted,
        inputs=quantized.usage.inputs,
        saturated=quantized.usage.saturated,
        exceeded=quantized.usage.exceeded if mode == "disable" else None,
    )


def first_difference(ids: Sequence[int], others: Sequence[int]) -> int | None:
    """The first index at which both have a token, but not the same; None if there is none.

    Generation ends with the model's end-of-text token, so one may be shorter than the other.
    """
    pairs = enumerate(zip(ids, others, strict=False))
    return next((index for index, (one, other) in pairs if one != other), None)


def _continuation(
    model: MultiHeadsQGPT2Model,
    prompt: Sequence[int],
    tokens: int,
    mode: FheMode = "disable",
    hardware: Sequence[HardwareProfile] = (),
    progress: Progress = silent,
    prices: Mapping[int, _Price] | None = None,
) -> Iterator[GeneratedToken]:
    new: list[int] = []
    shown = ""
    for number in range(1, tokens + 1):
        ids = [*prompt, *new]
        at = f"token {number} of {tokens}"
        costs: dict[str, Any] = {}
        if mode == "execute":
            progress(f"{at}: compiling")
            circuit = model.compile([ids])
            costs = _price(model.profile(), hardware)
            progress(f"{at}: generating keys")
            start = time.perf_counter()
            circuit.keygen()
            costs["keys_s"] = time.perf_counter() - start
            progress(f"{at}: running encrypted")
            model.set_fhe_mode(mode)
        elif prices is not None and mode == "simulate":
            costs = prices[len(ids)]
            _check_runs(costs)
            if not model.any_length:
                progress(f"{at}: compiling")
                model.compile([ids], simulation_only=True)
                model.set_fhe_mode(mode)
            progress(f"{at}: simulating")
        new.append(_next_token(model, ids))
        if mode == "execute":
            costs["measured_s"] = model.last_run_s
        last = number == tokens or new[-1] == model.gpt2.tokenizer.eos_token_id
        text = _decoded(model.gpt2, new)
        # A token can end inside a character, whose bytes decode to this mark.
        if text.endswith("\N{REPLACEMENT CHARACTER}") and not last:
            text = shown
        added, shown = text[len(shown) :], text
        yield GeneratedToken(token_id=new[-1], text=added, seq_len=len(ids), **costs)
        if last:
            return


def _with_prices(
    model: MultiHeadsQGPT2Model,
    tokens: Sequence[GeneratedToken],
    hardware: Sequence[HardwareProfile],
) -> list[GeneratedToken]:
    """``tokens`` with what their circuits would cost, or why there are none."""
    prices = _prices(model, [token.seq_len for token in tokens], hardware)
    return [token.model_copy(update=prices.get(token.seq_len)) for token in tokens]


def _prices(
    model: MultiHeadsQGPT2Model, lengths: Iterable[int], hardware: Sequence[HardwareProfile]
) -> dict[int, _Price]:
    """What the next token costs after so many, by closed form; nothing for no circuit's length."""
    priced = [length for length in lengths if length >= LEAST_LENGTH]
    profiles = predict_lengths(model, priced) if priced else []
    return {
        length: _price(profile, hardware, least=0)
        for length, profile in zip(priced, profiles, strict=True)
    }


def _price(
    profile: CircuitProfile | ImpossibleError, hardware: Sequence[HardwareProfile], least: int = 1
) -> _Price:
    """What a circuit profile and the machines say of a token, or why there is no circuit."""
    if isinstance(profile, ImpossibleError):
        return {
            "refusals": tuple(Refusal(hardware=one.name, reason=str(profile)) for one in hardware)
        }
    report = estimate_all(profile, hardware, skip_impossible=True, least=least)
    return {
        "pbs_count": profile.pbs_count,
        "p_error": profile.p_error,
        "global_p_error": profile.global_p_error,
        "estimates": tuple(TokenEstimate.like(each) for each in report.estimates),
        "refusals": report.refusals,
    }


def _check_runs(price: _Price) -> None:
    """Raise an ImpossibleError unless a machine can run what the price is of."""
    if not price.get("estimates"):
        reasons = "; ".join(f"{no.hardware}: {no.reason}" for no in price["refusals"])
        raise ImpossibleError(f"no machine can run the circuit: {reasons}")


def _next_token(model: MultiHeadsQGPT2Model, ids: Sequence[int]) -> int:
    """The most likely token after ``ids``."""
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
    return int(np.argmax(logits.numpy()))


def _decoded(gpt2: GPT2, ids: Sequence[int]) -> str:
    text: str = gpt2.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
    return text

"""Greedy generation with quantized heads, beside the float model's own, and what each token costs.

A token more is a sequence one longer, and a circuit of its own: nothing of the encrypted part is
kept from token to token, so each takes the heads over the whole sequence.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fhecost.circuits.profile import CircuitProfile
from fhecost.errors import ImpossibleError, UsageError
from fhecost.frozen import Frozen
from fhecost.gpt2 import attention_interface
from fhecost.gpt2.hybrid import FheMode, MultiHeadsQGPT2Model
from fhecost.gpt2.model import GPT2, check_layer, find_model, fingerprint, load_gpt2, model_shape
from fhecost.hardware.estimate import Refusal
from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.profile import HardwareProfile
from fhecost.heads.variants import variant_named
from fhecost.models.shape import EMBEDDED, ModelShape
from fhecost.progress import Progress, silent
from fhecost.quantization import check_bits
from fhecost.version import VERSION


@dataclass(frozen=True)
class GenerationRequest:
    """What to go on from, for how many tokens, with which quantized heads."""

    text: str
    model: str = EMBEDDED
    bits: int = 4
    layer: int = 0
    heads: tuple[int, ...] = (0,)
    variant: str = "compact"
    mode: FheMode = "disable"
    tokens: int = 12


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
    """A token of the quantized model, and the encrypted heads that it took.

    The heads saw ``seq_len`` tokens. Without a compiled circuit all else is None or empty;
    ``measured_s`` holds encryption, run and decryption, ``keys_s`` the circuit's new keys.
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

    ``parted_at`` is the index of the first token that the float model chose otherwise, None where
    it never did. ``stopped`` says why tokens are missing at the end. ``exceeded`` sums did not fit
    their accumulator; they are counted in mode disable only.
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
    tokens: tuple[GeneratedToken, ...]
    text: str
    float_tokens: tuple[Token, ...]
    float_text: str
    parted_at: int | None = None
    stopped: str | None = None
    inputs: int
    saturated: int
    exceeded: int | None = None


def generate(
    request: GenerationRequest,
    machines: Sequence[HardwareProfile] = (),
    progress: Progress = silent,
    on_token: Callable[[GeneratedToken], None] = silent,
) -> GenerationReport:
    """Generate greedily with quantized heads, and with the float model.

    Args:
        request: the text and the model; in every mode but ``disable`` a circuit is compiled for
            each token.
        machines: where to estimate each token's circuit; a machine that can't run it is a refusal.
        progress: called with the name of each step when it begins.
        on_token: called with each token of the quantized model when it is there.

    Raises:
        UsageError: the request doesn't fit the model.
        ImpossibleError: the heads of the first token can't be compiled, or run on no machine. A
            later one that can't is said in the report, after the tokens that were there.
    """
    folder = find_model(request.model)
    _check(request, model_shape(folder))
    progress("loading the model")
    gpt2 = load_gpt2(folder)
    prompt = gpt2.tokens(request.text)
    _check_length(prompt, request, gpt2.shape)
    progress("calibrating the heads")
    model = MultiHeadsQGPT2Model(
        gpt2,
        n_bits=request.bits,
        layer=request.layer,
        heads=request.heads,
        variant=request.variant,
        # The longest sentence that the heads will see.
        calibration_length=max(2, len(prompt) + request.tokens - 1),
    )
    with attention_interface.floating_point(model.model):
        float_ids = _float_continuation(model, prompt, request.tokens)
    tokens: list[GeneratedToken] = []
    stopped = None
    try:
        for token in _quantized_continuation(model, prompt, request, machines, progress):
            tokens.append(token)
            on_token(token)
    except ImpossibleError as error:
        if not tokens:
            raise
        stopped = f"token {len(tokens) + 1} of {request.tokens}: {error}"
    ids = [token.token_id for token in tokens]
    return GenerationReport(
        fhecost_version=VERSION,
        model=EMBEDDED if request.model == EMBEDDED else folder.resolve().name,
        model_sha256=fingerprint(folder),
        prompt=request.text,
        prompt_tokens=len(prompt),
        layer=request.layer,
        heads=model.heads,
        bits=request.bits,
        variant=request.variant,
        mode=request.mode,
        tokens=tuple(tokens),
        text=_decoded(gpt2, ids),
        float_tokens=_with_texts(gpt2, float_ids),
        float_text=_decoded(gpt2, float_ids),
        parted_at=first_difference(ids, float_ids),
        stopped=stopped,
        inputs=model.usage.inputs,
        saturated=model.usage.saturated,
        exceeded=model.usage.exceeded if request.mode == "disable" else None,
    )


def first_difference(ids: Sequence[int], others: Sequence[int]) -> int | None:
    """The first index at which both have a token, but not the same; None if there is none.

    Generation ends with the model's end-of-text token, so one may be shorter than the other.
    """
    pairs = enumerate(zip(ids, others, strict=False))
    return next((index for index, (one, other) in pairs if one != other), None)


def _check(request: GenerationRequest, shape: ModelShape) -> None:
    """Raise a UsageError for what is wrong whatever the tokenizer says."""
    check_bits(request.bits)
    check_layer(shape, request.layer)
    variant_named(request.variant)
    if request.tokens < 1:
        raise UsageError(f"--tokens {request.tokens}: must be at least 1")
    if not request.text:
        raise UsageError("the text is empty; give one to go on from")


def _check_length(prompt: Sequence[int], request: GenerationRequest, shape: ModelShape) -> None:
    if not prompt:
        raise UsageError("the text holds no token; give one to go on from")
    if len(prompt) < 2 and request.mode != "disable":
        raise UsageError("the text has one token; a circuit needs at least 2")
    if len(prompt) + request.tokens > shape.context:
        raise UsageError(
            f"the text has {len(prompt)} tokens, with --tokens {request.tokens} that is more than "
            f"the model's context of {shape.context}"
        )


def _quantized_continuation(
    model: MultiHeadsQGPT2Model,
    prompt: Sequence[int],
    request: GenerationRequest,
    machines: Sequence[HardwareProfile],
    progress: Progress,
) -> Iterator[GeneratedToken]:
    texts = _Texts(model.gpt2)
    ids = list(prompt)
    for number in range(1, request.tokens + 1):
        costs: dict[str, Any] = {}
        if request.mode != "disable":
            at = f"token {number} of {request.tokens}"
            progress(f"{at}: compiling")
            # The sentences that set bit widths have nothing to do with the circuit there is.
            with attention_interface.floating_point(model.model):
                circuit = model.compile([ids])
            costs = _costs(model.profile(), machines)
            if request.mode == "execute":
                progress(f"{at}: generating keys")
                start = time.perf_counter()
                circuit.keygen()
                costs["keys_s"] = time.perf_counter() - start
                progress(f"{at}: running encrypted")
            model.set_fhe_mode(request.mode)
        token_id = _next_token(model, ids)
        if request.mode == "execute":
            costs["measured_s"] = model.last_run_s
        last = number == request.tokens or _ends(model.gpt2, token_id)
        text = texts.added(token_id, last)
        yield GeneratedToken(token_id=token_id, text=text, seq_len=len(ids), **costs)
        if last:
            return
        ids.append(token_id)


def _costs(profile: CircuitProfile, machines: Sequence[HardwareProfile]) -> dict[str, Any]:
    """What a circuit profile and the machines say of a token."""
    costs: dict[str, Any] = {
        "pbs_count": profile.pbs_count,
        "p_error": profile.p_error,
        "global_p_error": profile.global_p_error,
    }
    if machines:
        report = estimate_all(profile, machines, skip_impossible=True)
        costs["estimates"] = tuple(
            TokenEstimate(
                hardware=each.hardware,
                latency_s=each.latency_s,
                low_s=each.low_s,
                high_s=each.high_s,
            )
            for each in report.estimates
        )
        costs["refusals"] = report.refusals
    return costs


def _float_continuation(
    model: MultiHeadsQGPT2Model, prompt: Sequence[int], tokens: int
) -> list[int]:
    ids = list(prompt)
    while len(ids) < len(prompt) + tokens:
        ids.append(_next_token(model, ids))
        if _ends(model.gpt2, ids[-1]):
            break
    return ids[len(prompt) :]


def _next_token(model: MultiHeadsQGPT2Model, ids: Sequence[int]) -> int:
    """The most likely token after ``ids``."""
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
    return int(np.argmax(logits.numpy()))


def _ends(gpt2: GPT2, token_id: int) -> bool:
    return bool(token_id == gpt2.tokenizer.eos_token_id)


class _Texts:
    """The text that each following token adds."""

    def __init__(self, gpt2: GPT2) -> None:
        self._gpt2 = gpt2
        self._ids: list[int] = []
        self._shown = ""

    def added(self, token_id: int, last: bool) -> str:
        self._ids.append(token_id)
        text = _decoded(self._gpt2, self._ids)
        # A token can end inside a character, whose bytes decode to this mark.
        if not last and text.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        added = text[len(self._shown) :]
        self._shown = text
        return added


def _with_texts(gpt2: GPT2, ids: Sequence[int]) -> tuple[Token, ...]:
    texts = _Texts(gpt2)
    return tuple(
        Token(token_id=token_id, text=texts.added(token_id, last=number == len(ids)))
        for number, token_id in enumerate(ids, start=1)
    )


def _decoded(gpt2: GPT2, ids: Sequence[int]) -> str:
    text: str = gpt2.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
    return text

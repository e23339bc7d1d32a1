"""What a setting comes to: kept tokens on unseen sentences, and latency on one machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fhecost.accuracy.judge import Setting, judge, loaded_model, run_in_clear, windows_of
from fhecost.accuracy.records import AccuracyRow
from fhecost.accuracy.sweep import evaluation_sentences
from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.requests import predict_heads
from fhecost.errors import ImpossibleError
from fhecost.gpt2.head_circuit import FloatHeads, HeadCircuit, LocatedHeads
from fhecost.hardware.estimator import Estimator
from fhecost.heads.attention_head import attend
from fhecost.heads.variants import QuantizedHeads, Variant
from fhecost.quantization import FloatArray, IntArray
from fhecost.search.front import Limits
from fhecost.search.records import JUDGED_SEQ_LEN, Figures, Latency, VerifiedFigures


class BeyondLimitError(ImpossibleError):
    """Heads are given up since their ``error`` is beyond what is asked for."""

    def __init__(self, error: float) -> None:
        super().__init__(f"the heads' output is off by {error:.2f} of what it is")
        self.error = error


@dataclass(frozen=True)
class Objective:
    """Judges settings of the ``located`` heads on ``sentences``, for the machine of ``estimator``.

    The model, its windows of tokens and what reaches the heads are looked at once for all settings.
    """

    located: LocatedHeads
    sentences: tuple[str, ...]
    estimator: Estimator

    def judged(self, variant: Variant, bits: int, limits: Limits | None = None) -> Figures:
        """The figures of a variant; what costs least to know comes first.

        With ``limits``, heads that are beyond the error, or that the machine can't run, are given
        up; without, they have the figures that they have.

        Raises:
            BeyondLimitError: the error is beyond the limit.
            ImpossibleError: nothing is left of a head, or no circuit of it is known or can run.
        """
        quantized = self._quantized(variant, bits)
        ran = run_in_clear(quantized.heads, self._hidden, quantized.inputset)
        error = self._error(quantized.heads, ran.outputs)
        if limits is not None and not limits.allow_error(error):
            raise BeyondLimitError(error)
        profile = predict_heads(quantized)
        latency = self._latency(profile, must_run=limits is not None)
        row = self._kept(variant, bits, self.sentences)
        return Figures(
            top1=row.top1,
            top1_low=row.top1_low,
            top1_high=row.top1_high,
            error=error,
            exceeded=ran.exceeded,
            pbs_count=profile.pbs_count,
            complexity=profile.complexity,
            latency=latency,
        )

    def verified(self, variant: Variant, bits: int) -> VerifiedFigures:
        """What Concrete makes of the same heads, compiled and simulated.

        Raises:
            ImpossibleError: Concrete can't compile them.
            UsageError: concrete-python isn't installed.
        """
        compiled = self._quantized(variant, bits).compiled(simulation_only=True)
        inputs = map(compiled.heads.quantize_input, self._hidden)
        outputs = [np.asarray(compiled.circuit.simulate(values)) for values in inputs]
        profile = compiled.profile()
        return VerifiedFigures(
            top1=self._kept(variant, bits, tuple(evaluation_sentences())).top1,
            error=self._error(compiled.heads, outputs),
            pbs_count=profile.pbs_count,
            complexity=profile.complexity,
            latency=self._latency(profile, must_run=False),
        )

    def _kept(self, variant: Variant, bits: int, sentences: tuple[str, ...]) -> AccuracyRow:
        """What is kept of the float model's tokens on windows of ``sentences``."""
        request, width = self.located.request, variant.bits or bits
        setting = Setting(
            request.layer, self.located.numbers, width, JUDGED_SEQ_LEN, "disable", variant.name
        )
        return judge(request.model, sentences, setting, variant)

    def _quantized(self, variant: Variant, bits: int) -> HeadCircuit:
        return self._floats.quantized(self.located.by(variant, bits))

    @cached_property
    def _floats(self) -> FloatHeads:
        return FloatHeads.of(self.located, loaded_model(self.located.request.model))

    @cached_property
    def _hidden(self) -> FloatArray:
        """What reaches the heads of the judged sentences at the asked length, (sentences, L, E)."""
        request = self.located.request
        return windows_of(request.model, self.sentences, request.seq_len, request.layer).hidden

    @cached_property
    def _exact(self) -> FloatArray:
        """The float output of the heads, shape (sentences, heads, L, d)."""
        return np.stack([attend(head, self._hidden) for head in self._floats.weights], axis=1)

    def _error(self, heads: QuantizedHeads, outputs: Iterable[IntArray]) -> float:
        real = np.stack([heads.dequantize_output(integers) for integers in outputs])
        return float(np.sqrt(((real - self._exact) ** 2).sum() / (self._exact**2).sum()))

    def _latency(self, profile: CircuitProfile, *, must_run: bool) -> Latency | None:
        try:
            return Latency.like(self.estimator(profile))
        except ImpossibleError:
            if must_run:
                raise
            return None

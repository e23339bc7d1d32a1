"""What a setting comes to: kept tokens on unseen sentences, and latency on one machine."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fhecost.accuracy.float_side import judged_windows, loaded_model
from fhecost.accuracy.judge import Setting, judge, run_in_clear
from fhecost.accuracy.records import AccuracyRow
from fhecost.accuracy.sweep import evaluation_sentences
from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.requests import planned_heads, predict_planned
from fhecost.errors import ImpossibleError
from fhecost.gpt2.head_circuit import FloatHeads, HeadCircuit, LocatedHeads
from fhecost.hardware.estimator import Estimator
from fhecost.heads.attention_head import attend
from fhecost.heads.parameter_rules import UNRESTRICTED, Restriction
from fhecost.heads.variants import QuantizedHeads, Variant
from fhecost.quantization import FloatArray, IntArray
from fhecost.search.front import Limits
from fhecost.search.records import JUDGED_SEQ_LEN, Figures, Latency, VerifiedFigures


class BeyondLimitError(ImpossibleError):
    """Heads are given up since their ``error`` is beyond what is asked for."""

    def __init__(self, error: float) -> None:
        super().__init__(f"the heads' output is off by {error:.2f} of what it is")
        self.error = error


PAYS = 0.99
"""A restriction has to leave no more than this share of a latency."""


@dataclass(frozen=True)
class _Priced:
    """A circuit within a restriction: what it takes, or why the machine can't run it."""

    profile: CircuitProfile
    restriction: Restriction
    latency: Latency | None = None
    refusal: ImpossibleError | None = None

    @property
    def latency_s(self) -> float:
        return math.inf if self.latency is None else self.latency.latency_s


@dataclass(frozen=True)
class Objective:
    """Judges settings of the ``located`` heads on ``sentences``, for the machine of ``estimator``.

    The model, its windows of tokens and what reaches the heads are looked at once for all settings.
    ``restrictions`` are what parameters may be restricted to where that makes a circuit faster.
    """

    located: LocatedHeads
    sentences: tuple[str, ...]
    estimator: Estimator
    restrictions: tuple[Restriction, ...] = ()

    def judged(self, variant: Variant, bits: int, limits: Limits | None = None) -> Figures:
        """The figures of a variant; what costs least to know comes first.

        With ``limits``, heads that are beyond the error, or that the machine can't run, are given
        up; without, they have the figures that they have, with all parameters to choose from.

        Raises:
            BeyondLimitError: the error is beyond the limit.
            ImpossibleError: nothing is left of a head, or no circuit of it is known or can run.
        """
        quantized = self._quantized(variant, bits)
        ran = run_in_clear(quantized.heads, self._hidden, quantized.inputset)
        error = self._error(quantized.heads, ran.outputs)
        if limits is not None and not limits.allow_error(error):
            raise BeyondLimitError(error)
        whole, chosen = self._priced(quantized, () if limits is None else self.restrictions)
        if limits is not None and chosen.refusal is not None:
            raise chosen.refusal
        row = self._kept(variant, bits, self.sentences)
        return Figures(
            top1=row.top1,
            top1_low=row.top1_low,
            top1_high=row.top1_high,
            error=error,
            exceeded=ran.exceeded,
            pbs_count=chosen.profile.pbs_count,
            complexity=chosen.profile.complexity,
            latency=chosen.latency,
            restriction=chosen.restriction,
            unrestricted_s=whole.latency and whole.latency.latency_s,
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
            latency=self._price(profile).latency,
        )

    def _priced(
        self, quantized: HeadCircuit, restrictions: Iterable[Restriction]
    ) -> tuple[_Priced, _Priced]:
        """Its circuit with all parameters to choose from, and with those that are best here."""
        plan, rules = planned_heads(quantized), quantized.heads.rules
        (profile,) = predict_planned(quantized, plan, [rules])
        if isinstance(profile, ImpossibleError):
            raise profile
        whole = best = self._price(profile)
        sets = {use.parameters for stage in whole.profile.stages for use in stage.pbs}
        others = [
            restriction
            for restriction in restrictions
            if not all(
                restriction.allows(one.glwe_dimension, one.polynomial_size, one.level_count)
                for one in sets
            )
        ]
        within = [replace(rules, restriction=restriction) for restriction in others]
        for restriction, predicted in zip(
            others, predict_planned(quantized, plan, within), strict=True
        ):
            if isinstance(predicted, ImpossibleError):
                continue
            found = self._price(predicted, restriction)
            if found.latency_s < PAYS * best.latency_s:
                best = found
        return whole, best

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
        windows = judged_windows(request.model, self.sentences, request.seq_len)
        return windows.entering(request.layer).normalized(windows.gpt2)

    @cached_property
    def _exact(self) -> FloatArray:
        """The float output of the heads, shape (sentences, heads, L, d)."""
        return np.stack([attend(head, self._hidden) for head in self._floats.weights], axis=1)

    def _error(self, heads: QuantizedHeads, outputs: Iterable[IntArray]) -> float:
        real = np.stack([heads.dequantize_output(integers) for integers in outputs])
        return float(np.sqrt(((real - self._exact) ** 2).sum() / (self._exact**2).sum()))

    def _price(self, profile: CircuitProfile, restriction: Restriction = UNRESTRICTED) -> _Priced:
        try:
            return _Priced(profile, restriction, Latency.like(self.estimator(profile)))
        except ImpossibleError as error:
            return _Priced(profile, restriction, refusal=error)

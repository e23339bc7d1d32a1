"""Which settings are searched, and how a trial becomes one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhecost.heads.head_quantization import HeadSetting, most_shift
from fhecost.heads.parameter_rules import ParameterRules
from fhecost.heads.saved_setting import SavedSetting

SHARED: Mapping[str, tuple[int, int]] = {
    "input_bits": (3, 6),
    "product_bits": (9, 15),
    "exponential_bits": (2, 6),
    "kept_bits": (3, 7),
    "kept_score_bits": (4, 7),
    "score_sum_bits": (4, 9),
    "value_shift": (0, 5),
}
"""From and to; the same for all heads of a circuit, which share an input and its products."""

OWN: Mapping[str, tuple[int, int]] = {"score_bits": (2, 5), "value_bits": (2, 6)}
"""From and to; each head has its own, and its own ranks."""

LOG10_P_ERROR = (-4.0, -1.5, 0.5)
"""From, to and step."""


def _shift(shared: Mapping[str, int], own: Mapping[str, int]) -> int:
    """The shift, as far as something is left of the squares of single values.

    Lookups that only return zero are no lookups, and Concrete can't compile the rest.
    """
    return min(shared["value_shift"], most_shift(own["value_bits"]))


@dataclass(frozen=True)
class Space:
    """The settings of ``heads`` of dimension d, as parameters of a trial.

    ``score_rank_log2`` is that of the columns of queries and keys that are kept, ``value_rank``
    those of the value; d of them are all. With several heads, what a head has of its own
    has its number behind.
    """

    heads: tuple[int, ...]
    dimension: int

    def setting(self, trial: Any) -> SavedSetting:
        """What a trial of optuna suggests."""
        shared = {name: trial.suggest_int(name, *ends) for name, ends in SHARED.items()}
        settings = [
            HeadSetting(**{**shared, **own, "value_shift": _shift(shared, own)}, exact=False)
            for own in (self._own(trial, suffix) for suffix in self._suffixes)
        ]
        low, high, step = LOG10_P_ERROR
        p_error = 10 ** trial.suggest_float("p_error_log10", low, high, step=step)
        alike = len(set(settings)) == 1
        return SavedSetting(
            settings=tuple(settings[:1] if alike else settings),
            rules=ParameterRules(float(f"{p_error:.3g}")),
        )

    def parameters(self, setting: HeadSetting, rules: ParameterRules) -> dict[str, float]:
        """The parameters of a trial that suggests ``setting`` for each head; empty if none does."""
        d = self.dimension
        if rules.p_error is None:
            return {}
        found = {name: getattr(setting, name) for name in SHARED}
        found["p_error_log10"] = round(math.log10(rules.p_error), 1)
        score, value = min(setting.score_rank or d, d), min(setting.value_rank or d, d)
        for suffix in self._suffixes:
            found |= {f"{name}{suffix}": getattr(setting, name) for name in OWN}
            found[f"score_rank_log2{suffix}"] = math.ceil(math.log2(score))
            found[f"value_rank{suffix}"] = value
        return found

    @property
    def _suffixes(self) -> list[str]:
        return [f"_{head}" for head in self.heads] if len(self.heads) > 1 else [""]

    def _own(self, trial: Any, suffix: str) -> dict[str, Any]:
        d = self.dimension
        own = {name: trial.suggest_int(f"{name}{suffix}", *ends) for name, ends in OWN.items()}
        most = math.ceil(math.log2(d))
        score = 2 ** trial.suggest_int(f"score_rank_log2{suffix}", min(1, most), most)
        value = trial.suggest_int(f"value_rank{suffix}", 1, d, log=True)
        ranks = {"score_rank": score, "value_rank": value}
        return {**own, **{name: rank if rank < d else None for name, rank in ranks.items()}}

"""How long 10,000 settings of a head take to be judged: ``python settings_benchmark.py``.

Drawn as ``fhecost optimize`` proposes them, for the embedded model's shape and 6 tokens, with
stated widths; each gets its plan, the parameter sets that Concrete would choose, and the
estimate of one machine. One process a processor shares them out.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import numpy as np

from fhecost.circuits.description import CircuitDescription
from fhecost.closed_form.circuit import predicted_profile
from fhecost.closed_form.scopes import ShapeRequest, plan_of_shape
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.library import find_hardware
from fhecost.heads.head_quantization import HeadSetting, most_shift
from fhecost.heads.parameter_rules import ParameterRules
from fhecost.heads.saved_setting import SavedSetting
from fhecost.models.shape import EMBEDDED, find_shape
from fhecost.search.space import LOG10_P_ERROR, OWN, SHARED

SEQ_LEN = 6


def drawn(number: int) -> SavedSetting:
    """Setting ``number`` of the search space, evenly drawn."""
    draw = np.random.default_rng(number)
    widths = {
        name: int(draw.integers(low, high + 1)) for name, (low, high) in (SHARED | OWN).items()
    }
    widths["value_shift"] = min(widths["value_shift"], most_shift(widths["value_bits"]))
    ranks = {
        "score_rank": 2 ** int(draw.integers(1, 6)),
        "value_rank": int(2 ** draw.uniform(0, 6)),
    }
    low, high, step = LOG10_P_ERROR
    p_error = 10 ** (low + step * int(draw.integers(int((high - low) / step) + 1)))
    setting = HeadSetting(**widths, **ranks, exact=False)
    return SavedSetting(settings=(setting,), rules=ParameterRules(float(f"{p_error:.3g}")))


@cache
def estimator() -> Estimator:
    """That of one machine, made once a process."""
    return Estimator(find_hardware("epyc-zen4-2"))


def latency_of(number: int) -> float | None:
    """What setting ``number`` takes; None where no parameters or no machine do."""
    saved = drawn(number)
    request = ShapeRequest(find_shape(EMBEDDED), "head", SEQ_LEN)
    heads = saved.state(request.stated)
    try:
        profile = predicted_profile(
            plan_of_shape(request, heads), saved.name, CircuitDescription(), rules=saved.rules
        )
        return estimator()(profile).latency_s
    except ImpossibleError:
        return None


def main(many: int = 10_000) -> None:
    """Judge them all, and say how long that took."""
    start = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        found = list(processes.map(latency_of, range(many), chunksize=100))
    taken = time.perf_counter() - start
    known = [latency_s for latency_s in found if latency_s is not None]
    print(
        f"{many:,} settings in {taken:.1f} s on {os.cpu_count()} processors; {len(known):,} can "
        f"run, in {min(known):.3g} to {max(known):.3g} s, median {statistics.median(known):.3g} s"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

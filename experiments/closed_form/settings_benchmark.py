"""How long 10,000 settings of a head take to be judged: ``python settings_benchmark.py``.

Drawn as ``fhecost optimize`` proposes them, for the embedded model's shape and 6 tokens, with
stated widths; each gets its plan, the parameter sets that Concrete would choose, and the
estimate of one machine. One process a processor shares them out. Beside the seconds, which other
work on the machine lengthens, stands what each setting took of a processor.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache

from fhecost.circuits.description import CircuitDescription
from fhecost.closed_form.circuit import predicted_profile
from fhecost.closed_form.scopes import ShapeRequest, plan_of_shape
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.library import find_hardware
from fhecost.heads.saved_setting import SavedSetting
from fhecost.models.shape import EMBEDDED, find_shape
from fhecost.search.space import Space
from fhecost.search.study import import_optuna

SEQ_LEN = 6


def drawn(many: int) -> list[SavedSetting]:
    """Settings of the search space, evenly drawn."""
    optuna = import_optuna()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = Space((0,), find_shape(EMBEDDED).dimension)
    return [space.setting(study.ask()) for _ in range(many)]


@cache
def estimator() -> Estimator:
    """That of one machine, made once a process."""
    return Estimator(find_hardware("epyc-zen4-2"))


def latency_of(saved: SavedSetting) -> float | None:
    """What ``saved`` takes; None where no parameters or no machine do."""
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
    settings = drawn(many)
    start = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        found = list(processes.map(latency_of, settings, chunksize=100))
    taken, times = time.perf_counter() - start, os.times()
    of_each = (times.children_user + times.children_system) / many
    known = [latency_s for latency_s in found if latency_s is not None]
    print(
        f"{many:,} settings in {taken:.1f} s on {os.cpu_count()} processors, each "
        f"{1e3 * of_each:.1f} ms of one; {len(known):,} can run, in {min(known):.3g} to "
        f"{max(known):.3g} s, median {statistics.median(known):.3g} s"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

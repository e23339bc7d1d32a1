"""How long 10,000 settings of a head take to be judged: ``python settings_benchmark.py``.

Drawn as ``fhecost optimize`` proposes them, for the embedded model's shape and 6 tokens, with
stated widths; each gets its plan, the parameter sets that Concrete would choose, and the
estimate of one machine. One process a processor shares them out, and solves the parameter sets of
many side by side. Beside the seconds, which other
work on the machine lengthens, stands what each setting took of a processor.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import chain

from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.circuit import PlannedCircuit, predicted_profiles
from fhecost.closed_form.scopes import ShapeRequest, plan_of_shape
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.library import find_hardware
from fhecost.heads.saved_setting import SavedSetting
from fhecost.models.shape import EMBEDDED, find_shape
from fhecost.search.space import Space
from fhecost.search.study import import_optuna

SEQ_LEN = 6

AT_ONCE = 128
"""Settings that a process judges side by side."""


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


@cache
def request() -> ShapeRequest:
    """The circuit that is judged, but for its setting."""
    return ShapeRequest(find_shape(EMBEDDED), "head", SEQ_LEN)


def latencies_of(settings: Sequence[SavedSetting]) -> list[float | None]:
    """What each takes; None where no parameters or no machine do."""
    planned = [
        PlannedCircuit(
            plan_of_shape(request(), saved.state(request().stated)),
            saved.name,
            CircuitDescription(),
            rules=saved.rules,
        )
        for saved in settings
    ]
    return [latency_of(profile) for profile in predicted_profiles(planned)]


def latency_of(profile: CircuitProfile | ImpossibleError) -> float | None:
    """What it takes; None where there is none, or the machine can't run it."""
    if isinstance(profile, ImpossibleError):
        return None
    try:
        return estimator()(profile).latency_s
    except ImpossibleError:
        return None


def main(many: int = 10_000) -> None:
    """Judge them all, and say how long that took."""
    settings = drawn(many)
    start = time.perf_counter()
    chunks = [settings[at : at + AT_ONCE] for at in range(0, many, AT_ONCE)]
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        found = list(chain.from_iterable(processes.map(latencies_of, chunks)))
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

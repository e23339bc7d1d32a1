"""The search itself: propose, judge, keep, until the budget is spent; then verify the best."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fhecost.accuracy.float_side import loaded_model
from fhecost.accuracy.sweep import JudgedSentences, installed_versions, judged_sentences
from fhecost.circuits.cache import code_fingerprint
from fhecost.closed_form.requests import widths_of
from fhecost.concrete.compilation import COMPILATION_BYTES, import_concrete
from fhecost.engine.local_pool import LocalPool
from fhecost.engine.memory import pool_size
from fhecost.engine.outcome import Finished, Lost, Raised
from fhecost.errors import FieldError, ImpossibleError
from fhecost.files import AnyPath, check_can_write
from fhecost.gpt2.head_circuit import HeadRequest, locate
from fhecost.gpt2.model import fingerprint
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.library import find_hardware
from fhecost.hardware.names import HERE
from fhecost.hardware.profile import HardwareProfile
from fhecost.heads.fast import SHIPPED
from fhecost.heads.saved_setting import SavedSetting, save_setting
from fhecost.heads.variants import VARIANTS, variant_of
from fhecost.measurement.machine import available_threads
from fhecost.models.shape import EMBEDDED, Heads
from fhecost.progress import Expect, Progress, silent
from fhecost.search.front import Candidate, Limits, pareto, spread_evenly
from fhecost.search.objective import BeyondLimitError, Objective
from fhecost.search.records import (
    JUDGED_SEQ_LEN,
    BeatenPoint,
    Figures,
    FrontPoint,
    MarkedPoint,
    OptimizationReport,
    StoppedBy,
    VerifiedFigures,
)
from fhecost.search.restrictions import RESTRICTIONS
from fhecost.search.space import Space
from fhecost.search.study import Study, Subject, import_optuna
from fhecost.version import VERSION

MARKED = (("reference", 4), ("compact", 4), *(("fast", bits) for bits in SHIPPED))
"""What the front is held against: variants and their bits."""

WRITTEN = 100
"""Texts that the model writes to be searched on."""

BUDGET_S = 900.0
VERIFY_S = 25.0
"""About how long Concrete takes to compile a setting and to simulate it."""


def optimize(
    model: str = EMBEDDED,
    *,
    layer: int = 0,
    heads: Heads = (0,),
    seq_len: int = 6,
    hardware: str | HardwareProfile = HERE,
    hardware_path: Iterable[AnyPath] = (),
    min_top1: float | None = None,
    max_error: float | None = None,
    budget_s: float = BUDGET_S,
    trials: int | None = None,
    study: AnyPath | None = None,
    seed: int = 0,
    verify: int = 3,
    save_heads: AnyPath | None = None,
    sentences: Sequence[str] | AnyPath | None = None,
    progress: Progress = silent,
    expect: Expect = silent,
) -> OptimizationReport:
    """What ``fhecost optimize`` does: search for heads that keep most at the least latency.

    Both are predicted: the share of kept top-1 tokens on windows of 32 tokens, in the clear with
    lookups that go wrong as often as they may; the latency by closed form. An interrupt ends the
    search early, not without its front.

    Args:
        model: ``embedded``, a folder, or a Hugging Face name.
        layer: from 0.
        heads: numbers from 0, or ``all``; several have ranks and some widths of their own.
        seq_len: tokens that the circuit is for.
        hardware: the one machine that latencies are of; ``here`` is this one.
        hardware_path: folders of further machines.
        min_top1: the least share of kept top-1 tokens.
        max_error: the most that the heads' output may be off, over the float output.
        budget_s: seconds to search for, once there is a text to judge on.
        trials: settings to try in this call, if the budget is not spent before.
        study: a file that keeps all trials; the same call goes on where a killed one stopped.
        seed: of the search.
        verify: how many points, evenly along the front, Concrete compiles and simulates; one that
            it can't is left out.
        save_heads: a folder for one file of settings a point; it may stand for a variant.
        sentences: what to judge on, or a file of them, one a line; when None, text that the model
            writes, so that no sentence which accuracy is judged on has a part in the search.
        progress: called with what is done when it begins.
        expect: called with the seconds that are left, as far as is known.

    Raises:
        UsageError: Optuna is missing, or Concrete for ``verify``; the model, the machine, a figure
            or a path is wrong; or the study is of something else.
        ImpossibleError: no setting is within the limits.
    """
    import_optuna()
    if verify > 0:
        import_concrete()
    limits = _checked_limits(min_top1, max_error)
    _check_counts(budget_s, trials, verify)
    if not 0 <= seed < 2**32:
        raise FieldError("seed", "must be from 0 to 2^32 - 1", seed)
    folder = None if save_heads is None else Path(save_heads)
    _check_folder(folder)
    paths = tuple(hardware_path)
    machine = find_hardware(hardware, paths)
    located = locate(HeadRequest(model, None, layer, heads, seq_len, variant="compact"))
    judged = _written(model, progress) if sentences is None else judged_sentences(sentences)
    subject = Subject(
        model_sha256=fingerprint(located.folder),
        layer=layer,
        heads=located.numbers,
        seq_len=seq_len,
        sentences_sha256=judged.sha256,
        hardware=machine.name,
        hardware_hash=machine.hash,
        code=code_fingerprint(),
    )
    space = Space(located.numbers, located.shape.dimension)
    kept = Study(space, subject, None if study is None else Path(study), seed)
    objective = Objective(located, judged.lines, Estimator(machine), RESTRICTIONS)
    search = _Search(objective, kept, limits)
    stopped_by: StoppedBy = "interrupt"
    marked: list[MarkedPoint] = []
    verified: dict[str, VerifiedFigures] = {}
    refusals: list[str] = []
    try:
        end = time.monotonic() + budget_s
        expect(budget_s + verify * VERIFY_S)
        search.mark(marked, refusals, progress)
        stopped_by = search.run(end, trials, verify * VERIFY_S, progress, expect)
        search.verify(verify, verified, refusals, progress, expect)
    except KeyboardInterrupt:
        stopped_by = "interrupt"
    front = search.front
    if not front:
        raise ImpossibleError(search.why_nothing())
    points = [
        FrontPoint(
            name=one.setting.name,
            setting=one.setting.changed(of=_origin(located.model_name, subject, one.figures)),
            figures=one.figures,
            verified=verified.get(one.setting.name),
        )
        for one in front
    ]
    if folder is not None:
        asked: list[object] = ["--model", model, "--layer", layer]
        asked += ["--heads", _commas(located.numbers), "--seq-len", seq_len]
        asked += ["--hardware", machine.name]
        asked += [word for path in paths for word in ("--hardware-path", path)]
        points = _save(points, folder, asked, predicted=widths_of(model) == "calibrated")
    on_front = {one.setting.name for one in front}
    return OptimizationReport(
        fhecost_version=VERSION,
        model=located.model_name,
        model_sha256=subject.model_sha256,
        layer=layer,
        heads=located.numbers,
        seq_len=seq_len,
        judged_seq_len=JUDGED_SEQ_LEN,
        sentences=judged.origin,
        sentences_sha256=judged.sha256,
        hardware=machine.name,
        hardware_hash=machine.hash,
        min_top1=min_top1,
        max_error=max_error,
        trials=kept.trials,
        judged=len(kept.judged),
        stopped_by=stopped_by,
        versions=installed_versions(),
        points=tuple(points),
        marked=tuple(marked),
        beaten=tuple(
            BeatenPoint(top1=one.figures.top1, error=one.figures.error, latency_s=one.latency_s)
            for one in kept.judged
            if one.setting.name not in on_front
        ),
        refusals=tuple(refusals),
    )


def _written(model: str, progress: Progress) -> JudgedSentences:
    """What is searched on: text by the model itself, which a large one takes minutes to write."""
    progress("loading the model")
    lines = loaded_model(model).written(WRITTEN, JUDGED_SEQ_LEN, progress=progress)
    # One a line, as sentences are.
    joined = tuple(" ".join(line.split()) for line in lines)
    return JudgedSentences(joined, "text that the model wrote")


@dataclass(frozen=True)
class _Search:
    """An objective, the study that its figures are kept in, and what is asked of them."""

    objective: Objective
    study: Study
    limits: Limits

    @property
    def front(self) -> list[Candidate]:
        """What nothing beats so far."""
        return pareto(self.study.judged, self.limits)

    def mark(self, marked: list[MarkedPoint], refusals: list[str], progress: Progress) -> None:
        """Judge the shipped variants."""
        for name, bits in MARKED:
            progress(f"judging {name} at {bits} bits")
            kept = f"{name} {bits}"
            found = self.study.kept(kept)
            if not isinstance(found, Figures):
                try:
                    found = self.objective.judged(VARIANTS[name], bits)
                except ImpossibleError as error:
                    refusals.append(f"{name} at {bits} bits: {error}")
                    continue
                self.study.keep(kept, found)
            marked.append(MarkedPoint(variant=name, bits=bits, figures=found))

    def run(
        self, end: float, trials: int | None, after_s: float, progress: Progress, expect: Expect
    ) -> StoppedBy:
        """Try settings until the clock shows ``end`` or ``trials`` were tried; one at least."""
        self.study.begin(self.limits)
        begun, done = time.monotonic(), 0
        while trials is None or done < trials:
            now = time.monotonic()
            # The shipped variants alone may take as long, of a large model.
            if now >= end and (done or self.study.judged):
                return "budget"
            left = end - now
            if trials is not None and done:
                left = min(left, (now - begun) / done * (trials - done))
            expect(left + after_s)
            progress(f"trial {self.study.trials + 1}, {len(self.front)} on the front")
            self._try()
            done += 1
        return "trials"

    def _try(self) -> None:
        trial, setting = self.study.ask()
        try:
            figures = self.study.known(setting)
            if figures is None:
                variant = variant_of(setting)
                figures = self.objective.judged(variant, setting.bits, self.limits)
        except BeyondLimitError as error:
            self.study.give_up(trial, error.error)
        except ImpossibleError:
            self.study.give_up(trial)
        except BaseException:
            self.study.forget(trial)
            raise
        else:
            self.study.tell(trial, setting, figures, self.limits)

    def verify(
        self,
        most: int,
        verified: dict[str, VerifiedFigures],
        refusals: list[str],
        progress: Progress,
        expect: Expect,
    ) -> None:
        """Compile and simulate some of the front, several at once."""
        front = self.front
        chosen = [front[place].setting for place in spread_evenly(len(front), most)]
        kept = {one.name: self.study.kept(one.name) for one in chosen}
        verified |= {n: found for n, found in kept.items() if isinstance(found, VerifiedFigures)}
        left = [one for one in chosen if one.name not in verified]
        if not left:
            return
        size = pool_size(len(left), available_threads(), COMPILATION_BYTES)
        tasks = [_Verification(self.objective, setting) for setting in left]
        reasons: dict[str, str] = {}
        expect(math.ceil(len(left) / size) * VERIFY_S)
        progress(f"compiling and simulating {len(left)} points of the front")
        with closing(LocalPool(size).outcomes(_Verification.figures, tasks)) as outcomes:
            for done, (place, outcome) in enumerate(outcomes, start=1):
                name = left[place].name
                match outcome:
                    case Finished(figures):
                        self.study.keep(name, figures)
                        verified[name] = figures
                    case Raised(ImpossibleError() as error):
                        reasons[name] = f"{name} is left out: {error}"
                        self.study.exclude(left[place])
                    case Raised(error):
                        raise error
                    case Lost(reason):
                        reasons[name] = f"{name} is not verified: {reason}"
                expect(math.ceil((len(left) - done) / size) * VERIFY_S)
                progress(f"compiled and simulated {name}")
        refusals += [reasons[one.name] for one in left if one.name in reasons]

    def why_nothing(self) -> str:
        """Why the front is empty."""
        judged = self.study.judged
        if not judged:
            return f"none of {self.study.trials} settings comes to anything within the limits"
        best = max(judged, key=lambda one: one.figures.top1).figures
        return (
            f"none of {self.study.trials} settings is within the limits; the best keeps "
            f"{best.top1:.3f} of the top-1 tokens, its error is {best.error:.2f}"
        )


@dataclass(frozen=True)
class _Verification:
    """A setting to verify, and all that it takes; it goes to another process."""

    objective: Objective
    setting: SavedSetting

    def figures(self) -> VerifiedFigures:
        """What Concrete makes of the setting's heads.

        Raises:
            ImpossibleError: it can't compile them.
        """
        return self.objective.verified(variant_of(self.setting), self.setting.bits)


def _checked_limits(min_top1: float | None, max_error: float | None) -> Limits:
    if min_top1 is not None and not 0 <= min_top1 <= 1:
        raise FieldError("min_top1", "must be a share from 0 to 1", min_top1)
    if max_error is not None and not max_error > 0:
        raise FieldError("max_error", "must be above 0", max_error)
    return Limits(min_top1, max_error)


def _check_counts(budget_s: float, trials: int | None, verify: int) -> None:
    if not budget_s > 0:
        raise FieldError("budget_s", "must be above 0", budget_s)
    if trials is not None and trials < 0:
        raise FieldError("trials", "must be 0 or more", trials)
    if verify < 0:
        raise FieldError("verify", "must be 0 or more", verify)


def _check_folder(folder: Path | None) -> None:
    """Fail before long work where settings can't be saved in ``folder``, which may not be there."""
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise FieldError("save_heads", "not a folder", folder)
    check_can_write(folder / "any.json" if folder.is_dir() else folder)


def _save(
    points: Sequence[FrontPoint], folder: Path, asked: Sequence[object], *, predicted: bool
) -> list[FrontPoint]:
    """The points with their files, which are written, and the commands that give them again."""
    folder.mkdir(exist_ok=True)
    saved = []
    for point in points:
        file = folder / f"{point.name}.json"
        save_setting(point.setting, file)
        words = ["fhecost", "estimate", *(["--no-compile"] if predicted else [])]
        words += [*map(str, asked), "--variant", str(file)]
        saved.append(point.changed(file=str(file), command=shlex.join(words)))
    return saved


def _origin(model: str, subject: Subject, figures: Figures) -> str:
    """What a saved setting says of where it is from."""
    return (
        f"model {model}, layer {subject.layer}, heads {_commas(subject.heads)}, "
        f"{subject.seq_len} tokens: keeps {figures.top1:.4f} of the top-1 tokens, "
        f"error {figures.error:.4f}"
    )


def _commas(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))

"""The study: what was tried, kept by Optuna in memory or in a file, where a killed run goes on."""

from __future__ import annotations

import math
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fhecost.errors import FieldError, UsageError
from fhecost.files import check_can_write, write_atomically
from fhecost.frozen import Frozen
from fhecost.heads.fast import SHIPPED
from fhecost.heads.saved_setting import SavedSetting
from fhecost.processes import removed_folder
from fhecost.search.front import Candidate, Limits
from fhecost.search.records import Figures, VerifiedFigures
from fhecost.search.space import Space

_NAME = "fhecost optimize"
_SUBJECT, _EXCLUDED = "subject", "excluded"
_SETTING, _FIGURES, _ERROR = "setting", "figures", "error"


class Subject(Frozen):
    """What a study's figures are of: those of another can't stand beside them."""

    model_sha256: str
    layer: int
    heads: tuple[int, ...]
    seq_len: int
    sentences_sha256: str
    hardware: str
    hardware_hash: str
    code: str

    def difference(self, other: Subject) -> str:
        """In words, the first thing in which a study of ``other`` differs; empty for none."""
        told = {"layer": "layer", "heads": "heads", "seq_len": "seq len", "hardware": "machine"}
        untold = {
            "model_sha256": "another model",
            "sentences_sha256": "other sentences",
            "hardware_hash": f"other figures of {self.hardware}",
            "code": "another version of fhecost",
        }
        for name in type(self).model_fields:
            ours, theirs = (_words(getattr(one, name)) for one in (self, other))
            if ours != theirs:
                return untold.get(name) or f"{told[name]} {theirs}, not {ours}"
        return ""


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def import_optuna() -> Any:
    """The module ``optuna``, silent.

    Raises:
        UsageError: it isn't installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UsageError("a search needs: pip install 'fhecost[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Study:
    """Trials of settings, of which Optuna proposes the next: more top-1, less latency.

    Args:
        space: which settings there are.
        subject: what they are judged on.
        path: the file that keeps the trials; None for memory.
        seed: of the proposals.

    Raises:
        UsageError: Optuna isn't installed, or the file can't be written, or it holds something
            else or a study of another subject.
    """

    def __init__(self, space: Space, subject: Subject, path: Path | None, seed: int) -> None:
        self._optuna = import_optuna()
        self._space = space
        self._states = self._optuna.trial.TrialState
        if path is not None:
            _check_file(path)
            if not path.exists():
                self._make_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            self._study = self._created(None if path is None else f"sqlite:///{path.resolve()}")
            # Going on with the same seed would propose the same again.
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=seed + len(self._study.trials), multivariate=True
            )
        self._claim(subject, path)
        self._known = {
            setting.name: Figures.model_validate(trial.user_attrs[_FIGURES])
            for trial, setting in self._settings()
            if _FIGURES in trial.user_attrs
        }

    def _created(self, storage: Any) -> Any:
        """The study in ``storage``, which is made where it isn't there."""
        return self._optuna.create_study(
            storage=storage,
            study_name=_NAME,
            directions=["maximize", "minimize"],
            load_if_exists=True,
        )

    def _make_file(self, path: Path) -> None:
        """Make the file of a study without trials, whole or not at all.

        Optuna makes its tables one by one; where it is killed meanwhile, the file is of no use.
        """
        with removed_folder("study-") as folder:
            begun = folder / "study.db"
            storage = self._optuna.storages.RDBStorage(f"sqlite:///{begun}")
            self._created(storage)
            storage.engine.dispose()
            write_atomically(path, begun.read_bytes())

    def _claim(self, subject: Subject, path: Path | None) -> None:
        found = self._study.user_attrs.get(_SUBJECT)
        if found is None and not self._study.trials:
            self._study.set_user_attr(_SUBJECT, subject.model_dump(mode="json"))
            return
        try:
            difference = subject.difference(Subject.model_validate(found))
        except ValidationError:
            difference = "another version of fhecost"
        if difference:
            raise FieldError("study", f"it is of {difference}; name another file", path)
        for trial in self._study.trials:
            # A killed run left them.
            if trial.state == self._states.RUNNING:
                self._study.tell(trial.number, state=self._states.FAIL)

    @property
    def trials(self) -> int:
        """How many settings were tried, each once."""
        return len({setting.name for _, setting in self._settings()})

    @property
    def judged(self) -> list[Candidate]:
        """All settings that were judged wholly, each once, without the excluded ones."""
        settings = {setting.name: setting for _, setting in self._settings()}
        candidates = [
            Candidate(setting, self._known[name])
            for name, setting in settings.items()
            if name in self._known
        ]
        excluded = self._excluded
        return [one for one in candidates if not excluded or one.setting.name not in excluded]

    def begin(self, limits: Limits) -> None:
        """Propose what is worth a try for sure.

        That is what was broken off, the shipped settings, and what earlier runs gave up under
        narrower limits.
        """
        for trial in self._broken_off():
            self._study.enqueue_trial(_parameters(trial))
        for setting, rules in SHIPPED.values():
            if parameters := self._space.parameters(setting, rules):
                self._study.enqueue_trial(parameters, skip_if_exists=True)
        for trial in self._study.trials:
            error, figures = (trial.user_attrs.get(key) for key in (_ERROR, _FIGURES))
            pruned = trial.state == self._states.PRUNED
            fits = figures and limits.allow(Figures.model_validate(figures))
            if pruned and (fits or (error and limits.allow_error(error))):
                self._study.enqueue_trial(trial.params)

    def ask(self) -> tuple[Any, SavedSetting]:
        """The next trial and its setting."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask()
            setting = self._space.setting(trial)
        trial.set_user_attr(_SETTING, setting.model_dump(mode="json", exclude_none=True))
        return trial, setting

    def known(self, setting: SavedSetting) -> Figures | None:
        """Its figures, where it was judged before."""
        return self._known.get(setting.name)

    def tell(self, trial: Any, setting: SavedSetting, figures: Figures, limits: Limits) -> None:
        """Keep what ``setting`` came to; beyond the limits, nothing more like it is proposed."""
        self._known[setting.name] = figures
        trial.set_user_attr(_FIGURES, figures.model_dump(mode="json"))
        if limits.allow(figures):
            # By its logarithm: a front from seconds to minutes is searched all along.
            latency = math.log10(Candidate(setting, figures).latency_s)
            self._study.tell(trial, [figures.top1, latency])
        else:
            self._study.tell(trial, state=self._states.PRUNED)

    def give_up(self, trial: Any, error: float | None = None) -> None:
        """Keep that a setting comes to nothing, and its error if that is why."""
        if error is not None:
            trial.set_user_attr(_ERROR, error)
        self._study.tell(trial, state=self._states.PRUNED)

    def exclude(self, setting: SavedSetting) -> None:
        """Take a setting, of which Concrete can't make a circuit, for none."""
        excluded = sorted({*self._excluded, setting.name})
        self._study.set_user_attr(_EXCLUDED, excluded)

    def forget(self, trial: Any) -> None:
        """Leave ``trial`` as one that was broken off."""
        self._study.tell(trial, state=self._states.FAIL)

    def kept(self, name: str) -> VerifiedFigures | Figures | None:
        """What was kept under ``name`` by :meth:`keep`."""
        content = self._study.user_attrs.get(name)
        if content is None:
            return None
        kind = Figures if "exceeded" in content else VerifiedFigures
        return kind.model_validate(content)

    def keep(self, name: str, figures: VerifiedFigures | Figures) -> None:
        """Keep figures that belong to no trial."""
        self._study.set_user_attr(name, figures.model_dump(mode="json"))

    def _broken_off(self) -> list[Any]:
        """Trials that were interrupted and not tried again."""
        trials = self._study.trials
        others = [_parameters(one) for one in trials if one.state != self._states.FAIL]
        return [
            one
            for one in trials
            if one.state == self._states.FAIL and _parameters(one) not in others
        ]

    @property
    def _excluded(self) -> list[str]:
        names: list[str] = self._study.user_attrs.get(_EXCLUDED, [])
        return names

    def _settings(self) -> Iterator[tuple[Any, SavedSetting]]:
        """The trials that have ended by themselves, with their settings."""
        for trial in self._study.trials:
            if trial.state.is_finished() and trial.state != self._states.FAIL:
                yield trial, SavedSetting.model_validate(trial.user_attrs[_SETTING])


def _parameters(trial: Any) -> dict[str, float]:
    """What a trial has of parameters, also before it began."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def _check_file(path: Path) -> None:
    """Raise a UsageError unless ``path`` can hold a study, or does."""
    check_can_write(path)
    if not path.exists():
        return
    try:
        # Not read-only: what a killed run was just writing is rolled back first.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as found:
            tables = {name for (name,) in found.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise FieldError("study", "not a study that fhecost keeps", path) from error
    if tables and "study_user_attributes" not in tables:
        raise FieldError("study", "holds something else than a study", path)

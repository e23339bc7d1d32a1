"""From an experiment to what is to be computed: every point is checked before work begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

from fhecost.accuracy.sweep import JudgedSentences, installed_versions, judged_sentences
from fhecost.circuits.cache import code_fingerprint
from fhecost.errors import FieldError, UsageError
from fhecost.files import AnyPath
from fhecost.gpt2.model import find_model, fingerprint
from fhecost.hardware.library import load_hardware
from fhecost.hardware.names import ALL, DEFAULT
from fhecost.hardware.profile import HardwareProfile
from fhecost.models.shape import find_shape
from fhecost.sweep.circuits import PointCircuit, circuit_of, model_path, with_settings_read
from fhecost.sweep.experiment import Experiment, MeasureOptions, Placed, Step, load_experiment
from fhecost.sweep.points import Point
from fhecost.sweep.records import PointProvenance
from fhecost.version import VERSION

_ROOMS_OF_RESULTS = ("accuracy", "hardware", "measurement", "sweep")
"""Those that shape a result besides its circuit."""

_EXTRAS = {"torch": "gpt2", "transformers": "gpt2", "concrete-python": "concrete"}
"""What installs the packages that steps may need."""


def sweep_code() -> str:
    """SHA-256 of the source that shapes results."""
    return code_fingerprint(_ROOMS_OF_RESULTS)


@dataclass(frozen=True)
class Planned:
    """A point to compute, the key of its result, and the machine of its estimate."""

    point: Point
    key: str
    provenance: PointProvenance
    machine: HardwareProfile | None


@dataclass(frozen=True)
class Plan:
    """All points of an experiment in their order, and what they share.

    ``models`` has the paths of models by the names that points have for them; ``from_weights`` says
    whether any closed form needs weights.
    """

    title: str
    steps: tuple[Step, ...]
    points: tuple[Planned, ...]
    models: Mapping[str, str]
    sentences: JudgedSentences | None
    measure: MeasureOptions
    from_weights: bool

    @property
    def needs_concrete(self) -> bool:
        """Whether anything is compiled."""
        simulated = any(one.point.mode == "simulate" for one in self.points)
        return bool({"compile", "measure"}.intersection(self.steps)) or simulated

    def by_circuit(self, points: Iterable[Planned]) -> list[tuple[Planned, ...]]:
        """``points`` in groups that share their circuit, in their order."""
        return [tuple(group) for _, group in groupby(points, lambda one: one.point.circuit)]


def plan_of(experiment: Experiment | AnyPath) -> Plan:
    """The plan of an experiment, or of its file.

    Paths in it are from the file's folder; from the current one where there is no file.

    Raises:
        UsageError: the file can't be read, or a point can't be: its field's path is named.
        ImpossibleError: nothing is known of this machine, where it is named.
    """
    if isinstance(experiment, Experiment):
        return _plan(experiment, Path(), "")
    path = Path(experiment)
    return _plan(load_experiment(path), path.parent, f"{path}: ")


def _plan(experiment: Experiment, folder: Path, where: str) -> Plan:
    sentences = _sentences(experiment, folder, where)
    versions, code, steps = installed_versions(), sweep_code(), experiment.steps
    options = experiment.measure or MeasureOptions()
    models: dict[str, str] = {}
    circuits: dict[str, PointCircuit] = {}
    planned: list[Planned] = []
    places: dict[str, str] = {}
    weights, shapes = cache(_weights_sha256), cache(_shape_sha256)
    for placed, machine in _with_machines(experiment, folder, where):
        with _Faults(where, placed):
            model = models.setdefault(placed.point.model, model_path(placed.point.model, folder))
            point = with_settings_read(placed.point, folder)
            if point.said in places:
                raise UsageError(f"{placed.place}: the same as {places[point.said]}")
            places[point.said] = placed.place
            if point.circuit not in circuits:
                circuits[point.circuit] = circuit_of(point, steps, model)
            of_weights = circuits[point.circuit].heads is not None
            sha256 = weights(model) if of_weights else shapes(model)
        provenance = PointProvenance(
            fhecost_version=VERSION,
            code=code,
            versions=versions,
            model_sha256=sha256,
            hardware_hash=None if machine is None else machine.hash,
            sentences_sha256=None if sentences is None else sentences.sha256,
        )
        said = [point.said, steps, provenance.model_dump_json()]
        if "measure" in steps:
            said.append(options.model_dump_json())
        key = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        planned.append(Planned(point, key, provenance, machine))
    plan = Plan(
        title=experiment.title,
        steps=steps,
        points=tuple(planned),
        models=models,
        sentences=sentences,
        measure=options,
        from_weights=any(one.counts_from_weights for one in circuits.values()),
    )
    _check_installed(plan, versions, any(one.heads is not None for one in circuits.values()), where)
    return plan


class _Faults:
    """Errors of one point with the file and the field's path in front."""

    def __init__(self, where: str, placed: Placed) -> None:
        self._where, self._placed = where, placed

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, FieldError):
            instead = "" if error.value is None else f", not {error.value}"
            path = self._placed.path_of(error.field)
            raise UsageError(f"{self._where}{path}: {error.message}{instead}") from error
        if isinstance(error, UsageError):
            raise UsageError(f"{self._where}{error}") from error
        if isinstance(error, OSError):
            # A name that is too long, a folder that can't be looked into.
            fault = f"{error.filename}: {error.strerror}"
            raise UsageError(f"{self._where}{self._placed.place}: {fault}") from error


def _sentences(experiment: Experiment, folder: Path, where: str) -> JudgedSentences | None:
    if "accuracy" not in experiment.steps:
        return None
    try:
        named = experiment.sentences
        return judged_sentences(None if named is None else folder / named)
    except UsageError as error:
        fault = error.message if isinstance(error, FieldError) else str(error)
        raise UsageError(f"{where}sentences: {fault}") from error


def _with_machines(
    experiment: Experiment, folder: Path, where: str
) -> Iterator[tuple[Placed, HardwareProfile | None]]:
    """All points, each with its machine; ``all`` and ``default`` stand for a point a machine."""
    paths = [folder / one for one in experiment.hardware_path]
    loaded = cache(lambda name: load_hardware(name, paths))
    for placed in experiment.placed():
        name = placed.point.hardware
        if name is None:
            yield placed, None
            continue
        with _Faults(where, placed):
            try:
                machines = loaded(name)
            except FieldError:
                raise
            except UsageError as error:
                raise FieldError("hardware", str(error)) from error
        for machine in machines:
            named = machine.name if name in (ALL, DEFAULT) else name
            yield Placed(placed.point.changed(hardware=named), placed.paths), machine


def _weights_sha256(model: str) -> str:
    return fingerprint(find_model(model))


def _shape_sha256(model: str) -> str:
    said = json.dumps(asdict(find_shape(model)), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _check_installed(plan: Plan, versions: Mapping[str, str], weights: bool, where: str) -> None:
    """Raise a UsageError unless there is all that the points need."""
    needed = ["torch", "transformers"] if weights else []
    needed += ["concrete-python"] if plan.needs_concrete else []
    missing = sorted({_EXTRAS[package] for package in needed if package not in versions})
    if missing:
        steps = ", ".join(plan.steps)
        raise UsageError(f"{where}steps: {steps} need: pip install 'fhecost[{','.join(missing)}]'")

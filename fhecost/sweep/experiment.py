"""An experiment: the YAML file that says which points there are, and what is asked of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from fhecost.circuits.description import KeylessMode, Scope, Widths
from fhecost.errors import UsageError, all_validation_errors, first_of
from fhecost.fields import Count, Positive, Threads, inconsistent
from fhecost.files import AnyPath
from fhecost.frozen import Frozen
from fhecost.hardware.yaml_text import read_yaml
from fhecost.sweep.points import (
    SETTINGS_ONLY,
    Bits,
    HeadsOf,
    Name,
    PError,
    Point,
    Setting,
    VariantOf,
)

Step = Literal["count", "compile", "accuracy", "measure", "estimate"]
STEPS: tuple[Step, ...] = get_args(Step)
"""What can be asked of a point, in the order in which it is done: the circuit by closed form, the
compiled one, what is kept of the model, a run in FHE on this machine, the latency on a machine."""

MOST_POINTS = 100_000
"""Of one experiment."""

_MOST_VALUES = 10_000


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Value = TypeVar("Value")
Axis = Annotated[
    tuple[Value, ...], BeforeValidator(_listed), Field(min_length=1, max_length=_MOST_VALUES)
]
"""Values of one field; one alone may stand without brackets."""


class Grid(Frozen):
    """All combinations of the values of these fields; see :class:`fhecost.sweep.points.Point`."""

    model: Axis[Name] | None = None
    scope: Axis[Scope] | None = None
    layer: Axis[Count] | None = None
    heads: Axis[HeadsOf] | None = None
    seq_len: Axis[Positive] | None = None
    bits: Axis[Bits] | None = None
    variant: Axis[VariantOf] | None = None
    settings: Annotated[Mapping[str, Axis[Setting]], SETTINGS_ONLY] | None = None
    p_error: Axis[PError | None] | None = None
    widths: Axis[Widths] | None = None
    mode: Axis[KeylessMode] | None = None
    hardware: Axis[Name] | None = None


class GivenPoint(Frozen):
    """A point of a list, as far as it is said there."""

    model: Name | None = None
    scope: Scope | None = None
    layer: Count | None = None
    heads: HeadsOf | None = None
    seq_len: Positive | None = None
    bits: Bits | None = None
    variant: VariantOf | None = None
    settings: Annotated[Mapping[str, Setting], SETTINGS_ONLY] | None = None
    p_error: PError | None = None
    widths: Widths | None = None
    mode: KeylessMode | None = None
    hardware: Axis[Name] | None = None


class MeasureOptions(Frozen):
    """How circuits are run: threads, all that there are when None, and runs after the first."""

    threads: Threads | None = None
    warm_runs: Annotated[int, Field(strict=True, ge=1, le=1000)] = 3


@dataclass(frozen=True)
class Placed:
    """A point, and where in the file each of its fields is said."""

    point: Point
    paths: Mapping[str, str]

    def path_of(self, field: str) -> str:
        """Where ``field`` is said; the field itself where it is left out."""
        if any(name.startswith(f"{field}.") for name in self.paths):
            return f"grid.{field}"
        return self.paths.get(field, field)

    @property
    def place(self) -> str:
        """Where the point is said, field by field."""
        return " and ".join(sorted(self.paths.values()))


class Experiment(Frozen):
    """What is asked of which points: each of ``points`` with each combination of the ``grid``.

    One of both may be left out. ``sentences`` is a file that accuracy is judged on,
    ``hardware_path`` are folders of further machines; paths are from the experiment's own folder.
    """

    title: str = ""
    steps: Annotated[tuple[Step, ...], BeforeValidator(_listed), Field(min_length=1)]
    grid: Grid = Grid()
    points: Annotated[tuple[GivenPoint, ...], Field(max_length=MOST_POINTS)] = ()
    hardware_path: Annotated[tuple[Name, ...], BeforeValidator(_listed)] = ()
    sentences: Name | None = None
    measure: MeasureOptions | None = None

    @model_validator(mode="after")
    def _is_of_some_points(self) -> Self:
        if not self.points and not self.grid.model_fields_set:
            raise inconsistent("grid", "there are no points: name fields in grid, or points")
        for field in sorted(self.grid.model_fields_set):
            for place, given in enumerate(self.points):
                if field in given.model_fields_set:
                    raise inconsistent(f"points.{place}.{field}", "the grid has it too")
        sizes = (len(values) for _, values in self._axes())
        count = math.prod(sizes) * max(1, len(self.points))
        if count > MOST_POINTS:
            raise inconsistent("grid", f"{count} points are too many; up to {MOST_POINTS} go")
        return self

    @model_validator(mode="after")
    def _steps_go_together(self) -> Self:
        steps = set(self.steps)
        if len(steps) < len(self.steps):
            raise inconsistent("steps", "one is named twice")
        given = self._given()
        if "estimate" in steps:
            if not steps & {"count", "compile", "measure"}:
                raise inconsistent("steps", "estimate needs a circuit: add count, or compile")
            if "hardware" not in given:
                raise inconsistent("steps", "estimate needs machines: name hardware in the grid")
        for field, step in (("hardware", "estimate"), ("mode", "accuracy")):
            if field in given and step not in steps:
                raise inconsistent(given[field], f"is for {step}, which isn't among the steps")
        for field, step in (("sentences", "accuracy"), ("measure", "measure")):
            if getattr(self, field) is not None and step not in steps:
                raise inconsistent(field, f"is for {step}, which isn't among the steps")
        return self

    def _given(self) -> dict[str, str]:
        """The fields that any point has, each with the first place where it is said."""
        given = {field: f"grid.{field}" for field in self.grid.model_fields_set}
        for place, point in enumerate(self.points):
            for field in point.model_fields_set:
                given.setdefault(field, f"points.{place}.{field}")
        return given

    def _axes(self) -> list[tuple[str, tuple[Any, ...]]]:
        """The fields of the grid and of its settings, with their values."""
        axes = []
        for field in type(self.grid).model_fields:
            values = getattr(self.grid, field)
            if field == "settings":
                axes += [(f"settings.{name}", of) for name, of in (values or {}).items()]
            elif values is not None:
                axes.append((field, values))
        return axes

    def placed(self) -> Iterator[Placed]:
        """All points, in their order: the last field of the grid, the machine, changes first."""
        axes = self._axes()
        indices = [range(len(values)) for _, values in axes]
        for place, given in enumerate(self.points or (GivenPoint(),)):
            own = {field: getattr(given, field) for field in given.model_fields_set}
            machines = own.pop("hardware", None) or (None,)
            paths = {field: f"points.{place}.{field}" for field in own}
            for chosen in itertools.product(*indices):
                for number, machine in enumerate(machines):
                    values, where = dict(own), dict(paths)
                    if machine is not None:
                        values["hardware"] = machine
                        where["hardware"] = f"points.{place}.hardware.{number}"
                    for (field, axis), index in zip(axes, chosen, strict=True):
                        _set(values, field, axis[index])
                        where[field] = f"grid.{field}.{index}"
                    said = {name: value for name, value in values.items() if value is not None}
                    yield Placed(Point.model_validate(said), where)


def _set(values: dict[str, Any], field: str, value: Any) -> None:
    of, _, name = field.partition(".")
    if name:
        values[of] = {**values.get(of, {}), name: value}
    else:
        values[of] = value


def load_experiment(path: AnyPath) -> Experiment:
    """The experiment in a YAML file.

    Raises:
        UsageError: the file can't be read, or a field is missing, unknown or out of range; its
            path is named.
    """
    content = read_yaml(Path(path))
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not an experiment: the top level must be a mapping")
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        # A name that is misspelt is missing too: first what is there.
        errors = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        faults = all_validation_errors(map(_with_what_there_is, errors))
        raise UsageError(f"{path}: {first_of(faults)}") from error


_PARTS: Mapping[str, type[Frozen]] = {
    "grid": Grid,
    "points": GivenPoint,
    "measure": MeasureOptions,
}


def _with_what_there_is(error: Any) -> Any:
    """An error of pydantic's that names the fields that there are, where one isn't."""
    if error["type"] != "extra_forbidden":
        return error
    part = Experiment if len(error["loc"]) == 1 else _PARTS[error["loc"][0]]
    said = f"no such field; there are {', '.join(part.model_fields)}"
    return {**error, "type": "value_error", "msg": said}

"""Published figures with their dates: what a trend over the years is fitted to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from fhecost.data import data_folder
from fhecost.errors import UsageError
from fhecost.files import read_model
from fhecost.frozen import Frozen
from fhecost.hardware.profile import Kind
from fhecost.validation.published import (
    PUBLISHED_FOLDER,
    PublishedOperation,
    PublishedRecord,
    read_operation,
    read_records,
    seconds_of,
)

_DATE = r"^\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$"


class DatedTable(Frozen):
    """One table that a release published: ``records`` names its figures by their precision.

    ``date`` is a year, a month or a day, and ``date_ref`` says of what. ``log2_p_fail`` is what the
    table is for. Tables of one lineage are of one software, one operation and one kind of machine,
    in the order of the releases. Tables that compare machines at one time say nothing of the years;
    of them alone it may be None, which is not stated.
    """

    lineage: str
    kind: Kind
    software: str
    date: Annotated[str, Field(pattern=_DATE)]
    date_ref: str
    machine: str
    log2_p_fail: Annotated[int, Field(lt=0)] | None
    says_nothing_of_the_years: bool = False
    records: Annotated[Mapping[str, str], Field(min_length=1)]

    @model_validator(mode="after")
    def _years_need_p_fail(self) -> DatedTable:
        if self.log2_p_fail is None and not self.says_nothing_of_the_years:
            raise ValueError(
                f"the table of {self.date} needs log2_p_fail: without it, what the years did can't "
                "be told from what another p_fail did"
            )
        return self


class DatedFile(Frozen):
    """What ``dated.json`` holds; ``records`` are figures that aren't among the published records.

    ``machines`` names the hardware profiles that have their prices; ``no_lineage`` says why a kind
    of machine has no tables.
    """

    about: str = ""
    machines: Mapping[str, str] = {}
    no_lineage: Mapping[Kind, str] = {}
    tables: tuple[DatedTable, ...]
    records: tuple[PublishedRecord, ...] = ()


class FittedFigure(Frozen):
    """A dated figure that a trend was fitted to."""

    name: str
    software: str
    machine: str
    date: float
    log2_p_fail: int | None
    seconds: float
    source: str


class DatedFigure(FittedFigure):
    """One figure: seconds of an operation, when, with which software and on which machine.

    ``date`` is in years. ``work`` is the work of the operation in the unit of the Concrete
    optimizer, None where no parameter set is published beside the figure.
    """

    lineage: str
    kind: Kind
    precision: str
    work: float | None
    says_nothing_of_the_years: bool = False


class DatedFigures(Frozen):
    """All dated figures, the ones that only repeat a release before, and why a kind has none."""

    figures: tuple[DatedFigure, ...]
    repeated: tuple[DatedFigure, ...] = ()
    no_lineage: Mapping[Kind, str] = {}
    hardware: Mapping[str, str] = {}


def decimal_year(date: str) -> float:
    """The middle of a year, a month or a day such as ``2026-04-16``, in years: 2026 is 2026.5."""
    year, *rest = (int(part) for part in date.split("-"))
    if not rest:
        return year + 0.5
    within_month = (rest[1] - 0.5) / 31 if len(rest) == 2 else 0.5
    return year + (rest[0] - 1 + within_month) / 12


def read_dated(path: Path | None = None) -> DatedFigures:
    """The dated figures in ``path``; those that come with fhecost when None.

    A table that repeats the figures of the release before was copied, not measured anew: the
    figures that it repeats are left out, so that no measurement counts twice.

    Raises:
        UsageError: the file can't be read, isn't of this form, or names an unknown record.
    """
    path = data_folder(PUBLISHED_FOLDER) / "dated.json" if path is None else path
    content = read_model(path, DatedFile)
    records = {record.name: record for record in (*read_records(), *content.records)}
    figures: list[DatedFigure] = []
    repeated: list[DatedFigure] = []
    before: dict[tuple[str, str, int | None], Mapping[str, DatedFigure]] = {}
    for table in content.tables:
        read = {
            precision: _figure(path, table, precision, records.get(name), name)
            for precision, name in table.records.items()
        }
        series = (table.lineage, table.machine, table.log2_p_fail)
        earlier = before.get(series, {})
        common = read.keys() & earlier.keys()
        # None was copied, if only one of the common ones differs.
        copied = all(math.isclose(read[key].seconds, earlier[key].seconds) for key in common)
        before[series] = read
        for precision, figure in read.items():
            (repeated if copied and precision in common else figures).append(figure)
    return DatedFigures(
        figures=tuple(figures),
        repeated=tuple(repeated),
        no_lineage=content.no_lineage,
        hardware=content.machines,
    )


def _figure(
    path: Path, table: DatedTable, precision: str, record: PublishedRecord | None, name: str
) -> DatedFigure:
    if record is None:
        raise UsageError(f"{path}: {table.software}, {table.machine}: no record is named {name!r}")
    seconds = seconds_of(record)
    if seconds is None or not record.source:
        raise UsageError(f"{path}: record {name!r}: needs a time or a rate, and a source")
    timed = read_operation(record)
    return DatedFigure(
        name=name,
        software=table.software,
        machine=table.machine,
        date=decimal_year(table.date),
        log2_p_fail=table.log2_p_fail,
        seconds=seconds,
        source=record.source,
        lineage=table.lineage,
        kind=table.kind,
        precision=precision,
        work=timed.work / timed.count if isinstance(timed, PublishedOperation) else None,
        says_nothing_of_the_years=table.says_nothing_of_the_years,
    )


def machines_of(figures: Sequence[DatedFigure]) -> dict[str, float]:
    """The machines and the dates of their first figures, the earliest first."""
    first: dict[str, float] = {}
    for figure in sorted(figures, key=lambda one: one.date):
        first.setdefault(figure.machine, figure.date)
    return first

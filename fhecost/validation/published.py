"""Published figures: what others measured or simulated, one record each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from fhecost.circuits.profile import KeySwitchParameters, KeySwitchUse, PbsParameters, PbsUse, Stage
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    key_switch_key_bytes,
    key_switch_units,
    pbs_units,
)
from fhecost.data import data_folder
from fhecost.errors import UsageError
from fhecost.files import AnyPath, checked, read_json
from fhecost.frozen import Frozen
from fhecost.hardware.profile import PbsKind

PUBLISHED_FOLDER = "experiments/published"


_LEAST, _MOST = 1e-18, 1e18
"""Of a published time or rate, in any unit."""


class PublishedRecord(Frozen, extra="ignore"):
    """One published figure: what ``metric`` says of ``name``, with its parameter set.

    ``params`` may hold n, k, N, pbs_level, ks_level and log2_p_fail; of an operation that is made
    of lookups also how many ``lookups`` it has, and how many such operations run ``side_by_side``
    where they don't fill the machine. ``notes`` say on which machine, ``source`` where it is to be
    read, ``doubt`` why nothing is held against it. Other fields of a record are not looked at.
    """

    name: str
    metric: str
    value: Any = None
    unit: str = ""
    params: Mapping[str, Any] | None = Field(default_factory=dict)
    notes: str | None = ""
    source: str = ""
    doubt: str = ""
    kind: str = "published"

    @property
    def text(self) -> str:
        """All words in which a machine may be named."""
        return f"{self.name} {self.notes or ''} {self.source}"

    @property
    def pbs_kind(self) -> PbsKind:
        """Which kind of PBS it is of: classic where nothing else is said."""
        return "multi-bit" if "MB-PBS" in self.name + self.metric else "classic"

    @property
    def number(self) -> float | None:
        """The value; None where it is no number above zero, or none that anything has."""
        number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        return float(self.value) if number and _LEAST <= self.value <= _MOST else None


class Quantity(StrEnum):
    """What a published figure counts."""

    SECONDS = "s"
    PER_SECOND = "PBS/s"


_FULL = 4096 * 24
"""Lookups that fill any machine, so that the last step, partly empty, hardly counts."""


class PublishedOperation(Frozen):
    """A record's figure in SI units, and the operations that it timed.

    ``count`` lookups run at the same time; enough to fill any machine where the figure is of one
    that is full. Latency models compute with them, though they are no circuit: they are one stage,
    whose ciphertexts are on the machine from beginning to end.
    """

    record: PublishedRecord
    quantity: Quantity
    value: float
    count: int
    pbs: PbsParameters
    key_switch: KeySwitchParameters | None
    input_bytes: int = 0
    output_bytes: int = 0

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The one stage."""
        switches = () if self.key_switch is None else (self.key_switch,)
        stage = Stage(
            name="published",
            pbs=(PbsUse(parameters=self.pbs, count=self.count),),
            key_switches=tuple(KeySwitchUse(parameters=s, count=self.count) for s in switches),
            parallel_width=self.count,
        )
        return (stage,)

    @property
    def bsk_bytes(self) -> int:
        """Bytes of the bootstrap key."""
        return bootstrap_key_bytes(self.pbs)

    @property
    def ksk_bytes(self) -> int:
        """Bytes of the key-switch key."""
        return 0 if self.key_switch is None else key_switch_key_bytes(self.key_switch)

    @property
    def seconds(self) -> float:
        """Seconds of all lookups."""
        return self.value if self.quantity is Quantity.SECONDS else self.count / self.value

    @property
    def work(self) -> float:
        """The work of all lookups and key switches, in the unit of the Concrete optimizer."""
        switched = 0.0 if self.key_switch is None else key_switch_units(self.key_switch)
        return self.count * (pbs_units(self.pbs) + switched)


class NotJudged(Frozen):
    """Published records that no prediction is held against, and why."""

    reason: str
    records: tuple[str, ...]


_SECONDS: Mapping[str, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_RATES = frozenset({"PBS/s", "bootstraps/s", "ops/s", "1/s"})
_OPERATIONS = re.compile(r"(?:integer op|transfer) throughput: .+")
_ANY_BASE_LOG = 1
"""Stands for the base of a decomposition that a record leaves out, as most do.

The base decides the noise of an operation, not its work: no latency model looks at it.
"""

_MOST_LOOKUPS = 10**9

_BATCH = re.compile(r"(?:latency of a batch|throughput): ([1-9]\d{0,11}) KS ?- ?PBS")
_SATURATED = re.compile(r"PBS throughput \(batch ([1-9]\d{0,11})\)")


def read_published(path: Path) -> list[PublishedRecord]:
    """The records in a JSON file: a list, each with at least ``name`` and ``metric``.

    Raises:
        UsageError: the file can't be read, or isn't of this form.
    """
    content = read_json(path)
    if not isinstance(content, list) or not content:
        raise UsageError(f"{path}: must be a list of records, each with name, metric and value")
    return [
        checked(PublishedRecord, item, f"{path}: record {number}: ")
        for number, item in enumerate(content)
    ]


def read_records(facts: Iterable[PublishedRecord | AnyPath] | None = None) -> list[PublishedRecord]:
    """Published records, and those in files; those that come with fhecost when None.

    Raises:
        UsageError: a file can't be read, or isn't of this form.
    """
    given = [data_folder(PUBLISHED_FOLDER) / "records.json"] if facts is None else facts
    return [
        record
        for one in given
        for record in ([one] if isinstance(one, PublishedRecord) else read_published(Path(one)))
    ]


def seconds_of(record: PublishedRecord) -> float | None:
    """Seconds of what ``record`` timed, of one operation where it gives a rate; None if neither."""
    if record.number is None:
        return None
    if record.unit in _RATES:
        return 1 / record.number
    scale = _SECONDS.get(record.unit)
    return None if scale is None else record.number * scale


def read_operation(record: PublishedRecord) -> PublishedOperation | str:
    """What ``record`` timed, or why fhecost can't predict it."""
    if record.kind != "published":
        return "derived by others from a figure that is published, not published itself"
    if record.doubt:
        return f"in doubt: {record.doubt}"
    lookups, side_by_side = 1, 0
    if _OPERATIONS.fullmatch(record.metric):
        params = record.params or {}
        lookups, side_by_side = params.get("lookups", 0), params.get("side_by_side", 0)
        if not _is_count(lookups) or not (side_by_side == 0 or _is_count(side_by_side)):
            return "how many lookups it has is not known"
    meant = _meaning(record.metric, lookups * side_by_side)
    if meant is None:
        return "no time or throughput of PBS"
    quantity, count, with_key_switch = meant
    units = _SECONDS if quantity is Quantity.SECONDS else dict.fromkeys(_RATES, 1.0)
    if record.number is None or record.unit not in units:
        return "a value or a unit that can't be read"
    try:
        pbs, key_switch = _parameters(record.params or {}, with_key_switch)
    except ValidationError:
        return "no whole parameter set beside it"
    return PublishedOperation(
        record=record,
        quantity=quantity,
        value=record.number * units[record.unit] * lookups,
        count=count,
        pbs=pbs,
        key_switch=key_switch,
    )


def _is_count(told: object) -> bool:
    return isinstance(told, int) and not isinstance(told, bool) and 0 < told <= _MOST_LOOKUPS


def _meaning(metric: str, at_once: int) -> tuple[Quantity, int, bool] | None:
    """Quantity, lookups at the same time, and whether each has its key switch.

    ``at_once`` is how many an operation made of lookups has at the same time, 0 for enough to fill
    any machine.
    """
    if _OPERATIONS.fullmatch(metric):
        return Quantity.PER_SECOND, at_once or _FULL, True
    metric = metric.replace("MB-PBS", "PBS")
    batch, saturated = _BATCH.fullmatch(metric), _SATURATED.fullmatch(metric)
    if batch:
        rate = metric.startswith("throughput")
        return Quantity.PER_SECOND if rate else Quantity.SECONDS, int(batch[1]), True
    if saturated:
        return Quantity.PER_SECOND, int(saturated[1]), False
    return {
        "latency PBS (single op)": (Quantity.SECONDS, 1, False),
        "latency KS-PBS (single op)": (Quantity.SECONDS, 1, True),
        "bootstrapping latency": (Quantity.SECONDS, 1, False),
        "bootstrapping throughput": (Quantity.PER_SECOND, _FULL, False),
        "PBS throughput as cited": (Quantity.PER_SECOND, _FULL, False),
    }.get(metric)


def _parameters(
    published: Mapping[str, Any], with_key_switch: bool
) -> tuple[PbsParameters, KeySwitchParameters | None]:
    told = {name: value for name, value in published.items() if value is not None}
    params = {"pbs_base_log": _ANY_BASE_LOG, "ks_base_log": _ANY_BASE_LOG, **told}
    pbs = PbsParameters.model_validate(
        {
            "lwe_dimension": params.get("n"),
            "glwe_dimension": params.get("k"),
            "polynomial_size": params.get("N"),
            "level_count": params.get("pbs_level"),
            "base_log": params["pbs_base_log"],
        },
        strict=True,
    )
    if not with_key_switch:
        return pbs, None
    return pbs, KeySwitchParameters.model_validate(
        {
            "input_lwe_dimension": pbs.glwe_dimension * pbs.polynomial_size,
            "output_lwe_dimension": pbs.lwe_dimension,
            "level_count": params.get("ks_level"),
            "base_log": params["ks_base_log"],
        },
        strict=True,
    )

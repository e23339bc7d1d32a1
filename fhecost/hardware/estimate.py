"""The estimate: how long a circuit takes on a machine, with its range and where it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol, Self

from pydantic import model_validator

from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import LinearOperation, Stage
from fhecost.fields import FiniteNonNegative
from fhecost.frozen import Frozen
from fhecost.hardware.names import PbsChoice, PbsKind
from fhecost.hardware.profile import Availability, Kind
from fhecost.hardware.roof import Roof
from fhecost.hardware.summary import as_html, as_lines, grounds, headline, largest_parts
from fhecost.provenance import Source
from fhecost.units import duration

Operation = Literal["pbs", "key_switch", "linear", "keys", "transfer"]
OPERATIONS: tuple[Operation, ...] = ("pbs", "key_switch", "linear", "keys", "transfer")
"""``keys`` is what a run pays to hand over the keys, ``transfer`` what its inputs and outputs
take: to a device over the host link, on a CPU with what a run costs whatever it computes."""


SURE = 1e-3
"""The error in all that an unsure circuit is held against."""


MANY_TOKENS = 1000
"""Tokens whose cost is told: prices of language models are of so many."""

WIDEST = 30.0
"""How many times its low end the high end of a range may be: beyond, the latency isn't known."""


def is_known(low_s: float, high_s: float) -> bool:
    """Whether a latency with such a range says more than that nobody knows it."""
    return high_s <= WIDEST * low_s


_ROUNDING = 1e-9
"""How far apart, relatively, sums of the same seconds in another order may be."""


def is_range(low_s: float, likely_s: float, high_s: float) -> bool:
    """Whether these are times, finite and in their order."""
    in_order = low_s <= likely_s * (1 + _ROUNDING) and likely_s <= high_s * (1 + _ROUNDING)
    return low_s >= 0 and in_order and high_s < math.inf


class Ranged(Frozen):
    """What has a latency with its range: it doesn't exist unless both are finite and in order."""

    if TYPE_CHECKING:
        latency_s: float
        low_s: float
        high_s: float

    @model_validator(mode="after")
    def _is_finite_and_ordered(self) -> Self:
        if not is_range(self.low_s, self.latency_s, self.high_s):
            raise ValueError(
                f"{self.latency_s:g} s, from {self.low_s:g} to {self.high_s:g} s, is no latency "
                "with its range: it must be finite, and in order"
            )
        return self


class Bottleneck(StrEnum):
    """What keeps a stage from being faster."""

    COMPUTE = "compute"
    MEMORY_BANDWIDTH = "memory bandwidth"
    PARALLEL_WIDTH = "parallel width"
    TRANSFER = "transfer"
    LAUNCH = "launches"


class StageEstimate(Frozen):
    """The part of one stage: seconds in all and by operation.

    ``busy_s`` is what its work would take with all of the machine at it; the rest of the latency
    is idle.

    What belongs to no stage of the circuit has a name in parentheses, which no stage can have.
    An operation that the latency model leaves out is None: unknown, not free.
    """

    stage: str
    latency_s: FiniteNonNegative
    busy_s: FiniteNonNegative
    bottleneck: Bottleneck
    by_operation_s: Mapping[Operation, FiniteNonNegative | None]


class Preparation(Frozen):
    """What a circuit needs before its runs are warm.

    ``cold_s`` is the whole first run after key generation, ``peak_memory_bytes`` the most that the
    process holds, with Concrete itself and all keys.
    """

    keygen_s: FiniteNonNegative
    cold_s: FiniteNonNegative
    peak_memory_bytes: FiniteNonNegative


class MemoryUse(Frozen):
    """What a run has in memory at once, and what is streamed.

    ``keys_bytes`` and ``tile_bytes``, the ciphertexts that all lanes read and return at once, are
    on each device, whose memory is ``capacity_bytes``. ``data_bytes`` are inputs and outputs;
    ``data_streamed`` says whether they come over the host link for lack of room.
    ``spilled_bytes`` is what stages read and return that are larger than the room: the high end of
    an estimate moves it over the link. None is unknown.
    """

    keys_bytes: FiniteNonNegative
    tile_bytes: FiniteNonNegative
    data_bytes: FiniteNonNegative
    widest_stage: str
    widest_stage_bytes: FiniteNonNegative
    capacity_bytes: FiniteNonNegative | None
    link_bytes_per_s: FiniteNonNegative | None
    data_streamed: bool | None
    spilled_bytes: FiniteNonNegative | None


class Estimate(Ranged):
    """One machine's estimate.

    The seconds of all stages at work and ``idle_s`` add up to ``latency_s``. More lanes of the same
    kind don't bring it below ``critical_path_s``, the longest chain of lookups that wait for each
    other. ``energy_j`` is at full power all the time, ``price_usd`` the rent of the machine; None
    where power or price is unknown. ``sources`` says which share of ``latency_s`` rests on which
    kind of number; ``by_operation_s`` is None for an operation that the latency model leaves out.
    ``preparation`` is what comes before a warm run, None where the model says nothing of it,
    ``memory`` what must be there at once and what is streamed, ``roof`` what bounds its lookups
    from above, None likewise. ``p_error_at_most`` is the error of a lookup where its PBS is of
    ``pbs_kind``, None where that isn't known.
    """

    hardware: str
    title: str
    kind: Kind | None = None
    availability: Availability | None = None
    pbs_kind: PbsKind = "classic"
    p_error_at_most: float | None = None
    latency_model: str
    latency_s: FiniteNonNegative
    low_s: FiniteNonNegative
    high_s: FiniteNonNegative
    bottleneck: Bottleneck
    idle_s: FiniteNonNegative
    critical_path_s: FiniteNonNegative | None
    by_stage: tuple[StageEstimate, ...]
    by_operation_s: Mapping[Operation, FiniteNonNegative | None]
    sources: Mapping[Source, FiniteNonNegative]
    assumptions: tuple[str, ...]
    references: tuple[str, ...]
    hardware_hash: str
    circuit_hash: str
    preparation: Preparation | None = None
    memory: MemoryUse | None = None
    roof: Roof | None = None
    energy_j: FiniteNonNegative | None = None
    price_usd: FiniteNonNegative | None = None

    @property
    def named(self) -> str:
        """The machine's name, with the kind of PBS where it isn't the classic one."""
        if self.pbs_kind == "classic":
            return self.hardware
        supposed = ", hypothetical" if self.availability == "hypothetical" else ""
        return f"{self.hardware} ({self.pbs_kind}{supposed})"

    @property
    def utilization(self) -> float:
        """The share of the time in which the machine would be at work were it always full."""
        return 1 - self.idle_s / self.latency_s

    def __str__(self) -> str:
        return as_lines(self._title, largest_parts(self.by_stage))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return as_html(self._title, ("stage", "share", "time"), largest_parts(self.by_stage))

    @property
    def _title(self) -> str:
        time = headline(self.latency_s, self.low_s, self.high_s, self.bottleneck)
        return f"{self.named}: {time}\n{self.title}; {grounds(self.sources)}"


class Refusal(Frozen):
    """A machine that can't run the circuit, and why."""

    hardware: str
    reason: str


class LatencyRange(Ranged):
    """An estimate's latency, and its range."""

    latency_s: FiniteNonNegative
    low_s: FiniteNonNegative
    high_s: FiniteNonNegative


class UnsureCircuit(Frozen):
    """How likely some lookup of a circuit goes wrong, and what ``sure_p_error`` would cost.

    ``on_purpose`` is a head whose lookups were allowed to err, so that its accuracy is known with
    the errors in it. ``work_factor`` is the complexity of the same circuit with parameter sets for
    ``sure_p_error`` over its own, ``keys_bytes`` what its keys take then; both are None where
    ``reason`` says why they aren't known. ``latency_s`` is by machine; of the others, ``refusals``
    says why they can't run it.
    """

    global_p_error: float
    on_purpose: bool
    sure_p_error: float
    work_factor: float | None = None
    keys_bytes: int | None = None
    latency_s: Mapping[str, LatencyRange] = {}
    refusals: Mapping[str, str] = {}
    reason: str | None = None


class CircuitSummary(Frozen):
    """The circuit that an estimate is for.

    ``cost_error`` is what the cost of a predicted one may be off; None where it was compiled.
    """

    source: str
    name: str
    description: CircuitDescription
    hash: str
    pbs_count: int
    key_switch_count: int
    linear_counts: Mapping[LinearOperation, int]
    max_bit_width: int
    complexity: float
    p_error: float
    global_p_error: float
    cost_error: float | None = None
    bsk_bytes: int
    ksk_bytes: int
    input_bytes: int
    output_bytes: int
    widest_stage_bytes: int
    compressed_key_bytes: int | None = None
    compressed_input_bytes: int | None = None
    versions: Mapping[str, str]
    stages: tuple[Stage, ...]


class Throughput(Ranged):
    """What one machine makes of ``requests`` that are all there at once.

    ``latency_s`` with its range is when the last of them is answered, in batches of ``batch``;
    ``per_second`` what it keeps up with batches of at most ``requests``, at its likely latency.
    ``full_at`` is the batch from which on it gains next to nothing; None where memory or the search
    ends before. Energy and price are of one request, None where power or price is unknown.
    ``pbs_kind`` and ``availability`` are those of the estimate that these and ``per_second`` rest
    on. ``tokens`` is how many a request makes, or reads; None for parts of a model, which have no
    price and no energy of tokens either.
    """

    hardware: str
    requests: int
    batch: int
    latency_s: float
    low_s: float
    high_s: float
    per_second: float
    full_at: int | None
    energy_j: float | None
    price_usd: float | None
    pbs_kind: PbsKind = "classic"
    availability: Availability | None = None
    tokens: int | None = None
    price_usd_of_1000_tokens: float | None = None
    energy_j_of_token: float | None = None

    def price_of(self, many: int) -> float | None:
        """Dollars that so many requests cost, one after the other in batches that suit."""
        return None if self.price_usd is None else many * self.price_usd


class Priced(Protocol):
    """A machine's run: how long it takes, and what it costs as far as that is known."""

    @property
    def hardware(self) -> str:
        """The machine."""

    @property
    def latency_s(self) -> float:
        """How long, likely."""

    @property
    def low_s(self) -> float:
        """How long at least."""

    @property
    def high_s(self) -> float:
        """How long at most."""

    @property
    def energy_j(self) -> float | None:
        """At full power all the time."""

    @property
    def price_usd(self) -> float | None:
        """The rent."""


class TokenCost(Ranged):
    """What so many ``tokens`` take on one machine, one run after the other.

    Energy and price are None where power or price is unknown.
    """

    hardware: str
    tokens: int
    latency_s: float
    low_s: float
    high_s: float
    energy_j: float | None
    price_usd: float | None


class EstimateReport(Frozen):
    """What ``fhecost estimate`` prints: the circuit and one estimate a machine.

    ``beside`` holds the same of the published head of that shape, for comparison,
    ``unsure`` what is to be known where some lookup is likely to go wrong, ``throughputs`` what
    the machines make of many requests where these were asked for, ``token_costs`` what a token and
    a thousand cost where the circuit makes or reads them. ``pbs`` is the kind of PBS that was asked
    for, None where none was.
    """

    schema_version: Literal[2] = 2
    fhecost_version: str
    circuit: CircuitSummary
    estimates: tuple[Estimate, ...]
    refusals: tuple[Refusal, ...] = ()
    beside: EstimateReport | None = None
    unsure: UnsureCircuit | None = None
    throughputs: tuple[Throughput, ...] = ()
    pbs: PbsChoice | None = None
    token_costs: tuple[TokenCost, ...] = ()

    def __str__(self) -> str:
        rows = [[name, latency, f"({low} to {high})"] for name, latency, low, high, _ in self._rows]
        lines = as_lines(self._title, rows)
        return "\n".join([lines, *(f"  {no.hardware}: {no.reason}" for no in self.refusals)])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        refused = [[no.hardware, "", "", "", no.reason] for no in self.refusals]
        headings = ("machine", "latency", "from", "to", "bound by")
        return as_html(self._title, headings, [*self._rows, *refused])

    @property
    def _title(self) -> str:
        circuit = self.circuit
        counts = f"{circuit.pbs_count:,} PBS, {circuit.key_switch_count:,} KS"
        return f"{circuit.name}: {counts}, at most {circuit.max_bit_width} bits"

    @property
    def _rows(self) -> list[list[str]]:
        return [
            [
                *(made.named, duration(made.latency_s), duration(made.low_s)),
                *(duration(made.high_s), str(made.bottleneck)),
            ]
            for made in self.estimates
        ]

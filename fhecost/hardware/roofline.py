"""The roof of a run's costs."""

from __future__ import annotations

from collections.abc import Sequence

from fhecost.circuits.work import stage_units
from fhecost.circuits.workload import Workload
from fhecost.hardware.cost import Cost
from fhecost.hardware.figures import Figures
from fhecost.hardware.roof import Roof


def roof_of(circuit: Workload, costs: Sequence[Cost], figures: Figures) -> Roof | None:
    """The roof of all lookups of ``circuit``; None without any, or where the model doesn't say."""
    lookups = [cost for cost in costs if cost.operation in ("pbs", "key_switch")]
    computed = [cost.compute_s for cost in lookups if cost.compute_s is not None]
    streamed = [cost.streamed_bytes for cost in lookups if cost.streamed_bytes is not None]
    if not lookups or not len(lookups) == len(computed) == len(streamed):
        return None
    bandwidth, devices = figures.memory_bandwidth_bytes_per_s, getattr(figures, "devices", None)
    of_all = 1.0 if devices is None else devices.value
    return Roof(
        work_units=sum(map(stage_units, circuit.stages)),
        latency_s=sum(cost.latency_s for cost in lookups),
        compute_s=sum(computed),
        streamed_bytes=sum(streamed),
        bandwidth_bytes_per_s=None if bandwidth is None else bandwidth.value * of_all,
    )

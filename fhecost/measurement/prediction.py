"""What a hardware profile says of a run before it starts."""

from __future__ import annotations

import datetime

from fhecost.circuits.profile import CircuitProfile
from fhecost.hardware.estimator import estimate
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.what_if import with_figures
from fhecost.measurement.run_record import Prediction


def predict(
    profile: CircuitProfile, hardware: HardwareProfile, threads: int, probe_s: float | None = None
) -> Prediction:
    """What ``hardware`` with ``threads`` threads says of a run of ``profile``.

    Args:
        profile: the circuit.
        hardware: the machine; its figure ``threads``, where it has one, is set to ``threads``.
        threads: of the run.
        probe_s: what the probe of :mod:`fhecost.measurement.machine` takes on the machine around
            the run. Where the hardware profile says what it took when the machine was calibrated,
            all times are stretched by the ratio of both, the ``pace``: the machine may be one that
            others slow down. None predicts for the speed of the calibration.

    Raises:
        ImpossibleError: the machine can't run it.
        UsageError: the hardware profile is incomplete.
    """
    if "threads" in hardware.figures:
        hardware = with_figures(hardware, {"threads": threads})
    made = estimate(profile, hardware)
    usual = hardware.figures.get("probe_s")
    pace = 1.0 if probe_s is None or usual is None else probe_s / usual.value
    keys = made.preparation
    if keys is not None:
        keys = keys.changed(keygen_s=keys.keygen_s * pace, cold_s=keys.cold_s * pace)
    return Prediction(
        hardware=hardware.name,
        hardware_hash=hardware.hash,
        made=now(),
        pace=pace,
        warm_s=made.latency_s * pace,
        warm_low_s=made.low_s * pace,
        warm_high_s=made.high_s * pace,
        preparation=keys,
    )


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

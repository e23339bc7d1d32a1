"""What a hardware profile says of a run before it starts."""

from __future__ import annotations

import datetime

from fhecost.circuits.profile import CircuitProfile
from fhecost.hardware.estimator import estimate
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.what_if import with_figures
from fhecost.measurement.run_record import Prediction


def predict(profile: CircuitProfile, hardware: HardwareProfile, threads: int) -> Prediction:
    """What ``hardware`` with ``threads`` threads says of a run of ``profile``.

    Raises:
        ImpossibleError: the machine can't run it.
        UsageError: the hardware profile is incomplete.
    """
    if "threads" in hardware.figures:
        hardware = with_figures(hardware, {"threads": threads})
    made = estimate(profile, hardware)
    return Prediction(
        hardware=hardware.name,
        hardware_hash=hardware.hash,
        made=now(),
        warm_s=made.latency_s,
        warm_low_s=made.low_s,
        warm_high_s=made.high_s,
        preparation=made.preparation,
    )


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

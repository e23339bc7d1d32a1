"""Which calibration predicts a measured run: that of the machine that it ran on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhecost.errors import UsageError
from fhecost.files import AnyPath
from fhecost.hardware.here import calibrated_machines, is_machine
from fhecost.hardware.library import hardware_files
from fhecost.hardware.profile import HardwareProfile
from fhecost.measurement.run_record import RunRecord


def own_calibrations(
    records: Sequence[RunRecord], hardware_path: Iterable[AnyPath] = ()
) -> list[HardwareProfile]:
    """The hardware profile of each record's own machine.

    It is the one that the record carries; else a known machine that was calibrated on the same
    processor with as many threads and as much memory. Of several, the last one before the run.

    Args:
        records: measured runs.
        hardware_path: folders of further machines.

    Raises:
        UsageError: of a record's machine nothing is known.
    """
    known: list[HardwareProfile] | None = None
    found = []
    for number, record in enumerate(records, start=1):
        if record.calibration is None and known is None:
            known = calibrated_machines(hardware_files(hardware_path).values())
        own = record.calibration or _matching(record, known or [])
        if own is None:
            raise UsageError(
                f"run {number}, {record.name}: ran on {record.machine.identity()}, carries no "
                "calibration, and none of that machine is known; name a machine to hold it against"
            )
        found.append(own)
    return found


def _matching(record: RunRecord, known: Iterable[HardwareProfile]) -> HardwareProfile | None:
    identity = record.machine.identity()
    same = [one for one in known if is_machine(one, identity)]
    before = [one for one in same if (one.calibrated or "") <= record.started]
    if before:
        return max(before, key=lambda one: one.calibrated or "")
    return min(same, key=lambda one: one.calibrated or "", default=None)

"""From a microbenchmark to the hardware profile of the machine that it ran on."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fhecost.data import data_folder
from fhecost.errors import FieldError, UsageError
from fhecost.files import AnyPath, check_can_write, checked, not_written, write_atomically
from fhecost.hardware.names import RESERVED
from fhecost.hardware.profile import NAME_PATTERN, HardwareFile, HardwareProfile
from fhecost.hardware.reading import read_hardware
from fhecost.measurement.calibration_run import measure_for_calibration
from fhecost.measurement.fit import CpuFit, KeyFit, fit_cpu, fit_keys
from fhecost.measurement.machine import Machine
from fhecost.measurement.noise import noise_of
from fhecost.measurement.records import Microbenchmark, load_microbenchmark
from fhecost.measurement.transfer_fit import TransferFit, fit_transfers
from fhecost.processes import removed_folder
from fhecost.progress import Expect, Progress, silent

_EXTRAPOLATION = (
    "Beyond the largest N that was timed, a transform's data outgrow the second-level cache; no "
    "step of the fitted range costs more than this a doubling."
)
UPPER_BOUND = "the times can't tell it from zero: an upper bound of"
_NEXT_TO_NOTHING = 1e-3
_MOST_SPREAD = 0.99
"""A figure's range ends above zero, however badly the fit describes what it was fitted to."""


def calibrate(
    raw: Microbenchmark | AnyPath | None = None,
    name: str = "local",
    *,
    thorough: bool = False,
    keep: AnyPath | None = None,
    progress: Progress = silent,
    expect: Expect = silent,
) -> HardwareProfile:
    """What ``fhecost calibrate`` does: fit the CPU model to a machine's raw times.

    Args:
        raw: what :func:`fhecost.run_microbenchmark` measured, or the file that it was kept in. When
            None, this machine is measured, in about a minute: leave it alone meanwhile.
        name: what the machine is to be called.
        thorough: measure for about ten minutes.
        keep: where to write the hardware profile, if anywhere; ``fhecost calibrate`` keeps it
            as ``NAME.yaml`` where the user's own machines are found by name. It is written whole
            and readable or not at all; a calibration that was there is kept in the folder
            ``earlier`` beside it, with its date in its name. What is measured here is kept beside
            it too, as ``NAME.raw.json``; a call that was broken off is gone on with on the same
            day.
        progress: called with what is measured, when that begins.
        expect: called with the seconds that measuring will take, and after each step with those
            that are left.

    Raises:
        UsageError: no such file or name, too few parameter sets for a fit, or times that make no
            machine that can be read back.
        ImpossibleError: this machine can't be measured.
    """
    kept = None if keep is None else Path(keep)
    check_name(name)
    check_can_write(kept)
    if raw is None:
        raw_file = None if kept is None else raw_times_file(kept)
        if raw_file is not None:
            check_can_write(raw_file)
            _keep_earlier(raw_file)
        measured = measure_for_calibration(
            thorough, keep=raw_file, progress=progress, expect=expect
        )
        ref = f"microbenchmark of {measured.started}" if raw_file is None else raw_file.name
        fitted, profile = _fitted(measured, ref, name)
    elif thorough:
        raise FieldError("thorough", "goes without raw times: they are measured already")
    elif isinstance(raw, Microbenchmark):
        fitted, profile = _fitted(raw, f"microbenchmark of {raw.started}", name)
    else:
        try:
            fitted, profile = _fitted(load_microbenchmark(Path(raw)), Path(raw).name, name)
        except UsageError as error:
            where = f"{raw}: "
            raise UsageError(where + str(error).removeprefix(where)) from error
    if kept is not None:
        _keep_earlier(kept)
        write_atomically(kept, as_yaml(fitted))
        profile = read_hardware(kept).changed(name=name)
    return profile


def raw_times_file(path: Path) -> Path:
    """Where the raw times of a machine that is measured and kept in ``path`` are kept."""
    return path.with_suffix(".raw.json")


def _fitted(raw: Microbenchmark, ref: str, name: str) -> tuple[HardwareFile, HardwareProfile]:
    """What is fitted to ``raw``, and the machine that any command reads from its text.

    Raises:
        UsageError: no fit, or what was fitted is no machine that can be read.
    """
    fitted = calibrated_profile(raw, ref)
    with removed_folder("calibrate-") as folder:
        path = folder / f"{name}.yaml"
        write_atomically(path, as_yaml(fitted))
        try:
            return fitted, read_hardware(path)
        except UsageError as error:
            why = str(error).removeprefix(f"{path}: ")
            raise UsageError(f"these times make no usable machine: {why}") from error


def check_name(name: str) -> None:
    """Check that a machine can be called ``name``.

    Raises:
        UsageError: it is no name, one that stands for several machines, or a shipped machine's.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        shown = name if name.isprintable() and name else repr(name)
        raise FieldError("name", "must be small letters, digits and _.-", shown)
    if name in RESERVED:
        raise FieldError("name", "stands for other machines; choose another one", name)


def check_own_name(name: str) -> None:
    """Check that ``name`` can be that of the user's own machine, found without a folder's name.

    Raises:
        UsageError: as for :func:`check_name`, or a shipped machine is called so.
    """
    check_name(name)
    if (data_folder("hardware") / f"{name}.yaml").is_file():
        why = "is a machine that comes with fhecost; choose another name, or a file with -o"
        raise FieldError("name", why, name)


def _keep_earlier(path: Path) -> None:
    """Put what is at ``path`` into the folder ``earlier`` beside it, with its date in its name."""
    if not path.is_file():
        return
    try:
        raw = path.suffix == ".json"
        when = load_microbenchmark(path).started if raw else read_hardware(path).calibrated or ""
    except UsageError:
        when = ""
    changed = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC).isoformat()
    date = re.sub(r"[^0-9T-]", "", (when or changed)[:19])
    name, _, ending = path.name.partition(".")
    earlier = path.parent / "earlier" / f"{name}-{date}.{ending}"
    try:
        earlier.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise not_written(earlier, error) from error
    write_atomically(earlier, path.read_bytes())


def calibrated_profile(microbenchmark: Microbenchmark, ref: str) -> HardwareFile:
    """The hardware profile that the fits of ``microbenchmark`` make.

    Args:
        microbenchmark: raw times of one machine.
        ref: where they can be read; every figure names it.

    Raises:
        UsageError: the microbenchmark has too few parameter sets for a fit, or no fit is usable.
    """
    # Times far from any machine's overflow or vanish on the way; what is left of them is refused.
    with np.errstate(all="ignore"):
        fit = fit_cpu(microbenchmark)
        keys = fit_keys(microbenchmark.keys) if microbenchmark.keys else None
    machine, noise = microbenchmark.machine, noise_of(microbenchmark)

    def calibrated(value: float, low: float, high: float) -> dict[str, Any]:
        figure = _figure(value, "calibrated", ref)
        low, high = min(_rounded(low), figure["value"]), max(_rounded(high), figure["value"])
        return {**figure, "low": low, "high": high}

    def of_fit(
        fit: CpuFit | KeyFit | TransferFit, name: str, value: float, spread: float
    ) -> dict[str, Any]:
        error = {"standard_error": _rounded(fit.standard_errors[name])}
        if name in fit.upper_bounds:
            # Above 0, since a machine has no free operations; what it is, these times don't say.
            high = max(fit.upper_bounds[name], value * (1 + spread))
            figure = calibrated(value, value * _NEXT_TO_NOTHING, high)
            return {**figure, **error, "rationale": f"{UPPER_BOUND} {_rounded(high):.3g}"}
        return {**calibrated(value, value * (1 - spread), value * (1 + spread)), **error}

    spread = min(fit.spread, _MOST_SPREAD)
    largest = max(sample.pbs.polynomial_size for sample in microbenchmark.lookups)
    figures: dict[str, Any] = {
        "threads": _figure(fit.threads, "measured", ref),
        "thread_efficiency": calibrated(
            fit.thread_efficiency, fit.thread_efficiency_low, fit.thread_efficiency_high
        ),
        **{name: of_fit(fit, name, getattr(fit, name), spread) for name in fit.standard_errors},
        "linear_element_s": calibrated(
            fit.linear_element_s, fit.linear_element_low_s, fit.linear_element_high_s
        ),
        "trusted_polynomial_size": _figure(largest, "measured", ref),
        "extrapolation_per_doubling": {
            "value": 1.15,
            "source": "assumed",
            "rationale": _EXTRAPOLATION,
        },
        "memory_bytes": _figure(machine.memory_bytes, "measured", ref),
    }
    if keys is not None:
        for name, value in keys.constants.items():
            figures[name] = of_fit(keys, name, value, min(keys.spreads[name], _MOST_SPREAD))
        figures["process_memory_bytes"] = _figure(keys.process_memory_bytes, "measured", ref)
    if microbenchmark.transfers:
        with np.errstate(all="ignore"):
            moved = fit_transfers(microbenchmark, fit.linear_element_s)
        for name, value in moved.constants.items():
            figures[name] = of_fit(moved, name, value, min(moved.spread, _MOST_SPREAD))
    if microbenchmark.usual_probe_s is not None:
        figures["probe_s"] = _figure(microbenchmark.usual_probe_s, "measured", ref)
    gigabytes = machine.memory_bytes / 2**30
    content = {
        "schema_version": 1,
        "title": f"{machine.processor}, {fit.threads} threads, {gigabytes:.0f} GiB",
        "kind": "cpu",
        "latency_model": "cpu",
        "pbs_kind": "classic",
        "year": _year(microbenchmark.started),
        "availability": "available",
        "summary": f"Calibrated from {ref}; family {machine.family or 'unknown'}.",
        "figures": figures,
        "calibrated_on": machine.identity(),
        "calibrated": microbenchmark.started,
        "calibrated_thread_share": _thread_share(machine),
        "assumptions": [] if noise is None or noise.alone else [noise.not_alone()],
        "references": [
            f"{ref}, concrete-python {microbenchmark.versions.get('concrete-python', '?')}, "
            f"{microbenchmark.started[:10]}"
        ],
    }
    return checked(HardwareFile, content, "these times make no usable machine: ")


def _thread_share(machine: Machine) -> float | None:
    share = 1.0 if machine.limits is None else machine.limits.thread_share
    return share if share < 1 else None


def as_yaml(profile: HardwareFile) -> str:
    """The text of a hardware profile's file."""
    content = profile.model_dump(mode="json", exclude_none=True, exclude_defaults=False)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _figure(value: float, source: str, ref: str) -> dict[str, Any]:
    return {"value": _rounded(value), "source": source, "ref": ref}


def _year(started: str) -> int:
    try:
        return datetime.datetime.fromisoformat(started).year
    except ValueError as error:
        raise UsageError(f"started: must be a date and time, ISO 8601, not {started!r}") from error


def _rounded(value: float) -> float:
    """Five digits: no fit is surer than that."""
    return float(f"{value:.5g}")

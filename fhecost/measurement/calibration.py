"""From a microbenchmark to the hardware profile of the machine that it ran on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fhecost.errors import FieldError
from fhecost.files import AnyPath, check_can_write, write_atomically
from fhecost.hardware.profile import HardwareFile, HardwareProfile
from fhecost.measurement.fit import fit_cpu, fit_keys
from fhecost.measurement.records import Microbenchmark, load_microbenchmark
from fhecost.measurement.transfer_fit import fit_transfers

_EXTRAPOLATION = (
    "Beyond the largest N that was timed, a transform's data outgrow the second-level cache; no "
    "step of the fitted range costs more than this a doubling."
)


def calibrate(
    raw: Microbenchmark | AnyPath, name: str = "local", *, keep: AnyPath | None = None
) -> HardwareProfile:
    """What ``fhecost calibrate`` does: fit the CPU model to a machine's raw times.

    Args:
        raw: what :func:`fhecost.run_microbenchmark` measured, or the file that it was kept in.
        name: what the machine is to be called.
        keep: where to write the hardware profile, if anywhere; ``fhecost calibrate`` keeps it
            as ``NAME.yaml`` where the user's own machines are found by name.

    Raises:
        UsageError: no such file or name, or too few parameter sets for a fit.
    """
    kept = None if keep is None else Path(keep)
    check_can_write(kept)
    if isinstance(raw, Microbenchmark):
        fitted = calibrated_profile(raw, f"microbenchmark of {raw.started}")
    else:
        fitted = calibrated_profile(load_microbenchmark(Path(raw)), Path(raw).name)
    try:
        profile = HardwareProfile(name=name, **dict(fitted))
    except ValidationError as error:
        raise FieldError("name", "must be small letters, digits and _.-", name) from error
    if kept is not None:
        write_atomically(kept, as_yaml(fitted))
    return profile


def calibrated_profile(microbenchmark: Microbenchmark, ref: str) -> HardwareFile:
    """The hardware profile that the fits of ``microbenchmark`` make.

    Args:
        microbenchmark: raw times of one machine.
        ref: where they can be read; every figure names it.

    Raises:
        UsageError: the microbenchmark has too few parameter sets for a fit.
    """
    fit, machine = fit_cpu(microbenchmark), microbenchmark.machine

    def calibrated(value: float, low: float, high: float) -> dict[str, Any]:
        figure = _figure(value, "calibrated", ref)
        low, high = min(_rounded(low), figure["value"]), max(_rounded(high), figure["value"])
        return {**figure, "low": low, "high": high}

    def spread_out(value: float, spread: float) -> dict[str, Any]:
        return calibrated(value, value * (1 - spread), value * (1 + spread))

    largest = max(sample.pbs.polynomial_size for sample in microbenchmark.lookups)
    figures: dict[str, Any] = {
        "threads": _figure(fit.threads, "measured", ref),
        "thread_efficiency": calibrated(
            fit.thread_efficiency, fit.thread_efficiency_low, fit.thread_efficiency_high
        ),
        "fourier_unit_s": spread_out(fit.fourier_unit_s, fit.spread),
        "external_product_unit_s": spread_out(fit.external_product_unit_s, fit.spread),
        "key_switch_unit_s": spread_out(fit.key_switch_unit_s, fit.spread),
        "key_byte_s": spread_out(fit.key_byte_s, fit.spread),
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
    if microbenchmark.keys:
        keys = fit_keys(microbenchmark.keys)
        for name, value in keys.constants.items():
            figures[name] = spread_out(value, min(keys.spreads[name], 1.0))
        figures["process_memory_bytes"] = _figure(keys.process_memory_bytes, "measured", ref)
    if microbenchmark.transfers:
        moved = fit_transfers(microbenchmark, fit.linear_element_s)
        for name in ("run_s", "transfer_byte_s", "large_transfer_byte_s"):
            figures[name] = spread_out(getattr(moved, name), min(moved.spread, 1.0))
        figures["large_transfer_bytes"] = _figure(moved.large_transfer_bytes, "calibrated", ref)
    if microbenchmark.usual_probe_s is not None:
        figures["probe_s"] = _figure(microbenchmark.usual_probe_s, "measured", ref)
    gigabytes = machine.memory_bytes / 2**30
    return HardwareFile.model_validate(
        {
            "schema_version": 1,
            "title": f"{machine.processor}, {fit.threads} threads, {gigabytes:.0f} GiB",
            "kind": "cpu",
            "latency_model": "cpu",
            "pbs_kind": "classic",
            "year": int(microbenchmark.started[:4]),
            "summary": f"Calibrated from {ref}; family {machine.family or 'unknown'}.",
            "figures": figures,
            "references": [
                f"{ref}, concrete-python {microbenchmark.versions.get('concrete-python', '?')}, "
                f"{microbenchmark.started[:10]}"
            ],
        }
    )


def as_yaml(profile: HardwareFile) -> str:
    """The text of a hardware profile's file."""
    content = profile.model_dump(mode="json", exclude_none=True, exclude_defaults=False)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _figure(value: float, source: str, ref: str) -> dict[str, Any]:
    return {"value": _rounded(value), "source": source, "ref": ref}


def _rounded(value: float) -> float:
    """Five digits: no fit is surer than that."""
    return float(f"{value:.5g}")

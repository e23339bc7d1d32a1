"""fhecost: what an encrypted language model costs, on which machine, and how sure that is.

The public names are loaded when they are first used, so that importing fhecost, and an estimate
from a saved circuit profile, need neither torch nor Concrete.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fhecost.version import VERSION

if TYPE_CHECKING:
    from fhecost.accuracy.sweep import measure_accuracy
    from fhecost.circuit_request import (
        CompiledHeads,
        PredictedHeads,
        PredictedShape,
        SavedCircuit,
        find_circuit,
    )
    from fhecost.circuits.profile import CircuitProfile, Stage, load_profile, save_profile
    from fhecost.closed_form.scopes import ShapeRequest
    from fhecost.concrete.reader import profile_circuit
    from fhecost.errors import FhecostError, ImpossibleError, UsageError
    from fhecost.full_report import ReportRequest, make_report
    from fhecost.gpt2.head_circuit import HeadRequest, compile_heads, profile_heads
    from fhecost.gpt2.hybrid import MultiHeadsQGPT2Model, SingleHeadQGPT2Model
    from fhecost.hardware.comparison import ComparisonRequest
    from fhecost.hardware.estimate import Estimate, EstimateReport
    from fhecost.hardware.estimator import Estimator, estimate, estimate_all
    from fhecost.hardware.library import load_hardware, read_hardware
    from fhecost.hardware.profile import HardwareProfile
    from fhecost.measurement.fit import CpuFit, fit_cpu
    from fhecost.measurement.microbenchmark import run_microbenchmark
    from fhecost.measurement.records import Microbenchmark, load_microbenchmark
    from fhecost.models.shape import ModelShape, find_shape
    from fhecost.pipeline import compare_circuit, estimate_circuit
    from fhecost.projection.projection import ProjectionRequest, project

__version__ = VERSION

_HOME = {
    "CompiledHeads": "fhecost.circuit_request",
    "PredictedHeads": "fhecost.circuit_request",
    "PredictedShape": "fhecost.circuit_request",
    "SavedCircuit": "fhecost.circuit_request",
    "find_circuit": "fhecost.circuit_request",
    "ShapeRequest": "fhecost.closed_form.scopes",
    "ModelShape": "fhecost.models.shape",
    "find_shape": "fhecost.models.shape",
    "profile_circuit": "fhecost.concrete.reader",
    "CircuitProfile": "fhecost.circuits.profile",
    "Stage": "fhecost.circuits.profile",
    "load_profile": "fhecost.circuits.profile",
    "save_profile": "fhecost.circuits.profile",
    "FhecostError": "fhecost.errors",
    "ImpossibleError": "fhecost.errors",
    "UsageError": "fhecost.errors",
    "HeadRequest": "fhecost.gpt2.head_circuit",
    "MultiHeadsQGPT2Model": "fhecost.gpt2.hybrid",
    "SingleHeadQGPT2Model": "fhecost.gpt2.hybrid",
    "measure_accuracy": "fhecost.accuracy.sweep",
    "compile_heads": "fhecost.gpt2.head_circuit",
    "profile_heads": "fhecost.gpt2.head_circuit",
    "ComparisonRequest": "fhecost.hardware.comparison",
    "Estimate": "fhecost.hardware.estimate",
    "EstimateReport": "fhecost.hardware.estimate",
    "Estimator": "fhecost.hardware.estimator",
    "estimate": "fhecost.hardware.estimator",
    "estimate_all": "fhecost.hardware.estimator",
    "load_hardware": "fhecost.hardware.library",
    "read_hardware": "fhecost.hardware.library",
    "HardwareProfile": "fhecost.hardware.profile",
    "CpuFit": "fhecost.measurement.fit",
    "fit_cpu": "fhecost.measurement.fit",
    "run_microbenchmark": "fhecost.measurement.microbenchmark",
    "Microbenchmark": "fhecost.measurement.records",
    "load_microbenchmark": "fhecost.measurement.records",
    "ProjectionRequest": "fhecost.projection.projection",
    "project": "fhecost.projection.projection",
    "ReportRequest": "fhecost.full_report",
    "make_report": "fhecost.full_report",
    "compare_circuit": "fhecost.pipeline",
    "estimate_circuit": "fhecost.pipeline",
}

__all__ = [
    "CircuitProfile",
    "ComparisonRequest",
    "CompiledHeads",
    "CpuFit",
    "Estimate",
    "EstimateReport",
    "Estimator",
    "FhecostError",
    "HardwareProfile",
    "HeadRequest",
    "ImpossibleError",
    "Microbenchmark",
    "ModelShape",
    "MultiHeadsQGPT2Model",
    "PredictedHeads",
    "PredictedShape",
    "ProjectionRequest",
    "ReportRequest",
    "SavedCircuit",
    "ShapeRequest",
    "SingleHeadQGPT2Model",
    "Stage",
    "UsageError",
    "__version__",
    "compare_circuit",
    "compile_heads",
    "estimate",
    "estimate_all",
    "estimate_circuit",
    "find_circuit",
    "find_shape",
    "fit_cpu",
    "load_hardware",
    "load_microbenchmark",
    "load_profile",
    "make_report",
    "measure_accuracy",
    "profile_circuit",
    "profile_heads",
    "project",
    "read_hardware",
    "run_microbenchmark",
    "save_profile",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fhecost' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""fhecost: what an encrypted language model costs, on which machine, and how sure that is.

The public names are loaded when they are first used, so that importing fhecost, and an estimate
from a saved circuit profile, need neither torch nor Concrete.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fhecost.version import VERSION

# For type checkers and editors, which don't run __getattr__; a test holds it against PUBLIC.
if TYPE_CHECKING:
    from fhecost.accuracy.records import AccuracyReport as AccuracyReport
    from fhecost.accuracy.records import load_accuracy as load_accuracy
    from fhecost.accuracy.sweep import measure_accuracy as measure_accuracy
    from fhecost.caches import CacheReport as CacheReport
    from fhecost.caches import cache_info as cache_info
    from fhecost.caches import clear_cache as clear_cache
    from fhecost.caches import verify_cache as verify_cache
    from fhecost.circuit_request import CompiledHeads as CompiledHeads
    from fhecost.circuit_request import PredictedHeads as PredictedHeads
    from fhecost.circuit_request import PredictedShape as PredictedShape
    from fhecost.circuit_request import SavedCircuit as SavedCircuit
    from fhecost.circuit_request import find_circuit as find_circuit
    from fhecost.circuits.description import CircuitDescription as CircuitDescription
    from fhecost.circuits.module import ModuleProfile as ModuleProfile
    from fhecost.circuits.module import load_module as load_module
    from fhecost.circuits.profile import CircuitProfile as CircuitProfile
    from fhecost.circuits.profile import Stage as Stage
    from fhecost.circuits.profile import load_profile as load_profile
    from fhecost.circuits.profile import save_profile as save_profile
    from fhecost.closed_form.scopes import ShapeRequest as ShapeRequest
    from fhecost.concrete.module import profile_module as profile_module
    from fhecost.concrete.reader import profile_circuit as profile_circuit
    from fhecost.concrete.script import profile_script as profile_script
    from fhecost.errors import FhecostError as FhecostError
    from fhecost.errors import FieldError as FieldError
    from fhecost.errors import ImpossibleError as ImpossibleError
    from fhecost.errors import UsageError as UsageError
    from fhecost.full_report import FullReport as FullReport
    from fhecost.full_report import make_report as make_report
    from fhecost.generation import GenerationReport as GenerationReport
    from fhecost.generation import generate as generate
    from fhecost.gpt2.fetch import fetch_weights as fetch_weights
    from fhecost.gpt2.head_circuit import HeadRequest as HeadRequest
    from fhecost.gpt2.head_circuit import compile_heads as compile_heads
    from fhecost.gpt2.head_circuit import profile_heads as profile_heads
    from fhecost.gpt2.hybrid import MultiHeadsQGPT2Model as MultiHeadsQGPT2Model
    from fhecost.gpt2.hybrid import SingleHeadQGPT2Model as SingleHeadQGPT2Model
    from fhecost.hardware.calls import CallsReport as CallsReport
    from fhecost.hardware.comparison import ComparisonReport as ComparisonReport
    from fhecost.hardware.difference import DifferenceReport as DifferenceReport
    from fhecost.hardware.estimate import Estimate as Estimate
    from fhecost.hardware.estimate import EstimateReport as EstimateReport
    from fhecost.hardware.estimator import Estimator as Estimator
    from fhecost.hardware.estimator import estimate as estimate
    from fhecost.hardware.estimator import estimate_all as estimate_all
    from fhecost.hardware.library import find_hardware as find_hardware
    from fhecost.hardware.library import hardware_faults as hardware_faults
    from fhecost.hardware.library import load_hardware as load_hardware
    from fhecost.hardware.library import read_hardware as read_hardware
    from fhecost.hardware.profile import HardwareProfile as HardwareProfile
    from fhecost.hardware.template import hardware_template as hardware_template
    from fhecost.hardware.what_if import with_figures as with_figures
    from fhecost.heads.variants import Variant as Variant
    from fhecost.heads.variants import register as register
    from fhecost.measurement.calibration import calibrate as calibrate
    from fhecost.measurement.fit import CpuFit as CpuFit
    from fhecost.measurement.fit import fit_cpu as fit_cpu
    from fhecost.measurement.microbenchmark import run_microbenchmark as run_microbenchmark
    from fhecost.measurement.records import Microbenchmark as Microbenchmark
    from fhecost.measurement.records import load_microbenchmark as load_microbenchmark
    from fhecost.measurement.run_record import RunRecord as RunRecord
    from fhecost.measurement.run_record import append_record as append_record
    from fhecost.measurement.run_record import load_records as load_records
    from fhecost.measurement.timed_run import RunOptions as RunOptions
    from fhecost.measurement.timed_run import measure_circuit as measure_circuit
    from fhecost.measurement.timed_run import measure_heads as measure_heads
    from fhecost.models.listing import ModelList as ModelList
    from fhecost.models.listing import list_models as list_models
    from fhecost.models.model_shape import ModelShape as ModelShape
    from fhecost.models.shape import find_shape as find_shape
    from fhecost.pipeline import compare_circuit as compare_circuit
    from fhecost.pipeline import diff_circuits as diff_circuits
    from fhecost.pipeline import estimate_calls as estimate_calls
    from fhecost.pipeline import estimate_circuit as estimate_circuit
    from fhecost.pipeline import write_report as write_report
    from fhecost.projection.bits import AccuracyCosts as AccuracyCosts
    from fhecost.projection.bits import BitsReport as BitsReport
    from fhecost.projection.bits import project_bits as project_bits
    from fhecost.projection.bits import with_costs as with_costs
    from fhecost.projection.lengths import spread_lengths as spread_lengths
    from fhecost.projection.projection import ProjectionReport as ProjectionReport
    from fhecost.projection.projection import project as project
    from fhecost.report.plots import write_plot as write_plot
    from fhecost.search.optimize import optimize as optimize
    from fhecost.search.records import OptimizationReport as OptimizationReport
    from fhecost.sweep.experiment import Experiment as Experiment
    from fhecost.sweep.experiment import load_experiment as load_experiment
    from fhecost.sweep.parquet import write_parquet as write_parquet
    from fhecost.sweep.records import SweepReport as SweepReport
    from fhecost.sweep.records import SweepResult as SweepResult
    from fhecost.sweep.results_file import load_results as load_results
    from fhecost.sweep.run import run_sweep as run_sweep
    from fhecost.validation.backtest import BacktestReport as BacktestReport
    from fhecost.validation.backtest import backtest as backtest
    from fhecost.validation.comparison import ValidationReport as ValidationReport
    from fhecost.validation.comparison import check_tolerance as check_tolerance
    from fhecost.validation.comparison import validate as validate

PUBLIC = {
    "pipeline": "estimate_circuit compare_circuit estimate_calls diff_circuits write_report",
    "full_report": "FullReport make_report",
    "projection.projection": "ProjectionReport project",
    "projection.lengths": "spread_lengths",
    "projection.bits": "BitsReport AccuracyCosts project_bits with_costs",
    "report.plots": "write_plot",
    "accuracy.sweep": "measure_accuracy",
    "accuracy.records": "AccuracyReport load_accuracy",
    "search.optimize": "optimize",
    "search.records": "OptimizationReport",
    "sweep.run": "run_sweep",
    "sweep.experiment": "Experiment load_experiment",
    "sweep.results_file": "load_results",
    "sweep.records": "SweepReport SweepResult",
    "sweep.parquet": "write_parquet",
    "generation": "GenerationReport generate",
    "validation.comparison": "ValidationReport check_tolerance validate",
    "validation.backtest": "BacktestReport backtest",
    "measurement.timed_run": "measure_heads RunOptions measure_circuit",
    "measurement.run_record": "RunRecord append_record load_records",
    "measurement.microbenchmark": "run_microbenchmark",
    "measurement.records": "Microbenchmark load_microbenchmark",
    "measurement.fit": "CpuFit fit_cpu",
    "measurement.calibration": "calibrate",
    "circuit_request": "CompiledHeads PredictedHeads PredictedShape SavedCircuit find_circuit",
    "gpt2.fetch": "fetch_weights",
    "gpt2.head_circuit": "HeadRequest compile_heads profile_heads",
    "gpt2.hybrid": "MultiHeadsQGPT2Model SingleHeadQGPT2Model",
    "closed_form.scopes": "ShapeRequest",
    "models.model_shape": "ModelShape",
    "models.shape": "find_shape",
    "models.listing": "ModelList list_models",
    "heads.variants": "Variant register",
    "circuits.description": "CircuitDescription",
    "circuits.profile": "CircuitProfile Stage load_profile save_profile",
    "circuits.module": "ModuleProfile load_module",
    "concrete.reader": "profile_circuit",
    "concrete.module": "profile_module",
    "concrete.script": "profile_script",
    "hardware.library": "find_hardware load_hardware read_hardware hardware_faults",
    "hardware.template": "hardware_template",
    "hardware.what_if": "with_figures",
    "hardware.profile": "HardwareProfile",
    "hardware.estimator": "estimate estimate_all Estimator",
    "hardware.estimate": "Estimate EstimateReport",
    "hardware.calls": "CallsReport",
    "hardware.comparison": "ComparisonReport",
    "hardware.difference": "DifferenceReport",
    "caches": "cache_info clear_cache verify_cache CacheReport",
    "errors": "FhecostError UsageError FieldError ImpossibleError",
}
"""The public names by the module that has them, in the order of docs/api.md."""

_HOME = {name: f"fhecost.{module}" for module, names in PUBLIC.items() for name in names.split()}

__version__ = VERSION
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fhecost' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

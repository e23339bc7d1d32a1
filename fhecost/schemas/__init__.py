"""The JSON Schemas of fhecost's files, shipped beside this module.

They are made from the data classes; after changing one, run ``python -m fhecost.schemas``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from fhecost.accuracy.records import AccuracyReport
from fhecost.caches import CacheReport
from fhecost.circuits.module import ModuleProfile
from fhecost.circuits.profile import CircuitProfile
from fhecost.generation import GenerationReport
from fhecost.hardware.calls import CallsReport
from fhecost.hardware.comparison import ComparisonReport
from fhecost.hardware.difference import DifferenceReport
from fhecost.hardware.estimate import EstimateReport
from fhecost.hardware.profile import HardwareFile, HardwareList, HardwareProfile
from fhecost.measurement.records import Microbenchmark
from fhecost.measurement.run_record import RunRecord
from fhecost.models.listing import ModelList
from fhecost.projection.projection import ProjectionReport
from fhecost.search.records import OptimizationReport
from fhecost.sweep.records import SweepReport, SweepResult
from fhecost.validation.backtest import BacktestReport
from fhecost.validation.comparison import ValidationReport

SCHEMAS: Mapping[str, type[BaseModel]] = {
    "accuracy": AccuracyReport,
    "cache": CacheReport,
    "calls": CallsReport,
    "circuit_profile": CircuitProfile,
    "difference": DifferenceReport,
    "estimate": EstimateReport,
    "generation": GenerationReport,
    "hardware_list": HardwareList,
    "hardware_profile": HardwareFile,
    "machine": HardwareProfile,
    "model_list": ModelList,
    "module_profile": ModuleProfile,
    "microbenchmark": Microbenchmark,
    "run_record": RunRecord,
    "validation": ValidationReport,
    "backtest": BacktestReport,
    "comparison": ComparisonReport,
    "projection": ProjectionReport,
    "optimization": OptimizationReport,
    "sweep": SweepReport,
    "sweep_result": SweepResult,
}


def schema_path(name: str) -> Path:
    """The shipped schema file called ``name``."""
    return Path(__file__).parent / f"{name}.schema.json"


def schema_text(name: str) -> str:
    """The schema of ``name`` as its data class defines it.

    ``hardware_profile`` is the YAML file of a machine, ``machine`` the same with its name.
    """
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **SCHEMAS[name].model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=1) + "\n"

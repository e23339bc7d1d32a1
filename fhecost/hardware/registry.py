"""The latency models by name: those of fhecost and those that plug-ins bring.

A plug-in is an entry point of the group ``fhecost.latency_models`` that names a subclass of
:class:`~fhecost.hardware.latency_model.LatencyModel`.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from fhecost.errors import UsageError
from fhecost.hardware.cpu import CpuLatencyModel
from fhecost.hardware.gpu import GpuLatencyModel
from fhecost.hardware.latency_model import LatencyModel
from fhecost.hardware.pipelined import PipelinedLatencyModel

ENTRY_POINT_GROUP = "fhecost.latency_models"

_OWN: dict[str, LatencyModel[Any]] = {
    "cpu": CpuLatencyModel(),
    "gpu": GpuLatencyModel(),
    "pipelined": PipelinedLatencyModel(),
}


@cache
def _plugins() -> dict[str, LatencyModel[Any]]:
    found: dict[str, LatencyModel[Any]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name in _OWN:
            continue
        try:
            model = entry.load()()
            if not isinstance(model, LatencyModel):
                raise TypeError(f"{entry.value} is no LatencyModel")
        except Exception as error:  # whatever a plug-in raises, fhecost goes on without it
            warnings.warn(f"latency model {entry.name!r} can't be loaded: {error}", stacklevel=2)
            continue
        found[entry.name] = model
    return found


def latency_model_named(name: str) -> LatencyModel[Any]:
    """The latency model called ``name``.

    Raises:
        UsageError: there is none.
    """
    if name in _OWN:
        return _OWN[name]
    plugins = _plugins()
    if name not in plugins:
        known = ", ".join(sorted({*_OWN, *plugins}))
        raise UsageError(f"latency_model: {name!r} is unknown; there is {known}")
    return plugins[name]

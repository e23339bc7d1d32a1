"""Two seconds of Concrete's own operations, and how far they are from what a machine predicts."""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters
from fhecost.circuits.work import external_product_units, fourier_units, key_switch_units
from fhecost.errors import UsageError
from fhecost.fields import Positive
from fhecost.files import cache_folder, read_model, write_atomically
from fhecost.frozen import Frozen
from fhecost.hardware.processor import Processor
from fhecost.provenance import Figure

_FRESH = datetime.timedelta(hours=24)
_MOST_SECONDS = 180
"""A probe takes seven; a machine on which it takes longer has others at work, or no memory."""
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ConcreteProbe(Frozen):
    """What :mod:`fhecost.measurement.concrete_probe` measured, on one thread unless it says so.

    ``lookup_s`` is one lookup, bound by its Fourier transforms; ``longer_s`` the same one with a
    key switch of ``longer_levels`` levels; ``together_s`` the first one on ``threads`` threads,
    each with a lookup of its own, None where that wasn't measured. All are seconds of the
    processor; ``cpu_share`` is how much of it the probe had, less than 1 where others were at work.
    """

    made: str
    processor: Processor
    pbs: PbsParameters
    key_switch: KeySwitchParameters
    longer_levels: Positive
    lookup_s: _Seconds
    longer_s: _Seconds
    threads: Positive
    cpu_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    together_s: _Seconds | None = None

    @property
    def pbs_s(self) -> float:
        """Seconds of the lookup without its key switch."""
        return self.lookup_s - self.key_switch_s

    @property
    def key_switch_s(self) -> float:
        """Seconds of the shorter key switch, by the difference of both; 0 where it is lost."""
        levels = self.longer_levels - self.key_switch.level_count
        level_s = max(0.0, self.longer_s - self.lookup_s) / levels
        return min(level_s * self.key_switch.level_count, self.lookup_s / 2)

    def slower(self, figures: Mapping[str, Figure]) -> tuple[float, float]:
        """How much longer PBS and KS take than ``figures`` of a CPU say; for both, 1 is as said.

        A key switch too short to be told from noise is taken to be off as the PBS is.
        """
        one = {name: figures[name].value for name in _UNITS}
        pbs = one["fourier_unit_s"] * fourier_units(self.pbs)
        pbs += one["external_product_unit_s"] * external_product_units(self.pbs)
        switch = one["key_switch_unit_s"] * key_switch_units(self.key_switch)
        measured = self.key_switch_s
        if measured < 0.1 * switch:
            ratio = self.lookup_s / (pbs + switch)
            return ratio, ratio
        return self.pbs_s / pbs, measured / switch

    @property
    def thread_efficiency(self) -> float | None:
        """Speed of a thread when all work, over one alone; at most 1, None where unknown."""
        return None if self.together_s is None else min(1.0, self.lookup_s / self.together_s)


_UNITS = ("fourier_unit_s", "external_product_unit_s", "key_switch_unit_s")


def saved_probe(processor: Processor) -> ConcreteProbe | None:
    """The last probe of ``processor``, if one was made within a day."""
    path = _probe_file()
    if not path.is_file():
        return None
    try:
        probe = read_model(path, ConcreteProbe)
        age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(probe.made)
    except (UsageError, ValueError, TypeError):
        return None
    same = not probe.processor.differences(processor)
    return probe if same and datetime.timedelta(0) <= age < _FRESH else None


def made_probe(processor: Processor) -> ConcreteProbe | None:
    """A probe made now and saved; None where Concrete isn't installed or can't run.

    In a process of its own: what estimates stays without Concrete.
    """
    if importlib.util.find_spec("concrete") is None:
        return None
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "fhecost.measurement.concrete_probe"],
            env={**os.environ, "KMP_BLOCKTIME": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
            timeout=_MOST_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    probe = ConcreteProbe.model_validate(
        {**json.loads(ran.stdout.splitlines()[-1]), "processor": processor}
    )
    path = _probe_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, probe.model_dump_json(indent=1) + "\n")
    except (OSError, UsageError):
        pass  # without a cache it is made again next time
    return probe


def _probe_file() -> Path:
    return cache_folder() / "concrete-probe.json"

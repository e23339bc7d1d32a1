"""Published times of whole circuits: which circuit profile stands for which record.

``experiments/published/compile_heads.py`` compiles the circuits, ``runs.json`` names the records.
Such a time is of a first run with its key generation: the example says that its FHE execution
"integrates all FHE stages such as key generation, encryption, FHE inference, and decryption".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

from fhecost.circuits.profile import CircuitProfile, load_profile
from fhecost.data import data_folder
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.latency_model import Case
from fhecost.hardware.profile import HardwareProfile
from fhecost.validation.published import PUBLISHED_FOLDER

METRIC = "FHE time"


def predicted_run(circuit: CircuitProfile, hardware: HardwareProfile) -> Mapping[Case, float]:
    """Seconds of key generation and the first run of ``circuit``, likely and at both ends.

    Raises:
        ImpossibleError: the machine can't run it, or nothing is known of its keys.
    """
    found = Estimator(hardware).preparations(circuit)
    if found is None:
        raise ImpossibleError(f"{hardware.name}: nothing is known of key generation")
    return {case: made.keygen_s + made.cold_s for case, made in found.items()}


@cache
def circuits_of_runs() -> Mapping[str, CircuitProfile]:
    """The circuit profiles by the name of the record that timed them."""
    folder = data_folder(PUBLISHED_FOLDER)
    runs = json.loads((folder / "runs.json").read_text(encoding="utf-8"))
    return {run["record"]: load_profile(folder / "circuits" / run["circuit"]) for run in runs}

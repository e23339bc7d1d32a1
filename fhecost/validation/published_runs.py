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
from fhecost.hardware.profile import HardwareProfile
from fhecost.validation.published import PUBLISHED_FOLDER

METRIC = "FHE time"


def predicted_seconds(circuit: CircuitProfile, hardware: HardwareProfile) -> float:
    """Key generation and the first run of ``circuit``.

    Raises:
        ImpossibleError: the machine can't run it, or nothing is known of its keys.
    """
    made = Estimator(hardware)(circuit)
    if made.preparation is None:
        raise ImpossibleError(f"{hardware.name}: nothing is known of key generation")
    return made.preparation.keygen_s + made.preparation.cold_s


@cache
def circuits_of_runs() -> Mapping[str, CircuitProfile]:
    """The circuit profiles by the name of the record that timed them."""
    folder = data_folder(PUBLISHED_FOLDER)
    runs = json.loads((folder / "runs.json").read_text(encoding="utf-8"))
    return {run["record"]: load_profile(folder / "circuits" / run["circuit"]) for run in runs}

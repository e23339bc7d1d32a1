"""Bytes of a circuit's inputs as a run holds them."""

from __future__ import annotations

import json
import math
from typing import Any

from fhecost.circuits.work import TORUS_BYTES


def input_bytes(circuit: Any, server: Any, function: str) -> int:
    """Bytes of all inputs of ``function``, whole ciphertexts.

    With ``compress_input_ciphertexts`` Concrete states what is sent: a seed of 16 bytes and a body
    of 8 each. The mask is made anew from it before the run, which holds them whole.
    """
    if not server._configuration.compress_input_ciphertexts:
        return int(circuit.size_of_inputs)
    program = json.loads(server.program_info.serialize())
    (found,) = (one for one in program["circuits"] if one["name"] == function)
    return sum(map(_whole_bytes, found["inputs"]))


def _whole_bytes(gate: Any) -> int:
    """Those of one input; the last dimension of its shape is a ciphertext's, seeded or whole."""
    told = gate["typeInfo"].get("lweCiphertext")
    if told is None:
        return int(math.prod(gate["rawInfo"]["shape"]["dimensions"])) * TORUS_BYTES
    *many, _ = told["concreteShape"]["dimensions"]
    return int(math.prod(many)) * int(told["encryption"]["lweDimension"] + 1) * TORUS_BYTES

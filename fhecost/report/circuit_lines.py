"""What a circuit is of, in words: nothing else here reads a circuit's description."""

from __future__ import annotations

from collections.abc import Mapping

from fhecost.hardware.estimate import CircuitSummary
from fhecost.units import amount

Description = Mapping[str, str | int | float]


def circuit_lines(circuit: CircuitSummary) -> list[str]:
    """What the circuit is, what goes into it, its counts and its keys."""
    about = described(circuit.description)
    text = circuit.description.get("text")
    return [
        f"{circuit.name} ({circuit.source}){': ' + about if about else ''}",
        *([f"of: “{text}”"] if text else []),
        f"{circuit.pbs_count:,} PBS, {circuit.key_switch_count:,} KS, "
        f"{sum(circuit.linear_counts.values()):,} linear operations; "
        f"at most {circuit.max_bit_width} bits; p_error {circuit.p_error:.1e} per TLU, "
        f"{circuit.global_p_error:.1e} for the circuit",
        f"keys: BSK {amount(circuit.bsk_bytes, 'B')}, KSK {amount(circuit.ksk_bytes, 'B')}; "
        f"complexity {circuit.complexity:.3g}",
        f"ciphertexts: in {amount(circuit.input_bytes, 'B')}, out "
        f"{amount(circuit.output_bytes, 'B')}, widest stage "
        f"{amount(circuit.widest_stage_bytes, 'B')}",
    ]


def described(description: Description) -> str:
    """Everything in one line, but the sentence and the weights' hash: these are for the record."""
    return ", ".join(
        _described(name, value)
        for name, value in description.items()
        if name not in ("text", "model_sha256")
    )


def _described(name: str, value: str | float) -> str:
    if name.endswith("_bytes") and not isinstance(value, str):
        return f"{name.removesuffix('_bytes').replace('_', ' ')} {amount(value, 'B')}"
    said = f"{value:,}" if name.endswith("_per_token") else value
    return f"{name.replace('_', ' ').replace('pbs', 'PBS')} {said}"


def label(name: str, description: Description) -> str:
    """The circuit's name with what tells it from its like."""
    known = (("head_dimension", "d={}"), ("seq_len", "L={}"), ("bits", "{} bits"))
    return ", ".join(
        [name, *(words.format(description[key]) for key, words in known if key in description)]
    )


def headline(circuit: CircuitSummary) -> str:
    """What runs, in a few words."""
    said = circuit.description
    known = (("seq_len", "tokens"), ("bits", "bits"))
    size = ", ".join(f"{said[key]} {unit}" for key, unit in known if key in said)
    of = f" of {said['model']}" if "model" in said else ""
    name = circuit.name[:1].upper() + circuit.name[1:]
    return f"{name}{of}, encrypted{': ' + size if size else ''}"

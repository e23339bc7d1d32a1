"""What a circuit is of, in words: nothing else here reads a circuit's description."""

from __future__ import annotations

from fhecost.circuits.description import CircuitDescription
from fhecost.hardware.estimate import CircuitSummary
from fhecost.units import amount


def circuit_lines(circuit: CircuitSummary) -> list[str]:
    """What the circuit is, what goes into it, its counts and its keys."""
    about = described(circuit.description)
    text = circuit.description.text
    # Where nothing is looked up, there is no error of a lookup and no stage that waits for one.
    of_lookup = f"{circuit.p_error:.1e} per TLU, " if circuit.pbs_count else ""
    widest = (
        f", widest stage {amount(circuit.widest_stage_bytes, 'B')}" if circuit.pbs_count else ""
    )
    return [
        f"{circuit.name} ({circuit.source}){': ' + about if about else ''}",
        *([f"of: “{text}”"] if text else []),
        f"{circuit.pbs_count:,} PBS, {circuit.key_switch_count:,} KS, "
        f"{sum(circuit.linear_counts.values()):,} linear operations; "
        f"at most {circuit.max_bit_width} bits; p_error {of_lookup}"
        f"{circuit.global_p_error:.1e} for the circuit",
        f"keys: BSK {amount(circuit.bsk_bytes, 'B')}, KSK {amount(circuit.ksk_bytes, 'B')}"
        f"{_sent(circuit.compressed_key_bytes)}; complexity {circuit.complexity:.3g}",
        f"ciphertexts: in {amount(circuit.input_bytes, 'B')}"
        f"{_sent(circuit.compressed_input_bytes)}, out "
        f"{amount(circuit.output_bytes, 'B')}{widest}",
    ]


def _sent(compressed_bytes: int | None) -> str:
    """What goes over the line where masks are sent as seeds."""
    return f", compressed to send {amount(compressed_bytes, 'B')}" if compressed_bytes else ""


def described(description: CircuitDescription) -> str:
    """Everything in one line, but the sentence and the weights' hash: these are for the record."""
    # A circuit of heads is called one.
    hidden = {"text", "model_sha256", "notes", *(["scope"] if description.scope == "head" else [])}
    fields = description.model_dump(exclude=hidden, exclude_none=True)
    return ", ".join(_described(*said) for said in (*fields.items(), *description.notes.items()))


def _described(name: str, value: str | float | tuple[int, ...]) -> str:
    if isinstance(value, tuple):
        return f"{name if len(value) > 1 else name[:-1]} {', '.join(map(str, value))}"
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{name.removesuffix('_bytes').replace('_', ' ')} {amount(value, 'B')}"
    said = f"{value:,}" if name.endswith("_per_token") else value
    return f"{name.replace('_', ' ').replace('pbs', 'PBS')} {said}"


def label(name: str, said: CircuitDescription) -> str:
    """The circuit's name with what tells it from its like."""
    known = ((said.head_dimension, "d={}"), (said.seq_len, "L={}"), (said.bits, "{} bits"))
    return ", ".join([name, *(words.format(value) for value, words in known if value is not None)])


def headline(circuit: CircuitSummary) -> str:
    """What runs, in a few words."""
    said = circuit.description
    known = ((said.seq_len, "tokens"), (said.bits, "bits"))
    size = ", ".join(f"{value} {unit}" for value, unit in known if value is not None)
    of = f" of {said.model}" if said.model else ""
    name = circuit.name[:1].upper() + circuit.name[1:]
    return f"{name}{of}, encrypted{': ' + size if size else ''}"

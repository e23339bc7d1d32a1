"""What ``fhecost profile`` says: the stages of a circuit, or the functions of a module."""

from __future__ import annotations

from fhecost.circuits.module import ModuleProfile
from fhecost.circuits.profile import CircuitProfile, Stage
from fhecost.circuits.work import pbs_depth
from fhecost.hardware.estimator import summarize
from fhecost.hardware.unsure import unsure_circuit
from fhecost.report.circuit_lines import circuit_lines
from fhecost.report.columns import Table, names, numbers, records
from fhecost.report.document import Document, Heading, Note, Refusals, Text
from fhecost.report.unsure_lines import on_top, sure_blocks
from fhecost.units import amount

_STAGE_FIELDS = (
    "stage", "bit_width", "pbs_count", "key_switch_count", "linear_count", "parallel_width",
    "depth", "polynomial_size", "predecessors",
)  # fmt: skip
_FUNCTION_FIELDS = (
    "function", "max_bit_width", "pbs_count", "key_switch_count", "depth", "polynomial_size",
    "input_bytes", "output_bytes",
)  # fmt: skip


def profile_document(profile: CircuitProfile | ModuleProfile) -> Document:
    """What was read; as JSON the profile itself, as ``fhecost estimate --profile`` takes it."""
    return _of_module(profile) if isinstance(profile, ModuleProfile) else _of_circuit(profile)


def _of_circuit(profile: CircuitProfile) -> Document:
    stages, unsure = profile.stages, unsure_circuit(profile, {})
    depth = pbs_depth(stages)
    waiting = [f"at most {depth:,} PBS wait for each other"] if depth else []
    return Document(
        blocks=(
            *on_top(unsure),
            Heading("Circuit"),
            Text(*circuit_lines(summarize(profile)), *waiting),
            Table(
                names("stage", (stage.name for stage in stages), least=16),
                numbers("bits", (stage.bit_width for stage in stages)),
                numbers("PBS", (stage.pbs_count for stage in stages)),
                numbers("KS", (stage.key_switch_count for stage in stages)),
                numbers("linear", (_linear(stage) for stage in stages)),
                numbers("wide", (stage.parallel_width for stage in stages)),
                numbers("deep", (stage.depth for stage in stages)),
                numbers("N", (stage.largest_polynomial_size for stage in stages)),
            ),
            *sure_blocks(unsure),
        ),
        records=records(
            _STAGE_FIELDS,
            (
                {
                    "stage": stage.name,
                    "bit_width": stage.bit_width,
                    "pbs_count": stage.pbs_count,
                    "key_switch_count": stage.key_switch_count,
                    "linear_count": _linear(stage),
                    "parallel_width": stage.parallel_width,
                    "depth": stage.depth,
                    "polynomial_size": stage.largest_polynomial_size,
                    "predecessors": " ".join(stage.predecessors),
                }
                for stage in stages
            ),
        ),
        report=profile,
    )


def _of_module(profile: ModuleProfile) -> Document:
    functions = profile.functions
    circuits = list(functions.values())
    first = circuits[0]
    return Document(
        blocks=(
            *(
                block
                for name, one in functions.items()
                for block in on_top(unsure_circuit(one, {}), f", {name}")
            ),
            Heading("Module"),
            Text(
                f"{profile.name} ({profile.source}): {len(functions)} functions",
                f"keys of all together: BSK {amount(profile.bsk_bytes, 'B')}, KSK "
                f"{amount(profile.ksk_bytes, 'B')}; p_error {first.p_error:.1e} per TLU",
            ),
            Table(
                names("function", functions, least=12),
                numbers("bits", (one.max_bit_width for one in circuits)),
                numbers("PBS", (one.pbs_count for one in circuits)),
                numbers("KS", (one.key_switch_count for one in circuits)),
                numbers("deep", (pbs_depth(one.stages) for one in circuits)),
                numbers("N", (one.largest_polynomial_size for one in circuits)),
                numbers("in", (amount(one.input_bytes, "B") for one in circuits)),
                numbers("out", (amount(one.output_bytes, "B") for one in circuits)),
            ),
            Refusals(*(f"not {name}: {reason}" for name, reason in profile.uncosted.items())),
            Note(
                "figures are of one call; fhecost estimate --profile FILE.json --calls "
                f"{','.join(f'{name}=1' for name in functions)} prices calls of a saved module"
            ),
        ),
        records=records(
            _FUNCTION_FIELDS,
            (
                {
                    **dict(one),
                    "function": name,
                    "pbs_count": one.pbs_count,
                    "key_switch_count": one.key_switch_count,
                    "depth": pbs_depth(one.stages),
                    "polynomial_size": one.largest_polynomial_size,
                }
                for name, one in functions.items()
            ),
        ),
        report=profile,
    )


def _linear(stage: Stage) -> int:
    return sum(use.count for use in stage.linear)

"""Batched PBS: many ciphertexts packed into one, and bootstrapped together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from fhecost.circuits.profile import Stage
from fhecost.circuits.stage import PbsParameters
from fhecost.circuits.workload import Workload
from fhecost.hardware.bootstraps.algorithm import PbsAlgorithm, SeenWorkload
from fhecost.hardware.cost import NARROW, Case, Cost, Lanes
from fhecost.hardware.estimate import Bottleneck
from fhecost.hardware.plausible import PlausibleFigures
from fhecost.provenance import CountFigure, Figure, PositiveFigure, Source, weakest

_CIPHERTEXTS, _AMORTIZED_S, _BITS = 32768, 6.7e-3, 9
_OTHER_MACHINE = 3.0
"""How much faster or slower a thread may be than that of the publication."""
_PUBLISHED = (
    "Liu, Wang (ASIACRYPT 2023; eprint 2023/910): ~6.7 ms a ciphertext for any table of 9 bits, by "
    "its abstract; 2^15 ciphertexts, the slots of BFV with t = 65537; on one thread of another "
    "machine"
)


class BatchedFigures(PlausibleFigures):
    """What a machine states of its batched PBS."""

    bootstrap_batch: CountFigure = Field(description="ciphertexts bootstrapped together")
    bootstrap_batch_s: PositiveFigure = Field(
        description="one such batch on one lane: a thread of a CPU, else a device"
    )
    bootstrap_batch_bits: CountFigure = Field(description="the widest table that it looks up")


class BatchedPbs(PbsAlgorithm):
    """The lookups of a stage in batches: each takes as long, whatever is in it.

    Liu and Wang (Amortized functional bootstrapping in less than 7 ms, ASIACRYPT 2023; eprint
    2023/910) decrypt 2^15 LWE ciphertexts in the slots of one BFV ciphertext and evaluate the table
    as a polynomial there. Of a batch of B, on L lanes::

        stage = steps * ceil(ceil(lookups/steps) / (B*L)) * time of a batch

    The work is that of other keys and another scheme: a circuit's own parameter sets, and its key
    switches, play no part, and nothing is known of how large the keys are. BatchBoot (Li et al.,
    USENIX Security 2026) is 43.8 times as fast as tfhe-rs and 2.4 times as fast as Guimarães et
    al. (CCS 2025), by its abstract, which doesn't say for which batch and set: no figure here.
    """

    figures: BatchedFigures
    name = "batched"
    formula = "steps * ceil(lookups of a step / (batch * lanes)) * time of a batch"
    source = (
        "Liu, Wang: Amortized functional bootstrapping in less than 7 ms, ASIACRYPT 2023; eprint "
        "2023/910"
    )
    sets = ()
    figures_type = BatchedFigures
    supposed: ClassVar[Mapping[str, Figure]] = {
        "bootstrap_batch": Figure(value=_CIPHERTEXTS, source=Source.ASSUMED, rationale=_PUBLISHED),
        "bootstrap_batch_s": Figure(
            value=_CIPHERTEXTS * _AMORTIZED_S,
            low=_CIPHERTEXTS * _AMORTIZED_S / _OTHER_MACHINE,
            high=_CIPHERTEXTS * _AMORTIZED_S * _OTHER_MACHINE,
            source=Source.ASSUMED,
            rationale=_PUBLISHED,
        ),
        "bootstrap_batch_bits": Figure(value=_BITS, source=Source.ASSUMED, rationale=_PUBLISHED),
    }
    supposed_on = frozenset({"cpu"})
    own_keys = False
    classic_keys = False

    def batches(self, stage: Stage, lanes: int) -> int:
        """Batches that wait for each other, those of ``lanes`` side by side."""
        if not stage.pbs:
            return 0
        in_step = math.ceil(stage.pbs_count / stage.depth)
        return stage.depth * math.ceil(in_step / (self.figures.bootstrap_batch.value * lanes))

    def busy_batches(self, stage: Stage, lanes: int) -> float:
        """The same with all slots and lanes full."""
        return stage.pbs_count / (self.figures.bootstrap_batch.value * lanes)

    def seen(self, circuit: Workload) -> Workload:
        """The circuit without its lookups: what is left takes the machine's own time."""
        return SeenWorkload(
            stages=tuple(
                stage.changed(pbs=(), key_switches=(), loops=(), distinct_values=None)
                for stage in circuit.stages
            ),
            bsk_bytes=0,
            ksk_bytes=0,
            input_bytes=circuit.input_bytes,
            output_bytes=circuit.output_bytes,
        )

    def own_costs(self, circuit: Workload, lanes: Lanes, case: Case) -> Iterator[Cost]:
        """The lookups in batches, which hold their key switches too."""
        one, count = self.figures.bootstrap_batch_s, int(lanes.side_by_side.value)
        together = lanes.together
        for stage in circuit.stages:
            waited = self.batches(stage, count)
            if not waited:
                continue
            several = together is not None and self.batches(stage, 1) > waited
            slower = case.rate(together) if several and together is not None else 1.0
            a_batch_s = case.cost(one) / slower
            rests_on = (one, self.figures.bootstrap_batch, lanes.side_by_side)
            busy = self.busy_batches(stage, count)
            yield Cost(
                stage.name,
                "pbs",
                waited * a_batch_s,
                Bottleneck.COMPUTE if busy / waited > NARROW else Bottleneck.PARALLEL_WIDTH,
                weakest(*rests_on, *((together,) if several and together is not None else ())),
                busy * a_batch_s,
            )

    def refusal(self, circuit: Workload) -> str | None:
        """A table of more bits, or of unknown width, can't be looked up."""
        limit = int(self.figures.bootstrap_batch_bits.value)
        for stage in circuit.stages:
            if stage.pbs and (stage.bit_width is None or stage.bit_width > limit):
                width = "unknown width" if stage.bit_width is None else f"{stage.bit_width} bits"
                return f"batched PBS looks up {limit} bits at most, stage {stage.name!r} {width}"
        return None

    def noise_growth(self, parameters: PbsParameters) -> None:
        """Nothing to do with the circuit's sets."""
        return None

    def notes(self, circuit: Workload) -> tuple[str, ...]:
        """What isn't known of it."""
        return (
            "batched PBS: other keys than the circuit's, of unknown size and cost; slots may hold "
            "tables of their own; a circuit of few lookups leaves most of them empty",
        )

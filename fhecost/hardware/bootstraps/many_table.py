"""Many-table PBS: one blind rotation for several tables of one value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from fhecost.circuits.profile import Stage
from fhecost.circuits.stage import PbsParameters
from fhecost.circuits.workload import Workload
from fhecost.hardware.bootstraps.algorithm import PbsAlgorithm, SeenWorkload
from fhecost.hardware.plausible import PlausibleFigures
from fhecost.provenance import Figure, PowerOfTwoFigure, Source


class ManyTableFigures(PlausibleFigures):
    """What a machine states of its many-table PBS."""

    tables_per_bootstrap: PowerOfTwoFigure = Field(
        description="tables that one blind rotation looks a value up in, at most"
    )


class ManyTablePbs(PbsAlgorithm):
    """A classic PBS whose polynomial holds 2^v tables, each read where the others end.

    The value is rounded to multiples of 2^v/2N before it is rotated by, and 2^v results are
    extracted from one rotation: PBSmanyLUT of Chillotti, Ligier, Orfila, Tap (ASIACRYPT 2021;
    eprint 2021/729), in tfhe-rs ``apply_many_lookup_table``. It takes the work of one PBS for all
    tables of one value, and the extractions cost next to nothing::

        PBS = ceil(tables of a value / 2^v) * n * cmux

    What it saves depends on the circuit: only lookups of the same value share a rotation, and a
    stage says of how many distinct values its lookups are (``distinct_values``); where it doesn't,
    each is taken to have its own.

    The rounding is 2^v times as coarse. Its noise has 4^v times the variance, so that the whole
    noise of a lookup has at most so much more.
    """

    figures: ManyTableFigures
    name = "many-table"
    formula = "ceil(tables of a value / 2^v) * n * cmux, 2^v tables a rotation"
    source = (
        "Chillotti, Ligier, Orfila, Tap: Improved programmable bootstrapping with larger precision "
        "and efficient arithmetic circuits for TFHE, ASIACRYPT 2021; eprint 2021/729"
    )
    sets = ()
    figures_type = ManyTableFigures
    supposed: ClassVar[Mapping[str, Figure]] = {
        "tables_per_bootstrap": Figure(
            value=2,
            source=Source.ASSUMED,
            rationale="the least that is more than one; more need free bits in the sets",
        )
    }

    @property
    def tables(self) -> int:
        """Tables of one rotation, at most."""
        return int(self.figures.tables_per_bootstrap.value)

    def seen(self, circuit: Workload) -> Workload:
        """The circuit with one rotation where several lookups read one value."""
        return SeenWorkload(
            stages=tuple(map(self._rotations, circuit.stages)),
            bsk_bytes=circuit.bsk_bytes,
            ksk_bytes=circuit.ksk_bytes,
            input_bytes=circuit.input_bytes,
            output_bytes=circuit.output_bytes,
        )

    def _rotations(self, stage: Stage) -> Stage:
        values = stage.distinct_values
        if values is None or values >= stage.pbs_count:
            return stage
        kept = max(values, math.ceil(stage.pbs_count / self.tables)) / stage.pbs_count

        def fewer(count: int) -> int:
            return math.ceil(kept * count)

        pbs = tuple(use.changed(count=fewer(use.count)) for use in stage.pbs)
        count = sum(use.count for use in pbs)
        return stage.changed(
            pbs=pbs,
            key_switches=tuple(use.changed(count=fewer(use.count)) for use in stage.key_switches),
            parallel_width=min(stage.parallel_width, count),
            depth=min(stage.depth, count),
            # Which of its loops share values isn't known: one for each step then.
            loops=(),
            distinct_values=None,
        )

    def noise_growth(self, parameters: PbsParameters) -> float:
        """As if all noise were that of the rounding."""
        return float(self.tables**2)

    def p_error_at_most(self, p_error: float, circuit: Workload) -> float | None:
        """As of a classic PBS where no value has several tables."""
        if any(stage.distinct_values is not None for stage in circuit.stages):
            return super().p_error_at_most(p_error, circuit)
        return p_error

    def notes(self, circuit: Workload) -> tuple[str, ...]:
        """What is known of lookups that share a value."""
        sharing = [stage for stage in circuit.stages if stage.distinct_values is not None]
        if not sharing:
            return ("no lookups are known to read one value: many-table PBS gains nothing",)
        lookups = sum(stage.pbs_count for stage in sharing)
        values = sum(stage.distinct_values or 0 for stage in sharing)
        return (f"many-table PBS: {lookups:,} lookups of {values:,} values share rotations",)

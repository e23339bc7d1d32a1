"""How far a calibration may be carried over to another CPU by published facts alone.

``python experiments/published/carried.py`` prints the two figures at the head of
``hardware/processors/facts.yaml``; a test compares them. Three published machines have registers of
512 bits: hpc7a (Zen 4), hpc8a (Zen 5) and m6i (Ice Lake), the latter two with twice the datapath.
Their times, over the same parameter sets, say how far a wider datapath counts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from fhecost.circuits.work import external_product_units, fourier_units, key_switch_units
from fhecost.hardware.carried import ProcessorFacts, processor_facts
from fhecost.hardware.library import find_hardware
from fhecost.validation.published import PublishedOperation, read_operation, read_records

BASE = ("hpc7a-96xlarge", "zen4")
OTHERS = (("hpc8a-96xlarge", "zen5"), ("m6i-metal", "ice-lake"))


def facts(name: str) -> ProcessorFacts:
    """The published facts of one kind of processor."""
    return next(one for one in processor_facts().processors if one.name == name)


def seconds(hardware: str, operation: PublishedOperation) -> float:
    """Seconds of a lookup on one thread of ``hardware``, by its own constants."""
    figures = find_hardware(hardware).figures
    switch = 0.0 if operation.key_switch is None else key_switch_units(operation.key_switch)
    return (
        figures["fourier_unit_s"].value * fourier_units(operation.pbs)
        + figures["external_product_unit_s"].value * external_product_units(operation.pbs)
        + figures["key_switch_unit_s"].value * switch
    )


def speed_ups() -> Mapping[str, float]:
    """How much faster each other machine is than the base: geometric mean over sets up to 8,192."""
    fitted = find_hardware(OTHERS[0][0]).published
    names = fitted.fitted_to if fitted is not None else ()
    read = [read_operation(record) for record in read_records() if record.name in names]
    lookups = [one for one in read if isinstance(one, PublishedOperation) and one.key_switch]
    return {
        machine: statistics.geometric_mean(
            seconds(BASE[0], lookup) / seconds(machine, lookup) for lookup in lookups
        )
        for machine, _ in OTHERS
    }


def datapath_share() -> float:
    """The share that explains each machine exactly, averaged and kept between 0 and 1."""
    base, shares = facts(BASE[1]), []
    for machine, kind in OTHERS:
        other = facts(kind)
        beyond_clock = speed_ups()[machine] * base.clock_hz.value / other.clock_hz.value
        wider = other.datapath_bits.value / base.datapath_bits.value
        shares.append(math.log(beyond_clock) / math.log(wider))
    return min(1.0, max(0.0, statistics.mean(shares)))


def errors(share: float) -> Mapping[str, float]:
    """Predicted over published time of each other machine, less one."""
    base = facts(BASE[1]).vector_rate(share)
    return {
        machine: speed_ups()[machine] * base / facts(kind).vector_rate(share) - 1
        for machine, kind in OTHERS
    }


def off_by(share: float) -> float:
    """The worst of them, as a factor in either direction."""
    return max(max(1 + error, 1 / (1 + error)) for error in errors(share).values())


def main() -> None:
    """Print the figures and what they rest on."""
    share = datapath_share()
    print(f"datapath_share {share:.5g}, off_by {off_by(share):.3g}")
    for machine, error in errors(share).items():
        print(f"{machine}: {error:+.1%} from {BASE[0]} by published facts alone")


if __name__ == "__main__":
    main()

"""The machine that fhecost runs on, as a hardware profile: ``--hardware here``.

Its own calibration where the user made one. Else the nearest calibrated machine, carried over by
published facts, and where Concrete is installed put right by two seconds of its own operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from fhecost.data import data_folder
from fhecost.errors import FhecostError, ImpossibleError
from fhecost.files import read_text
from fhecost.hardware.at_work import AT_WORK, others_at_work
from fhecost.hardware.carried import ProcessorFacts, carried_over, facts_of, processor_facts
from fhecost.hardware.limits import this_limits, within
from fhecost.hardware.names import HERE
from fhecost.hardware.probe import ConcreteProbe, made_probe, saved_probe
from fhecost.hardware.processor import Processor, this_processor
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.reading import read_hardware
from fhecost.provenance import Figure, Source

BETTER = "no calibration of this machine is at hand: fhecost calibrate makes one, in a minute"
_ALONE = 0.9
"""Share of a thread below which other programs must have had the rest."""
_PROBED = 1.25
"""What one parameter set, timed for two seconds, leaves open of others."""


ReadHardware = Callable[[Path], HardwareProfile]
"""How a machine's file is read."""


def profile_here(
    files: Iterable[Path], *, probe: bool = False, read: ReadHardware = read_hardware
) -> HardwareProfile:
    """The hardware profile of this machine.

    Args:
        files: of all known machines; those that say what they were calibrated on are looked at.
        read: reads one of them.
        probe: whether Concrete may be run for it, some seconds; a probe of today is used anyway.

    Returns:
        The user's calibration under its own name, with as many threads as this process may use; or
        one called ``here``, whose figures say what they were carried over from.

    Raises:
        ImpossibleError: nothing is known of this kind of processor.
    """
    processor = this_processor()
    calibrated = calibrated_machines(files, read)
    own = [one for one in calibrated if not _is_shipped(one) and is_machine(one, processor)]
    if own:
        machine = max(own, key=lambda one: one.calibrated or "")
    else:
        found = saved_probe(processor) or (made_probe(processor) if probe else None)
        machine = profile_of(processor, calibrated, found)
    limits = this_limits()
    machine = within(machine, limits)
    if probe and others_at_work(limits.available):
        machine = machine.changed(assumptions=(*machine.assumptions, AT_WORK))
    return machine


def profile_of(
    processor: Processor,
    calibrated: Iterable[HardwareProfile],
    probe: ConcreteProbe | None = None,
) -> HardwareProfile:
    """A machine that wasn't calibrated, by the nearest that was.

    Args:
        processor: of the machine.
        calibrated: machines that say what they were calibrated on.
        probe: what Concrete's own operations took on it, if they were timed.

    Raises:
        ImpossibleError: nothing is known of its kind, or no machine was calibrated.
    """
    facts = facts_of(processor)
    nearest = _nearest(calibrated, facts)
    if nearest is None:
        raise ImpossibleError("no calibrated machine is known that this one could be held against")
    base, base_facts = nearest
    measured: dict[str, Figure] = {}
    if processor.memory_bytes is not None:
        measured["memory_bytes"] = _measured(processor.memory_bytes, "what the system says")
    if processor.threads is not None:
        measured["threads"] = _measured(processor.threads, "what the system says")
    figures = carried_over(base, base_facts, facts)
    if probe is not None:
        measured |= _probed(base.figures, probe)
    how = f"carried over from {base.name} ({base_facts.title}) by published facts"
    if probe is not None:
        how += f", put right by a probe of Concrete's own operations of {probe.made}"
    return HardwareProfile(
        **{
            **dict(base),
            "name": HERE,
            "title": f"this machine: {processor}",
            "summary": f"{facts.title}: {how}.",
            "year": None,
            "figures": {**figures, **measured},
            "calibrated_on": None,
            "calibrated": None,
            "published": None,
            "assumptions": (f"this machine is {how}; {BETTER}", *_at_work(probe)),
        }
    )


def _at_work(probe: ConcreteProbe | None) -> tuple[str, ...]:
    """What is to be said of other programs; nothing where the probe had nearly all of a thread."""
    if probe is None or probe.cpu_share > _ALONE:
        return ()
    return (
        f"other programs were at work: the probe had {probe.cpu_share:.0%} of a thread; the "
        "estimate is for a machine without them, its range holds a run beside them",
    )


def is_machine(hardware: HardwareProfile, processor: Processor) -> bool:
    """Whether ``hardware`` was calibrated on the machine of ``processor``, as far as is known."""
    on = hardware.calibrated_on
    return on is not None and not on.differences(processor)


def calibrated_machines(
    files: Iterable[Path], read: ReadHardware = read_hardware
) -> list[HardwareProfile]:
    """The CPUs among ``files`` that say what they were calibrated on; no broken file is one."""
    found = []
    for path in files:
        try:
            # Reading YAML takes far longer than looking for one word.
            if "\ncalibrated_on:" in read_text(path):
                found.append(read(path))
        except FhecostError:
            continue
    return [one for one in found if one.latency_model == "cpu" and one.calibrated is not None]


def _is_shipped(hardware: HardwareProfile) -> bool:
    return (data_folder("hardware") / f"{hardware.name}.yaml").is_file()


def _nearest(
    calibrated: Iterable[HardwareProfile], facts: ProcessorFacts
) -> tuple[HardwareProfile, ProcessorFacts] | None:
    """The calibrated machine of the same kind, else the one whose vectors are nearest."""
    share = processor_facts().datapath_share.value
    ranked = []
    for one in calibrated:
        if one.calibrated_on is None:
            continue
        try:
            its = facts_of(one.calibrated_on)
        except ImpossibleError:
            continue
        ratio = its.vector_rate(share) / facts.vector_rate(share)
        far = max(ratio, 1 / ratio)
        ranked.append(((its.name != facts.name, far, one.name), one, its))
    return min(ranked, key=lambda found: found[0])[1:] if ranked else None


def _probed(figures: Mapping[str, Figure], probe: ConcreteProbe) -> dict[str, Figure]:
    """The figures that the probe measured a part of, and what goes with them."""
    pbs, switch = probe.slower(figures)
    ref = f"probe of Concrete's own operations, {probe.made}"
    beside = probe.cpu_share if probe.cpu_share <= _ALONE else 1.0
    factors = {
        "fourier_unit_s": pbs,
        "external_product_unit_s": pbs,
        "conversion_unit_s": pbs,
        "key_switch_unit_s": switch,
    }
    found = {
        name: Figure(
            value=figures[name].value * factor,
            low=figures[name].lowest * factor / _PROBED,
            high=figures[name].highest * factor * _PROBED / beside,
            source=Source.MODELLED,
            ref=ref,
            rationale=f"{factor:.3g} times the calibrated machine's, by the {ref}",
        )
        for name, factor in factors.items()
        if name in figures
    }
    together, usual = probe.thread_efficiency, figures.get("thread_efficiency")
    if together is not None and usual is not None:
        # Little speed-up from threads may be other programs' doing as well as the machine's.
        found["thread_efficiency"] = Figure(
            value=together,
            low=min(together, usual.lowest),
            high=max(together, usual.highest),
            source=Source.MEASURED,
            ref=ref,
        )
    return found


def _measured(value: float, ref: str) -> Figure:
    return Figure(value=value, source=Source.MEASURED, ref=ref)

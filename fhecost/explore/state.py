"""What the user picked, and what there is to pick: the page shows nothing else.

A state is all of it. Its address, its command line and its numbers are functions of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from fhecost.circuit_request import PredictedShape
from fhecost.circuits.description import Scope
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.errors import FieldError, did_you_mean
from fhecost.files import AnyPath
from fhecost.hardware.library import hardware_files, load_hardware
from fhecost.hardware.names import ALL, DEFAULT, HERE
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.what_if import ON_ONE, with_figures_where_known
from fhecost.heads.variants import VARIANTS, variant_named
from fhecost.models.shape import EMBEDDED, SHAPES, find_shape

ONE_HEAD: Scope = "head"
"""The scope whose heads have a setting and a number; all others have all heads, compact."""

FIRST_VARIANT = "fast"


@dataclass(frozen=True)
class Offer:
    """What can be picked, read once when the explorer starts.

    ``usual`` are the machines of a page that nobody has picked on yet. An address can name what is
    here and nothing else: it opens no file.
    """

    models: tuple[str, ...]
    variants: tuple[str, ...]
    machines: tuple[HardwareProfile, ...]
    usual: tuple[str, ...]
    hardware_path: tuple[str, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, HardwareProfile]:
        """The machines by their names."""
        return {profile.name: profile for profile in self.machines}


@dataclass(frozen=True)
class State:
    """What the user picked.

    ``variant`` and ``heads``, how many of them, are None unless the scope is that of heads.
    ``hardware`` are the machines beside each other, in the order of the offer; ``machine`` is the
    one that is looked at closely, among them or not. ``what_if`` are figures of that machine
    alone, by name and in SI units, in the order of their names.
    """

    model: str
    scope: Scope
    seq_len: int
    bits: int
    variant: str | None
    heads: int | None
    hardware: tuple[str, ...]
    machine: str
    what_if: tuple[tuple[str, float], ...] = ()


def make_offer(
    hardware_path: Iterable[AnyPath] = (),
    models: Iterable[str] = (),
    variants: Iterable[str] = (),
) -> Offer:
    """What there is to pick.

    Args:
        hardware_path: folders of further machines.
        models: further models: a ``config.json``, a folder, or a GGUF file.
        variants: further settings of heads: files that hold one.

    Raises:
        UsageError: a folder, a model, a setting or a machine's file is wrong.
    """
    folders = tuple(map(str, hardware_path))
    models, variants = tuple(models), tuple(variants)
    for model in models:
        find_shape(model)
    for variant in variants:
        variant_named(variant)
    machines = load_hardware(ALL, folders)
    files = hardware_files(folders)
    # What this machine is called without a calibration changes with the probe of the day.
    usual = [
        one.name
        for one in load_hardware(DEFAULT, folders)
        if one.name != HERE and one.name in files
    ]
    return Offer(
        models=tuple(dict.fromkeys((EMBEDDED, *SHAPES, *models))),
        variants=tuple(dict.fromkeys((*VARIANTS, *variants))),
        machines=tuple(machines),
        usual=tuple(one.name for one in machines if one.name in usual),
        hardware_path=folders,
    )


def first_state(offer: Offer) -> State:
    """The page before anything is picked: the head that every command takes by default."""
    kinds = {name: offer.by_name[name].kind for name in offer.usual}
    # The fastest kind that can be had is what most come for.
    closest = next((name for name, kind in kinds.items() if kind == "gpu"), offer.usual[0])
    return State(
        model=EMBEDDED,
        scope=ONE_HEAD,
        seq_len=6,
        bits=variant_named(FIRST_VARIANT).width(),
        variant=FIRST_VARIANT,
        heads=1,
        hardware=offer.usual,
        machine=closest,
    )


def settled(state: State, offer: Offer) -> State:
    """``state`` in the one form that it has, if all that it names is offered.

    Raises:
        FieldError: a model, a variant or a machine isn't, or there aren't so many heads.
    """
    _check_offered("model", state.model, offer.models)
    if state.scope == ONE_HEAD:
        variant, heads = state.variant or FIRST_VARIANT, state.heads or 1
        _check_offered("variant", variant, offer.variants)
        shape = find_shape(state.model)
        if heads > shape.heads:
            raise FieldError("heads", f"{shape.name} has {shape.heads} a layer", heads)
        state = replace(state, variant=variant, heads=heads)
    else:
        state = replace(state, variant=None, heads=None)
    for name in (*state.hardware, state.machine):
        _check_offered("hardware", name, tuple(offer.by_name))
    return replace(
        state,
        hardware=tuple(name for name in offer.by_name if name in state.hardware),
        what_if=tuple(sorted(dict(state.what_if).items())),
    )


def _check_offered(field: str, name: str, offered: tuple[str, ...]) -> None:
    if name not in offered:
        there = f"isn't offered here; there is {', '.join(offered)}{did_you_mean(name, offered)}"
        raise FieldError(field, there, name)


def machines_of(state: State, offer: Offer) -> list[HardwareProfile]:
    """The machines beside each other, with their own figures; that looked at closely is there."""
    wanted = {*state.hardware, state.machine}
    return [one for one in offer.machines if one.name in wanted]


def what_if_of(state: State) -> dict[str, float]:
    """The figures that were set, as ``compare`` takes them."""
    return {f"{state.machine}{ON_ONE}{name}": value for name, value in state.what_if}


def changed_machines(state: State, offer: Offer) -> list[HardwareProfile]:
    """As :func:`machines_of`, with the figures that were set.

    Raises:
        FieldError: the machine has no such figure, or the value isn't one that it can have.
    """
    machines, set_to = machines_of(state, offer), what_if_of(state)
    return with_figures_where_known(machines, set_to) if set_to else machines


def circuit_of(state: State) -> PredictedShape:
    """What runs: by closed form, with widths stated from the shape alone.

    Raises:
        UsageError: the model's file is gone or broken.
    """
    shape = find_shape(state.model)
    variant, heads = state.variant or FIRST_VARIANT, state.heads or 1
    return PredictedShape(
        ShapeRequest(shape, state.scope, state.seq_len, state.bits, variant, heads)
    )

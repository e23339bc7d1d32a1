"""The command that prints the numbers of a state."""

from __future__ import annotations

import shlex

from fhecost.explore.address import what_if_text
from fhecost.explore.state import Offer, State, machines_of
from fhecost.hardware.what_if import ON_ONE
from fhecost.models.shape import find_shape


def command_of(state: State, offer: Offer) -> str:
    """The command line, to be typed into a shell, that prints the same numbers."""
    return shlex.join(["fhecost", "compare", *_circuit(state), *_machines(state, offer)])


def report_command(state: State, offer: Offer) -> str:
    """The command of the page that the report of a state is.

    ``fhecost report`` sets no figures; where some were set, it is the command that does.
    """
    if state.what_if:
        return command_of(state, offer)
    return shlex.join(["fhecost", "report", *_circuit(state), *_machines(state, offer)])


def _circuit(state: State) -> list[str]:
    words = ["--no-compile", "--widths", "stated", "--model", state.model]
    words += ["--scope", state.scope, "--seq-len", f"{state.seq_len}", "--bits", f"{state.bits}"]
    if state.variant is not None and state.heads is not None:
        every = state.heads == find_shape(state.model).heads
        heads = "all" if every else ",".join(map(str, range(state.heads)))
        words += ["--variant", state.variant, "--heads", heads]
    return words


def _machines(state: State, offer: Offer) -> list[str]:
    words = ["--hardware", ",".join(one.name for one in machines_of(state, offer))]
    for folder in offer.hardware_path:
        words += ["--hardware-path", folder]
    if state.what_if:
        words += ["--what-if", what_if_text(state.what_if, f"{state.machine}{ON_ONE}")]
    return words

"""A state as the query of an address, and back: what is picked can be kept and sent.

``?model=gpt2&scope=head&seq-len=64&bits=4&variant=fast&heads=1&hardware=h100,strix&machine=strix
&what-if=clock_hz=2e9``. What is left out is as on a page that nobody has picked on yet.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from urllib.parse import parse_qsl, quote

from fhecost.circuits.description import SCOPES
from fhecost.errors import FieldError
from fhecost.explore.state import Offer, State, first_state, settled

_FIELDS = (
    *("model", "scope", "seq-len", "bits", "variant", "heads"),
    *("hardware", "machine", "what-if"),
)
_WHOLE = re.compile(r"[0-9]{1,9}")
_READABLE = ",:=/"
"""Stand in an address as they are; a value ends where the next field begins."""


def query_of(state: State) -> str:
    """The query of the address that shows ``state``, without its question mark."""
    fields = {
        "model": state.model,
        "scope": state.scope,
        "seq-len": str(state.seq_len),
        "bits": str(state.bits),
        "variant": state.variant,
        "heads": None if state.heads is None else str(state.heads),
        "hardware": ",".join(state.hardware),
        "machine": state.machine,
        "what-if": what_if_text(state.what_if) or None,
    }
    said = {name: value for name, value in fields.items() if value is not None}
    return "&".join(f"{name}={quote(value, safe=_READABLE)}" for name, value in said.items())


def state_of(query: str, offer: Offer) -> State:
    """The state that an address shows.

    Args:
        query: of the address, with or without its question mark.
        offer: what can be picked.

    Raises:
        FieldError: a field is unknown, named twice, no such number, or not on offer.
    """
    said: dict[str, str] = {}
    for name, value in parse_qsl(query.removeprefix("?"), keep_blank_values=True):
        if name not in _FIELDS:
            raise FieldError(name, f"no part of an address; there is {', '.join(_FIELDS)}")
        if name in said:
            raise FieldError(name, "is there twice")
        said[name] = value
    first = first_state(offer)
    scope = said.get("scope", first.scope)
    if scope not in SCOPES:
        raise FieldError("scope", f"must be one of {', '.join(SCOPES)}", scope)
    state = replace(
        first,
        model=said.get("model", first.model),
        scope=scope,
        seq_len=_whole(said, "seq-len", first.seq_len),
        bits=_whole(said, "bits", first.bits),
        variant=said.get("variant", first.variant),
        heads=_whole(said, "heads", first.heads or 1),
    )
    if "hardware" in said:
        state = replace(state, hardware=tuple(filter(None, said["hardware"].split(","))))
    if "machine" in said:
        state = replace(state, machine=said["machine"])
    elif state.hardware and state.machine not in state.hardware:
        state = replace(state, machine=state.hardware[0])
    return settled(replace(state, what_if=_what_if(said.get("what-if", ""))), offer)


def what_if_text(what_if: tuple[tuple[str, float], ...], of: str = "") -> str:
    """Figures and their values, as they are typed; each name behind ``of``."""
    return ",".join(f"{of}{name}={number_text(value)}" for name, value in what_if)


def number_text(value: float) -> str:
    """The number in few characters; read again, it is the same."""
    short = f"{value:g}".replace("e+", "e")
    return short if float(short) == value else repr(value)


def _whole(said: dict[str, str], name: str, first: int) -> int:
    text = said.get(name)
    if text is None:
        return first
    if not _WHOLE.fullmatch(text) or int(text) < 1:
        raise FieldError(name, "must be a whole number from 1", text)
    return int(text)


def _what_if(text: str) -> tuple[tuple[str, float], ...]:
    values: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not 0 < value < math.inf:
            raise FieldError("what-if", "must be figures and positive numbers: clock_hz=2e9", part)
        if name in values:
            raise FieldError("what-if", "is set twice", name)
        values[name] = value
    return tuple(values.items())

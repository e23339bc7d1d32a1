"""What is picked with: components of the browser's own controls, which any keyboard works.

Dash's own lists of choices put an input into a part that is announced as one choice, which neither
screen readers nor the checks of axe take. These are a ``select``, a row of checkboxes, and a range
with a field beside it; ``assets/controls.js`` draws them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from dash.development.base_component import Component

_NAMESPACE = "fhecost"
"""Of the script's components; Dash imports a module of that name at each of them."""


class Pick(Component):  # type: ignore[misc]
    """One of several: ``options`` are values and words, in groups where these have a name.

    Its ``value`` is that of the option.
    """

    _namespace = _NAMESPACE
    _type = "Pick"
    _children_props: ClassVar[list[str]] = []
    _base_nodes: ClassVar[list[str]] = ["children"]
    _prop_names: ClassVar[list[str]] = ["id", "label", "options", "value", "disabled"]
    _valid_wildcard_attributes: ClassVar[list[str]] = []
    available_properties = _prop_names
    available_wildcard_properties: ClassVar[list[str]] = []


class Checks(Component):  # type: ignore[misc]
    """Any of several: ``options`` as for :class:`Pick`; its ``value`` lists those ticked."""

    _namespace = _NAMESPACE
    _type = "Checks"
    _children_props: ClassVar[list[str]] = []
    _base_nodes: ClassVar[list[str]] = ["children"]
    _prop_names: ClassVar[list[str]] = ["id", "label", "options", "value"]
    _valid_wildcard_attributes: ClassVar[list[str]] = []
    available_properties = _prop_names
    available_wildcard_properties: ClassVar[list[str]] = []


class Slide(Component):  # type: ignore[misc]
    """A number: a range over ``stops``, which are called ``words``, and a field for any other.

    Its ``value`` is the number; ``own`` is the one that an empty field stands for, None where it
    stands for none.
    """

    _namespace = _NAMESPACE
    _type = "Slide"
    _children_props: ClassVar[list[str]] = []
    _base_nodes: ClassVar[list[str]] = ["children"]
    _prop_names: ClassVar[list[str]] = [
        *("id", "label", "unit", "stops", "words", "value", "own", "whole", "disabled")
    ]
    _valid_wildcard_attributes: ClassVar[list[str]] = []
    available_properties = _prop_names
    available_wildcard_properties: ClassVar[list[str]] = []


def options(values: Iterable[str], group: str = "") -> list[dict[str, str]]:
    """Options that are called what they are."""
    return [{"value": value, "label": value, "group": group} for value in values]


def whole_numbers(
    id: str, label: str, stops: Sequence[int], value: int, *, disabled: bool = False
) -> Any:
    """A number of whole things."""
    return Slide(
        id=id,
        label=label,
        unit="",
        stops=list(stops),
        words=stop_words(stops),
        value=value,
        own=value,
        whole=True,
        disabled=disabled,
    )


def stop_words(stops: Iterable[int]) -> list[str]:
    """What whole numbers are called."""
    return [f"{stop:,}" for stop in stops]

"""The colors of all figures: one for each kind of machine, on light and dark paper alike."""

from __future__ import annotations

from collections.abc import Mapping

from fhecost.hardware.profile import Kind

KIND_COLORS: Mapping[Kind, str] = {
    "cpu": "#2b7fb8",
    "gpu": "#4d7c3a",
    "fpga": "#c4661f",
    "asic": "#8b5fa8",
}

NEUTRAL = "#8a8f98"
"""For lines and areas that stand for no machine."""


def faint(color: str) -> str:
    """``color``, a hexadecimal one, for a band behind its line."""
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"

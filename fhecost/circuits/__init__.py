"""Circuits: their profiles, how they are read from Concrete, and what their operations cost."""

from fhecost.circuits.profile import (
    CircuitProfile,
    KeySwitchParameters,
    KeySwitchUse,
    LinearUse,
    PbsParameters,
    PbsUse,
    Stage,
    load_profile,
    save_profile,
)

__all__ = [
    "CircuitProfile",
    "KeySwitchParameters",
    "KeySwitchUse",
    "LinearUse",
    "PbsParameters",
    "PbsUse",
    "Stage",
    "load_profile",
    "save_profile",
]

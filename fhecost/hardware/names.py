"""Names that stand for machines and orders; the command line reads them before it needs more."""

from typing import Literal, get_args

ALL = "all"
"""Stands for every known machine where names of machines are asked for."""

DEFAULT = "default"
"""Stands for this machine, one of each kind, and all that are the user's own."""

HERE = "here"
"""Stands for the machine that fhecost runs on."""

RESERVED = frozenset({ALL, DEFAULT, HERE})
"""No machine can be called so."""

MEASURED = "epyc-zen4-2"
"""The machine that the measured runs which come with fhecost ran on."""

SortKey = Literal["latency", "energy", "price", "utilization", "name"]
"""What machines beside each other are sorted by."""

PbsKind = Literal["classic", "multi-bit", "batched", "many-table"]
PBS_KINDS: tuple[PbsKind, ...] = get_args(PbsKind)
"""The ways to bootstrap that :mod:`fhecost.hardware.bootstraps` describes."""

PbsChoice = Literal[PbsKind, "best"]
"""A kind of PBS, or the one of those that a machine has that is fastest for a circuit."""

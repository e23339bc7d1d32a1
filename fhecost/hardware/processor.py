"""Which processor this is: what tells two machines of one name apart.

A name such as "AMD EPYC" is no more than a brand: a Zen 3 without AVX-512 and a Zen 4 with it call
themselves alike and differ by a factor of two. Family, model, instruction sets, caches, threads and
memory are read from ``/proc`` and ``/sys`` where there are any.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fhecost.fields import Count, Positive
from fhecost.frozen import Frozen

_SETS: Mapping[str, str] = {
    "avx512f": "avx512",
    "avx2": "avx2",
    "amx_tile": "amx",
    "asimd": "neon",
    "sve": "sve",
}
"""The instruction sets that Fourier transforms are faster with, by their flags in cpuinfo."""

_SAME_MEMORY = 0.1
"""Part of the memory that a kernel may keep for itself or not."""


class Processor(Frozen):
    """A processor and the machine around it; None, or no instruction set, is what isn't known."""

    vendor: str | None = None
    name: str | None = None
    family: Count | None = None
    model: Count | None = None
    instruction_sets: tuple[str, ...] = ()
    threads: Positive | None = None
    l2_bytes: Positive | None = None
    l3_bytes: Positive | None = None
    memory_bytes: Positive | None = None

    def __str__(self) -> str:
        parts = [self.name or "unknown processor"]
        if self.family is not None and self.model is not None:
            parts.append(f"family {self.family} model {self.model}")
        if self.instruction_sets:
            parts.append("+".join(self.instruction_sets))
        if self.threads is not None:
            parts.append(f"{self.threads} threads")
        return ", ".join(parts)

    def differences(self, other: Processor) -> list[str]:
        """What tells the two apart, a few words each; none where they can be the same machine.

        What one of them doesn't know tells nothing, but the model must be known to both, or their
        names be the same.
        """
        told = []
        for field in ("vendor", "family", "model", "threads", "l2_bytes", "l3_bytes"):
            mine, theirs = getattr(self, field), getattr(other, field)
            if mine is not None and theirs is not None and mine != theirs:
                told.append(f"{field.replace('_', ' ')} {theirs}, not {mine}")
        known = self.instruction_sets and other.instruction_sets
        if known and set(self.instruction_sets) != set(other.instruction_sets):
            sets = ["+".join(one.instruction_sets) or "none" for one in (other, self)]
            told.append(f"instruction sets {sets[0]}, not {sets[1]}")
        mine, theirs = self.memory_bytes, other.memory_bytes
        if mine and theirs and abs(mine - theirs) > _SAME_MEMORY * max(mine, theirs):
            told.append(f"memory {theirs / 2**30:.0f} GiB, not {mine / 2**30:.0f}")
        named = self.name is not None and self.name == other.name
        if None in (self.model, other.model) and not named and not told:
            told.append("processor model unknown")
        return told


def this_processor() -> Processor:
    """The processor of this machine, as far as the system tells."""
    return read_processor(Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu/cpu0/cache"))


def read_processor(cpuinfo: Path, caches: Path) -> Processor:
    """The processor that ``cpuinfo`` and the folder ``caches`` describe, on a machine as this one.

    Args:
        cpuinfo: as ``/proc/cpuinfo``; it need not be there.
        caches: as ``/sys/devices/system/cpu/cpu0/cache``; it need not be there.
    """
    info = _first_of(cpuinfo)
    flags = set((info.get("flags") or info.get("Features") or "").split())
    if platform.machine().lower() in ("arm64", "aarch64"):
        flags.add("asimd")  # part of every 64-bit ARM, also where nothing lists the flags
    sizes = _cache_sizes(caches)
    return Processor(
        vendor=info.get("vendor_id") or info.get("CPU implementer"),
        name=info.get("model name") or _brand(),
        family=_number(info.get("cpu family") or info.get("CPU architecture")),
        model=_number(info.get("model") or info.get("CPU part")),
        instruction_sets=tuple(sorted({name for flag, name in _SETS.items() if flag in flags})),
        threads=os.cpu_count(),
        l2_bytes=sizes.get(2),
        l3_bytes=sizes.get(3),
        memory_bytes=_memory(),
    )


def _brand() -> str | None:
    """The processor's name where no file has it: macOS tells it by a command."""
    if platform.system() == "Darwin":
        asked = ("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")
        with suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5)
            return told.stdout.strip() or None
    return platform.processor() or None


def _first_of(cpuinfo: Path) -> dict[str, str]:
    try:
        first = cpuinfo.read_text(encoding="utf-8").split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _cache_sizes(folder: Path) -> dict[int, int]:
    """Bytes by level; instructions alone don't count."""
    sizes = {}
    for index in folder.glob("index*"):
        try:
            level, kind, size = (
                (index / name).read_text(encoding="utf-8").strip()
                for name in ("level", "type", "size")
            )
        except OSError:
            continue
        number = _number(size.removesuffix("K"))
        if kind != "Instruction" and size.endswith("K") and number:
            sizes[int(level)] = number * 1024
    return sizes


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text, 0)
    except ValueError:
        return None

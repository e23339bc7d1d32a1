"""A commented YAML file to start a machine of one's own from."""

from __future__ import annotations

from typing import Any

import yaml

from fhecost.hardware.bootstraps import ALGORITHMS
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.registry import latency_model_named

_WIDTH = 100
_HEAD = """\
# A machine for fhecost, started from {name}. The file's name is the machine's name.
#
# Every figure is in the SI unit that ends its name, and says where it comes from:
#   source: measured | published | calibrated, with ref: where it can be read
#   source: modelled | assumed, with rationale: why it is what it is
#   low, high: the range, where the value isn't exact
# availability: available | prototype | simulated | hypothetical says whether it can be had.
# pbs_kind is the kind of PBS that the figures are for: classic | multi-bit | batched | many-table.
# pbs, by kind, holds further ones with the figures that differ; docs/machines.md shows one.
# Leave out what you don't know; never write 0 for it. Figures that {name} lacks are commented out.
# Put the file into your configuration folder, or name its folder with --hardware-path.
"""


def hardware_template(hardware: HardwareProfile) -> str:
    """The text of a YAML file to start a machine of one's own from.

    Args:
        hardware: the machine whose figures it starts with; what else its latency model can use is
            there as a comment.
    """
    content: dict[str, Any] = hardware.model_dump(mode="json", exclude_none=True)
    known = content.pop("figures")
    # Another machine was calibrated on nothing yet, and no record is about it.
    for name in ("name", "published", "calibrated_on", "calibrated", "calibrated_thread_share"):
        content.pop(name, None)
    for further in content.get("pbs", {}).values():
        further.pop("published", None)
    last = [name for name in ("assumptions", "references") if name in content]
    tail = {str(name): content.pop(name) for name in last}
    lines = [_HEAD.format(name=hardware.name), _dump(content).rstrip(), "", "figures:"]
    fields = {
        **latency_model_named(hardware.latency_model).figures_type.model_fields,
        **ALGORITHMS[hardware.pbs_kind].figures_type.model_fields,
    }
    for name, field in fields.items():
        lines.append(f"  # {field.description or name}")
        if name in known:
            lines += [f"  {line}" for line in _dump({name: known[name]}).rstrip().splitlines()]
        else:
            lines.append(f"  # {name}: {{value: 1.0, source: published, ref: where}}")
    return "\n".join([*lines, "", _dump(tail)])


def _dump(content: dict[str, Any]) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=_WIDTH - 4))

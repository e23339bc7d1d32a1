"""What a run must have in memory at once, what is streamed, and over which link: one rule for all.

On each device there are the keys, as often as the latency model holds them, and a tile: what all
lanes read and return at once. Without room for these a circuit can't run. Inputs and outputs stay
beside them where they fit; where they don't, they are streamed over the host link, so that has to
be known. A stage that is larger than the room is worked tile by tile. Whether its values then have
to leave the device can't be seen in a circuit profile: products that are summed at once needn't,
values that several stages read must. So an estimate moves none of them, and its high end all.
"""

from __future__ import annotations

from typing import NamedTuple

from fhecost.circuits.profile import Stage
from fhecost.circuits.work import ciphertext_bytes, dimensions_read, stage_bytes
from fhecost.circuits.workload import Workload
from fhecost.hardware.estimate import MemoryUse
from fhecost.provenance import Figure
from fhecost.units import amount


class Held(NamedTuple):
    """What a latency model knows: bytes of the keys on each device, its lanes, and devices."""

    keys_bytes: float
    lanes: float
    devices: float = 1.0


def memory_use(
    circuit: Workload, held: Held, capacity: Figure | None, link: Figure | None
) -> MemoryUse | str:
    """What of ``circuit`` a machine holds and streams; or why it can't.

    Args:
        circuit: what runs.
        held: keys, lanes and devices.
        capacity: memory of a device in bytes, None where that isn't known.
        link: bytes a second between host and devices, None where that isn't known.
    """
    tile_bytes = held.lanes * max(map(value_bytes, circuit.stages), default=0)
    data_bytes = circuit.input_bytes + circuit.output_bytes
    at_once = list(map(stage_bytes, circuit.stages))
    widest = max(range(len(at_once)), key=at_once.__getitem__)
    streamed: bool | None = None
    spilled: int | None = None
    if capacity is not None:
        room = held.devices * (capacity.value - held.keys_bytes - tile_bytes)
        if room < 0:
            return (
                f"the keys and a tile of {held.lanes:,.0f} ciphertexts need at least "
                f"{(held.keys_bytes + tile_bytes) / 1e9:.1f} GB, the machine has "
                f"{capacity.value / 1e9:.1f} GB"
            )
        streamed = data_bytes > room
        if streamed and link is None:
            return (
                f"inputs and outputs of {amount(data_bytes, 'B')} don't fit into its memory of "
                f"{amount(held.devices * capacity.value, 'B')} beside the keys, and over which "
                "link they would come isn't known: host_link_bytes_per_s is missing"
            )
        both = zip(circuit.stages, at_once, strict=True)
        spilled = sum(_moved_bytes(stage) for stage, size in both if size > room)
    return MemoryUse(
        keys_bytes=held.keys_bytes,
        tile_bytes=tile_bytes,
        data_bytes=data_bytes,
        widest_stage=circuit.stages[widest].name,
        widest_stage_bytes=at_once[widest],
        capacity_bytes=capacity and capacity.value,
        link_bytes_per_s=link and link.value,
        data_streamed=streamed,
        spilled_bytes=spilled,
    )


def memory_assumptions(use: MemoryUse) -> tuple[str, ...]:
    """What an estimate takes for granted of memory and links, in words."""
    keys, tile = amount(use.keys_bytes, "B"), amount(use.tile_bytes, "B")
    data, stage = amount(use.data_bytes, "B"), f"stage {use.widest_stage!r}"
    if use.capacity_bytes is None:
        return (
            f"no memory capacity is known: whether {keys} of keys and {data} of inputs and "
            "outputs fit isn't checked",
        )
    said = [
        f"at once in {amount(use.capacity_bytes, 'B')} of memory: {keys} of keys, {tile} a tile"
    ]
    if use.data_streamed:
        said.append(
            f"inputs and outputs, {data}, don't fit beside the keys: they are streamed once over "
            f"the host link at {amount(use.link_bytes_per_s or 0.0, 'B/s')}, from a host that is "
            "taken to have them"
        )
    if use.spilled_bytes:
        wide = f"{stage} has {amount(use.widest_stage_bytes, 'B')} at once: it is worked in tiles"
        moved = amount(use.spilled_bytes, "B")
        said.append(
            f"{wide}; that {moved} of such stages leave the memory and come back isn't in the "
            "estimate"
            + ("" if use.link_bytes_per_s is None else ", but in its high end, over the host link")
        )
    return tuple(said)


def spill_s(use: MemoryUse | None, link: Figure | None) -> float:
    """Seconds that the high end adds, for values that may have to leave the memory."""
    if use is None or not use.spilled_bytes or link is None:
        return 0.0
    return use.spilled_bytes / link.lowest


def value_bytes(stage: Stage) -> int:
    """What a lookup of the stage reads and returns, the largest of them."""
    read = dimensions_read(stage)
    made = [use.parameters.output_lwe_dimension for use in stage.pbs]
    return sum(ciphertext_bytes(max(sizes)) for sizes in (read, made) if sizes)


def _moved_bytes(stage: Stage) -> int:
    """What all lookups of the stage read and return."""
    read = sum(
        use.count * ciphertext_bytes(use.parameters.input_lwe_dimension)
        for use in stage.key_switches
    )
    made = sum(
        use.count * ciphertext_bytes(use.parameters.output_lwe_dimension) for use in stage.pbs
    )
    return read + made

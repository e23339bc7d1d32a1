"""The canonical JSON of a circuit profile, which its hash is of: keys in order, no spaces.

Stages are nearly all of it, and nothing in them but names, numbers and what holds them: their text
is written as it is, in a third of the time that dumping and sorting dictionaries take. A test holds
it to what ``json`` makes of a profile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from fhecost.circuits.stage import KeySwitchUse, LinearUse, LookupLoop, PbsUse, Stage

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False).encode


def canonical(fields: Mapping[str, Any], stages: Iterable[Stage]) -> str:
    """The canonical JSON of a profile's ``stages`` and its other ``fields``, which are JSON."""
    before = _ENCODE({name: value for name, value in fields.items() if name < "stages"})
    behind = _ENCODE({name: value for name, value in fields.items() if name > "stages"})
    return f'{before[:-1]},"stages":[{",".join(map(_stage, stages))}],{behind[1:]}'


def _stage(stage: Stage) -> str:
    bit_width = "null" if stage.bit_width is None else stage.bit_width
    # Profiles keep the hash that they had before there were loops, and values that lookups share.
    loops = f'"loops":[{",".join(map(_loop, stage.loops))}],' if stage.loops else ""
    distinct = f'"distinct_values":{stage.distinct_values},' if stage.distinct_values else ""
    return (
        f'{{"bit_width":{bit_width},"depth":{stage.depth},{distinct}'
        f'"key_switches":[{",".join(map(_key_switch, stage.key_switches))}],'
        f'"linear":[{",".join(map(_linear, stage.linear))}],{loops}"name":{quoted(stage.name)},'
        f'"parallel_width":{stage.parallel_width},"pbs":[{",".join(map(_pbs, stage.pbs))}],'
        f'"predecessors":[{",".join(map(quoted, stage.predecessors))}]}}'
    )


def _pbs(use: PbsUse) -> str:
    one = use.parameters
    return (
        f'{{"count":{use.count},"parameters":{{"base_log":{one.base_log},'
        f'"glwe_dimension":{one.glwe_dimension},"level_count":{one.level_count},'
        f'"lwe_dimension":{one.lwe_dimension},"polynomial_size":{one.polynomial_size}}}}}'
    )


def _key_switch(use: KeySwitchUse) -> str:
    one = use.parameters
    return (
        f'{{"count":{use.count},"parameters":{{"base_log":{one.base_log},'
        f'"input_lwe_dimension":{one.input_lwe_dimension},"level_count":{one.level_count},'
        f'"output_lwe_dimension":{one.output_lwe_dimension}}}}}'
    )


def _linear(use: LinearUse) -> str:
    return (
        f'{{"count":{use.count},"lwe_dimension":{use.lwe_dimension},"operation":"{use.operation}"}}'
    )


def _loop(loop: LookupLoop) -> str:
    return f'{{"times":{loop.times},"width":{loop.width}}}'

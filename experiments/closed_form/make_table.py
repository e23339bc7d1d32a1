"""Make fhecost's table of parameter sets from compiled circuits: ``python make_table.py FOLDER``.

FOLDER is what ``compile_grid.py`` wrote. Circuits of the lengths in ``HELD_OUT`` don't enter the
table ``circuits.json.gz``: they are what its predictions are judged by. Both kinds go, with the
operations of each stage, into ``compiled.json.gz``, which the tests hold the closed form to.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

from compile_grid import quantized_case
from compile_products import Products

from fhecost.circuits.profile import CircuitProfile, KeySwitchParameters, PbsParameters
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.needs import needs_of
from fhecost.closed_form.partitions import Lookups, Partitions, partition
from fhecost.closed_form.plan import Plan
from fhecost.closed_form.plan_operators import plan_of
from fhecost.errors import ImpossibleError

HELD_OUT = (5, 7, 9, 15)
HERE = Path(__file__).parent


def solved_row(case: dict[str, Any], profile: CircuitProfile) -> dict[str, Any]:
    """What the optimizer gave the partitions of a compiled circuit."""
    plan = plan_of_case(case)
    partitions = partition(plan)
    sets = sets_of_partitions(partitions, profile)
    needs = needs_of(plan, partitions)
    used = {switch.parameters for stage in profile.stages for switch in stage.key_switches}
    key_switches, conversions = {}, {}
    for lookup in partitions.lookups:
        own, source, target = (
            partitions.precisions[index] for index in (lookup.own, lookup.source, lookup.target)
        )
        key_switches[source, own] = decomposition(
            used, sets[source].output_lwe_dimension, sets[own].lwe_dimension
        )
        if own != target and sets[own].ring != sets[target].ring:
            conversions[own, target] = decomposition(
                used, sets[own].output_lwe_dimension, sets[target].output_lwe_dimension
            )
    return {
        "case": case,
        "variant": case["variant"],
        "lookups": profile.pbs_count,
        "partitions": [
            {
                "reads": [precision],
                "needs": [round(need, 4) for need in vars(needs[precision]).values()],
                "set": list(sets[precision].model_dump().values()),
            }
            for precision in partitions.precisions
        ],
        "key_switches": [[*pair, *found] for pair, found in key_switches.items()],
        "conversions": [[*pair, *found] for pair, found in conversions.items()],
    }


def plan_of_case(case: dict[str, Any]) -> Plan:
    """The plan of a circuit that ``compile_grid.py`` or ``compile_products.py`` compiled."""
    if case["variant"] == "products":
        products = Products(case["reads"], case["norm"], bool(case["shared"]))
        return plan_of(products.run, Sampled(products.inputs))
    heads, sentences = quantized_case(
        case["variant"],
        case["heads"],
        case["width"],
        case["width"] // case["head_dimension"],
        case["seq_len"],
        case["bits"],
    )
    return plan_of(heads.run, Sampled(sentences))


def sets_of_partitions(partitions: Partitions, profile: CircuitProfile) -> dict[int, PbsParameters]:
    """By precision, the set that explains how often each stage uses which: the only such choice."""
    wanted = {
        stage.name: Counter({use.parameters: use.count for use in stage.pbs})
        for stage in profile.stages
        if stage.pbs
    }
    by_stage: dict[str, list[Lookups]] = {}
    for lookup in partitions.lookups:
        by_stage.setdefault(lookup.wire.stage, []).append(lookup)
    possible: list[list[PbsParameters]] = []
    for index in range(len(partitions.precisions)):
        stages = [
            name for name, lookups in by_stage.items() if any(one.own == index for one in lookups)
        ]
        candidates = set.intersection(*(set(wanted.get(name, Counter())) for name in stages))
        possible.append(sorted(candidates, key=lambda s: s.polynomial_size * s.glwe_dimension))
    for choice in product(*possible):
        if all(
            _counted(lookups, choice) == wanted.get(name, Counter())
            for name, lookups in by_stage.items()
        ):
            return dict(zip(partitions.precisions, choice, strict=True))
    raise ImpossibleError(f"{profile.name}: no choice of sets explains its lookups")


def _counted(lookups: list[Lookups], choice: tuple[PbsParameters, ...]) -> Counter[PbsParameters]:
    counts: Counter[PbsParameters] = Counter()
    for lookup in lookups:
        counts[choice[lookup.own]] += lookup.wire.integers
    return counts


def decomposition(used: set[KeySwitchParameters], source: int, target: int) -> tuple[int, int]:
    """Levels and base of the key switch between two dimensions."""
    found = [
        use
        for use in used
        if (use.input_lwe_dimension, use.output_lwe_dimension) == (source, target)
    ]
    if not found:
        raise ImpossibleError(f"no key switch from {source} to {target}")
    return found[0].level_count, found[0].base_log


def main(folder: Path) -> None:
    """Write both files."""
    rows, compiled, refused = [], [], []
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        if "error" in content:
            refused.append({"case": path.stem, "error": content["error"]})
            continue
        profile = CircuitProfile.model_validate(content["profile"])
        case = content["case"]
        try:
            row = solved_row(case, profile)
        except ImpossibleError as error:
            print(f"{path.stem}: {error}", file=sys.stderr)
            continue
        if case["seq_len"] not in HELD_OUT:
            rows.append(row)
        compiled.append(
            {
                "case": case,
                "held_out": case["seq_len"] in HELD_OUT,
                "seconds": content["seconds"],
                "profile": content["profile"],
            }
        )
    write(HERE / "circuits.json.gz", {"circuits": rows})
    write(HERE / "compiled.json.gz", {"compiled": compiled, "refused": refused})
    print(f"{len(rows)} rows, {len(compiled)} compiled circuits, {len(refused)} refused")


def write(path: Path, content: object) -> None:
    """Gzipped JSON that is the same whenever the content is."""
    path.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))

"""Hold solved parameter sets to Concrete's: ``python check_optimizer.py [--compile]``.

Every circuit of ``compiled.json.gz`` (at Concrete's default, 1e-5 for the whole circuit) and of
``p_errors.json.gz`` (an error a lookup) is solved again without Concrete. What is compared is the
complexity: the work of all lookups in the optimizer's unit. So is every head of drawn settings in
``fast.json.gz`` that shares its sets by precision. ``--compile`` compiles the circuits of the
second file, in a minute; ``--write`` puts the errors into ``errors.json``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from compile_grid import quantized_case
from compile_settings import quantized_case as quantized_setting
from make_table import plan_of_case, write

from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.noise_constraints import circuit_needs
from fhecost.closed_form.optimizer import solve, solve_globally
from fhecost.closed_form.partitions import partition
from fhecost.closed_form.plan import Plan
from fhecost.closed_form.plan_operators import plan_of
from fhecost.concrete.compilation import GLOBAL_P_ERROR, import_concrete
from fhecost.concrete.operators import TracedOperators
from fhecost.concrete.reader import profile_circuit
from fhecost.errors import ImpossibleError
from fhecost.heads.parameter_rules import UNRESTRICTED
from fhecost.heads.saved_setting import SavedSetting

HERE = Path(__file__).parent
P_ERRORS = (1e-2, 1e-3, 1e-4)
CASES = (
    # Variant, heads, width, sequence length, bits: of four heads of a random layer.
    ("compact", 1, 16, 4, 3),
    ("compact", 1, 16, 6, 4),
    ("compact", 2, 16, 8, 2),
    ("compact", 1, 64, 5, 5),
    ("reference-rounded", 1, 16, 4, 3),
    ("reference-rounded", 1, 16, 6, 4),
    ("reference-rounded", 2, 16, 8, 3),
    ("reference-rounded", 1, 64, 5, 5),
)


def compiled_with(p_error: float, shape: tuple[str, int, int, int, int]) -> dict[str, Any]:
    """One circuit compiled with ``p_error`` a lookup."""
    variant, heads, width, seq_len, bits = shape
    quantized, sentences = quantized_case(variant, heads, width, 4, seq_len, bits)
    fhe = import_concrete()

    def circuit(values: Any) -> Any:
        return quantized.run(values, TracedOperators(fhe))

    configuration = fhe.Configuration(
        p_error=p_error, global_p_error=None, dump_artifacts_on_unexpected_failures=False
    )
    start = time.perf_counter()
    compiler = fhe.Compiler(circuit, {"values": "encrypted"})
    compiled = compiler.compile(list(sentences), configuration=configuration)
    case = {
        "variant": variant, "heads": heads, "width": width, "head_dimension": width // 4,
        "seq_len": seq_len, "bits": bits,
    }  # fmt: skip
    profile = profile_circuit(compiled, name=f"{variant}_{p_error:g}", description=case)
    print(case, p_error, f"{time.perf_counter() - start:.1f} s", flush=True)
    return {
        "case": case,
        "wanted_p_error": p_error,
        "profile": json.loads(profile.model_dump_json()),
    }


def entries() -> Iterator[dict[str, Any]]:
    """All compiled circuits; those without ``wanted_p_error`` have the default for all lookups."""
    for name in ("compiled", "p_errors"):
        yield from json.loads(gzip.decompress((HERE / f"{name}.json.gz").read_bytes()))["compiled"]
    for entry in json.loads(gzip.decompress((HERE / "fast.json.gz").read_bytes()))["compiled"]:
        rules = entry["case"]["setting"]["rules"]
        if not rules["by_noise"]:
            restriction = SavedSetting.model_validate(entry["case"]["setting"]).rules.restriction
            yield {**entry, "wanted_p_error": rules["p_error"], "restriction": restriction}


def plan_of_entry(entry: dict[str, Any]) -> Plan:
    """The plan of a compiled circuit."""
    if "setting" not in entry["case"]:
        return plan_of_case(entry["case"])
    quantized, sentences = quantized_setting(entry["case"])
    return plan_of(quantized.run, Sampled(sentences))


def write_errors(found: list[float]) -> None:
    """Put how far off solved sets are beside the errors of sets from the table."""
    path = HERE / "errors.json"
    content = json.loads(path.read_text())
    content["errors"]["solved"] = {
        "n": len(found),
        "median_abs_error": round(float(np.median(found)), 4),
        "p90_abs_error": round(float(np.quantile(found, 0.9)), 4),
        "worst_abs_error": round(max(found), 4),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Print by p_error and variant how far off the complexity is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--every", type=int, default=1, help="check only each so many-th circuit")
    asked = parser.parse_args()
    if asked.compile:
        shapes = [(p_error, shape) for shape in CASES for p_error in P_ERRORS]
        write(HERE / "p_errors.json.gz", {"compiled": [compiled_with(*one) for one in shapes]})
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    seconds = []
    for entry in list(entries())[:: asked.every]:
        plan = plan_of_entry(entry)
        wanted = entry.get("wanted_p_error")
        start = time.process_time()
        needs = circuit_needs(plan, partition(plan))
        try:
            if wanted:
                solution = solve(needs, wanted, entry.get("restriction", UNRESTRICTED))
            else:
                solution, _ = solve_globally(needs, GLOBAL_P_ERROR)
        except ImpossibleError as error:
            print(entry["case"], error)
            continue
        seconds.append(time.process_time() - start)
        complexity = CircuitProfile.model_validate(entry["profile"]).complexity
        error = abs(solution.choices.cost / complexity - 1)
        kind = f"{wanted:g} a lookup" if wanted else "1e-05 in all"
        errors[kind, "all"].append(error)
        errors[kind, entry["case"].get("variant", "fast")].append(error)
        if error > 0.02:
            print(f"{100 * error:.1f} % off: {entry['case']} {kind}")
    for (kind, variant), found in sorted(errors.items()):
        same = sum(error < 1e-9 for error in found)
        print(
            f"{kind}, {variant}: {len(found)} circuits, {same} equal, median "
            f"{100 * np.median(found):.2f} %, worst {100 * max(found):.2f} %"
        )
    if asked.write:
        write_errors([e for (_, name), found in errors.items() if name == "all" for e in found])
    print(f"{1e3 * np.mean(seconds):.1f} ms a circuit, median {1e3 * np.median(seconds):.1f}")


if __name__ == "__main__":
    main()

"""Compile matrix products between lookups, for norms beyond those of heads: ``… FOLDER``.

Whole layers multiply by matrices of thousands of rows. Their noise is that of a smaller matrix of
larger integers, which compiles in seconds: each circuit looks up inputs of ``reads`` bits,
multiplies by a matrix whose columns have norm 2^``norm``, rounds to 6 bits, looks up, and does it
once more. ``shared`` circuits multiply the inputs themselves, so that lookup and wide product read
one integer, and the narrow lookup has to live with the noise that the wide one allows.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fhecost.concrete.compilation import compile_circuit
from fhecost.concrete.reader import profile_circuit
from fhecost.errors import ImpossibleError
from fhecost.heads.operators import ClearOperators, Operators
from fhecost.quantization import IntArray

ROWS, SENTENCES, KEPT, BITS = 64, 48, 6, 4
GRID = [
    *((reads, norm, False) for reads in (4, 5, 6, 7, 8) for norm in (6, 8, 10)),
    *((reads, norm, True) for reads in (3, 4, 5, 6) for norm in (4, 6, 8)),
]


class Products:
    """The circuit, its inputs, and the widths that these show."""

    def __init__(self, reads: int, norm: int, shared: bool) -> None:
        self.shared = shared
        generator = np.random.default_rng(0)
        spread = 2**norm / np.sqrt(ROWS)
        self.weights = [
            np.rint(generator.normal(0, spread, (ROWS, ROWS))).astype(np.int64) for _ in range(2)
        ]
        largest = 2 ** (reads - 1) - 1
        values = generator.normal(0, largest / 2.6, (SENTENCES, ROWS))
        self.inputs: IntArray = np.clip(np.rint(values), -largest, largest).astype(np.int64)
        self.input_scale = largest / (2 ** (BITS - 1) - 1)
        self.bits, self.scales = [20, 20], [1.0, 1.0]
        for step in range(2):
            seen = ClearOperators()
            self.run(self.inputs, seen, upto=step)
            most = seen.largest[f"product{step}"]
            self.bits[step] = int(1.2 * most).bit_length() + 1
            self.scales[step] = most / (2 ** (BITS - 1) - 1)

    def run(self, values: Any, operators: Operators, upto: int = 1) -> Any:
        """Lookup, product, rounding and lookup, twice."""
        most = 2 ** (BITS - 1) - 1
        with operators.tag("input.lookup"):
            looked_up = operators.lookup(
                values, lambda v: np.clip(np.rint(v / self.input_scale), -most, most)
            )
        if not self.shared:
            values = looked_up
        for step in range(upto + 1):
            with operators.tag(f"product{step}"):
                sums = values @ self.weights[step]
            with operators.tag(f"product{step}.requantize"):
                sums = operators.accumulator(f"product{step}", sums, self.bits[step], KEPT)
                scale = self.scales[step]
                values = operators.lookup(
                    sums, lambda v, scale=scale: np.clip(np.rint(v / scale), -most, most)
                )
            if step == 0 and self.shared:
                with operators.tag("joined"):
                    values = values + looked_up
        return values


def main(folder: Path) -> None:
    """Compile each circuit into a file of ``folder``."""
    for reads, norm, shared in GRID:
        path = folder / f"products_r{reads}_n{norm:02d}{'_shared' if shared else ''}.json"
        if path.exists():
            continue
        start = time.perf_counter()
        products = Products(reads, norm, shared)
        content: dict[str, object]
        try:
            circuit = compile_circuit(products.run, list(products.inputs))
            description = {
                "variant": "products",
                "reads": reads,
                "norm": norm,
                "shared": int(shared),
                "seq_len": 0,
            }
            profile = profile_circuit(circuit, name=path.stem, description=description)
            content = {"case": description, "profile": json.loads(profile.model_dump_json())}
        except ImpossibleError as error:
            content = {"error": str(error)}
        content["seconds"] = time.perf_counter() - start
        path.write_text(json.dumps(content))
        print(path.stem, f"{content['seconds']:.1f} s", content.get("error", ""), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))

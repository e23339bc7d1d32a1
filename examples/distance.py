"""A circuit of one's own: how many positions of two encrypted words differ.

fhecost profile examples/distance.py:circuit -o circuit.json
fhecost estimate --profile circuit.json
"""

import numpy as np
from concrete import fhe


@fhe.compiler({"one": "encrypted", "other": "encrypted"})
def distance(one, other):
    with fhe.tag("compare"):
        differs = one != other
    with fhe.tag("count"):
        return np.sum(differs)


letters = np.random.default_rng(0).integers(0, 8, (50, 2, 6))
circuit = distance.compile([(one, other) for one, other in letters])

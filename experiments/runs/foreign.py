"""Circuits of other kinds than heads, predicted, run in FHE and added to a file of records.

Usage: python foreign.py MACHINE.yaml RECORDS.jsonl [NAME ...]

Eight have no lookup at all. A run whose record says that it wasn't alone on the processors is done
again: it isn't looked at how long it took.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from concrete import fhe

from fhecost.concrete.reader import profile_circuit
from fhecost.hardware.library import load_hardware
from fhecost.measurement.run_record import append_record
from fhecost.measurement.timed_run import RunOptions, measure_circuit

TRIES = 2
random = np.random.default_rng(20261126)


def weights(*shape: int) -> np.ndarray:
    """Small integers."""
    return random.integers(-7, 8, shape)


W30, W784, W16 = weights(30, 1), weights(784, 10), weights(16, 3)
KERNEL = weights(1, 1, 3, 3)
HIDDEN, LAST = weights(16, 8), weights(8, 3)
THRESHOLDS, VOTES = random.integers(0, 16, (8, 5)), weights(8, 5)
AROUND = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
CHAIN = fhe.LookupTable([int(v) for v in random.permutation(16)])


def life(x: object) -> object:
    """One generation on a torus: alive with three neighbours, or with two if alive before."""
    size = 6
    rows = [
        [
            2 * sum(x[(i + a) % size, (j + b) % size] for a, b in AROUND) + x[i, j]
            for j in range(size)
        ]
        for i in range(size)
    ]
    return fhe.univariate(lambda c: ((c >= 5) & (c <= 7)).astype(np.int64))(fhe.array(rows))


def sort4(x: object) -> object:
    """A sorting network of five comparisons."""
    lanes = [x[i] for i in range(4)]
    for i, j in ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2)):
        lanes[i], lanes[j] = np.minimum(lanes[i], lanes[j]), np.maximum(lanes[i], lanes[j])
    return fhe.array(lanes)


def ones(bits: int, *shape: int) -> tuple[tuple[int, ...], int]:
    """A shape and the bits of its integers."""
    return shape, bits


CIRCUITS: dict[str, tuple[Callable[..., object], list[tuple[tuple[int, ...], int]]]] = {
    "sum of two vectors": (lambda x, y: x + y, [ones(4, 32), ones(4, 32)]),
    "product 30 by 1": (lambda x: x @ W30, [ones(4, 30)]),
    "product 784 by 10": (lambda x: x @ W784, [ones(3, 784)]),
    "logistic regression, 16 by 3": (lambda x: x @ W16 + 5, [ones(5, 16)]),
    "mean of 1,000": (lambda x: np.sum(x).reshape((1,)), [ones(3, 1000)]),
    "convolution of 28 by 28": (lambda x: fhe.conv(x, KERNEL), [ones(3, 1, 1, 28, 28)]),
    "scaled and negated": (lambda x: 15 - 3 * x, [ones(4, 256)]),
    "sums of transposed rows": (lambda x: np.sum(np.transpose(x), axis=1), [ones(3, 64, 64)]),
    "less than, 16": (lambda x, y: x < y, [ones(4, 16), ones(4, 16)]),
    "sorting 4": (sort4, [ones(3, 4)]),
    "maxpool 4 by 4": (
        lambda x: fhe.maxpool(x, kernel_shape=(2, 2), strides=(2, 2)), [ones(3, 1, 1, 4, 4)],
    ),
    "game of life 6 by 6": (life, [ones(1, 6, 6)]),
    "network 16-8-3": (lambda x: np.maximum(x @ HIDDEN, 0) // 8 @ LAST, [ones(2, 16)]),
    "trees on 5 features": (
        lambda x: np.sum((x.reshape((1, 5)) > THRESHOLDS) * VOTES, axis=1), [ones(4, 5)],
    ),
    "hamming distance": (lambda x, y: np.sum(x != y).reshape((1,)), [ones(4, 8), ones(4, 8)]),
    "relu, 32": (lambda x: np.maximum(x - 8, 0), [ones(4, 32)]),
    "largest of 8": (lambda x: np.max(x).reshape((1,)), [ones(3, 8)]),
    "chosen by comparison": (lambda x, y: fhe.if_then_else(x > y, x, y), [ones(3, 6), ones(3, 6)]),
    "a table five times": (
        lambda x: CHAIN[CHAIN[CHAIN[CHAIN[CHAIN[x]]]]], [ones(4, 12)],
    ),
    "encrypted product 3 by 3": (lambda x, y: x @ y, [ones(2, 3, 3), ones(2, 3, 3)]),
}  # fmt: skip


def main(machine: str, records: str, *names: str) -> None:
    """Run the circuits called ``names``, or all."""
    path = Path(machine)
    hardware = load_hardware(path.stem, [path.parent])
    for name in names or CIRCUITS:
        function, arguments = CIRCUITS[name]
        given = [random.integers(0, 2**bits, shape) for shape, bits in arguments]
        inputset = [
            tuple(random.integers(0, 2**bits, shape) for shape, bits in arguments)
            for _ in range(20)
        ]
        inputset += [tuple(np.full(s, 2**bits - 1) for s, bits in arguments)]
        inputset += [tuple(given)]
        parameters = ["x", "y"][: len(arguments)]
        compiler = fhe.Compiler(function, dict.fromkeys(parameters, "encrypted"))
        circuit = compiler.compile(inputset if len(arguments) > 1 else [one for (one,) in inputset])
        profile = profile_circuit(circuit, name=name)
        for _ in range(TRIES):
            record = measure_circuit(
                circuit, given, circuit.graph(*given), hardware=hardware,
                options=RunOptions(warm_runs=9), profile=profile,
            )  # fmt: skip
            times = record.times
            said = record.predictions[0].warm_s
            print(f"{name:32} {said:8.4f} {times.warm_median_s:8.4f} "
                  f"{said / times.warm_median_s - 1:+.1%} load {record.load_after:.1f} "
                  f"{'; '.join(record.not_alone or ())}", flush=True)  # fmt: skip
            if not record.not_alone:
                break
        append_record(records, record)


if __name__ == "__main__":
    main(*sys.argv[1:])

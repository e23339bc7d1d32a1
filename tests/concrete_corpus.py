"""Circuits of every kind that Concrete's documentation shows, small enough to compile in a moment.

``CIRCUITS`` compiles each of them by its name. Pages: zama-ai/concrete, ``docs``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fhecost.concrete.compilation import import_concrete

fhe = import_concrete()
from concrete.fhe import tfhers  # noqa: E402
from concrete.fhe.compilation.configuration import SecurityLevel  # noqa: E402

CIRCUITS: dict[str, Callable[[], Any]] = {}
INPUTS = 64


def case(name: str, function: Callable[..., Any], *ranges: Any, clear: str = "", **options: Any):
    """Add the circuit of ``function`` on integers of these ranges: (lowest, highest, *shape)."""

    def compiled() -> Any:
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        generator = np.random.default_rng(3)
        inputset = [tuple(low(one) for one in ranges), tuple(high(one) for one in ranges)]
        inputset += [
            tuple(generator.integers(a, b + 1, tuple(shape)) for a, b, *shape in ranges)
            for _ in range(INPUTS)
        ]
        configuration = fhe.Configuration(dump_artifacts_on_unexpected_failures=False, **options)
        status = {name: "clear" if name in clear.split() else "encrypted" for name in names}
        single = len(ranges) == 1
        return fhe.Compiler(function, status).compile(
            [values[0] if single else values for values in inputset], configuration=configuration
        )

    assert name not in CIRCUITS
    CIRCUITS[name] = compiled


def low(one: Any) -> Any:
    return np.full(one[2:], one[0])


def high(one: Any) -> Any:
    return np.full(one[2:], one[1])


SQUARES = fhe.LookupTable([x**2 % 16 for x in range(16)])
CUBES = fhe.LookupTable([x**3 % 16 for x in range(16)])
CLEAR = fhe.LookupTable([3, 1, 7, 0, 5, 2, 6, 4])
MATRIX = np.array([[1, -2, 3], [2, 1, -1]])
ROUNDER, TRUNCATOR = fhe.AutoRounder(target_msbs=5), fhe.AutoTruncator(target_msbs=4)
BYTE, NIBBLE = (0, 255), (0, 15)


# core-features: fhe_basics, table lookups, non-linear operations


def addition_and_negation(x, y):
    return -(x + 3 * y) - 7


def clear_argument(x, y):
    return (x + y) * y


def table_lookup(x):
    return SQUARES[x]


def a_table_for_each_element(x):
    return fhe.LookupTable([SQUARES, CUBES])[x]


def chain_of_a_clear_table(x):
    for _ in range(5):
        x = CLEAR[x] + 0 * x
    return x


def chain_of_tables_with_sums(x, y):
    for _ in range(5):
        x = CLEAR[(x + y) % 8]
    return x


def tables_in_a_row(x):
    return CUBES[SQUARES[x]]


def first_of_two_tables_needed_twice(x):
    first = SQUARES[x]
    return CUBES[first] + first


def narrow_before_wide(x):
    wide = fhe.univariate(lambda value: value * 5)(x)
    return SQUARES[wide % 16] + wide


def dynamic_table(x, table):
    return table[x]


def univariate(x):
    return fhe.univariate(lambda value: (value - 3) ** 2 // 2)(x)


def multivariate(x, y):
    return fhe.multivariate(lambda a, b: (a * b) % 4)(x, y)


def encrypted_product(x, y):
    return x * y


def squares_and_product(x, y):
    return (x + y) ** 2 + x * y


def rectified(x):
    return np.maximum(x @ np.array([[1, 2], [-1, 3]]), 0) // 4


def boolean_product(x, y):
    return x * y


def matrix_product(x):
    return x @ MATRIX


def encrypted_dot(x, y):
    return np.dot(x, y)


def encrypted_matrix_product(x, y):
    return x @ y


def absolute(x):
    return np.abs(x - 8) // 2


def float_function(x):
    return np.rint(np.sqrt(x) * 3.5).astype(np.int64)


def float_of_two_lookups(x):
    return (np.sin(x * 0.3) * 7 + np.cos(x * 0.2)).astype(np.int64)


def sigmoid_layer(x):
    return np.rint(15 / (1 + np.exp(-(x @ MATRIX) / 8))).astype(np.int64)


# core-features: comparisons, min and max, bitwise, bits, rounding, truncating


def less(x, y):
    return x < y


def equality(x, y):
    return x == y


def not_equal(x, y):
    return x != y


def with_a_constant(x):
    return (x > 5) + (x == 3)


def list_of_comparisons(x):
    return fhe.array([x[i] < x[i + 1] for i in range(4)])


def sum_of_comparisons(x, y):
    return sum((x[i] >= y[i]) for i in range(3))


def largest(x):
    return np.max(x)


def smallest_of_rows(x):
    return np.min(x, axis=1)


def maximum(x, y):
    return np.maximum(x, y)


def minimum(x, y):
    return np.minimum(x, y)


def bitwise_and(x, y):
    return x & y


def bitwise_mix(x, y):
    return (x | y) ^ (x & 3)


def shift_right(x, y):
    return x >> y


def shift_left(x, y):
    return x << y


def shift_by_a_constant(x):
    return (x >> 2) + (x << 1)


def lowest_bits(x):
    return fhe.bits(x)[0:7]


def one_bit(x):
    return fhe.bits(x)[3]


def is_even_sum(x):
    return np.sum(1 - fhe.bits(x)[0])


def exact_rounding(x):
    return fhe.round_bit_pattern(x, lsbs_to_remove=3) // 8


def rounding_alone(x):
    return fhe.round_bit_pattern(x, lsbs_to_remove=2)


def approximate_rounding(x):
    rounded = fhe.round_bit_pattern(x, lsbs_to_remove=3, exactness=fhe.Exactness.APPROXIMATE)
    return (rounded // 8) ** 2


def automatic_rounding(x):
    return fhe.round_bit_pattern(x**2, lsbs_to_remove=ROUNDER) // 4


def truncating(x):
    return fhe.truncate_bit_pattern(x, lsbs_to_remove=3) // 8


def automatic_truncating(x):
    return fhe.truncate_bit_pattern(x**2, lsbs_to_remove=TRUNCATOR) // 4


# core-features: extensions


def relu(x):
    return fhe.relu(x - 100)


def if_then_else(x, y):
    return fhe.if_then_else(x > y, x, y)


def where(x, y):
    return np.where(x % 2 == 0, x, y)


def convolution(x):
    weights = np.array([[[[1, 2], [-1, 1]]], [[[0, 1], [1, 2]]]])
    return fhe.conv(x, weights, np.array([1, 2]), strides=(1, 1)) // 4


def maxpool(x):
    return fhe.maxpool(x, kernel_shape=(2, 2), strides=(2, 2))


def signed_maxpool(x):
    return fhe.maxpool(x - 8, kernel_shape=(2, 3), strides=(1, 1))


def two_maxpools(x):
    first = fhe.maxpool(x, kernel_shape=(2, 2), strides=(1, 1))
    with fhe.tag("second"):
        second = fhe.maxpool(first, kernel_shape=(1, 3), strides=(1, 1))
    return second // 2


def array_of_scalars(x, y):
    return np.sum(fhe.array([[x, y], [SQUARES[x], x + y]]) ** 2)


def zeros_and_ones(x):
    return fhe.zeros((3,)) + fhe.ones((3,)) * x


def constant(x):
    return fhe.constant(5) + x**2


def hint(x):
    return fhe.hint(x, bit_width=6) ** 2


def refreshed(x):
    return fhe.refresh(x + 1) + SQUARES[x]


def identity(x):
    return fhe.identity(x + 1) * 3


# core-features and tutorials: tensors


def slices_and_reshapes(x):
    upper = x[:2].reshape((4,)) ** 2
    return np.concatenate((upper, np.transpose(x)[0])) // 2


def element_of_an_array(x, y):
    return fhe.array([SQUARES[x], CUBES[y]])[0] + x


def assignment(x, y):
    x[1:3] = SQUARES[y]
    x[0] = x[2] + 1
    return x // 2


def running_maximum(x):
    best = x[0]
    for index in range(1, 4):
        best = best + np.maximum(x[index] - best, 0)
    return best


def dynamic_index(x, i):
    return SQUARES[x[i]] + 1


def fancy_index(x):
    return SQUARES[x[[2, 0, 1]]]


def broadcasting(x, y):
    return (np.expand_dims(x, 1) + y) ** 2


def bubble_sort(x):
    values = [x[i] for i in range(4)]
    for end in (3, 2, 1):
        for i in range(end):
            low, high = np.minimum(values[i], values[i + 1]), np.maximum(values[i], values[i + 1])
            values[i], values[i + 1] = low, high
    return fhe.array(values)


def game_of_life(x):
    around = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
    padded = [[x[(i + 4) % 4, (j + 4) % 4] for j in range(-1, 5)] for i in range(-1, 5)]
    rows = [
        [sum(padded[i + 1 + a][j + 1 + b] for a, b in around) * 2 + x[i, j] for j in range(4)]
        for i in range(4)
    ]
    counts = fhe.array(rows)
    return fhe.univariate(lambda c: ((c == 5) | (c == 6) | (c == 7)).astype(np.int64))(counts)


def hamming_distance(x, y):
    different = x ^ y
    return sum(fhe.bits(different)[i] for i in range(4))


def nearest_neighbours(x):
    points = np.array([[1, 2], [7, 3], [4, 4]])
    distances = np.sum(np.abs(points - x), axis=1)
    return np.min(distances)


def decision_tree(x, y, z):
    left = fhe.univariate(lambda value: np.where(value < 4, 1, 2))(y)
    right = fhe.univariate(lambda value: np.where(value < 9, 3, 0))(z)
    return fhe.if_then_else(x < 6, left, right)


def small_network(x):
    with fhe.tag("hidden"):
        hidden = np.maximum(x @ MATRIX, 0) // 4
    with fhe.tag("output"):
        return (hidden @ np.array([[1], [2], [-1]])) // 2


def odd_tags(x):
    with fhe.tag("máx"):
        best = np.max(x)
    with fhe.tag('a "quoted" \\ name | with a bar'):
        tripled = (best * 3) // 2
    with fhe.tag("two\nlines"):
        return tripled**2


def strange_place(x):
    return NAMED["strange"](x)


NAMED: dict[str, Any] = {}
exec(
    compile(
        "def strange(x):\n    y = x.reshape(3, 1) ** 2\n    return y // 3\n",
        'á | "b\\c\n.py',
        "exec",
    ),
    {},
    NAMED,
)

case("addition and negation", addition_and_negation, NIBBLE, NIBBLE)
case("clear argument", clear_argument, NIBBLE, NIBBLE, clear="y")
case("table lookup", table_lookup, (*NIBBLE, 5))
case("a table for each element", a_table_for_each_element, (*NIBBLE, 2))
case("chain of a clear table", chain_of_a_clear_table, (0, 7, 3))
case("chain of tables with sums", chain_of_tables_with_sums, (0, 7, 3), (0, 7, 3))
case("tables in a row", tables_in_a_row, NIBBLE)
case("tables in a row, not fused", tables_in_a_row, NIBBLE, enable_tlu_fusing=False)
case("first table needed twice", first_of_two_tables_needed_twice, NIBBLE)
case("narrow before wide", narrow_before_wide, (0, 3))
case("dynamic table", dynamic_table, (0, 7), (0, 7, 8), clear="table")
case("univariate", univariate, (*NIBBLE, 3))
case("multivariate", multivariate, (0, 3), (0, 3))
case(
    "multivariate, promoted", multivariate, (0, 3), (0, 3),
    multivariate_strategy_preference=fhe.MultivariateStrategy.PROMOTED,
)  # fmt: skip
case("encrypted product", encrypted_product, (*NIBBLE, 3), (*NIBBLE, 3))
case("squares and product", squares_and_product, (0, 7), (0, 7))
case("squares and product, in parallel", squares_and_product, (0, 7), (0, 7),
     dataflow_parallelize=True)  # fmt: skip
case("rectified", rectified, (0, 7, 2))
case("rectified, in parallel", rectified, (0, 7, 2), auto_parallelize=True)
case("boolean product", boolean_product, (0, 1), NIBBLE)
case("matrix product", matrix_product, (0, 7, 4, 2))
case("encrypted dot", encrypted_dot, (0, 3, 4), (0, 3, 4))
case("encrypted matrix product", encrypted_matrix_product, (0, 3, 2, 3), (0, 3, 3, 2))
case("absolute", absolute, (*NIBBLE, 3))
case("float function", float_function, NIBBLE)
case("float of two lookups", float_of_two_lookups, NIBBLE)
case("sigmoid layer", sigmoid_layer, (0, 7, 2))

case("less", less, NIBBLE, NIBBLE)
for strategy in fhe.ComparisonStrategy:
    widths = (NIBBLE, (0, 7)) if "CLIPPED" in strategy.name else (NIBBLE, NIBBLE)
    case(
        f"less, {strategy.name.lower()}", less, *widths,
        comparison_strategy_preference=strategy,
    )  # fmt: skip
case("equality", equality, (*NIBBLE, 2), (*NIBBLE, 2))
case("not equal", not_equal, NIBBLE, (0, 63))
case("comparisons with a constant", with_a_constant, (*NIBBLE, 3))
case("list of comparisons", list_of_comparisons, (*NIBBLE, 5))
case("sum of comparisons", sum_of_comparisons, (*NIBBLE, 3), (*NIBBLE, 3))
case("largest", largest, (*NIBBLE, 8))
case("smallest of rows", smallest_of_rows, (0, 7, 2, 3))
case("maximum", maximum, NIBBLE, NIBBLE)
for strategy in fhe.MinMaxStrategy:
    case(
        f"minimum, {strategy.name.lower()}",
        minimum,
        NIBBLE,
        NIBBLE,
        min_max_strategy_preference=strategy,
    )
case("bitwise and", bitwise_and, (*NIBBLE, 2), (*NIBBLE, 2))
for strategy in fhe.BitwiseStrategy:
    case(
        f"bitwise mix, {strategy.name.lower()}",
        bitwise_mix,
        (0, 7),
        (0, 7),
        bitwise_strategy_preference=strategy,
    )
case("shift right", shift_right, NIBBLE, (0, 3))
case("shift left", shift_left, (0, 7), (0, 3))
case("shift left, not promoted", shift_left, (0, 7), (0, 3), shifts_with_promotion=False)
case("shift by a constant", shift_by_a_constant, NIBBLE)
case("lowest bits", lowest_bits, (*BYTE, 4))
case("one bit", one_bit, BYTE)
case("even numbers", is_even_sum, (*BYTE, 3))
case("exact rounding", exact_rounding, (*BYTE, 3))
case("rounding alone", rounding_alone, BYTE)
case("approximate rounding", approximate_rounding, (*BYTE, 3))
case(
    "rounding made approximate", exact_rounding, BYTE, rounding_exactness=fhe.Exactness.APPROXIMATE
)
case(
    "approximate without clipping", approximate_rounding, BYTE,
    approximate_rounding_config=fhe.ApproximateRoundingConfig(
        logical_clipping=False, approximate_clipping_start_precision=9
    ),
)  # fmt: skip
case("automatic rounding", automatic_rounding, NIBBLE, auto_adjust_rounders=True)
case("truncating", truncating, (*BYTE, 3))
case("automatic truncating", automatic_truncating, NIBBLE, auto_adjust_truncators=True)

case("relu", relu, (*BYTE, 4))
case("relu of few bits", relu, (90, 110, 4))
case("relu on bits", relu, (90, 110, 2), relu_on_bits_threshold=4, relu_on_bits_chunk_size=2)
case("if then else", if_then_else, NIBBLE, NIBBLE)
case("if then else in chunks", if_then_else, (*NIBBLE, 2), (*NIBBLE, 2), if_then_else_chunk_size=2)
case("where", where, (*NIBBLE, 3), (*NIBBLE, 3))
case("convolution", convolution, (0, 3, 1, 1, 4, 4))
case("maxpool", maxpool, (*NIBBLE, 1, 1, 4, 4))
case("signed maxpool", signed_maxpool, (*NIBBLE, 1, 2, 3, 4))
case("two maxpools", two_maxpools, (*NIBBLE, 1, 1, 3, 4))
case("array of scalars", array_of_scalars, (0, 7), (0, 7))
case("zeros and ones", zeros_and_ones, NIBBLE)
case("constant", constant, (0, 7))
case("hint", hint, (0, 7))
case("refreshed", refreshed, (0, 14))
case("identity", identity, NIBBLE)

case("slices and reshapes", slices_and_reshapes, (0, 7, 3, 2))
case("element of an array", element_of_an_array, NIBBLE, NIBBLE)
case("assignment", assignment, (0, 7, 4), (0, 7, 2))
case("running maximum", running_maximum, (0, 7, 4))
case("dynamic index", dynamic_index, (0, 7, 4), (0, 3), clear="i")
case("fancy index", fancy_index, (*NIBBLE, 3))
case("broadcasting", broadcasting, (0, 3, 2), (0, 3, 3))
case("bubble sort", bubble_sort, (0, 7, 4))
case("game of life", game_of_life, (0, 1, 4, 4))
case("hamming distance", hamming_distance, NIBBLE, NIBBLE)
case(
    "hamming distance, words side by side", hamming_distance, NIBBLE, NIBBLE,
    bitwise_strategy_preference=[fhe.BitwiseStrategy.ONE_TLU_PROMOTED],
)  # fmt: skip
case("nearest neighbours", nearest_neighbours, (0, 7, 2))
case("decision tree", decision_tree, NIBBLE, NIBBLE, NIBBLE)
case("small network", small_network, (0, 7, 2))
case("odd tags", odd_tags, (*NIBBLE, 3))
case("strange place", strange_place, (*NIBBLE, 3))

# what the pages leave to their readers: several results, groups, nothing to do, other orders
GROUPED = np.array([[[[1, 2], [-1, 1]]], [[[0, 1], [1, 2]]]])
WEIGHTS = np.array([[[[1, -2], [0, 3]], [[2, 1], [-1, 1]]]])
SIGNED = fhe.LookupTable([1, 2, 3, 4, -1, -2, -3, -4])
CONSTANT = fhe.LookupTable([4] * 16)


def two_layers(x):
    pooled = fhe.maxpool(fhe.conv(x, GROUPED, group=2) // 4, kernel_shape=(2, 2))
    return fhe.conv(pooled, GROUPED[:, :, :1, :1], np.array([1, 2]), group=2) // 3


def bits_out_of_order(x):
    return fhe.bits(x)[6] * 3 + fhe.bits(x)[1]


def one_rounding_looked_up_twice(x):
    rounded = fhe.round_bit_pattern(x, lsbs_to_remove=3, exactness=fhe.Exactness.APPROXIMATE)
    return SQUARES[(rounded // 16) % 16] + CUBES[(rounded // 32) % 8]


def comparisons_combined(x, y):
    return (x < y) & (x > 2) | (y == 4)


def tags_within_tags(x):
    with fhe.tag("outer"):
        first = SQUARES[x] + 1
        with fhe.tag("inner"):
            second = (first * 2) // 3
        return second * second


for name, function, *ranges in (
    ("two results", lambda x, y: (SQUARES[x], x + y), NIBBLE, NIBBLE),
    ("results of all kinds", lambda x, y: (SQUARES[x], CUBES[SQUARES[y]], x < y), NIBBLE, NIBBLE),
    ("an input as a result", lambda x: (x, SQUARES[x]), NIBBLE),
    ("convolution in groups", lambda x: fhe.conv(x, GROUPED, group=2) // 4, (0, 3, 1, 2, 4, 4)),
    ("convolution without lookups", lambda x: fhe.conv(x, WEIGHTS), (0, 3, 1, 2, 4, 4)),
    ("dilated", lambda x: fhe.conv(x, WEIGHTS, dilations=(2, 2)) // 4, (0, 3, 1, 2, 5, 5)),
    ("convolutions around a pooling", two_layers, (0, 3, 1, 2, 4, 4)),
    (
        "dilated maxpool",
        lambda x: fhe.maxpool(x, kernel_shape=(2, 2), dilations=(2, 2)),
        (0, 7, 1, 1, 4, 4),
    ),
    ("maxpool of one", lambda x: fhe.maxpool(x, kernel_shape=(1, 1)) // 2, (0, 7, 1, 1, 2, 2)),
    ("encrypted matrix times vector", lambda x, y: x @ y, (0, 3, 2, 3), (0, 3, 3)),
    ("encrypted matrices", lambda x, y: x @ y, (0, 1, 2, 2, 2), (0, 1, 2, 2, 2)),
    ("product of rows and columns", lambda x, y: x * y, (0, 7, 2, 1), (0, 7, 3)),
    ("product with itself", lambda x: x * x, (-7, 7, 2)),
    ("product of three", lambda x, y, z: x * y * z, (0, 3), (0, 3), (0, 3)),
    ("clipped", lambda x: np.clip(x, 3, 9), (*NIBBLE, 3)),
    ("every other bit", lambda x: fhe.bits(x)[0:6:2], (*BYTE, 2)),
    ("bits out of order", bits_out_of_order, BYTE),
    ("rounding of signed", lambda x: fhe.round_bit_pattern(x, 2) // 4, (-64, 63, 2)),
    ("one rounding looked up twice", one_rounding_looked_up_twice, (*BYTE, 2)),
    ("comparisons combined", comparisons_combined, NIBBLE, NIBBLE),
    ("times one", lambda x: SQUARES[x * 1 + 0], NIBBLE),
    ("there and back", lambda x: SQUARES[(x + 5) - 5], NIBBLE),
    ("identities", lambda x: fhe.identity(fhe.identity(SQUARES[x])), NIBBLE),
    ("table of one value", lambda x: CONSTANT[x] + x, NIBBLE),
    ("table of signed", lambda x: SIGNED[x], (-4, 3)),
    ("tables by element in a row", lambda x: fhe.LookupTable([SQUARES, CUBES])[SQUARES[x]],
     (*NIBBLE, 2)),
    ("tags within tags", tags_within_tags, (*NIBBLE, 2)),
    ("negation alone", lambda x: -x, NIBBLE),
):  # fmt: skip
    case(name, function, *ranges)
case("dynamic table in a row", lambda x, t: t[t[x]], (0, 7), (0, 7, 8), clear="t")
case("clear product", lambda x, y: x * y, NIBBLE, (0, 7), clear="y")
case("composable maximum", maximum, NIBBLE, NIBBLE, composable=True)
case("pooling with one set", maxpool, (0, 7, 1, 1, 4, 4), parameter_selection_strategy="mono")
case("simulated only", table_lookup, (*NIBBLE, 5), fhe_simulation=True, fhe_execution=False)

# guides: tfhe-rs
TFHERS = tfhers.uint8_2_2(
    tfhers.CryptoParams(
        909, 1, 4096, 15, 2, 0, 2.168404344971009e-19, tfhers.EncryptionKeyChoice.BIG
    )
)


def compiled_with_tfhers(function: Callable[..., Any], native: bool) -> Any:
    """A circuit whose first input, and the second unless ``native``, come from tfhe-rs."""
    values = [(tfhers.TFHERSInteger(TFHERS, a), a if native else tfhers.TFHERSInteger(TFHERS, a))
              for a in (1, 60, 100)]  # fmt: skip
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    inputset = values if len(names) == 2 else [first for first, _ in values]
    return fhe.Compiler(function, dict.fromkeys(names, "encrypted")).compile(inputset)


def from_tfhers(x):
    return tfhers.to_native(x) + 1


def through_tfhers(x, y):
    return tfhers.from_native((tfhers.to_native(x) + tfhers.to_native(y)) % 213, TFHERS)


def half_through_tfhers(x, y):
    return tfhers.from_native(tfhers.to_native(x) + y, TFHERS)


CIRCUITS["from tfhe-rs"] = lambda: compiled_with_tfhers(from_tfhers, native=True)
CIRCUITS["from and to tfhe-rs"] = lambda: compiled_with_tfhers(through_tfhers, native=False)
CIRCUITS["half from tfhe-rs"] = lambda: compiled_with_tfhers(half_through_tfhers, native=True)

# guides and compilation: what a configuration changes
for name, options in {
    "error of a lookup": {"p_error": 0.01},
    "error of the circuit": {"global_p_error": 0.01},
    "one parameter set": {"parameter_selection_strategy": fhe.ParameterSelectionStrategy.MONO},
    "first strategy": {
        "p_error": 1e-5,
        "parameter_selection_strategy": fhe.ParameterSelectionStrategy.V0,
    },
    "sets by norm": {"multi_parameter_strategy": "precision_and_norm2"},
    "single precision": {"single_precision": True},
    "composable": {"composable": True},
    "compressed keys": {"compress_evaluation_keys": True},
    "compressed inputs": {"compress_input_ciphertexts": True},
    "serial loops": {"loop_parallelize": False},
    "parallel dataflow": {"dataflow_parallelize": True},
    "automatic parallelism": {"auto_parallelize": True},
    "also simulated": {"fhe_simulation": True},
    "132 bits of security": {"security_level": SecurityLevel.SECURITY_132_BITS},
    "tables by measured bounds": {"optimize_tlu_based_on_measured_bounds": True},
    "tables by original width": {"optimize_tlu_based_on_original_bit_width": False},
    "bits by lookups": {"optim_lsbs_with_lut": False},
}.items():
    case(name, small_network, (0, 7, 2), **options)

"""Work of an operation in the unit of the Concrete optimizer, and the bytes of its keys.

The formulas are those of the optimizer (zama-ai/concrete@ebef4fb61, ``compilers/concrete-optimizer/
concrete-optimizer/src/computing_cost``)::

    fft(N) = ifft(N) = N*log2(N) + N
    cmux   = (k+1)*l*fft(N) + (k+1)*ifft(N) + (k+1)^2*l*N
    PBS    = n*cmux
    KS     = in*l + in*l*(out+1) + (in*l - 1)*(out+1) + 1

The unit knows no machine: it counts arithmetic, no memory traffic and no parallelism.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from fhecost.circuits.stage import KeySwitchParameters, PbsParameters, Stage

K = TypeVar("K", bound=Hashable)

TORUS_BYTES = 8
"""Bytes of one torus element: Concrete computes modulo 2^64."""

SEEDED_CIPHERTEXT_BYTES = 24
"""A ciphertext whose mask is made anew from a seed: the seed's 16 bytes and the body's 8."""


def fourier_transform_units(polynomial_size: int) -> float:
    """Work of one forward or inverse transform of a polynomial of ``polynomial_size``."""
    return polynomial_size * math.log2(polynomial_size) + polynomial_size


def fourier_units(parameters: PbsParameters) -> float:
    """Work of all Fourier transforms of one PBS."""
    transforms = (parameters.glwe_dimension + 1) * (parameters.level_count + 1)
    return (
        parameters.lwe_dimension * transforms * fourier_transform_units(parameters.polynomial_size)
    )


def external_product_units(parameters: PbsParameters) -> float:
    """Multiply-adds of one PBS in the Fourier domain."""
    return float(
        parameters.lwe_dimension
        * (parameters.glwe_dimension + 1) ** 2
        * parameters.level_count
        * parameters.polynomial_size
    )


def pbs_units(parameters: PbsParameters) -> float:
    """Work of one PBS."""
    return fourier_units(parameters) + external_product_units(parameters)


def key_switch_units(parameters: KeySwitchParameters) -> float:
    """Work of one KS."""
    rows = parameters.input_lwe_dimension * parameters.level_count
    columns = parameters.output_lwe_dimension + 1
    return float(rows + rows * columns + (rows - 1) * columns + 1)


def stage_units(stage: Stage) -> float:
    """Work of a stage's PBS and KS; linear operations count nothing."""
    return sum(use.count * pbs_units(use.parameters) for use in stage.pbs) + sum(
        use.count * key_switch_units(use.parameters) for use in stage.key_switches
    )


def pbs_depth(stages: Iterable[Stage]) -> int:
    """PBS on the longest chain of stages that wait for each other; each in its own steps."""
    end: dict[str, int] = {}
    for stage in stages:
        own = stage.depth if stage.pbs else 0
        end[stage.name] = own + max((end[name] for name in stage.predecessors), default=0)
    return max(end.values(), default=0)


def bootstrap_key_bytes(parameters: PbsParameters) -> int:
    """Bytes of the bootstrap key of one parameter set, equal in both domains."""
    return int(external_product_units(parameters)) * TORUS_BYTES


def key_switch_key_bytes(parameters: KeySwitchParameters) -> int:
    """Bytes of the key-switch key of one parameter set."""
    rows = parameters.input_lwe_dimension * parameters.level_count
    return rows * (parameters.output_lwe_dimension + 1) * TORUS_BYTES


def compressed_key_bytes(stages: Sequence[Stage], bsk_bytes: int, ksk_bytes: int) -> int | None:
    """Bytes of all keys as Concrete sends them with ``compress_evaluation_keys``, at most.

    The masks are pseudorandom and made anew from a seed, so only bodies go over the line: one part
    in k+1 of a bootstrap key, and in n+1 of a key-switch key to dimension n. Keys beyond one for
    each parameter set are taken to shrink as little as any. None where no set is known of keys.
    """
    bootstraps = {use.parameters for stage in stages for use in stage.pbs}
    switches = {use.parameters for stage in stages for use in stage.key_switches}
    bodies = _bodies(
        {one: bootstrap_key_bytes(one) for one in bootstraps},
        {one: one.glwe_dimension + 1 for one in bootstraps},
        bsk_bytes,
    )
    switched = _bodies(
        {one: key_switch_key_bytes(one) for one in switches},
        {one: one.output_lwe_dimension + 1 for one in switches},
        ksk_bytes,
    )
    return None if bodies is None or switched is None else bodies + switched


def _bodies(key_bytes: Mapping[K, int], parts: Mapping[K, int], whole: int) -> int | None:
    """What is left of keys of ``whole`` bytes, by the parts of which each sends one."""
    if not parts:
        return None if whole else 0
    further = max(0, whole - sum(key_bytes.values()))
    return sum(size // parts[key] for key, size in key_bytes.items()) + math.ceil(
        further / min(parts.values())
    )


def compressed_input_bytes(stages: Sequence[Stage], input_bytes: int) -> int | None:
    """Bytes of all inputs as Concrete sends them with ``compress_input_ciphertexts``.

    Each ciphertext is a seed and a body. How many there are follows from the dimension that stages
    read which wait for nothing, the smallest of several. None where no stage tells any. Concrete
    compresses no outputs.
    """
    if not input_bytes:
        return 0
    first = [stage for stage in stages if not stage.predecessors]
    read = {use.lwe_dimension for stage in first for use in stage.linear}
    read |= {use.parameters.input_lwe_dimension for stage in first for use in stage.key_switches}
    # Inputs are a whole number of ciphertexts.
    whole = {one for one in read if input_bytes % ciphertext_bytes(one) == 0} or read
    if not whole:
        return None
    return math.ceil(input_bytes / ciphertext_bytes(min(whole))) * SEEDED_CIPHERTEXT_BYTES


def key_product_units(parameters: PbsParameters) -> float:
    """Multiplications of the products of polynomials that encrypting a bootstrap key takes.

    Each of its n*(k+1)*l GLWE ciphertexts needs k of them, of a mask with the secret key. These are
    exact products modulo 2^64, by Karatsuba's method (``polynomial_wrapping_mul`` in tfhe-rs, which
    Concrete's CPU keys are made with): N^log2(3) multiplications each.
    """
    ciphertexts = (
        parameters.lwe_dimension * (parameters.glwe_dimension + 1) * parameters.level_count
    )
    products = ciphertexts * parameters.glwe_dimension
    return float(products * parameters.polynomial_size ** math.log2(3))


def key_conversion_units(parameters: PbsParameters) -> float:
    """Work of the Fourier transforms that bring a bootstrap key into the Fourier domain."""
    polynomials = (
        parameters.lwe_dimension * (parameters.glwe_dimension + 1) ** 2 * parameters.level_count
    )
    return polynomials * fourier_transform_units(parameters.polynomial_size)


def butterflies(parameters: PbsParameters) -> float:
    """Radix-2 butterflies of one PBS on complex numbers.

    A real polynomial of degree N is folded into N/2 complex numbers, whose transform takes
    (N/4)*log2(N/2) butterflies; each complex multiply-add of the external products counts as one.
    """
    size = parameters.polynomial_size
    transforms = (parameters.glwe_dimension + 1) * (parameters.level_count + 1)
    products = (parameters.glwe_dimension + 1) ** 2 * parameters.level_count * size / 2
    return parameters.lwe_dimension * (transforms * size / 4 * math.log2(size / 2) + products)


def key_switch_multiplications(parameters: KeySwitchParameters) -> float:
    """Integer multiply-adds of one KS."""
    rows = parameters.input_lwe_dimension * parameters.level_count
    return float(rows * (parameters.output_lwe_dimension + 1))


def ciphertext_bytes(lwe_dimension: int) -> int:
    """Bytes of one LWE ciphertext."""
    return (lwe_dimension + 1) * TORUS_BYTES


def linear_elements(stage: Stage) -> int:
    """Torus elements of the ciphertexts that the linear operations of a stage go over."""
    return sum(use.count * (use.lwe_dimension + 1) for use in stage.linear)


def widest_stage_bytes(stages: Iterable[Stage]) -> int:
    """Bytes that the lookups of the widest stage read at once; a lower bound of memory."""
    return max(map(stage_bytes, stages), default=0)


def stage_bytes(stage: Stage) -> int:
    """Bytes that the lookups of a stage read at once; 0 where nothing is looked up.

    Each of its ``parallel_width`` values is one ciphertext.
    """
    if not stage.pbs:
        return 0
    return stage.parallel_width * ciphertext_bytes(max(dimensions_read(stage), default=0))


def dimensions_read(stage: Stage) -> list[int]:
    """The LWE dimensions of the ciphertexts that a stage works on."""
    read = [use.parameters.input_lwe_dimension for use in stage.key_switches]
    return read + [use.lwe_dimension for use in stage.linear]

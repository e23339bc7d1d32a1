"""The parts of a circuit profile: parameter sets, how often they are used, and stages."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from fhecost.fields import (
    LARGEST_DIMENSION,
    TORUS_BITS,
    BaseLog,
    Dimension,
    PolynomialSize,
    Positive,
    Width,
    inconsistent,
)
from fhecost.frozen import Frozen

LinearOperation = Literal[
    "clear_addition", "encrypted_addition", "clear_multiplication", "encrypted_negation"
]
LINEAR_OPERATIONS: tuple[LinearOperation, ...] = get_args(LinearOperation)


class PbsParameters(Frozen):
    """The parameter set of a programmable bootstrap."""

    lwe_dimension: Dimension = Field(
        description="n, the dimension of the ciphertext that is rotated"
    )
    glwe_dimension: Dimension = Field(description="k")
    polynomial_size: PolynomialSize = Field(description="N, a power of two")
    level_count: BaseLog = Field(description="l, decomposition levels of the bootstrap key")
    base_log: BaseLog

    @property
    def ring(self) -> tuple[int, int]:
        """Number and size of the polynomials."""
        return self.glwe_dimension, self.polynomial_size

    @property
    def output_lwe_dimension(self) -> int:
        """The dimension of what comes out of the bootstrap."""
        return self.glwe_dimension * self.polynomial_size

    def model_post_init(self, _: object) -> None:
        """Refuse what is no set; a validator would do it again wherever the set is used."""
        if self.output_lwe_dimension > LARGEST_DIMENSION:
            raise inconsistent(
                "glwe_dimension",
                f"k*N = {self.output_lwe_dimension} is above {LARGEST_DIMENSION}, beyond any set",
            )
        _check_digits(self.level_count, self.base_log)

    def __str__(self) -> str:
        return (
            f"n={self.lwe_dimension} k={self.glwe_dimension} N={self.polynomial_size} "
            f"l={self.level_count}"
        )


class KeySwitchParameters(Frozen):
    """The parameter set of a key switch."""

    input_lwe_dimension: Dimension
    output_lwe_dimension: Dimension
    level_count: BaseLog
    base_log: BaseLog

    def model_post_init(self, _: object) -> None:
        """Refuse what is no set; a validator would do it again wherever the set is used."""
        _check_digits(self.level_count, self.base_log)


def _check_digits(level_count: int, base_log: int) -> None:
    if level_count * base_log > TORUS_BITS:
        raise inconsistent(
            "base_log",
            f"{level_count} levels of {base_log} bits are more than the {TORUS_BITS} bits of a "
            "torus element",
        )


class PbsUse(Frozen):
    """How often a stage bootstraps with one parameter set."""

    parameters: PbsParameters
    count: Positive


class KeySwitchUse(Frozen):
    """How often a stage switches keys with one parameter set."""

    parameters: KeySwitchParameters
    count: Positive


class LinearUse(Frozen):
    """How often a stage does one linear operation on ciphertexts of one LWE dimension."""

    operation: LinearOperation
    lwe_dimension: Dimension
    count: Positive


class LookupLoop(Frozen):
    """Lookups of a tensor's values, which a CPU's threads share out: ``width`` values at a time.

    Concrete runs such loops one after the other, ``times`` of them, whether they wait for each
    other or not.
    """

    width: Positive
    times: Positive


class Stage(Frozen):
    """One operation of the circuit on a whole tensor.

    Its PBS run in ``depth`` steps that wait for each other (1 for an elementwise operation, more
    for a running maximum); ``parallel_width`` of them can run at the same time. Names in
    parentheses are kept for what an estimate holds beside the stages.
    """

    name: str = Field(
        pattern=r"^[^(]", description="its tag or source line; no parenthesis in front"
    )
    pbs: tuple[PbsUse, ...] = ()
    key_switches: tuple[KeySwitchUse, ...] = ()
    linear: tuple[LinearUse, ...] = ()
    depth: Positive = 1
    parallel_width: Positive
    bit_width: Width | None = Field(
        default=None,
        description="bits of the widest integer that a table lookup of the stage reads",
    )
    predecessors: tuple[str, ...] = ()
    loops: tuple[LookupLoop, ...] = Field(
        default=(),
        description="the loops over lookups that Concrete compiled the stage to; empty where "
        "unknown: one for each step then",
    )
    distinct_values: Positive | None = Field(
        default=None,
        description="how many values its PBS read, where several read the same; None where each "
        "reads its own, or that isn't known",
    )

    @cached_property
    def pbs_count(self) -> int:
        """PBS of the stage, over all parameter sets."""
        return sum([use.count for use in self.pbs])

    @cached_property
    def key_switch_count(self) -> int:
        """KS of the stage, over all parameter sets."""
        return sum([use.count for use in self.key_switches])

    @cached_property
    def largest_polynomial_size(self) -> int | None:
        """The largest N of its PBS; None where it has none."""
        return max((use.parameters.polynomial_size for use in self.pbs), default=None)

    def linear_count(self, operation: LinearOperation) -> int:
        """How often the stage does the linear ``operation``."""
        return sum(use.count for use in self.linear if use.operation == operation)

    @model_validator(mode="after")
    def _width_fits_count(self) -> Self:
        count = sum([use.count for use in self.pbs])
        if self.depth * self.parallel_width < count:
            raise inconsistent(
                "parallel_width",
                f"{self.depth} steps of {self.parallel_width} can't hold {count} PBS",
            )
        if self.loops:
            in_loops = sum(loop.width * loop.times for loop in self.loops)
            if in_loops != count:
                raise inconsistent(
                    "loops", f"loops over {in_loops} lookups aren't those of {count} PBS"
                )
        if self.distinct_values is not None and self.distinct_values >= count:
            raise inconsistent(
                "distinct_values", f"{self.distinct_values} values of {count} PBS: none is shared"
            )
        # Without lookups both are those of the largest tensor, whatever is done with it.
        if self.pbs:
            for field, value in (("depth", self.depth), ("parallel_width", self.parallel_width)):
                if value > count:
                    raise inconsistent(field, f"{value} is above the stage's {count} PBS")
        return self

"""Checked numbers that the data classes are made of.

All are strict: a truth value is no number, and neither is a string that reads like one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from fhecost.errors import INCONSISTENT


def _whole(value: float) -> float:
    if not value.is_integer():
        raise ValueError(f"must be a whole number, not {value:g}")
    return value


def _power_of_two(value: float) -> float:
    if int(value).bit_count() != 1:
        raise ValueError(f"must be a power of two, not {value:g}")
    return value


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")
    return value


def inconsistent(field: str, message: str) -> PydanticCustomError:
    """What a check of several fields raises: the path of the one to look at, and what is wrong."""
    return PydanticCustomError(
        INCONSISTENT, "{field}: {message}", {"field": field, "message": message}
    )


LARGEST_COUNT = 2**63 - 1
"""What other tools hold as a whole number; products of counts up to it are finite as floats."""

Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST_COUNT)]
Positive = Annotated[int, Field(strict=True, gt=0, le=LARGEST_COUNT)]

TORUS_BITS = 64
"""Concrete computes modulo 2^64: no decomposition and no integer is wider."""
LARGEST_DIMENSION = 2**20
"""No LWE dimension, and no k*N, is larger; the largest of Concrete's sets is 2^17."""

Dimension = Annotated[int, Field(strict=True, gt=0, le=LARGEST_DIMENSION)]
PolynomialSize = Annotated[
    int, Field(strict=True, ge=2, le=LARGEST_DIMENSION), AfterValidator(_power_of_two)
]
BaseLog = Annotated[int, Field(strict=True, gt=0, le=TORUS_BITS)]
"""Bits of a decomposition's digit, or how many digits there are."""
Width = Annotated[int, Field(strict=True, gt=0, le=TORUS_BITS)]
"""Bits of an encrypted integer."""

Threads = Annotated[int, Field(strict=True, gt=0, le=10**6)]
"""Hardware threads of one machine."""

Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
FiniteNonNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
CostError = Annotated[float, Field(strict=True, ge=0, le=1000, allow_inf_nan=False)]
"""By what factor above 1 a cost may be off; beyond a thousand, nothing is known of it."""
Probability = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
WholeFloat = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False), AfterValidator(_whole)]
PowerOfTwoFloat = Annotated[WholeFloat, AfterValidator(_power_of_two)]

VersionOne = Annotated[Literal[1], BeforeValidator(_no_truth_value)]
VersionTwo = Annotated[Literal[2], BeforeValidator(_no_truth_value)]

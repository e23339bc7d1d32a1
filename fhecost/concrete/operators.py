"""The operators that Concrete traces: what a head's ``run`` becomes a circuit with."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from fhecost.heads.operators import DirectOperators, Table


class TracedOperators(DirectOperators):
    """Concrete's own operations, for the function that it compiles."""

    def __init__(self, fhe: Any) -> None:
        self._fhe = fhe

    def tag(self, name: str) -> AbstractContextManager[Any]:
        tag: AbstractContextManager[Any] = self._fhe.tag(name)
        return tag

    def accumulator(
        self,
        name: str,
        values: Any,
        bits: int,
        kept_bits: int | None = None,
        signed: bool = True,
        exact: bool = True,
    ) -> Any:
        """Concrete's rounding: exact, one PBS on one bit for each bit dropped; none otherwise."""
        values = self._fhe.hint(values, bit_width=bits)
        if kept_bits is None or bits <= kept_bits:
            return values
        # The protection would widen every lookup by a bit against a carry out of the topmost one;
        # the width already has room for it.
        return self._fhe.round_bit_pattern(
            values,
            lsbs_to_remove=bits - kept_bits,
            overflow_protection=False,
            exactness=self._fhe.Exactness.EXACT if exact else self._fhe.Exactness.APPROXIMATE,
        )

    def lookup(self, values: Any, table: Table, bounds: tuple[int, int] | None = None) -> Any:
        """``table`` as the traced numpy operations that Concrete fuses to one table."""
        # Concrete's float powers can fall just short of an integer, which a cast would cut off.
        return np.rint(table(values)).astype(np.int64)

    def rounded(self, values: Any, dropped: int) -> Any:
        """Concrete's approximate rounding: no PBS of its own."""
        return self._fhe.round_bit_pattern(
            values,
            lsbs_to_remove=dropped,
            overflow_protection=True,
            exactness=self._fhe.Exactness.APPROXIMATE,
        )

    def narrow(self, values: Any, bits: int) -> Any:
        return self._fhe.hint(values, bit_width=bits)

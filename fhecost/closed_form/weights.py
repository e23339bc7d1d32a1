"""Circuit profiles of a model's heads without compiling: widths from its weights and sentences."""

from __future__ import annotations

import numpy as np

from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.circuit import predicted_profile
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.plan_operators import plan_of
from fhecost.gpt2.head_circuit import HeadRequest, locate, quantize_heads
from fhecost.progress import Progress, silent


def profile_of_weights(
    request: HeadRequest, progress: Progress = silent, *, use_cache: bool = True
) -> CircuitProfile:
    """The circuit profile that compiling the heads of ``request`` would give.

    Raises:
        UsageError: the request is out of range or doesn't fit the model.
        ImpossibleError: nothing is left of the head at this width, or a lookup reads more than any
            circuit in the table of parameter sets.
    """
    located = locate(request)

    def predicted() -> CircuitProfile:
        quantized = quantize_heads(located, progress)
        progress("predicting the circuit")
        plan = plan_of(quantized.heads, Sampled(np.stack(quantized.inputset)))
        description = located.description.changed(widths="calibrated")
        return predicted_profile(plan, located.circuit_name, description)

    return located.through_cache(predicted, "closed form") if use_cache else predicted()

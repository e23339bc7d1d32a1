"""Circuit profiles of a model's heads without compiling: widths from its weights and sentences."""

from __future__ import annotations

import numpy as np

from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.circuit import circuit_profile
from fhecost.closed_form.cost_error import cost_error
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.parameter_sets import origin_of, predict_sets
from fhecost.closed_form.partitions import partition
from fhecost.closed_form.plan_operators import plan_of
from fhecost.gpt2.head_circuit import (
    HeadRequest,
    describe_request,
    name_of_heads,
    quantize_heads,
    through_cache,
)
from fhecost.gpt2.model import find_model
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
    folder = find_model(request.model)

    def predicted() -> CircuitProfile:
        quantized = quantize_heads(request, folder, progress)
        progress("predicting the circuit")
        plan = plan_of(quantized.heads, Sampled(np.stack(quantized.inputset)))
        partitions = partition(plan)
        parameters = predict_sets(request.variant, plan, partitions)
        return circuit_profile(
            plan,
            partitions,
            parameters,
            name=name_of_heads(request, folder),
            description=describe_request(request, folder).changed(
                widths="calibrated", parameter_sets=origin_of(parameters)
            ),
            cost_error=cost_error(parameters, stated=False),
        )

    return through_cache(predicted, request, folder, "closed form") if use_cache else predicted()

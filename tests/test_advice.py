"""What a circuit that a machine can't hold is told: what helps it, and not what helps others."""

import math

import numpy as np
import pytest

import fhecost
from fhecost.concrete.compilation import import_concrete
from fhecost.hardware.advice import smaller_sets

HEADS_ONLY = ("shorter sequence", "--bits", "--seq-len", "fhecost accuracy")


def own(profile):
    """A circuit of the same stages that says of no model that it is a part of it."""
    return profile.changed(description={})


def test_a_head_is_told_of_its_settings(saved_profile):
    with pytest.raises(fhecost.ImpossibleError, match="fewer bits or a shorter sequence"):
        fhecost.estimate(saved_profile, fhecost.find_hardware("morphling"))


def test_anyone_elses_circuit_is_told_which_stages_and_to_how_many_bits(saved_profile):
    with pytest.raises(fhecost.ImpossibleError) as caught:
        fhecost.estimate(own(saved_profile), fhecost.find_hardware("morphling"))
    said = str(caught.value)
    assert not any(words in said for words in HEADS_ONLY)
    limit = fhecost.find_hardware("morphling").figures["largest_polynomial_size"].value
    for stage in saved_profile.stages:
        size = max((use.parameters.polynomial_size for use in stage.pbs), default=0)
        if size > limit:
            left = stage.bit_width - int(math.log2(size / limit))
            assert f"{left} bits instead of {stage.bit_width} in lookups of stage" in said


def test_stages_that_are_alike_are_told_together(saved_profile):
    stage = max(saved_profile.stages, key=lambda one: one.bit_width or 0)
    size = max(use.parameters.polynomial_size for use in stage.pbs)
    alike = [stage.changed(name=f"s{index}") for index in range(5)]
    said = smaller_sets(own(saved_profile), alike[:2], size / 2)
    assert f"{stage.bit_width - 1} bits instead of {stage.bit_width} in lookups of stages" in said
    assert "stages 's0', 's1' should fit" in said
    assert "stages 's0', 's1', 's2' and 2 more should" in smaller_sets(
        own(saved_profile), alike, size / 2
    )


def test_lookups_that_are_narrow_and_noisy_are_told_something_else(saved_profile):
    stage = max(saved_profile.stages, key=lambda one: one.bit_width or 0)
    said = smaller_sets(own(saved_profile), [stage.changed(bit_width=2)], 1024)
    assert "read 2 bits, too few for that (sum fewer values" in said
    unknown = smaller_sets(own(saved_profile), [stage.changed(bit_width=None)], 1024)
    assert f"bits fewer in lookups of stage {stage.name!r}" in unknown


def test_a_report_of_such_a_circuit_has_no_advice_for_heads(saved_profile):
    report = fhecost.make_report(own(saved_profile), ["h100"], lengths=[2], projected=["h100"])
    assert not any(words in report.missing["accuracy"] for words in HEADS_ONLY)
    known = fhecost.make_report(
        saved_profile.changed(
            description=saved_profile.description.changed(bits=7, model_sha256="none")
        ),
        ["h100"],
        lengths=[2],
        projected=["h100"],
    )
    assert "fhecost accuracy measures it" in known.missing["accuracy"]


@pytest.mark.parametrize("limit", [4096, 2048, 1024])
def test_what_is_advised_fits(limit):
    """Compiled anew with so many bits, an 8-bit lookup needs no larger N than the machine has."""
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    fhe = import_concrete()
    inputs = list(range(256))

    def largest(function):
        compiler = fhe.Compiler(function, {"x": "encrypted"})
        return fhecost.profile_circuit(compiler.compile(inputs, global_p_error=1e-5))

    def table(x):
        return np.rint(np.sqrt(x)).astype(np.int64)

    wide = largest(lambda x: table(x + 0))
    assert wide.largest_polynomial_size > limit
    (stage,) = wide.stages
    said = smaller_sets(wide, [stage], limit)
    left = int(said.removeprefix("each bit fewer halves N: ").split()[0])
    drop = stage.bit_width - left
    cut = largest(lambda x: table(fhe.truncate_bit_pattern(x + 0, lsbs_to_remove=drop)))
    assert cut.largest_polynomial_size <= limit
    # One bit more would not fit: the advice gives nothing away.
    less = largest(lambda x: table(fhe.truncate_bit_pattern(x + 0, lsbs_to_remove=drop - 1)))
    assert less.largest_polynomial_size > limit

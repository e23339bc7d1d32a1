"""What a machine must hold at once, what is streamed, and what is refused."""

import pytest

from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimator import estimate
from fhecost.models.shape import SHAPES
from tests.test_latency_models import H100, MACHINES, STRIX, alone, with_figures, without_limits


@pytest.mark.parametrize("name", ["epyc-zen4-2", "h100"])
def test_keys_beyond_the_memory_are_refused(name, saved_profile):
    small = with_figures(MACHINES[name], memory_bytes=1e9)
    with pytest.raises(ImpossibleError, match=f"{name}: .*keys.* need at least .* GB"):
        estimate(saved_profile, small)


TOKEN = profile_of_shape(ShapeRequest(SHAPES["gpt3-175b"], "cached-token", 2048, 4))
"""One token beside an encrypted cache of hundreds of terabytes."""


@pytest.mark.parametrize("name", MACHINES)
def test_inputs_that_no_memory_holds_are_streamed_over_a_known_link_or_refused(name):
    machine = without_limits(MACHINES[name])
    assert TOKEN.input_bytes > 3e14
    if machine.kind == "cpu" or "host_link_bytes_per_s" not in machine.figures:
        with pytest.raises(ImpossibleError, match=f"{name}: .*inputs and outputs"):
            estimate(TOKEN, machine)
        return
    made = estimate(TOKEN, machine)
    link = machine.figures["host_link_bytes_per_s"].value
    moved_s = (TOKEN.input_bytes + TOKEN.output_bytes) / link
    assert made.by_operation_s["transfer"] == pytest.approx(moved_s)
    assert made.memory.data_streamed
    assert any(
        "356 TB, don't fit beside the keys: they are streamed" in a for a in made.assumptions
    )


def test_smaller_keys_are_advised_only_where_keys_are_what_doesnt_fit(saved_profile):
    cpu = MACHINES["epyc-zen4-2"]
    with pytest.raises(ImpossibleError, match=r"; 2\.49 PB of it are inputs, outputs and copies"):
        estimate(TOKEN, without_limits(cpu))
    with pytest.raises(ImpossibleError, match=r"; fewer bits give smaller keys$"):
        estimate(saved_profile, with_figures(cpu, memory_bytes=1e9))


def test_a_link_that_is_supposed_lets_the_inputs_in():
    machine = with_figures(without_limits(STRIX), host_link_bytes_per_s=64e9)
    made = estimate(TOKEN, machine)
    assert made.by_operation_s["transfer"] == pytest.approx(
        (TOKEN.input_bytes + TOKEN.output_bytes) / 64e9
    )


@pytest.mark.parametrize("name", MACHINES)
def test_keys_and_a_tile_must_fit_every_machine(name, saved_profile):
    """To the byte, on the machines whose models hold nothing else."""
    machine = without_limits(MACHINES[name])
    circuit = saved_profile.changed(input_bytes=0, output_bytes=0)
    use = estimate(circuit, machine).memory
    least = use.keys_bytes + use.tile_bytes
    copies = 2 if machine.kind == "cpu" else 1
    assert use.keys_bytes == copies * circuit.bsk_bytes + circuit.ksk_bytes
    assert estimate(circuit, with_figures(machine, memory_bytes=least)).memory.spilled_bytes > 0
    with pytest.raises(ImpossibleError, match=f"{name}: .* need at least .* GB"):
        estimate(circuit, with_figures(machine, memory_bytes=least - 1))


def test_a_stage_that_outgrows_the_memory_is_worked_in_tiles_by_hand():
    """Its values leave the memory at the high end alone."""
    circuit = alone(lookups=10**9)
    (stage,) = circuit.stages
    made, roomy = (
        estimate(circuit, with_figures(H100, memory_bytes=size)) for size in (80e9, 1e15)
    )
    read = stage.key_switches[0].parameters.input_lwe_dimension + 1
    returned = stage.pbs[0].parameters.output_lwe_dimension + 1
    assert roomy.memory.spilled_bytes == 0
    assert made.memory.spilled_bytes == 10**9 * 8 * (read + returned)
    assert made.latency_s == roomy.latency_s
    link = H100.figures["host_link_bytes_per_s"]
    assert made.high_s - roomy.high_s == pytest.approx(made.memory.spilled_bytes / link.lowest)
    assert any("is worked in tiles" in text for text in made.assumptions)

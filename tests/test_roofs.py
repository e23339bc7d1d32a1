"""Rooflines: no run is above what its machine's arithmetic and memory allow."""

import pytest

from fhecost.circuits.work import stage_units
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.latency_model import Cost
from fhecost.hardware.library import find_hardware, load_hardware
from fhecost.hardware.roofline import roof_of
from fhecost.hardware.what_if import with_figures
from fhecost.models.shape import SHAPES

MACHINES = load_hardware("all")


def requests():
    gpt2 = SHAPES["gpt2"]
    yield ShapeRequest(gpt2, "head", 6, 2, "fast")
    yield ShapeRequest(gpt2, "head", 16, 4, "compact", heads=4)
    yield ShapeRequest(gpt2, "layer", 8, 3)
    yield ShapeRequest(gpt2, "cached-token", 16, 4)


@pytest.fixture(scope="module")
def circuits(saved_profile):
    return [saved_profile, *map(profile_of_shape, requests())]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda one: one.name)
def test_no_run_is_above_its_roof(machine, circuits):
    estimator, seen = Estimator(machine), 0
    for circuit in circuits:
        try:
            made = estimator(circuit)
        except ImpossibleError:
            continue
        seen += 1
        roof, lookups = made.roof, ("pbs", "key_switch")
        assert roof.latency_s == pytest.approx(sum(made.by_operation_s[one] for one in lookups))
        assert roof.work_units == pytest.approx(sum(map(stage_units, circuit.stages)))
        assert roof.rate <= roof.peak * (1 + 1e-9)
        if roof.bandwidth_bytes_per_s and roof.intensity:
            assert roof.rate <= roof.bandwidth_bytes_per_s * roof.intensity * (1 + 1e-9)
    assert seen


def test_all_devices_have_their_memory(saved_profile):
    one, eight = (Estimator(find_hardware(name))(saved_profile) for name in ("h100", "8xh100"))
    assert eight.roof.peak == pytest.approx(8 * one.roof.peak, rel=0.01)
    bandwidth = find_hardware("8xh100").figures["memory_bandwidth_bytes_per_s"].value
    assert eight.roof.bandwidth_bytes_per_s == 8 * bandwidth


def test_keys_that_stay_on_the_chip_are_not_streamed(saved_profile):
    asic = find_hardware("hypothetical-asic")
    kept = with_figures(asic, {"on_chip_key_bytes": 1e12, "key_switch_work_share": 0.0})
    assert Estimator(kept)(saved_profile).roof.intensity is None
    streamed = with_figures(asic, {"on_chip_key_bytes": 1.0})
    assert Estimator(streamed)(saved_profile).roof.intensity > 0


def test_the_batch_is_what_makes_keys_worth_their_bytes(saved_profile):
    """Twice the ciphertexts by step, about half the steps: each byte of key serves twice."""
    asic = with_figures(find_hardware("strix"), {"batch": 8})
    twice = with_figures(asic, {"batch": 16})
    less, more = (Estimator(one)(saved_profile).roof.intensity for one in (asic, twice))
    assert more == pytest.approx(2 * less, rel=0.1)


def test_a_model_that_says_nothing_of_it_has_no_roof(saved_profile):
    machine = find_hardware("h100")
    figures = Estimator(machine)._figures
    plain = Cost("scores", "pbs", 1.0, "compute", "assumed")
    full = plain._replace(compute_s=0.5, streamed_bytes=8.0)
    assert roof_of(saved_profile, [plain], figures) is None
    assert roof_of(saved_profile, [full, plain], figures) is None
    assert roof_of(saved_profile, [full._replace(operation="linear")], figures) is None
    assert roof_of(saved_profile, [full], figures).compute_s == 0.5

"""Many requests under one key: batches as circuits, and what machines make of them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fhecost
from fhecost.circuits.requests import of_requests
from fhecost.closed_form.requests import shape_request
from fhecost.closed_form.scopes import profile_of_shape
from fhecost.hardware.library import load_hardware
from fhecost.hardware.throughput import FULL, batch_sizes, throughput, throughputs
from fhecost.pipeline import estimate_circuit
from fhecost.report.estimate_document import estimate_document
from fhecost.report.render import as_table
from tests.drawn import profiles
from tests.test_pbs_kinds import estimated

MACHINES = load_hardware("all")


def test_a_batch_has_more_of_all_but_steps_and_keys(saved_profile):
    batch = of_requests(saved_profile, 7)
    assert batch.pbs_count == 7 * saved_profile.pbs_count
    assert batch.key_switch_count == 7 * saved_profile.key_switch_count
    assert batch.input_bytes == 7 * saved_profile.input_bytes
    assert (batch.bsk_bytes, batch.ksk_bytes) == (saved_profile.bsk_bytes, saved_profile.ksk_bytes)
    for one, many in zip(saved_profile.stages, batch.stages, strict=True):
        assert (many.depth, many.parallel_width) == (one.depth, 7 * one.parallel_width)
    assert of_requests(saved_profile, 1) is saved_profile
    error = saved_profile.global_p_error
    assert batch.global_p_error == pytest.approx(1 - (1 - error) ** 7)
    with pytest.raises(fhecost.UsageError, match="requests 0: must be 1 or more"):
        of_requests(saved_profile, 0)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
@settings(deadline=None, max_examples=2, suppress_health_check=[HealthCheck.too_slow])
@given(circuit=profiles(), more=st.integers(4, 40))
def test_one_request_is_the_estimate_and_more_never_lower_the_throughput(circuit, machine, more):
    alone = estimated(circuit, machine)
    if alone is None:
        return
    one = throughput(circuit, machine, 1)
    ends = (one.latency_s, one.low_s, one.high_s)
    assert ends == (alone.latency_s, alone.low_s, alone.high_s)
    assert one.per_second == 1 / alone.latency_s
    before = one
    for requests in (2, 3, more, 64):
        made = throughput(circuit, machine, requests)
        assert made.latency_s <= requests * alone.latency_s * (1 + 1e-9)
        assert made.per_second >= before.per_second
        before = made


def test_batches_of_fewer_requests_are_among_those_of_more():
    for requests in range(1, 200):
        assert set(batch_sizes(requests)) <= set(batch_sizes(requests + 1))
    assert max(batch_sizes(1000)) == 512


def test_a_wide_machine_is_filled_by_requests_and_a_narrow_one_is_full_at_once(saved_profile):
    wide, narrow = map(fhecost.find_hardware, ("8xh100", "epyc-zen4-2"))
    for machine in (wide, narrow):
        made = throughput(saved_profile, machine, 64)
        most = throughput(saved_profile, machine, 4096).per_second
        assert made.full_at is not None
        full = throughput(saved_profile, machine, made.full_at).per_second
        assert full >= 0.99 * FULL * most
    assert (
        throughput(saved_profile, wide, 64).full_at > throughput(saved_profile, narrow, 64).full_at
    )


def test_machines_that_cant_run_one_request_are_left_out(saved_profile):
    rows = throughputs(saved_profile, MACHINES, 8)
    assert 0 < len(rows) < len(MACHINES)
    assert all(made.requests == 8 for made in rows)


@pytest.mark.parametrize(("scope", "tokens"), [("cached-token", 1), ("model", 5), ("layer", None)])
def test_tokens_of_many_requests_have_a_price_and_an_energy(scope, tokens):
    machine = fhecost.find_hardware("h100")
    circuit = profile_of_shape(shape_request("gpt2", scope, seq_len=5))
    made = throughput(circuit, machine, 8)
    alone = fhecost.estimate(circuit, machine)
    assert made.tokens == tokens
    if tokens is None:
        assert (made.price_usd_of_1000_tokens, made.energy_j_of_token) == (None, None)
        return
    # No dearer than one request after the other, and the same per second of the machine.
    assert made.energy_j_of_token <= alone.energy_j / tokens * (1 + 1e-9)
    assert made.price_usd_of_1000_tokens <= 1000 * alone.price_usd / tokens * (1 + 1e-9)
    power, price = machine.figures["power_w"].value, machine.figures["price_usd_per_hour"].value
    a_second = tokens * made.per_second
    assert made.energy_j_of_token == pytest.approx(power / a_second)
    assert made.price_usd_of_1000_tokens == pytest.approx(1000 * price / 3600 / a_second)
    text = as_table(estimate_document(estimate_circuit(circuit, ["h100"], requests=8)))
    assert "1,000 tokens cost" in text
    assert "energy a token" in text

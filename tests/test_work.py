"""The optimizer's cost formula, against its own published tables and by hand."""

import json
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhecost.circuits.any_error import error_of_any
from fhecost.circuits.profile import KeySwitchParameters, PbsParameters
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    key_switch_key_bytes,
    key_switch_units,
    pbs_units,
)
from tests.conftest import ROOT

SMALL = PbsParameters(
    lwe_dimension=10, glwe_dimension=1, polynomial_size=8, level_count=2, base_log=4
)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50)), max_size=4))
def test_the_error_of_any_is_that_of_exact_arithmetic(errors):
    exact = 1 - math.prod((1 - Fraction(p_error)) ** count for p_error, count in errors)
    assert error_of_any(errors) == pytest.approx(float(exact), rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [([], 0.0), ([(1e-30, 5)], 5e-30), ([(1.0, 0)], 0.0), ([(0.5, 1), (1.0, 3)], 1.0)],
)
def test_small_and_sure_errors(errors, expected):
    found = error_of_any(errors)
    assert found == pytest.approx(expected, rel=1e-12, abs=0)
    assert math.copysign(1, found) == 1


def test_pbs_units_by_hand():
    # fft(8) = 8*3 + 8 = 32; cmux = 2*2*32 + 2*32 + 4*2*8 = 256; 10 of them.
    assert pbs_units(SMALL) == 2560


def test_key_switch_units_by_hand():
    parameters = KeySwitchParameters(
        input_lwe_dimension=8, output_lwe_dimension=10, level_count=3, base_log=2
    )
    assert key_switch_units(parameters) == 24 + 24 * 11 + 23 * 11 + 1
    assert key_switch_key_bytes(parameters) == 24 * 11 * 8


def test_bootstrap_key_bytes_by_hand():
    # n GGSW ciphertexts of (k+1)*l rows with k+1 polynomials of N 64-bit integers.
    assert bootstrap_key_bytes(SMALL) == 10 * (2 * 2) * 2 * 8 * 8


def test_reproduces_the_optimizers_tables_to_the_unit():
    tables = json.loads((ROOT / "tests" / "data" / "optimizer_v0_parameters.json").read_text())
    assert len(tables["rows"]) == 470
    for values in tables["rows"]:
        row = dict(zip(tables["columns"], values, strict=True))
        pbs = PbsParameters(
            lwe_dimension=row["n"],
            glwe_dimension=row["k"],
            polynomial_size=row["N"],
            level_count=row["pbs_level"],
            base_log=row["pbs_base_log"],
        )
        key_switch = KeySwitchParameters(
            input_lwe_dimension=row["k"] * row["N"],
            output_lwe_dimension=row["n"],
            level_count=row["ks_level"],
            base_log=row["ks_base_log"],
        )
        multisum = 4096 * row["k"] * row["N"]
        cost = (pbs_units(pbs) + key_switch_units(key_switch) + multisum) / 2**20
        assert int(cost) == row["cost_2pow20"], row


@pytest.mark.parametrize(
    ("published", "parameters", "pbs_per_s"),
    [
        ("H100 A", (532, 4, 512, 1), 26_498),
        ("H100 C", (728, 2, 1024, 2), 10_218),
        ("H100 E", (742, 1, 2048, 1), 13_996),
        ("Strix I", (500, 1, 1024, 2), 74_696),
        ("Strix II, n=630", (630, 1, 1024, 3), 39_600),
        ("Strix II, n=600", (600, 1, 1024, 3), 39_600),
    ],
)
def test_published_throughputs_give_the_rates_of_the_profiles(published, parameters, pbs_per_s):
    n, k, size, level = parameters
    units = pbs_units(
        PbsParameters(
            lwe_dimension=n, glwe_dimension=k, polynomial_size=size, level_count=level, base_log=20
        )
    )
    expected = {
        "H100 A": 902.2e9,
        "H100 C": 891.2e9,
        "H100 E": 1106.0e9,
        "Strix I": 2830.1e9,
        "Strix II, n=630": 2554.7e9,
        "Strix II, n=600": 2433.0e9,
    }[published]
    assert units * pbs_per_s == pytest.approx(expected, rel=1e-4)

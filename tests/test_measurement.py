"""The microbenchmark's fit: it finds the constants of a machine that is known."""

import json

import jsonschema
import numpy as np
import pytest

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    external_product_units,
    fourier_units,
    key_switch_key_bytes,
    key_switch_units,
)
from fhecost.errors import UsageError
from fhecost.measurement.fit import fit_cpu
from fhecost.measurement.machine import this_machine
from fhecost.measurement.records import LinearSample, LookupSample, Microbenchmark
from fhecost.report.microbenchmark_text import FIT_RENDERERS, RAW_RENDERERS
from fhecost.schemas import schema_path

SETS = [
    (623, 6, 256, 1, 3), (615, 3, 512, 1, 3), (655, 2, 1024, 2, 4), (654, 1, 2048, 1, 12),
    (721, 1, 4096, 2, 4), (778, 1, 8192, 1, 5), (899, 1, 32768, 1, 6),
]  # fmt: skip
CONSTANTS = (1.2e-10, 1.1e-9, 9e-11, 4e-10)
LINEAR = 5e-7


def imagined_machine(noise=0.0) -> Microbenchmark:
    """A microbenchmark of a machine whose constants are ``CONSTANTS``, two threads at 80 %."""
    rng = np.random.default_rng(3)
    lookups = []
    for n, k, size, level, ks_level in SETS:
        pbs = PbsParameters(
            lwe_dimension=n, glwe_dimension=k, polynomial_size=size, level_count=level, base_log=15
        )
        switch = KeySwitchParameters(
            input_lwe_dimension=k * size, output_lwe_dimension=n, level_count=ks_level, base_log=3
        )
        a, b, c, d = CONSTANTS
        one = (
            a * fourier_units(pbs) + b * external_product_units(pbs) + c * key_switch_units(switch)
        )
        keys_s = d * (bootstrap_key_bytes(pbs) + key_switch_key_bytes(switch))
        for threads in (1, 2):
            speed_up = 1.0 if threads == 1 else 1.6
            times = (8 * one / speed_up + keys_s) * (1 + noise * rng.standard_normal(9))
            lookups.append(
                LookupSample(
                    threads=threads, seconds=tuple(times), elements=8, pbs=pbs, key_switch=switch
                )
            )
    return Microbenchmark(
        started="2026-01-01T00:00:00+00:00",
        machine=this_machine(),
        versions={},
        lookups=tuple(lookups),
        linear=(
            LinearSample(
                threads=1,
                seconds=(1000 * 2049 * LINEAR + one + keys_s,),
                operations=1000,
                lwe_dimension=2048,
                pbs=pbs,
                key_switch=switch,
            ),
        ),
    )


def test_the_fit_finds_known_constants():
    fit = fit_cpu(imagined_machine())
    found = (fit.fourier_unit_s, fit.external_product_unit_s, fit.key_switch_unit_s, fit.key_byte_s)
    assert found == pytest.approx(CONSTANTS, rel=1e-6)
    assert fit.thread_efficiency == pytest.approx(0.8)
    assert fit.linear_element_s == pytest.approx(LINEAR)
    assert fit.spread < 1e-6


def test_noise_of_one_percent_moves_predictions_by_little():
    fit = fit_cpu(imagined_machine(noise=0.01))
    assert fit.spread < 0.02
    assert max(abs(residual.error) for residual in fit.residuals) < 0.03


def test_too_few_sets_are_refused():
    full = imagined_machine()
    with pytest.raises(UsageError, match="at least 5 parameter sets"):
        fit_cpu(full.model_copy(update={"lookups": full.lookups[:4]}))


def test_every_format_renders():
    measured = imagined_machine()
    raw = json.loads(RAW_RENDERERS["json"](measured))
    jsonschema.validate(raw, json.loads(schema_path("microbenchmark").read_text()))
    assert Microbenchmark.model_validate(raw) == measured
    assert len(RAW_RENDERERS["csv"](measured).splitlines()) == 1 + len(SETS) * 2 * 9
    table = FIT_RENDERERS["table"](measured, fit_cpu(measured))
    assert max(map(len, table.splitlines())) <= 80
    assert "| parameter set |" in FIT_RENDERERS["markdown"](measured, fit_cpu(measured))


@pytest.mark.slow
def test_measuring_this_machine_gives_a_usable_fit(run_fhecost, tmp_path):
    finished = run_fhecost("measure", "pbs", "--quick", "--rounds", "1", "--save", "raw.json")
    assert finished.returncode == 0, finished.stderr
    fit = fit_cpu(Microbenchmark.model_validate_json((tmp_path / "raw.json").read_text()))
    assert fit.spread < 0.5

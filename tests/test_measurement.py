"""The microbenchmark's fit: it finds the constants of a machine that is known."""

import json
import os

import jsonschema
import numpy as np
import pytest

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    external_product_units,
    fourier_units,
    key_conversion_units,
    key_product_units,
    key_switch_key_bytes,
    key_switch_units,
)
from fhecost.errors import ImpossibleError, UsageError
from fhecost.hardware.estimator import estimate
from fhecost.hardware.library import read_hardware
from fhecost.hardware.run_memory import run_memory
from fhecost.measurement.fit import fit_cpu, fit_keys
from fhecost.measurement.machine import available_threads, this_machine
from fhecost.measurement.records import (
    KeySample,
    LinearSample,
    LookupSample,
    Microbenchmark,
    save_microbenchmark,
)
from fhecost.measurement.repeats import is_tight, median_interval
from fhecost.measurement.results import key_switch_times, results_of
from fhecost.measurement.run_record import RunTimes
from fhecost.report.measurement_document import microbenchmark_document
from fhecost.report.render import as_csv, as_json, as_markdown, as_table
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
        fit_cpu(full.changed(lookups=full.lookups[:4]))


def test_every_format_renders():
    measured = imagined_machine()
    document = microbenchmark_document(results_of(measured))
    raw = json.loads(as_json(document))
    jsonschema.validate(raw, json.loads(schema_path("microbenchmark").read_text()))
    assert Microbenchmark.model_validate(raw) == measured
    assert len(as_csv(document).splitlines()) == 1 + len(SETS) * 2 * 9
    table = as_table(document)
    assert max(map(len, table.splitlines())) <= 80
    assert "| parameter set |" in as_markdown(document)


@pytest.mark.slow
def test_measuring_this_machine_gives_a_usable_fit(run_fhecost, tmp_path):
    finished = run_fhecost("measure", "pbs", "--quick", "--minutes", "0.1", "--save", "raw.json")
    assert finished.returncode == 0, finished.stderr
    fit = fit_cpu(Microbenchmark.model_validate_json((tmp_path / "raw.json").read_text()))
    assert fit.spread < 0.5


def imagined_keys(constants=(2e-9, 3e-11, 1e-9, 5e-11, 2e-10, 2.0, 1.5)) -> list[KeySample]:
    """Keys of a machine whose constants are known."""
    a, b, c, d, e, f, g = constants
    samples = []
    for sample in imagined_machine().lookups:
        bsk, ksk = bootstrap_key_bytes(sample.pbs), key_switch_key_bytes(sample.key_switch)
        times = RunTimes(
            threads=2,
            keygen_s=(a * bsk + b * key_product_units(sample.pbs)) / 2 + c * ksk,
            encrypt_s=0.1,
            cold_s=1.0 + d * key_conversion_units(sample.pbs) + e * bsk,
            warm_s=(0.9, 1.0, 1.3),
            decrypt_s=0.1,
            probe_s=(0.05,),
            start_memory_bytes=345_000_000,
            keygen_peak_memory_bytes=345_000_000 + bsk + ksk,
            peak_memory_bytes=345_000_000 + round(f * bsk + g * ksk),
        )
        samples.append(KeySample(pbs=sample.pbs, key_switch=sample.key_switch, times=times))
    return samples


def test_the_key_fit_finds_the_constants_of_a_known_machine():
    fit = fit_keys(imagined_keys())
    assert fit.constants["keygen_bsk_byte_s"] == pytest.approx(2e-9, rel=1e-4)
    assert fit.constants["keygen_product_unit_s"] == pytest.approx(3e-11, rel=1e-4)
    assert fit.constants["keygen_ksk_byte_s"] == pytest.approx(1e-9, rel=1e-4)
    assert fit.constants["conversion_unit_s"] == pytest.approx(5e-11, rel=1e-4)
    assert fit.constants["conversion_byte_s"] == pytest.approx(2e-10, rel=1e-4)
    assert fit.constants["bsk_copies"] == pytest.approx(2.0, rel=1e-4)
    assert fit.constants["ksk_copies"] == pytest.approx(1.5, rel=1e-4)
    assert fit.process_memory_bytes == 345_000_000
    assert max(fit.spreads.values()) < 1e-6
    assert [residual.sample for residual in fit.residuals] == imagined_keys()


def test_a_slow_round_is_put_right():
    """One round of three at half the speed, as its probes say."""
    plain = LookupSample(
        threads=1,
        seconds=(1.0, 2.0, 1.2),
        elements=1,
        pbs=imagined_machine().lookups[0].pbs,
        key_switch=imagined_machine().lookups[0].key_switch,
    )
    probed = plain.changed(probes_s=(0.1, 0.2, 0.1))
    measured = imagined_machine().changed(lookups=(probed,))
    assert measured.corrected_median_s(plain) == 1.2
    assert measured.corrected_median_s(probed) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Conover's table for the median at 95 %: the ranks of the interval's ends.
    [(6, 1, 6), (8, 1, 8), (9, 2, 8), (12, 3, 10), (15, 4, 12), (20, 6, 15)],
)
def test_the_interval_of_a_median_is_the_tables(count, low, high):
    assert median_interval(range(count, 0, -1)) == (low, high)


def test_five_times_are_never_tight():
    assert median_interval([1.0] * 5) is None
    assert not is_tight([1.0] * 5)
    assert is_tight([1.0] * 6)
    assert not is_tight([1.0, 1.0, 1.0, 1.0, 1.0, 1.05])


def test_a_key_switch_is_the_difference_of_two_lookups():
    sample = imagined_machine().lookups[0]
    longer = sample.model_copy(
        update={
            "seconds": tuple(second + sample.elements * 6e-3 for second in sample.seconds),
            "key_switch": sample.key_switch.changed(level_count=5),
        }
    )
    measured = imagined_machine().changed(lookups=(sample, longer))
    (time,) = key_switch_times(measured)
    assert time.level_s == pytest.approx(3e-3)
    assert time.key_switch_s == pytest.approx(9e-3)


@pytest.mark.parametrize("operation", ["ks", "linear", "keygen"])
def test_single_operations_have_a_table(operation):
    measured = imagined_machine().changed(keys=tuple(imagined_keys()))
    sample = measured.lookups[0]
    more = sample.key_switch.changed(level_count=9)
    measured = measured.changed(lookups=(sample, sample.changed(key_switch=more)))
    document = microbenchmark_document(results_of(measured, operation))
    table = as_table(document)
    assert len(table.splitlines()) >= 5
    assert max(map(len, table.splitlines())) <= 80
    assert "| --" in as_markdown(document)


def test_minutes_must_be_some(run_fhecost):
    finished = run_fhecost("measure", "ks", "--minutes", "0")
    assert finished.returncode == 2
    assert "--minutes 0" in finished.stderr


def test_calibrate_writes_a_machine_that_estimates(run_fhecost, saved_profile, tmp_path):
    raw = imagined_machine().changed(keys=tuple(imagined_keys()))
    save_microbenchmark(raw, tmp_path / "raw.json")
    finished = run_fhecost("calibrate", "raw.json", "-o", "mine.yaml")
    assert finished.returncode == 0, finished.stderr
    machine = read_hardware(tmp_path / "mine.yaml")
    assert machine.figures["fourier_unit_s"].value == pytest.approx(CONSTANTS[0], rel=1e-4)
    assert machine.figures["fourier_unit_s"].ref == "raw.json"
    assert machine.figures["conversion_unit_s"].value == pytest.approx(5e-11, rel=1e-4)
    made = estimate(saved_profile, machine)
    assert made.preparation.cold_s > made.latency_s
    assert made.preparation.keygen_s > 0
    # The bootstrap keys are there twice, the key-switch keys one and a half times.
    held = saved_profile.bsk_bytes + 1.5 * saved_profile.ksk_bytes
    held += run_memory().bytes_beside(saved_profile, saved_profile.bsk_bytes)
    assert made.preparation.peak_memory_bytes == pytest.approx(held + 0.345e9, rel=1e-3)


def test_calibrate_refuses_what_is_no_raw_times(run_fhecost, tmp_path):
    (tmp_path / "raw.json").write_text("{}")
    finished = run_fhecost("calibrate", "raw.json", "-o", "mine.yaml")
    assert finished.returncode == 2
    assert len(finished.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "mine.yaml").exists()


def test_an_unknown_number_of_threads_is_not_one(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    with pytest.raises(ImpossibleError, match="how many threads"):
        available_threads()

"""From raw times to a machine: usable, or one clear line and nothing written."""

import json
import random

import pytest
import yaml

from fhecost.circuits.work import bootstrap_key_bytes, key_switch_key_bytes
from fhecost.data import data_folder
from fhecost.errors import FieldError, UsageError
from fhecost.files import configuration_folder
from fhecost.hardware.estimator import estimate
from fhecost.hardware.library import find_hardware, read_hardware
from fhecost.measurement.calibration import UPPER_BOUND, calibrate, calibrated_profile
from fhecost.measurement.fit import fit_cpu
from fhecost.measurement.records import load_microbenchmark, save_microbenchmark
from tests.test_measurement import CONSTANTS, imagined_keys, imagined_machine
from tests.test_run_cost import imagined as imagined_transfers

NAMES = ("fourier_unit_s", "external_product_unit_s", "key_switch_unit_s", "key_byte_s")


def imagined(**changes):
    return imagined_machine().changed(keys=tuple(imagined_keys()), **changes)


def without_keys_handed_over(noise):
    """A machine that takes no time to hand over keys, measured with some noise."""
    rng = random.Random(5)
    raw = imagined_machine()
    lookups = []
    for sample in raw.lookups:
        key_bytes = bootstrap_key_bytes(sample.pbs) + key_switch_key_bytes(sample.key_switch)
        keys_s = CONSTANTS[3] * key_bytes
        plain = [(s - keys_s) * rng.uniform(1 - noise, 1 + noise) for s in sample.seconds]
        lookups.append(sample.changed(seconds=tuple(plain)))
    return raw.changed(lookups=tuple(lookups))


def test_a_figure_that_times_cant_tell_from_zero_is_an_upper_bound(saved_profile):
    raw = without_keys_handed_over(noise=0.03)
    fit = fit_cpu(raw)
    assert "key_byte_s" in fit.upper_bounds
    figure = calibrated_profile(raw, "raw").figures["key_byte_s"]
    assert 0 < figure.low < figure.value < figure.high
    assert figure.high == pytest.approx(fit.upper_bounds["key_byte_s"], rel=1e-4)
    assert figure.standard_error == pytest.approx(fit.standard_errors["key_byte_s"], rel=1e-4)
    assert figure.rationale.startswith(UPPER_BOUND)
    # What it is taken for is less than what noise makes of the rest.
    assert fit.spread < 0.05
    assert estimate(saved_profile, calibrate(raw)).latency_s > 0


def test_standard_errors_grow_with_the_noise():
    calm, noisy = (fit_cpu(imagined_machine(noise=noise)) for noise in (0.001, 0.01))
    for name, error in calm.standard_errors.items():
        assert 0 < 3 * error < noisy.standard_errors[name]


def test_a_full_microbenchmark_tells_all_its_constants_from_zero():
    path = data_folder("experiments/microbenchmarks") / "epyc-zen4-2.json"
    assert not fit_cpu(load_microbenchmark(path)).upper_bounds


def test_no_upper_bound_is_more_than_the_times_leave():
    """Sets with as many lookups each can't tell keys from lookups: the bound is the whole time."""
    raw = imagined_machine(noise=0.001)
    fit = fit_cpu(raw)
    for name, bound in fit.upper_bounds.items():
        assert bound < 30 * dict(zip(NAMES, CONSTANTS, strict=True))[name]


def test_a_calibration_says_what_it_was_made_on():
    raw = imagined()
    made = calibrate(raw)
    assert made.calibrated == raw.started
    assert made.calibrated_on == raw.machine.identity()
    shipped = find_hardware("epyc-zen4-2").calibrated_on
    assert (shipped.family, shipped.model, shipped.threads) == (25, 17, 2)
    assert "avx512" in shipped.instruction_sets


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/etc/cron.d/x", "--name /etc/cron.d/x: must be small letters"),
        ("../mine", "--name ../mine: must be small letters"),
        ("", "--name '': must be small letters"),
        ("mine\n", "must be small letters"),
        ("h100", "--name h100: is a machine that comes with fhecost"),
        ("epyc-zen4-2", "--name epyc-zen4-2: is a machine that comes with fhecost"),
        ("here", "--name here: stands for other machines"),
        ("default", "--name default: stands for other machines"),
    ],
)
def test_a_name_is_checked_before_anything_is_written(run_fhecost, tmp_path, name, message):
    save_microbenchmark(imagined(), tmp_path / "raw.json")
    finished = run_fhecost("calibrate", "raw.json", "--name", name)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1
    assert not list(configuration_folder().rglob("*.yaml"))


def test_a_name_of_the_api_is_checked_too(tmp_path):
    with pytest.raises(FieldError, match="name all: stands for other machines"):
        calibrate(imagined(), "all", keep=tmp_path / "mine.yaml")
    assert not list(tmp_path.iterdir())


def test_an_earlier_calibration_is_kept_with_its_date(run_fhecost, tmp_path):
    environment = {"FHECOST_CONFIG": str(tmp_path / "config")}
    for day in ("2026-01-01", "2026-02-02"):
        save_microbenchmark(imagined(started=f"{day}T10:20:30+00:00"), tmp_path / "raw.json")
        finished = run_fhecost("calibrate", "raw.json", environment=environment)
        assert finished.returncode == 0, finished.stderr
    folder = tmp_path / "config" / "hardware"
    assert read_hardware(folder / "local.yaml").calibrated.startswith("2026-02-02")
    (earlier,) = (folder / "earlier").iterdir()
    assert earlier.name == "local-2026-01-01T102030.yaml"
    assert yaml.safe_load(earlier.read_text())["calibrated"].startswith("2026-01-01")
    # It is kept, and no machine of its own.
    listed = run_fhecost("hardware", "list", "--format", "csv", environment=environment)
    assert "local," in listed.stdout
    assert "local-2026" not in listed.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: scale_times(raw, 1e-9), "lookups take .* a unit of Fourier work"),
        (lambda raw: scale_times(raw, 1e5), "lookups take .* a unit of Fourier work"),
        (lambda raw: raw.update(lookups=raw["lookups"][:2] * 7), "at least 5 parameter sets"),
        (lambda raw: raw.update(lookups=[]), "at least 5 parameter sets"),
        (lambda raw: raw.update(linear=[]), "products that take longer"),
        (lambda raw: raw.update(started="yesterday"), "started: must be a date and time"),
        (lambda raw: raw.update(keys=raw["keys"][:2] * 6), "keys of at least 5 parameter sets"),
        (lambda raw: set_times(raw, 0.0), "greater than 0"),
        (lambda raw: set_times(raw, "fast"), "valid number"),
        (lambda raw: set_times(raw, 0.5), "don't go by their parameter sets"),
        (
            lambda raw: raw.update(lookups=[s for s in raw["lookups"] if s["threads"] == 1]),
            None,
        ),
    ],
)
def test_times_that_make_no_machine_are_refused(tmp_path, saved_profile, change, message):
    raw = imagined().model_dump(mode="json")
    change(raw)
    (tmp_path / "raw.json").write_text(json.dumps(raw))
    if message is None:
        calibrate(tmp_path / "raw.json", keep=tmp_path / "mine.yaml")
        assert estimate(saved_profile, read_hardware(tmp_path / "mine.yaml")).latency_s > 0
        return
    with pytest.raises(UsageError, match=message) as raised:
        calibrate(tmp_path / "raw.json", keep=tmp_path / "mine.yaml")
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "mine.yaml").exists()


def scale_times(raw, factor):
    for sample in (*raw["lookups"], *raw["linear"]):
        sample["seconds"] = [second * factor for second in sample["seconds"]]


def set_times(raw, value):
    for sample in raw["lookups"]:
        sample["seconds"] = [value] * len(sample["seconds"])


def damaged(seed):
    """Raw times of some machine with one to three things wrong in them, or noise in all."""
    rng = random.Random(seed)
    source = rng.choice(["imagined", "epyc", "epyc"])
    if source == "imagined":
        moved = imagined_transfers(1e-3, 2e-9, 0.5e-9, 3e-9).transfers
        raw = imagined(transfers=moved).model_dump(mode="json")
    else:
        path = data_folder("experiments/microbenchmarks") / "epyc-zen4-2.json"
        raw = json.loads(path.read_text())
    for _ in range(rng.randint(1, 3)):
        rng.choice(DAMAGE)(raw, rng)
    return raw


def _samples(raw):
    return [
        s
        for part in ("lookups", "linear", "transfers")
        for s in raw.get(part) or []
        if isinstance(s, dict)
    ]


def _noise(raw, rng):
    width = rng.choice([0.01, 0.1, 0.5, 2.0])
    for sample in _samples(raw):
        sample["seconds"] = [
            second * rng.lognormvariate(0, width)
            for second in sample["seconds"]
            if isinstance(second, float)
        ]


def _scale(raw, rng):
    factor = 10 ** rng.uniform(-12, 12)
    for sample in _samples(raw):
        sample["seconds"] = [s * factor for s in sample["seconds"] if isinstance(s, float)]


def _equal(raw, rng):
    value = rng.choice([0, 0.0, 1e-300, 1e300, 0.5, "0.5", None, -1.0, True])
    for sample in _samples(raw):
        sample["seconds"] = [value] * len(sample["seconds"])


def _one_set(raw, rng):
    raw["lookups"] = [rng.choice(raw["lookups"])] * rng.randint(1, 20) if raw["lookups"] else []


def _fewer(raw, rng):
    part = rng.choice(["lookups", "linear", "keys", "transfers"])
    raw[part] = rng.sample(raw[part], rng.randint(0, len(raw[part]))) if raw.get(part) else []


def _shuffled(raw, rng):
    times = [sample["seconds"] for sample in raw["lookups"]]
    rng.shuffle(times)
    for sample, seconds in zip(raw["lookups"], times, strict=True):
        sample["seconds"] = seconds


def _keys(raw, rng):
    for sample in raw.get("keys") or []:
        name = rng.choice(["keygen_s", "cold_s", "peak_memory_bytes", "start_memory_bytes"])
        sample["times"][name] = rng.choice([0, 1, 1e-9, 1e12, sample["times"][name]])


def _lost(raw, rng):
    raw.pop(rng.choice(list(raw)), None)


def _leaf(raw, rng):
    """Any value anywhere becomes another one."""
    at = raw
    while isinstance(at, dict | list) and at:
        key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
        if not isinstance(at[key], dict | list) or not at[key]:
            at[key] = rng.choice([0, -1, 1e308, "x", None, [], {}, 10**30, float("nan"), "1"])
            return
        at = at[key]


def _threads(raw, rng):
    for sample in raw["lookups"]:
        if isinstance(sample, dict):
            sample["threads"] = rng.choice([1, 2, 3, 192])


def _polynomials(raw, rng):
    for sample in raw["lookups"]:
        if isinstance(sample, dict) and isinstance(sample.get("pbs"), dict):
            sample["pbs"]["polynomial_size"] = 2 ** rng.randint(0, 40)


DAMAGE = (
    *(_noise, _scale, _equal, _one_set, _fewer, _shuffled, _keys, _lost, _leaf, _threads),
    *(_polynomials, _leaf, _noise),
)


def usable_or_refused(seed, folder, circuit):
    """What was made of the file: "usable" or the line that says why not."""
    raw, kept = folder / f"raw-{seed}.json", folder / f"machine-{seed}.yaml"
    try:
        raw.write_text(json.dumps(damaged(seed)))
    except (AttributeError, TypeError, KeyError, IndexError, ValueError):
        return None  # one damage met what another had left
    try:
        calibrate(raw, keep=kept)
        refused = None
    except UsageError as error:
        refused = str(error)
    if refused is not None:
        assert not kept.exists()
        assert len(refused.splitlines()) == 1
        assert raw.name in refused
        return refused
    made = estimate(circuit, read_hardware(kept))
    assert 0 < made.low_s <= made.latency_s <= made.high_s < float("inf")
    return "usable"


@pytest.mark.parametrize("part", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3))])
def test_damaged_raw_times_make_a_machine_or_one_line(part, tmp_path, saved_profile):
    """25 files by default; 275 more in the slow tests."""
    count = 25 if part == 0 else 90
    first = 0 if part == 0 else 25 + 90 * (part - 1)
    outcomes = [
        usable_or_refused(seed, tmp_path, saved_profile) for seed in range(first, first + count)
    ]
    told = [outcome for outcome in outcomes if outcome is not None]
    assert len(told) > 0.75 * count
    # Both must occur, else the damage is too light or too heavy to tell anything.
    assert "usable" in told
    assert set(told) - {"usable"}

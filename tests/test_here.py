"""The machine that fhecost runs on: recognized, calibrated, or carried over from another."""

import json
import statistics
from pathlib import Path

import pytest

from fhecost.circuits.profile import load_profile
from fhecost.circuits.work import external_product_units, fourier_units, key_switch_units
from fhecost.errors import ImpossibleError
from fhecost.files import cache_folder
from fhecost.hardware import here, reading
from fhecost.hardware.at_work import AT_WORK
from fhecost.hardware.carried import facts_of, processor_facts
from fhecost.hardware.here import profile_of
from fhecost.hardware.library import find_hardware, load_hardware, own_hardware_file
from fhecost.hardware.limits import Limits
from fhecost.hardware.probe import ConcreteProbe, saved_probe
from fhecost.hardware.processor import Processor, read_processor, this_processor
from fhecost.hardware.template import hardware_template
from fhecost.measurement.calibration import as_yaml, calibrate
from fhecost.measurement.run_record import load_records, predict
from tests.conftest import ROOT, load_script
from tests.test_calibration import imagined


def published_script():
    """The script in experiments/published that the facts' first two figures come from."""
    return load_script(ROOT / "experiments" / "published" / "carried.py")


ZEN3 = Processor(
    vendor="AuthenticAMD", name="AMD EPYC", family=25, model=1, instruction_sets=("avx2",),
    threads=2, l2_bytes=2**19, memory_bytes=25_276_510_208,
)  # fmt: skip
ZEN4 = ZEN3.changed(model=17, instruction_sets=("avx2", "avx512"), l2_bytes=2**20)


def cpuinfo(folder: Path, text: str, caches: dict[str, tuple[str, str, str]]) -> Processor:
    (folder / "cpuinfo").write_text(text + "\n\nprocessor: 1\nmodel: 99\n")
    for name, values in caches.items():
        (folder / name).mkdir()
        for field, value in zip(("level", "type", "size"), values, strict=True):
            (folder / name / field).write_text(value + "\n")
    return read_processor(folder / "cpuinfo", folder)


def test_a_processor_is_read_from_what_linux_says(tmp_path):
    text = (
        "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n"
        "model name\t: AMD EPYC\nflags\t\t: fpu avx avx2 fma"
    )
    caches = {
        "index0": ("1", "Data", "32K"),
        "index1": ("1", "Instruction", "32K"),
        "index2": ("2", "Unified", "512K"),
        "index3": ("3", "Unified", "32768K"),
    }
    read = cpuinfo(tmp_path, text, caches)
    assert (read.vendor, read.name) == ("AuthenticAMD", "AMD EPYC")
    assert (read.family, read.model) == (25, 1)
    assert "avx2" in read.instruction_sets
    assert "avx512" not in read.instruction_sets
    assert (read.l2_bytes, read.l3_bytes) == (512 * 1024, 32 * 2**20)


def test_what_no_system_tells_is_unknown(tmp_path):
    read = read_processor(tmp_path / "none", tmp_path / "none")
    assert (read.vendor, read.family, read.model) == (None, None, None)
    nameless = read.changed(name=None)
    assert nameless.differences(nameless) == ["processor model unknown"]


def test_two_machines_of_one_name_differ():
    told = ZEN4.differences(ZEN3)
    assert "model 1, not 17" in told
    assert any("avx512" in one for one in told)
    assert ZEN3.differences(ZEN3) == []


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"threads": 4}, False),
        ({"memory_bytes": 24_900_000_000}, True),
        ({"memory_bytes": 50_000_000_000}, False),
        ({"l2_bytes": 2**21}, False),
        ({"l3_bytes": 2**25}, True),  # the other doesn't know its own
        ({"instruction_sets": ()}, True),
        ({"model": None}, True),  # by its name, where a system tells no more
        ({"model": None, "name": "AMD"}, False),
    ],
)
def test_what_makes_a_machine_another(change, same):
    assert (ZEN3.differences(ZEN3.changed(**change)) == []) is same


@pytest.mark.parametrize(
    ("processor", "name"),
    [
        (ZEN3, "zen3"),
        (ZEN4, "zen4"),
        (ZEN4.changed(family=26, model=2), "zen5"),
        (ZEN4.changed(instruction_sets=("avx2",)), "other-avx2"),  # AVX-512 hidden by its host
        (ZEN3.changed(vendor="GenuineIntel", family=6, model=106,
                      instruction_sets=("avx2", "avx512")), "ice-lake"),
        (ZEN3.changed(vendor="GenuineIntel", family=6, model=143,
                      instruction_sets=("amx", "avx2", "avx512")), "sapphire-rapids"),
        (Processor(instruction_sets=("neon",)), "other-neon"),
    ],
)  # fmt: skip
def test_a_kind_of_processor_is_recognized(processor, name):
    assert facts_of(processor).name == name


def test_of_a_processor_without_vectors_nothing_is_known():
    with pytest.raises(ImpossibleError, match="nothing is known of its kind; fhecost calibrate"):
        facts_of(Processor(vendor="GenuineIntel", family=6, model=15))


def test_facts_that_are_published_say_where():
    for facts in processor_facts().processors:
        for figure in (facts.register_bits, facts.datapath_bits, facts.clock_hz):
            assert figure.ref or figure.rationale


def test_how_far_the_datapath_counts_is_what_published_machines_say():
    carried = published_script()
    known, share = processor_facts(), carried.datapath_share()
    assert known.datapath_share.value == pytest.approx(share, rel=1e-3)
    assert known.off_by.value == pytest.approx(carried.off_by(share), rel=1e-2)


def test_a_machine_carried_over_to_its_own_kind_is_itself():
    """Only the range is wider: it is another machine, and its figures are no measurement there."""
    zen4 = find_hardware("epyc-zen4-2")
    made = profile_of(ZEN4, [zen4])
    for name, figure in made.figures.items():
        if name not in ("memory_bytes", "threads"):
            assert figure.value == zen4.figures[name].value
            assert figure.lowest <= zen4.figures[name].lowest
            assert figure.highest >= zen4.figures[name].highest
    assert "probe_s" not in made.figures
    assert made.figures["fourier_unit_s"].source == "modelled"
    assert "fhecost calibrate makes one" in made.assumptions[0]


def test_without_a_calibrated_machine_there_is_nothing_to_carry_over():
    with pytest.raises(ImpossibleError, match="no calibrated machine"):
        profile_of(ZEN3, [])


def test_zen3_is_predicted_from_zen4_and_published_facts(facts, tmp_path):
    """Five circuits run on a Zen 3, of which neither the machine nor the facts know anything."""
    told = json.loads((facts / "zen3_runs.json").read_text())
    predicted = profile_of(ZEN3, [find_hardware("epyc-zen4-2")])
    runs = [(run["circuit_profile"], run["measured"]) for run in told["sketch_runs"]]
    runs += [(run["profile"], run["times"]) for run in told["run_records"]]
    errors, inside = [], []
    for circuit, times in runs:
        path = tmp_path / "circuit.json"
        path.write_text(json.dumps({k: v for k, v in circuit.items() if k != "hash"}))
        made = predict(load_profile(path), predicted, times["threads"])
        warm_s = statistics.median(times["warm_s"])
        errors.append(abs(made.warm_s / warm_s - 1))
        inside.append(made.warm_low_s <= warm_s <= made.warm_high_s)
    assert statistics.median(errors) < 0.1
    assert max(errors) < 0.25
    assert all(inside)


def test_zen3_is_predicted_from_its_own_quick_calibration(facts, tmp_path):
    """It ended in a machine that no command could read; figures are known up to N=4,096 only."""
    machine = calibrate(facts / "microbenchmark_zen3_quick.json", "zen3")
    assert machine.figures["key_byte_s"].value > 0
    told = json.loads((facts / "zen3_runs.json").read_text())
    for run in told["sketch_runs"]:
        path = tmp_path / "circuit.json"
        circuit = {k: v for k, v in run["circuit_profile"].items() if k != "hash"}
        path.write_text(json.dumps(circuit))
        warm_s = statistics.median(run["measured"]["warm_s"])
        assert predict(load_profile(path), machine, 2).warm_s == pytest.approx(warm_s, rel=0.03)


def test_an_intel_is_predicted_from_zen4_and_published_facts():
    """26 runs of heads on a Xeon, of which the facts know its vectors and a cloud's clock alone."""
    folder = ROOT / "experiments" / "runs" / "xeon"
    names = ("fast", "gpt2-124m", "neighbours", "restricted")
    records = [one for name in names for one in load_records(folder / f"{name}.jsonl")]
    processor = records[0].machine.identity()
    processor = processor.changed(instruction_sets=("amx", "avx2", "avx512"))
    made = profile_of(processor, [find_hardware("epyc-zen4-2")])
    errors, inside = [], []
    for record in records:
        predicted = predict(record.profile, made, record.times.threads)
        warm_s = record.times.warm_median_s
        errors.append(abs(predicted.warm_s / warm_s - 1))
        inside.append(predicted.warm_low_s <= warm_s <= predicted.warm_high_s)
    assert len(errors) == 26
    assert statistics.median(errors) < 0.1
    assert max(errors) < 0.25
    assert all(inside)


def probe_of(pbs_factor, switch_factor, processor=ZEN3, made="2026-01-01T00:00:00+00:00", **more):
    """A probe on a machine that is slower than epyc-zen4-2 by these factors."""
    figures = find_hardware("epyc-zen4-2").figures
    pbs = {"lwe_dimension": 650, "glwe_dimension": 1, "polynomial_size": 2048, "level_count": 1,
           "base_log": 23}  # fmt: skip
    switch = {"input_lwe_dimension": 2048, "output_lwe_dimension": 650, "level_count": 3,
              "base_log": 3}  # fmt: skip
    probe = ConcreteProbe.model_validate(
        {"made": made, "processor": processor, "pbs": pbs, "key_switch": switch, "threads": 2,
         "longer_levels": 12, "lookup_s": 1.0, "longer_s": 2.0, **more}
    )  # fmt: skip
    lookup = figures["fourier_unit_s"].value * fourier_units(probe.pbs)
    lookup += figures["external_product_unit_s"].value * external_product_units(probe.pbs)
    short = figures["key_switch_unit_s"].value * key_switch_units(probe.key_switch) * switch_factor
    lookup_s = pbs_factor * lookup + short
    times = {"lookup_s": lookup_s, "longer_s": lookup_s + 3 * short}
    return probe.changed(**{**times, **more})


def test_a_probe_puts_right_what_it_measured():
    zen4 = find_hardware("epyc-zen4-2")
    probe = probe_of(1.5, 2.0)
    assert probe.slower(zen4.figures) == pytest.approx((1.5, 2.0), rel=1e-3)
    made = profile_of(ZEN3, [zen4], probe)
    for name, factor in (("fourier_unit_s", 1.5), ("key_switch_unit_s", 2.0)):
        figure, before = made.figures[name], zen4.figures[name]
        assert figure.value == pytest.approx(factor * before.value, rel=1e-3)
        assert figure.lowest < factor * before.lowest
        assert figure.highest > factor * before.highest
    assert "probe" in made.summary
    # What it didn't measure is carried over as without.
    plain = profile_of(ZEN3, [zen4])
    assert made.figures["linear_element_s"] == plain.figures["linear_element_s"]


def test_a_key_switch_lost_in_noise_is_as_slow_as_the_rest():
    zen4 = find_hardware("epyc-zen4-2")
    probe = probe_of(1.5, 1.5)
    lost = probe.changed(longer_s=probe.lookup_s * 0.99)
    assert lost.slower(zen4.figures) == pytest.approx((1.5, 1.5), rel=1e-2)


def test_a_template_is_no_calibration_of_this_machine():
    text = hardware_template(find_hardware("epyc-zen4-2"))
    assert "calibrated_on" not in text


def test_threads_that_gain_little_are_said_so():
    zen4 = find_hardware("epyc-zen4-2")
    alone = probe_of(1.0, 1.0)
    busy = alone.changed(together_s=2 * alone.lookup_s)
    figure = profile_of(ZEN3, [zen4], busy).figures["thread_efficiency"]
    assert figure.value == pytest.approx(0.5)
    assert figure.highest == 1.0


def test_other_programs_at_work_are_said():
    zen4 = find_hardware("epyc-zen4-2")
    alone, beside = (
        profile_of(ZEN3, [zen4], probe_of(1.5, 1.5, cpu_share=share)) for share in (0.99, 0.5)
    )
    assert len(alone.assumptions) == 1
    assert "the probe had 50% of a thread" in beside.assumptions[1]
    for name in ("fourier_unit_s", "key_switch_unit_s"):
        assert beside.figures[name].value == alone.figures[name].value
        assert beside.figures[name].highest == pytest.approx(2 * alone.figures[name].highest)


@pytest.fixture
def own_folders(tmp_path, monkeypatch):
    """Folders of this test alone, on a machine that is a Zen 3 with two threads."""
    monkeypatch.setenv("FHECOST_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(here, "this_processor", lambda: ZEN3)
    monkeypatch.setattr(here, "this_limits", lambda: Limits(threads=2))
    monkeypatch.setattr(here, "others_at_work", lambda available: False)
    monkeypatch.setattr(here, "made_probe", lambda processor: None)
    own_hardware_file("x").parent.mkdir(parents=True)
    return tmp_path


def keep_calibration(name, processor, day="2026-03-01"):
    raw = imagined(started=f"{day}T00:00:00+00:00")
    made = calibrate(raw.changed(machine=raw.machine.changed(cpu=processor)), name)
    content = made.model_dump(exclude={"name"})
    text = as_yaml(type(made).__bases__[0].model_validate(content))
    own_hardware_file(name).write_text(text)


def test_here_is_the_users_own_calibration_of_this_machine(own_folders):
    keep_calibration("old", ZEN3, "2026-02-01")
    keep_calibration("mine", ZEN3, "2026-03-01")
    keep_calibration("other", ZEN4, "2026-04-01")
    found = find_hardware("here")
    assert found == find_hardware("mine")
    assert load_hardware("default")[0].name == "mine"
    assert len({one.name for one in load_hardware("default")}) == len(load_hardware("default"))


def test_here_without_a_calibration_is_carried_over(own_folders):
    keep_calibration("other", ZEN4.changed(threads=64))
    found = find_hardware("here")
    assert found.name == "here"
    assert found.title.startswith("this machine: AMD EPYC, family 25 model 1")
    assert load_hardware("default")[0].name == "here"
    assert "here" not in [one.name for one in load_hardware("all")]


def test_default_machines_are_read_once(own_folders, monkeypatch):
    read, read_yaml = [], reading.read_yaml
    monkeypatch.setattr(reading, "read_yaml", lambda path: (read.append(path), read_yaml(path))[1])
    machines = load_hardware("default")
    assert {path.stem for path in read} >= {one.name for one in machines} - {"here"}
    assert len(read) == len(set(read))


def test_fewer_threads_than_calibrated_are_said(own_folders, monkeypatch, saved_profile):
    keep_calibration("mine", ZEN3)
    monkeypatch.setattr(here, "this_limits", lambda: Limits(threads=1))
    found = find_hardware("here")
    assert found.name == "mine"
    assert found.figures["threads"].value == 1
    assert "of 2 threads this process may use 1" in found.assumptions


def test_other_programs_at_work_are_said_where_this_machine_is_named(own_folders, monkeypatch):
    keep_calibration("mine", ZEN3)
    monkeypatch.setattr(here, "others_at_work", lambda available: available == 2)
    assert AT_WORK in find_hardware("here").assumptions
    assert AT_WORK not in find_hardware("mine").assumptions


def test_a_probe_of_today_is_used_again(own_folders):
    from fhecost.measurement.machine import now

    cache_folder().mkdir(parents=True)
    path = cache_folder() / "concrete-probe.json"
    path.write_text(probe_of(1.5, 1.5, made=now()).model_dump_json())
    assert saved_probe(ZEN3) is not None
    assert saved_probe(ZEN4) is None
    # The defaults start no probe, but use what is there.
    assert "probe" in load_hardware("default")[0].summary
    path.write_text(probe_of(1.5, 1.5, made="2020-01-01T00:00:00+00:00").model_dump_json())
    assert saved_probe(ZEN3) is None
    path.write_text("{}")
    assert saved_probe(ZEN3) is None


def test_a_machine_of_unknown_kind_is_refused_by_name_and_no_default(own_folders, monkeypatch):
    monkeypatch.setattr(here, "this_processor", lambda: Processor(name="6502", family=1, model=1))
    with pytest.raises(ImpossibleError, match="6502"):
        find_hardware("here")
    assert load_hardware("default")[0].name == "epyc-zen4-2"


def test_here_is_a_name_for_any_command(run_fhecost, saved_profile):
    path = ROOT / "tests" / "data" / "reference_head_l6_b3.json"
    finished = run_fhecost("estimate", "--profile", path, "--hardware", "strix,nowhere")
    assert finished.returncode == 2
    assert "here" in finished.stderr
    finished = run_fhecost("estimate", "--profile", path)
    assert finished.returncode == 0, finished.stderr
    words = " ".join(finished.stdout.split())
    assert "no calibration of this machine is at hand: fhecost calibrate makes one" in words


@pytest.mark.slow
def test_the_probe_measures_this_machine(tmp_path, monkeypatch):
    pytest.importorskip("concrete.fhe", reason="needs the extra [concrete]")
    from fhecost.hardware.probe import made_probe

    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path))
    processor = this_processor()
    probe = made_probe(processor)
    assert probe == saved_probe(processor)
    assert 1e-4 < probe.key_switch_s < probe.lookup_s < 1.0
    assert 0 < probe.thread_efficiency <= 1 if probe.together_s else probe.threads in (1, 2)

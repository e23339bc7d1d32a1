"""``fhecost diff``: what changed between two circuits, and nothing else."""

import json

import pytest

import fhecost
from fhecost.cli import main
from fhecost.report.difference_document import difference_document
from fhecost.report.render import RENDERERS, as_table
from tests.conftest import SAVED_PROFILE
from tests.drawn import consistent

MACHINES = ["epyc-zen4-2", "h100", "strix"]


def with_stages(profile, change):
    """``profile`` with its stages changed as dictionaries."""
    content = json.loads(profile.model_dump_json())
    content["stages"] = change(content["stages"])
    return fhecost.CircuitProfile.model_validate(consistent(content))


def test_a_circuit_does_not_differ_from_itself(saved_profile):
    report = fhecost.diff_circuits(saved_profile, saved_profile, MACHINES)
    assert report.stages == ()
    assert report.same_stages == len(saved_profile.stages)
    assert [machine.ratio for machine in report.machines] == [1.0] * 3
    assert f"all {report.same_stages} stages are the same" in as_table(difference_document(report))


def test_one_stage_with_half_the_lookups_is_the_one_that_changed(saved_profile):
    def halved(stages):
        for stage in stages:
            if stage["name"] == "scores":
                for use in stage["pbs"] + stage["key_switches"]:
                    use["count"] //= 2
                stage["parallel_width"] //= 2
        return stages

    after = with_stages(saved_profile, halved)
    report = fhecost.diff_circuits(saved_profile, after, MACHINES)
    (change,) = report.stages
    assert change.name == "scores"
    assert change.before.pbs_count == 2 * change.after.pbs_count
    assert change.work_change < 0
    for machine in report.machines:
        hardware = fhecost.find_hardware(machine.hardware)
        before, after_s = (
            fhecost.estimate(one, hardware).latency_s for one in (saved_profile, after)
        )
        assert machine.ratio == pytest.approx(after_s / before)
    # The other way around, the ratios are the inverse and the stage has more work.
    back = fhecost.diff_circuits(after, saved_profile, MACHINES)
    assert back.stages[0].work_change == -change.work_change
    for there, here in zip(report.machines, back.machines, strict=True):
        assert there.ratio * here.ratio == pytest.approx(1)
    text = as_table(difference_document(report))
    assert f"{change.before.pbs_count:,} → {change.after.pbs_count:,}" in text
    assert "changed" in text


def test_a_line_that_moved_is_no_change_and_a_new_stage_is(saved_profile):
    """Untagged stages are called by their line, which moves as a script is edited."""

    def at_line(offset):
        def change(stages):
            renamed = {one["name"]: f"s.py:{i + offset}" for i, one in enumerate(stages)}
            return [
                {
                    **one,
                    "name": renamed[one["name"]],
                    "predecessors": [renamed[name] for name in one["predecessors"]],
                }
                for one in stages
            ]

        return change

    # Lines 0 to n and 3 to n + 3: most names are in both, and mean other stages.
    before = with_stages(saved_profile, at_line(0))
    after = with_stages(saved_profile, at_line(3))
    assert fhecost.diff_circuits(before, after, ["h100"]).stages == ()

    def more(stages):
        return [*stages, {**stages[-1], "name": "extra", "bit_width": 3}]

    grown = fhecost.diff_circuits(before, with_stages(after, more), ["h100"])
    (change,) = grown.stages
    assert (change.name, change.before) == ("extra", None)
    shrunk = fhecost.diff_circuits(with_stages(after, more), before, ["h100"])
    (change,) = shrunk.stages
    assert (change.name, change.after) == ("extra", None)


def test_a_machine_that_cant_run_one_of_them_says_which(saved_profile):
    small = fhecost.find_circuit(
        fhecost.PredictedShape(
            fhecost.ShapeRequest(
                fhecost.find_shape("embedded"), "head", seq_len=2, bits=2, variant="fast"
            )
        )
    )
    (machine,) = fhecost.diff_circuits(saved_profile, small, ["morphling"]).machines
    assert machine.before is None
    assert machine.ratio is None
    assert "can't hold the parameter set" in machine.refused_before
    report = fhecost.diff_circuits(saved_profile, small, ["morphling"])
    assert "morphling: no estimate of the circuit before: can't" in " ".join(
        as_table(difference_document(report)).split()
    )


@pytest.mark.parametrize("form", RENDERERS)
def test_differences_are_printed_in_every_format(saved_profile, form):
    after = with_stages(saved_profile, lambda stages: stages[:-1])
    text = RENDERERS[form](difference_document(fhecost.diff_circuits(saved_profile, after)))
    assert saved_profile.stages[-1].name in text


def test_the_command_prints_what_the_call_returns(capsys):
    files = [str(SAVED_PROFILE), str(SAVED_PROFILE)]
    main(["diff", *files, "--hardware", "h100", "--format", "json"])
    report = fhecost.diff_circuits(*files, ["h100"])
    assert json.loads(capsys.readouterr().out) == report.model_dump(mode="json")


def test_a_file_that_is_no_profile_is_one_line(tmp_path, capsys):
    path = tmp_path / "other.json"
    path.write_text("[]")
    with pytest.raises(SystemExit) as ended:
        main(["diff", str(SAVED_PROFILE), str(path)])
    assert ended.value.code == 2
    assert "other.json: not a circuit profile" in capsys.readouterr().err

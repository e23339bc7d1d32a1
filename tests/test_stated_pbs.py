"""What machines state of kinds of PBS in their files, and what follows from it."""

import csv
import io
import json

import pytest
import yaml

import fhecost
from fhecost.data import data_folder
from fhecost.hardware.bootstraps import ALGORITHMS, algorithm_of
from fhecost.hardware.bootstraps.algorithm import parameter_set
from fhecost.hardware.pbs_choice import kinds_at_hand, kinds_of, with_pbs
from fhecost.hardware.profile import FurtherPbs
from fhecost.hardware.reading import hardware_faults
from fhecost.hardware.what_if import with_figures
from fhecost.pipeline import compare_circuit
from fhecost.provenance import Figure
from fhecost.report.hardware_document import list_document, machine_document
from fhecost.report.render import RENDERERS
from tests.test_bootstraps import figure
from tests.test_pbs_kinds import MACHINES, with_all_kinds


def written(folder, **changes):
    content = yaml.safe_load((data_folder("hardware") / "h100.yaml").read_text())
    content.pop("pbs", None)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}))
    return path


STATED = {"figures": {"grouping_factor": figure(4), "step_overhead_s": figure(4e-6)}}


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"pbs": {"multi-bit": STATED}}, []),
        ({"pbs": {"classic": STATED}}, ["pbs.classic: is the kind that the machine's own"]),
        ({"pbs": {"multi-bit": {}}}, ["pbs.multi-bit.figures: field required"]),
        (
            {"pbs": {"multi-bit": {"figures": {}}}},
            ["pbs.multi-bit.figures.grouping_factor: field required"],
        ),
        (
            {"pbs": {"multi-bit": {"figures": {**STATED["figures"], "more": figure(1)}}}},
            ["pbs.multi-bit.figures.more: extra inputs are not permitted"],
        ),
        (
            {"pbs": {"multi-bit": {"figures": {"grouping_factor": figure(2.5)}}}},
            ["pbs.multi-bit.figures.grouping_factor.value: must be a whole number, not 2.5"],
        ),
        (
            {"pbs": {"many-table": {"figures": {"tables_per_bootstrap": figure(3)}}}},
            ["pbs.many-table.figures.tables_per_bootstrap.value: must be a power of two, not 3"],
        ),
        (
            {"pbs": {"multi-bit": {"figures": {**STATED["figures"], "launch_s": figure(1e9)}}}},
            ["pbs.multi-bit.figures.launch_s: 1e+09 isn't plausible"],
        ),
        ({"pbs": {"quick": STATED}}, ["pbs.quick.[key]: input should be 'classic', 'multi-bit'"]),
        ({"pbs_kind": "multi-bit"}, ["figures.grouping_factor: field required"]),
    ],
)
def test_a_machine_that_states_kinds_is_checked_field_by_field(tmp_path, changes, faults):
    found = hardware_faults(written(tmp_path, **changes))
    assert len(found) == len(faults)
    for one, expected in zip(found, faults, strict=True):
        assert one.startswith(expected)


def test_figures_of_a_kind_take_the_place_of_the_machines_own(tmp_path, saved_profile):
    path = written(
        tmp_path,
        pbs={"multi-bit": {**STATED, "log2_p_fail": -130, "references": ["its own"]}},
    )
    machine = fhecost.load_hardware("mine", [path.parent])[0]
    assert kinds_of(machine) == ("classic", "multi-bit")
    other = with_pbs(machine, "multi-bit")
    assert other.figures["step_overhead_s"].value == 4e-6
    assert other.figures["concurrent_pbs"] == machine.figures["concurrent_pbs"]
    assert (other.pbs_kind, other.log2_p_fail, other.availability) == (
        *("multi-bit", -130, "available"),
    )
    assert algorithm_of(other).steps(parameter_set(918, 1, 2048, 1, 23)) == 230
    assert other.references[-1] == "its own"
    made = fhecost.estimate(saved_profile, machine, pbs="multi-bit")
    assert made.availability == "available"
    assert made == fhecost.estimate(saved_profile, other)
    # A figure that is set is set for both, and the one of the kind alone for it alone.
    set_to = with_figures(machine, {"step_overhead_s": 8e-6, "grouping_factor": 2})
    assert set_to.figures["step_overhead_s"].value == 8e-6
    assert with_pbs(set_to, "multi-bit").figures["step_overhead_s"].value == 8e-6
    assert with_pbs(set_to, "multi-bit").figures["grouping_factor"].value == 2
    assert "grouping_factor" not in set_to.figures
    # Back to the classic kind from a machine whose own figures are for the other.
    own = other.changed(pbs={"classic": FurtherPbs(figures=machine.figures)})
    again = fhecost.estimate(saved_profile, own, pbs="classic")
    assert again.latency_s == fhecost.estimate(saved_profile, machine).latency_s


def test_a_machine_shows_the_kinds_that_it_has():
    machine = with_all_kinds(MACHINES["h100"].changed(pbs=None))
    (row,) = csv.DictReader(io.StringIO(RENDERERS["csv"](list_document([machine]))))
    assert row["pbs_kinds"] == "classic multi-bit many-table"
    text = RENDERERS["table"](machine_document(machine))
    assert "also multi-bit, many-table PBS" in text
    assert "grouping_factor = 4" in text


def test_a_hypothetical_statement_is_not_at_hand(saved_profile):
    machine = MACHINES["h100"]
    fast = Figure(value=1e15, source="assumed", rationale="made up for the test")
    stated = FurtherPbs(
        figures={**ALGORITHMS["multi-bit"].supposed, "saturated_rate_units_per_s": fast},
        availability="hypothetical",
    )
    machine = machine.changed(pbs={"multi-bit": stated})
    assert kinds_at_hand(machine) == ("classic",)
    assert fhecost.estimate(saved_profile, machine, pbs="best").pbs_kind == "classic"
    assert fhecost.estimate(saved_profile, machine, pbs="multi-bit").availability == "hypothetical"


def test_a_machine_of_another_kind_supposes_nothing():
    machine = with_pbs(MACHINES["h100"], "multi-bit")
    with pytest.raises(fhecost.ImpossibleError, match="its figures are for multi-bit"):
        with_pbs(machine, "classic")


def test_a_profile_that_says_nothing_of_kinds_keeps_its_hash():
    machine = MACHINES["strix"]
    assert "pbs" not in json.loads(machine.model_dump_json(exclude_none=True))
    assert machine.changed(pbs=None).hash == machine.hash


def test_a_stated_figure_of_a_kind_is_set_where_the_best_is_asked_for(saved_profile):
    machine = with_all_kinds(MACHINES["h100"])
    made = compare_circuit(
        saved_profile, [machine], pbs="best", what_if={"grouping_factor": 2, "launch_s": 1e-6}
    )
    assert {change.figure: change.after.value for change in made.changes} == {
        "launch_s": 1e-6,
        "pbs.multi-bit.figures.grouping_factor": 2,
    }
    assert made.rows[0].before is not None

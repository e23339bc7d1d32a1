"""The circuit profile: JSON both ways, its hash, and one clear line for a broken file."""

import hashlib
import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fhecost.circuits.profile import CircuitProfile, load_profile, save_profile
from fhecost.errors import UsageError
from fhecost.schemas import SCHEMAS, schema_path, schema_text
from tests.conftest import ROOT
from tests.drawn import profiles

VERSION_1 = ROOT / "experiments" / "published" / "circuits" / "gpt2-head.json"


@given(profiles())
def test_json_round_trip_keeps_everything(profile):
    again = CircuitProfile.model_validate_json(profile.model_dump_json())
    assert again == profile
    assert again.hash == profile.hash


def hash_of_dumped(profile):
    """The hash as it is defined: of all fields but those that older profiles didn't have."""
    content = profile.model_dump(mode="json", exclude={"hash"})
    if content["cost_error"] is None:
        del content["cost_error"]
    for stage in content["stages"]:
        if not stage["loops"]:
            del stage["loops"]
        if stage["distinct_values"] is None:
            del stage["distinct_values"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@given(profiles(), st.text(min_size=1).filter(lambda name: name[0] != "("), st.booleans())
def test_a_hash_is_that_of_the_whole_content(profile, name, predicted):
    """Stages are written by hand: no name, no loop and no field may come out otherwise."""
    stages = [stage.model_dump() for stage in profile.stages]
    for stage in stages:
        if stage["pbs"]:
            stage["loops"] = ({"width": sum(use["count"] for use in stage["pbs"]), "times": 1},)
            stage["bit_width"] = 1
            lookups = sum(use["count"] for use in stage["pbs"])
            stage["distinct_values"] = lookups - 1 or None
    stages.append(
        {"name": name, "parallel_width": 1, "predecessors": [stage["name"] for stage in stages]}
    )
    changed = profile.changed(
        stages=stages,
        cost_error=0.25 if predicted else None,
        description={"text": name, "notes": {"stages": name, "zero": 0.0}},
        versions={"é": name},
    )
    assert changed.hash == hash_of_dumped(changed)
    assert profile.hash == hash_of_dumped(profile)


def test_saved_file_matches_its_schema_and_loads_again(saved_profile, tmp_path):
    path = tmp_path / "saved.json"
    save_profile(saved_profile, path)
    jsonschema.validate(
        json.loads(path.read_text()), json.loads(schema_path("circuit_profile").read_text())
    )
    assert load_profile(path) == saved_profile
    assert [file.name for file in tmp_path.iterdir()] == ["saved.json"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_shipped_schemas_are_those_of_the_code(name):
    assert schema_path(name).read_text() == schema_text(name), "run: python -m fhecost.schemas"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema_version=7), "schema_version: .* versions 1 and 2, not 7"),
        (lambda c: c.pop("bsk_bytes"), "bsk_bytes: field required"),
        (lambda c: c.update(stages=[]), "stages: "),
        (lambda c: c.update(p_error=2), "p_error: "),
        (lambda c: c["stages"][1]["pbs"][0].update(count=0), r"stages\.1\.pbs\.0\.count: "),
        (lambda c: c["stages"][1].update(colour="red"), r"stages\.1\.colour: "),
        (lambda c: c["stages"][0].update(predecessors=["scores"]), "'scores', which is no earlier"),
        (lambda c: c["stages"][1].update(parallel_width=1), "can't hold 1152 PBS"),
        (lambda c: c.update(hash="0" * 64), "hash doesn't match"),
        (lambda c: c.update(schema_version=True), "schema_version: .* versions 1 and 2, not True"),
        (lambda c: c.update(bsk_bytes=True), "bsk_bytes: input should be a valid integer"),
        (lambda c: c.update(bsk_bytes="12"), "bsk_bytes: input should be a valid integer"),
        (lambda c: c.update(bsk_bytes=10**30), "bsk_bytes: .*less than or equal"),
        (lambda c: c.update(bsk_bytes=10**400), "the number 100000000000… of 401 digits is too"),
        (lambda c: c.update(complexity=float("inf")), "complexity: .*finite number"),
        (lambda c: c.update(complexity=float("nan")), "complexity: .*finite number"),
        (lambda c: c.update(complexity="1e9"), "complexity: input should be a valid number"),
        (lambda c: c.update(p_error=True), "p_error: input should be a valid number"),
        (lambda c: c["description"].update(bits=True), r"description\.bits: input should be"),
        (
            lambda c: c["stages"][1]["pbs"][0]["parameters"].update(polynomial_size=1000),
            r"stages\.1\.pbs\.0\.parameters\.polynomial_size: must be a power of two, not 1000",
        ),
        (lambda c: c["stages"][1].update(name="(all keys)"), r"stages\.1\.name: "),
        (
            lambda c: [stage.update(pbs=[], key_switches=[], linear=[]) for stage in c["stages"]],
            "no stage holds an operation",
        ),
    ],
)
def test_a_broken_file_is_refused_by_field_path(edited_profile, change, message):
    path = edited_profile(change)
    with pytest.raises(UsageError, match=message) as caught:
        load_profile(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_profile_of_version_1_is_read_into_fields(tmp_path):
    content = json.loads(VERSION_1.read_text())
    assert content["schema_version"] == 1
    profile = load_profile(VERSION_1)
    assert profile.schema_version == 2
    assert profile.description.heads == (0,)
    assert profile.description.seq_len == content["description"]["seq_len"]
    path = tmp_path / "again.json"
    save_profile(profile, path)
    assert load_profile(path) == profile


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(hash="0" * 64), "hash doesn't match"),
        (lambda c: c.update(description=[]), "description: must be an object"),
        (lambda c: c["description"].update(bits=True), r"description\.bits: "),
        (lambda c: c["description"].update(heads="first"), r"description\.heads: "),
    ],
)
def test_a_broken_file_of_version_1_is_refused_by_field_path(tmp_path, change, message):
    content = json.loads(VERSION_1.read_text())
    change(content)
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=message):
        load_profile(path)


def test_a_stage_without_operations_loads(edited_profile):
    def empty(content):
        content["stages"][0].update(pbs=[], key_switches=[], linear=[])

    profile = load_profile(edited_profile(empty, whole=True))
    assert profile.stages[0].pbs_count == 0
    assert profile.pbs_count > 0


def test_a_changed_profile_has_the_hash_of_what_it_holds_then(saved_profile, tmp_path):
    changes = [{"name": "another"}, {"cost_error": 0.1}, {"output_bytes": 7}]
    for change in changes:
        for changed in (saved_profile.changed(**change), saved_profile.model_copy(update=change)):
            assert changed.hash != saved_profile.hash
            path = tmp_path / "changed.json"
            save_profile(changed, path)
            assert load_profile(path) == changed
    assert saved_profile.changed(name=saved_profile.name) == saved_profile
    assert saved_profile.model_copy() == saved_profile


@pytest.mark.parametrize(
    ("change", "field"),
    [({"p_error": 2.0}, "p_error"), ({"colour": "red"}, "colour"), ({"hash": "0"}, "hash doesn't")],
)
def test_a_change_is_checked(saved_profile, change, field):
    with pytest.raises(ValidationError, match=field):
        saved_profile.changed(**change)

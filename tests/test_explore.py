"""The explorer without its server: its addresses, its commands and its numbers."""

import importlib.util
import shlex
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import fhecost.pipeline
from fhecost.accuracy.published import ALL_HEADS, SINGLE_HEAD
from fhecost.accuracy.records import nearest
from fhecost.circuits.description import SCOPES
from fhecost.cli import main
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.errors import FieldError
from fhecost.explore.accuracy import accuracy_of, load_known
from fhecost.explore.address import number_text, query_of, state_of
from fhecost.explore.command import command_of
from fhecost.explore.dials import dials_of
from fhecost.explore.numbers import numbers_by
from fhecost.explore.state import (
    circuit_of,
    first_state,
    machines_of,
    make_offer,
    settled,
    what_if_of,
)
from fhecost.full_report import matching_accuracy
from fhecost.hardware.registry import latency_model_named
from fhecost.hardware.what_if import known_figures
from fhecost.models.shape import SHAPES, find_shape
from tests.conftest import ROOT

needs_dash = pytest.mark.skipif(
    importlib.util.find_spec("dash") is None, reason="needs fhecost[explore]"
)
OFFER = make_offer()
PICKED = ("model", "scope", "seq_len", "bits", "variant", "heads", "hardware", "machine")
POSITIVE = st.floats(1e-12, 1e12, allow_subnormal=False)


@st.composite
def states(draw):
    """Any state that can be picked, whether there are numbers for it or not."""
    model, scope = draw(st.sampled_from(OFFER.models)), draw(st.sampled_from(SCOPES))
    machine = draw(st.sampled_from(OFFER.machines))
    figures = known_figures(machine)
    what_if = draw(st.dictionaries(st.sampled_from(figures), POSITIVE, max_size=3))
    own = {name: figure.value for name, figure in machine.figures.items()}
    assume(all(own.get(name) != value for name, value in what_if.items()))
    first = first_state(OFFER)
    return settled(
        replace(
            first,
            model=model,
            scope=scope,
            seq_len=draw(st.integers(1, 5000)),
            bits=draw(st.integers(1, 20)),
            variant=draw(st.sampled_from(OFFER.variants)),
            heads=draw(st.integers(1, find_shape(model).heads)),
            hardware=tuple(draw(st.lists(st.sampled_from(list(OFFER.by_name)), max_size=4))),
            machine=machine.name,
            what_if=tuple(what_if.items()),
        ),
        OFFER,
    )


@given(states())
def test_an_address_is_the_state(state):
    assert state_of(query_of(state), OFFER) == state
    assert state_of(f"?{query_of(state)}", OFFER) == state


@given(POSITIVE)
def test_a_number_is_read_as_it_was(value):
    assert float(number_text(value)) == value
    assert "+" not in number_text(value)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(states())
def test_the_command_asks_for_what_the_page_asks_for(monkeypatch, state):
    """What the command line makes of the command is what the page hands to the same function."""
    asked = []

    def compare_circuit(circuit, hardware, hardware_path, progress, **others):
        asked.append((circuit, hardware, others))
        raise SystemExit

    monkeypatch.setattr(fhecost.pipeline, "compare_circuit", compare_circuit)
    with pytest.raises(SystemExit):
        main(shlex.split(command_of(state, OFFER))[1:])
    ((circuit, hardware, others),) = asked
    assert circuit == circuit_of(state)
    assert hardware == [one.name for one in machines_of(state, OFFER)]
    assert (others["what_if"] or {}) == what_if_of(state)


@needs_dash
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None
)
@given(states())
def test_the_controls_show_the_state(monkeypatch, state):
    from fhecost.explore import form

    monkeypatch.setattr(form, "strongest_first", lambda state, offer: [])
    controls = list(components(form.form_of(state, OFFER)))
    picked = {one.id: one.value for one in controls if one.id in PICKED}
    assert set(picked) == set(PICKED)
    dials = [(one.id["of"], one.id["figure"], one.value) for one in controls if is_dial(one)]
    assert {name for _, name, _ in dials} == set(known_figures(OFFER.by_name[state.machine]))
    assert form.state_of_form(picked, dials, OFFER) == state


def components(tree):
    """All parts of a page that have an id."""
    for part in tree if isinstance(tree, list | tuple) else [tree]:
        if getattr(part, "id", None) is not None:
            yield part
        if (below := getattr(part, "children", None)) is not None and not isinstance(below, str):
            yield from components(below)


def is_dial(part):
    return isinstance(part.id, dict)


STATES = (
    "",
    "model=gpt2&scope=layer&seq-len=8&hardware=h100,strix&machine=h100",
    "bits=2&heads=3&hardware=h100&machine=strix&what-if=clock_hz=2.4e9,power_w=100",
)


def shown(query, numbers=None):
    """What the page shows of an address, as texts."""
    from fhecost.explore.app import shown as shown_of
    from fhecost.explore.form import form_of

    state = state_of(query, OFFER)
    controls = list(components(form_of(state, OFFER)))
    values = {one.id: one.value for one in controls if one.id in PICKED}
    dials = [one for one in controls if is_dial(one)]
    made = shown_of(
        values,
        [one.value for one in dials],
        [one.id for one in dials],
        OFFER,
        numbers or numbers_by(OFFER),
    )
    return state, made


def text_of(tree):
    if isinstance(tree, list | tuple):
        return " ".join(map(text_of, tree))
    return text_of(tree.children) if hasattr(tree, "children") else str(tree or "")


@needs_dash
@pytest.mark.parametrize("query", STATES)
def test_everything_moves_at_once(query):
    state, made = shown(query)
    assert made["query"] == query_of(state)
    found = numbers_by(OFFER)(state)
    closely, results = text_of(made["closely"]), text_of(made["results"])
    assert state.machine in closely
    for label in ("Latency", "Price of a run", "Energy of a run", "Accuracy"):
        assert label in closely
    assert command_of(state, OFFER) in results
    for row in found.comparison.rows:
        assert row.hardware in results
    figures = [one.figure for one in components(made["results"]) if hasattr(one, "figure")]
    machines, stages = figures
    drawn = {name: x for trace in machines.data for name, x in zip(trace.y, trace.x, strict=True)}
    assert drawn == {row.hardware: row.latency_s for row in found.comparison.rows}
    # Bars are the shares of all stages, and the stages are all of the time.
    assert sum(sum(trace.x) for trace in stages.data) == pytest.approx(1.0, abs=0.02)


@needs_dash
def test_a_dragged_figure_moves_one_machine_alone():
    numbers = numbers_by(OFFER)
    query = "hardware=h100,strix&machine=strix"
    before = numbers(state_of(query, OFFER)).comparison
    after = numbers(state_of(f"{query}&what-if=devices=2", OFFER)).comparison
    old, new = ({row.hardware: row for row in one.rows} for one in (before, after))
    assert new["h100"].latency_s == old["h100"].latency_s
    assert new["strix"].latency_s < old["strix"].latency_s
    assert new["strix"].before.latency_s == old["strix"].latency_s
    assert [change.figure for change in after.changes] == ["devices"]


@needs_dash
def test_what_has_no_numbers_is_one_line_on_the_page():
    _, made = shown("model=gpt2&seq-len=2000")
    assert text_of(made["closely"]) == "seq-len 2000: gpt2 takes 1 to 1024"
    assert made["results"] == []
    # A machine that can't run it doesn't keep the others from it.
    _, made = shown("model=gpt2&scope=cached-token&seq-len=64&hardware=h100&machine=strix")
    assert "strix: inputs and outputs of" in text_of(made["closely"])
    assert "h100" in text_of(made["results"])


@needs_dash
def test_an_update_takes_a_blink():
    """Of the default scope, every figure of it new: 300 ms of CPU are allowed."""
    numbers = numbers_by(OFFER)
    took = []
    for devices in range(5):
        query = f"hardware=h100,strix&machine=strix&what-if=devices={2 + devices}"
        begun = time.process_time()
        shown(query, numbers)
        took.append(time.process_time() - begun)
    assert sorted(took)[2] < 0.3, took


def test_accuracy_is_what_was_measured():
    known, first = load_known(), replace(first_state(OFFER), bits=4)
    fast = accuracy_of(first, known)
    (row,) = [
        row
        for report in known
        for row in report.rows
        if (report.model, row.variant, row.bits, row.seq_len) == ("embedded", "fast", 4, 6)
    ]
    assert fast.top1 == row.top1
    assert fast.rows.rows == (row,)
    # Between two measured lengths both are there, and the nearer one is named.
    between = accuracy_of(replace(first, seq_len=20), known)
    assert {row.seq_len for row in between.rows.rows} == {16, 32}
    assert "16 tokens (not 20)" in between.about
    gpt2 = replace(first, model="gpt2", variant="reference")
    assert accuracy_of(gpt2, known).top1 == SINGLE_HEAD[1][4]
    assert accuracy_of(replace(gpt2, heads=12, bits=7), known).top1 == ALL_HEADS[1][7]


@pytest.mark.parametrize("seq_len", [6, 12, 24, 40, 96])
def test_accuracy_is_of_the_first_head_as_in_the_report(seq_len):
    """Of two lengths as near as each other, too."""
    state = replace(first_state(OFFER), model="smollm2", bits=4, seq_len=seq_len)
    found = accuracy_of(state, load_known())
    circuit = profile_of_shape(ShapeRequest(SHAPES["smollm2"], "head", seq_len, 4, "fast", 1))
    row = nearest(matching_accuracy(circuit, load_known()).rows, seq_len)
    assert f"layer 0, head 0, {row.seq_len} tokens (not {seq_len})" in found.about
    assert found.top1 == row.top1
    assert row in found.rows.rows


def test_the_first_head_is_there_when_only_others_were_judged_nearer():
    """At 8 tokens only heads of layer 10; what was picked is the model's first."""
    known = [
        report.changed(
            rows=tuple(row for row in report.rows if row.layer == 10 or row.seq_len == 32)
        )
        for report in load_known()
        if report.model == "smollm2"
    ]
    state = replace(first_state(OFFER), model="smollm2", bits=4, seq_len=6)
    found = accuracy_of(state, known)
    assert "layer 0, head 0, 32 tokens (not 6)" in found.about
    assert {(one.layer, one.seq_len) for one in found.rows.rows} == {(0, 32), (10, 8)}


def test_all_measured_heads_of_a_model_are_there_once():
    state = replace(first_state(OFFER), model="smollm2", bits=4, seq_len=32)
    rows = accuracy_of(state, load_known()).rows.rows
    assert {(row.layer, int(row.heads)) for row in rows} == {
        (layer, head) for layer in range(30) for head in range(9)
    }
    assert len(rows) == 270


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gpt2"},
        {"bits": 7},
        {"heads": 2},
        {"model": "gpt2", "variant": "reference", "heads": 2},
        {"model": "smollm2", "variant": "reference"},
        {"scope": "layer", "variant": None, "heads": None},
    ],
)
def test_accuracy_that_was_not_measured_is_none(change):
    found = accuracy_of(replace(first_state(OFFER), **change), load_known())
    assert found.top1 is None
    assert found.rows is None
    assert "measured" in found.about


@pytest.mark.parametrize("machine", OFFER.machines, ids=lambda one: one.name)
def test_dials_stand_only_where_their_figure_can(machine):
    known = latency_model_named(machine.latency_model).read_figures(machine)
    dials = dials_of(machine, list(machine.figures)[:2])
    assert {dial.name for dial in (*dials.moving, *dials.others)} == set(machine.figures)
    assert all(dial.own is None and not dial.stops for dial in dials.unknown)
    for dial in (*dials.moving, *dials.others):
        assert dial.own in dial.stops
        assert list(dial.stops) == sorted(set(dial.stops))
        figure = getattr(known, dial.name)
        for value in dial.stops:
            # It raises what pydantic does where a figure of this kind can't be so much.
            assert figure.set_to(value, "a stop").value == value


def test_an_address_opens_no_file(tmp_path):
    """A file is offered by who starts the explorer, and by nobody else."""
    config = ROOT / "models" / "embedded" / "config.json"
    with pytest.raises(FieldError, match="isn't offered here"):
        state_of(f"model={config}", OFFER)
    offer = make_offer(models=[str(config)])
    assert state_of(f"model={config}", offer).model == str(config)


def test_machines_of_a_folder_are_in_the_command(tmp_path):
    own = tmp_path / "my-asic.yaml"
    own.write_text((ROOT / "hardware" / "strix.yaml").read_text())
    offer = make_offer([tmp_path])
    state = state_of("machine=my-asic&hardware=", offer)
    assert command_of(state, offer).endswith(f"--hardware my-asic --hardware-path {tmp_path}")

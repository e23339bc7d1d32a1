"""The answer: who is fastest and cheapest of what can be had, and who can't be told apart."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhecost.circuit_request import PredictedShape
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.hardware.answer import NOT_HAD, Contender, answer_of, can_be_had
from fhecost.hardware.comparison import compare
from fhecost.hardware.estimate import Bottleneck
from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.library import load_hardware
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.what_if import with_figures
from fhecost.models.shape import SHAPES
from fhecost.pipeline import compare_circuit, estimate_circuit
from fhecost.projection.projection import project
from fhecost.report.answer_lines import answer_lines
from fhecost.report.comparison_document import comparison_document
from fhecost.report.estimate_document import estimate_document
from fhecost.report.projection_document import projection_document
from fhecost.report.render import as_table
from fhecost.units import duration

HEAD = ShapeRequest(SHAPES["gpt2"], "head", 6, 4, "fast")


def contender(name, latency, low=0.8, high=1.25, price=None, availability="available"):
    """A machine whose range is from ``low`` to ``high`` times its latency."""
    return Contender(
        hardware=name,
        availability=availability,
        latency_s=latency,
        low_s=low * latency,
        high_s=high * latency,
        bottleneck=Bottleneck.COMPUTE,
        critical_path_s=None,
        price_usd=price,
        sources={"measured": 1.0},
    )


def said(*machines, **about):
    return " ".join(answer_lines(machines, **about))


AVAILABILITIES = st.sampled_from(["available", "prototype", "simulated", "hypothetical", None])
SECONDS = st.floats(1e-3, 1e3)
ANY = st.lists(
    st.builds(
        contender,
        st.text("abcdef", min_size=1, max_size=6),
        SECONDS,
        st.floats(0.1, 1.0),
        st.floats(1.0, 10.0),
        st.none() | st.floats(1e-6, 10.0),
        AVAILABILITIES,
    ),
    min_size=1,
    unique_by=lambda one: one.hardware,
)


@given(ANY)
def test_nothing_leads_that_cant_be_had(machines):
    answer = answer_of(machines)
    had = {one.hardware for one in machines if can_be_had(one)}
    for lead in filter(None, (answer.fastest, answer.cheapest)):
        assert {lead.hardware, *lead.tied} <= had
        assert lead.availability not in NOT_HAD
    for lead in answer.on_paper:
        assert lead.hardware not in had
        assert answer.fastest is None or lead.value < answer.fastest.value
    known = [one for one in machines if one.hardware in had and one.high_s <= 30 * one.low_s]
    if known:
        assert answer.fastest.value == min(one.latency_s for one in known)
    else:
        assert answer.fastest is None


@given(ANY)
def test_a_tie_is_one_from_both_sides(machines):
    lead = answer_of(machines).fastest
    by_name = {one.hardware: one for one in machines}
    for name in lead.tied if lead else ():
        other = by_name[name]
        assert other.low_s <= lead.value <= other.high_s * (1 + 1e-9)
        assert lead.low <= other.latency_s <= lead.high * (1 + 1e-9)


@pytest.mark.parametrize(
    ("machines", "says"),
    [
        (
            [contender("a", 1.0), contender("b", 2.0)],
            "Fastest: a, 1.00 s (800 ms to 1.25 s).",
        ),
        ([contender("a", 1.0), contender("b", 1.0)], "Fastest: a, 1.00 s (800 ms to 1.25 s), tied"),
        ([contender("a", 1.0), contender("b", 1.2)], "tied with b."),
        (
            [contender("a", 1.0), contender("c", 0.1, availability="hypothetical")],
            "Fastest that can be had: a, 1.00 s (800 ms to 1.25 s). On paper: c (hypothetical), "
            "100 ms (80.0 ms to 125 ms).",
        ),
        (
            [contender("a", 1.0), contender("c", 0.9, availability="simulated")],
            "On paper: c (simulated by its authors), 900 ms (720 ms to 1.12 s), tied with a.",
        ),
        ([contender("a", 1.0), contender("c", 3.0, availability="simulated")], "had: a, 1.00 s"),
        (
            [contender("c", 0.1, availability="prototype")],
            "None of these machines can be had. On paper: c (its authors' prototype), 100 ms",
        ),
        ([contender("a", 1.0, low=0.01)], "Which machine is fastest isn't known"),
        ([contender("a", 1.0, price=0.5)], "A run on a: 1.00 s (800 ms to 1.25 s), 50 ct"),
        (
            [contender("a", 1.0), contender("b", 9.0, price=0.5)],
            "Cheapest: b, 50 ct (40 ct to 62 ct) a run; the only known price.",
        ),
    ],
)
def test_what_is_said(machines, says):
    assert says in said(*machines)


def test_on_paper_is_not_said_of_what_is_slower():
    slower = contender("c", 3.0, availability="simulated")
    assert "On paper" not in said(contender("a", 1.0), slower)


def test_every_shipped_machine_says_whether_it_can_be_had():
    machines = load_hardware("all")
    assert all(machine.availability for machine in machines)
    for machine in machines:
        assert ("simulated by its authors" in machine.title) == (
            machine.availability == "simulated"
        )
        assert ("hypothetical" in machine.name) == (machine.availability == "hypothetical")


def test_a_file_need_not_say_it_and_a_wrong_word_is_named(tmp_path):
    (h100,) = load_hardware("h100")
    content = h100.model_dump(mode="json", exclude_none=True, exclude={"name", "availability"})
    assert HardwareProfile.model_validate({**content, "name": "mine"}).availability is None
    with pytest.raises(ValueError, match="availability"):
        h100.changed(availability="soon")


def test_a_machine_whose_figures_were_set_cant_be_had():
    (h100,) = load_hardware("h100")
    assert with_figures(h100, {"concurrent_pbs": 1000}).availability == "hypothetical"


def answers():
    """Each command's document of the same head on all machines."""
    asked = PredictedShape(HEAD)
    yield estimate_document(estimate_circuit(asked, "all"))
    yield comparison_document(compare_circuit(asked, "all"))
    yield projection_document(project(HEAD, [4, 6], "all"))


def test_each_command_begins_with_the_same_answer():
    texts = [" ".join(as_table(document).split()) for document in answers()]
    for text in texts:
        assert re.match(r"NOTE[^:]*: lookups err in \d+ % of runs, by design", text)
    firsts = [re.search(r"Fastest that can be had(?: at 6 tokens)?: (.*?) How sure", text)[1]
              for text in texts]  # fmt: skip
    assert firsts[0] == firsts[1] == firsts[2]
    assert firsts[0].startswith("8xh100, ")
    assert "hypothetical-asic (hypothetical)" in firsts[0]
    assert "the circuit is predicted, its cost may be off by" in texts[0]


def test_no_more_than_a_line_comes_before_the_answer():
    for document in answers():
        lines = as_table(document).splitlines()
        assert len(lines[0]) <= 80
        assert lines[1] == ""
        assert lines[2].startswith("Fastest that can be had")


def test_what_lookups_without_errors_cost_is_a_table_below(saved_profile):
    asked = PredictedShape(HEAD)
    made = estimate_circuit(asked, "all")
    text = as_table(estimate_document(made))
    answer, _, below = text.partition("IF NO LOOKUP MAY ERR")
    assert "fhecost accuracy says" in " ".join(below.split())
    for name, one in made.unsure.latency_s.items():
        assert re.search(rf"^{re.escape(name)} +{re.escape(duration(one.latency_s))} ", below, re.M)
    # Machines with one reason are one line.
    assert below.count("not with such sets") == len(set(made.unsure.refusals.values()))
    assert "not with such sets" not in answer


def test_a_target_is_told_how_far_it_is_off():
    report = project(HEAD, [4, 6], ["h100"], years=range(2026, 2030), target_s=1e-3)
    text = " ".join(as_table(projection_document(report)).split())
    missed = report.lengths.points[0].latency_s["h100"].value / 1e-3
    assert f"h100: 1.00 ms at none of these lengths: {missed:.0f} times short at 4 tokens" in text
    (target,) = report.years.targets
    assert target.short.value > 1
    assert f"not within the data: {target.short.value:.0f} times short" in text


def test_the_held_back_is_the_leaders(saved_profile):
    report = estimate_all(saved_profile, load_hardware(["h100", "epyc-zen4-2"]))
    text = " ".join(as_table(estimate_document(report)).split())
    (h100,) = [one for one in report.estimates if one.hardware == "h100"]
    largest = max(h100.by_stage, key=lambda part: part.latency_s)
    assert f"Held back by {h100.bottleneck} (" in text
    assert f" in {largest.stage})" in text
    assert f"{duration(h100.critical_path_s)} at best" in text
    assert compare(report, load_hardware(["h100", "epyc-zen4-2"])).rows[0].availability

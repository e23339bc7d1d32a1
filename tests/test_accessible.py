"""Pages for everyone: no console message, no request, and no serious finding of axe-core."""

import socket

import pytest

import fhecost
from fhecost.accuracy.records import load_accuracy
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.full_report import known_accuracy, make_report
from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.library import load_hardware
from fhecost.models.shape import SHAPES
from fhecost.pipeline import compare_circuit
from fhecost.projection.bits import with_costs
from fhecost.projection.projection import project
from fhecost.report.pages import figure_page
from fhecost.report.plots import plot_of
from fhecost.report.report_page import report_page
from fhecost.validation.comparison import validate
from tests.chromium import look_at, needs_chromium
from tests.conftest import SAVED_PROFILE


def full_report():
    shape = ShapeRequest(SHAPES["gpt2"], "head", 6, 4, "fast")
    return report_page(make_report(fhecost.PredictedShape(shape), target_s=0.1))


def full_report_of_a_profile():
    return report_page(make_report(fhecost.SavedCircuit(SAVED_PROFILE)))


def estimate():
    circuit = fhecost.load_profile(SAVED_PROFILE)
    machines = load_hardware(["h100", "epyc-zen4-2", "strix"])
    return figure_page(plot_of(estimate_all(circuit, machines)))


def comparison():
    circuit = fhecost.SavedCircuit(SAVED_PROFILE)
    return figure_page(plot_of(compare_circuit(circuit, "all", sensitive=True)))


def projection():
    shape = ShapeRequest(SHAPES["gpt2"], variant="fast")
    return figure_page(plot_of(project(shape, [4, 8, 16], years=range(2023, 2036), target_s=0.1)))


def accuracy(name):
    (path,) = [path for path in known_accuracy() if path.stem == name]
    return load_accuracy(path)


def by_bits():
    return figure_page(plot_of(with_costs(accuracy("by_bits"))))


def by_head():
    return figure_page(plot_of(accuracy("by_head")))


def validation():
    return figure_page(plot_of(validate()))


@needs_chromium
def test_what_is_wrong_with_a_page_is_found(tmp_path):
    """Or the other tests would say nothing."""
    page = (
        '<!DOCTYPE html><html lang="en"><head><title>Wrong</title>'
        '<meta name="viewport" content="width=device-width"></head><body>{}</body></html>'
    )
    with socket.socket() as elsewhere:
        elsewhere.bind(("127.0.0.1", 0))
        elsewhere.listen()
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"
        wrong = f"<input style='width: 500px'><script>fetch('{address}')</script>"
        found = look_at(page.format(wrong), tmp_path, width=390, judged=True)
    assert [(rule, impact) for rule, impact, _ in found["findings"]] == [("label", "critical")]
    assert found["outside"] == [address]
    assert found["wide"] > 390
    assert found["drawn"] == []
    with pytest.raises(AssertionError, match="said by the page"):
        look_at(page.format("<script>console.log('said by the page')</script>"), tmp_path)


@needs_chromium
def test_the_report_is_for_everyone(tmp_path):
    found = look_at(full_report(), tmp_path, judged=True)
    assert found["findings"] == []


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False), (390, True)])
@pytest.mark.parametrize(
    "page",
    [
        *(full_report, full_report_of_a_profile, estimate, comparison, projection),
        *(by_bits, by_head, validation),
    ],
)
def test_every_page_is_for_everyone(page, width, dark, tmp_path):
    found = look_at(page(), tmp_path, width=width, dark=dark, judged=True)
    assert found["findings"] == []
    assert found["outside"] == []
    assert found["drawn"]
    assert all(count > 0 for count in found["drawn"])
    assert found["wide"] <= width

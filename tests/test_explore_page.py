"""The explorer in a browser: on wide and narrow screens, light and dark, by the keyboard alone."""

import json
import shlex
import signal
import time
from urllib.parse import urlsplit

import pytest

import fhecost
from fhecost.explore.address import state_of
from fhecost.explore.command import command_of
from fhecost.explore.state import make_offer
from tests.chromium import axe_faults, chromium_page, needs_chromium
from tests.test_explore import needs_dash
from tests.test_explore_server import start

pytestmark = [pytest.mark.slow, needs_chromium, needs_dash]

READY = "document.querySelectorAll('#results .js-plotly-plot .main-svg').length >= 2"
LATENCY = "document.querySelector('#closely dd.value').textContent"
COMMAND = "document.querySelector('#command pre').textContent"
SCREENS = [(width, dark) for width in (1280, 390) for dark in (False, True)]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of an explorer that runs in a process of its own."""
    running, line = start(tmp_path_factory.mktemp("explorer"), "--port", "0")
    try:
        yield line.removesuffix(": Ctrl-C ends it\n")
    finally:
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=20)
    # Nothing went wrong unseen.
    assert errors == "fhecost: interrupted\n"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with chromium_page(tmp_path_factory.mktemp("chromium")) as page:
        yield page


def opened(page, address, width=1280, dark=False):
    """The page at an address, with all that it shows drawn, and nothing said before."""
    page.console.clear()
    page.requests.clear()
    page.show(width, 900, dark)
    page.open("about:blank")
    page.open(address)
    page.wait_for(READY)
    return page


@pytest.mark.parametrize(("width", "dark"), SCREENS)
def test_on_every_screen(page, address, width, dark):
    """No console message, no request beyond this machine, nothing too wide, nothing axe minds."""
    opened(page, address, width, dark)
    assert page.value("document.documentElement.scrollWidth") <= width
    paper = page.value("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is not dark
    assert axe_faults(page) == []
    assert page.console == []
    asked = {
        urlsplit(one).netloc for one in page.requests if not one.startswith(("data:", "blob:"))
    }
    assert asked <= {urlsplit(address).netloc, ""}


def test_axe_minds_what_it_should(page, address):
    """Or the other tests would say nothing."""
    opened(page, address)
    page.value("document.getElementById('form').append(document.createElement('input')); 0")
    assert [(rule, impact) for rule, impact, _ in axe_faults(page)] == [("label", "critical")]


def test_the_page_that_is_no_address(page, address):
    page.show(390)
    page.open(f"{address}?bits=four")
    line = page.wait_for("document.querySelector('[role=alert]')?.textContent")
    assert line == "bits four: must be a whole number from 1"
    assert axe_faults(page) == []


def test_an_address_shows_what_it_says(page, address):
    query = (
        "model=gpt2&scope=head&seq-len=16&bits=3&variant=compact&heads=2"
        "&hardware=h100,strix&machine=strix&what-if=devices=4"
    )
    opened(page, f"{address}?{query}")
    for id, value in {"model": "gpt2", "scope": "head", "variant": "compact"}.items():
        assert page.value(f"document.getElementById('{id}').value") == value
    for id, value in {"seq_len": "16", "bits": "3", "heads": "2"}.items():
        assert page.value(f"document.getElementById('{id}-field').value") == value
    offer = make_offer()
    assert page.value("location.search.slice(1)") == query
    assert page.value(COMMAND) == command_of(state_of(query, offer), offer)


def test_by_the_keyboard_alone(page, address):
    """Every control is reached in its order, is named, shows that it is reached, and works."""
    opened(page, address)
    before = page.value(LATENCY)
    page.press("Tab")
    assert page.value("document.activeElement.className") == "skip"
    reached = []
    for _ in range(200):
        page.press("Tab")
        about = page.value(FOCUSED)
        if about is None or about["id"] in [one["id"] for one in reached if one["id"]]:
            break
        reached.append(about)
    ids = [one["id"] for one in reached if one["id"]]
    fields = ["model", "scope", "seq_len-field", "bits-field", "variant", "heads-field", "machine"]
    assert [id for id in ids if id in fields] == fields
    for one in reached:
        assert one["name"], one
        assert one["outline"] >= 2, one
    assert len([one for one in reached if one["type"] == "checkbox"]) == len(make_offer().machines)
    assert page.value("[...document.querySelectorAll('#form :is(input, select)')].every("
                      "one => one.type === 'checkbox' || one.id || one.ariaLabel)")  # fmt: skip

    # A range takes arrows, and everything moves.
    page.value("document.querySelector('#form [aria-label=Bits]').focus()")
    page.press("ArrowLeft", times=2)
    page.wait_for("location.search.includes('bits=2')")
    page.wait_for(f"{LATENCY} !== {json.dumps(before)}")
    # A field takes digits, and Enter.
    page.value(
        "(field => {field.focus(); field.select()})(document.getElementById('seq_len-field'))"
    )
    for digit in "12":
        page.press(digit, text=digit)
    page.press("Enter")
    page.wait_for("location.search.includes('seq-len=12')")
    # A choice takes arrows, a box the space bar.
    page.value("document.getElementById('scope').focus()")
    page.press("ArrowDown")
    page.wait_for("location.search.includes('scope=block')")
    page.wait_for("document.getElementById('variant').disabled")
    checked = "document.querySelectorAll('#hardware input:checked').length"
    more = page.value(checked) + 1
    page.value("document.querySelector('#hardware input:not(:checked)').focus()")
    page.press(" ", code="Space", text=" ")
    page.wait_for(f"{checked} === {more}")
    named = "location.search.split('hardware=')[1].split('&')[0].split(',').length"
    page.wait_for(f"{named} === {more}")
    assert page.console == []


FOCUSED = """(() => {
  const one = document.activeElement;
  if (one === document.body) return null;
  const style = getComputedStyle(one);
  return {
    id: one.id, type: one.type || one.tagName,
    name: one.labels?.[0]?.textContent || one.ariaLabel || one.textContent,
    outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
  };
})()"""


def test_dragging_a_figure_moves_the_numbers(page, address):
    opened(page, f"{address}?hardware=h100,strix&machine=strix")
    before = page.value(LATENCY)
    dial = "[...document.querySelectorAll('#figures input[type=range]')].find(" \
           "one => one.ariaLabel === 'work rate')"  # fmt: skip
    page.value(f"{dial}.focus()")
    took = []
    # Down: on the way up memory is what bounds it at last.
    for _ in range(5):
        old, begun = page.value(LATENCY), time.monotonic()
        page.press("ArrowLeft")
        page.wait_for(f"{LATENCY} !== {json.dumps(old)}")
        took.append(time.monotonic() - begun)
    after = page.value(LATENCY)
    assert after != before
    assert "what-if=work_rate_units_per_s=" in page.value("location.search")
    # What the command says is what the page shows.
    command = shlex.split(page.value(COMMAND))
    assert any(word.startswith("strix:work_rate_units_per_s=") for word in command)
    print("seconds from a key to the number:", [f"{one:.2f}" for one in took])
    # Back at its own value, nothing is set.
    page.press("ArrowRight", times=5)
    page.wait_for("!location.search.includes('what-if')")
    page.wait_for(f"{LATENCY} === {json.dumps(before)}")
    assert page.console == []


def test_another_machine_brings_its_own_figures(page, address):
    opened(page, f"{address}?hardware=h100,strix&machine=strix&what-if=devices=4")
    page.value("document.getElementById('machine').focus()")
    page.value("(one => {Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, 'value').set"
               ".call(one, 'h100'); one.dispatchEvent(new Event('change', {bubbles: true}))})"
               "(document.getElementById('machine'))")  # fmt: skip
    page.wait_for("document.querySelector('#figures h3').textContent === 'Figures of h100'")
    page.wait_for("location.search.endsWith('machine=h100')")
    assert "strix:" not in page.value(COMMAND)


def test_what_is_taken_along(page, address):
    """The links on the page give what the commands print."""
    opened(page, f"{address}?bits=3")
    links = page.value("[...document.querySelectorAll('.links a')].map(one => one.href)")
    report, as_json, as_csv, here = links
    texts = [
        page.value(f"fetch({json.dumps(link)}).then(got => got.text())")
        for link in (report, as_json, as_csv)
    ]
    assert texts[0].startswith("<!DOCTYPE html>")
    assert "fhecost report --no-compile --widths stated" in texts[0]
    made = json.loads(texts[1])
    assert made["fhecost_version"] == fhecost.__version__
    assert [row["hardware"] for row in made["rows"]] == [
        line.partition(",")[0] for line in texts[2].splitlines()[1:]
    ]
    assert here == page.value("location.href")


def test_numbers_that_there_are_not_are_one_line(page, address):
    page.console.clear()
    page.show(1280)
    page.open(f"{address}?model=gpt2&seq-len=2000")
    line = page.wait_for("document.querySelector('#closely [role=alert]')?.textContent")
    assert line == "seq-len 2000: gpt2 takes 1 to 1024"
    assert page.console == []

"""Tables that pages have by hand: what they say of machines is what these say today."""

import re

import pytest

from fhecost.circuits.profile import load_profile
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimator import estimate
from fhecost.hardware.library import find_hardware
from fhecost.models.shape import SHAPES, find_shape
from tests.conftest import ROOT

SECONDS = {
    "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "days": 86400, "years": 365.25 * 86400
}  # fmt: skip
ROUNDED = 0.05
"""Two digits are as near as that."""


def rows(page, begins):
    """The cells of a page's rows, by the first; of the table whose head begins so."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    table = text[text.index(f"\n{begins}") + 1 :].split("\n\n")[0]
    cells = [[one.strip() for one in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {first: rest for first, *rest in cells}


def seconds(cell):
    """Of a cell such as 8 min 4 s, or 31 ms (30 to 41)."""
    parts = re.findall(r"([\d.]+) (ms|s|min|h|days|years)\b", cell.split("(")[0])
    assert parts, cell
    return sum(float(value) * SECONDS[unit] for value, unit in parts)


def near(value):
    return pytest.approx(value, rel=ROUNDED)


def latency_s(profile, machine):
    return estimate(profile, find_hardware(machine)).latency_s


@pytest.mark.parametrize(
    ("row", "name", "scope", "tokens"),
    [
        ("gpt2, 1,024 tokens at once", "gpt2", "model", 1024),
        ("gpt2, one more token, cached", "gpt2", "cached-token", 1024),
        ("gpt3-175b, 2,048 tokens at once", "gpt3-175b", "model", 2048),
        ("gpt3-175b, one more token, cached", "gpt3-175b", "cached-token", 2048),
    ],
)
def test_what_whole_models_take(row, name, scope, tokens):
    pbs, _, keys, *_, time, price, _ = rows("closed_form.md", "| | PBS | PBS a token |")[row]
    profile = profile_of_shape(ShapeRequest(SHAPES[name], scope, tokens, 4))
    made = estimate(profile, find_hardware("8xh100"))
    assert float(pbs) == near(profile.pbs_count)
    assert float(keys.removesuffix(" GB")) * 1e9 == near(profile.bsk_bytes + profile.ksk_bytes)
    assert seconds(time) == near(made.latency_s)
    of_millions = 1e6 if "M$" in price else 1
    assert float(re.sub("[^0-9.]", "", price)) * of_millions == near(made.price_usd)


LLAMAS = rows("closed_form.md", "| one token of 1,024 |")


@pytest.mark.parametrize("row", LLAMAS)
def test_what_a_cached_token_of_a_llama_takes(row):
    profile = profile_of_shape(ShapeRequest(SHAPES[row.split(" (")[0]], "cached-token", 1024, 4))
    made = estimate(profile, find_hardware("8xh100"))
    assert float(LLAMAS[row][1]) == near(profile.pbs_count)
    found = (made.latency_s, made.low_s, made.high_s)
    assert [seconds(cell) for cell in LLAMAS[row][-3:]] == [near(value) for value in found]


HEAD_OF_TODAY = rows("asic.md", "| machine | kind | 2 bits:")


@pytest.mark.parametrize("machine", HEAD_OF_TODAY)
def test_what_the_head_of_today_takes(machine):
    """Of 3 bits, whose circuit is at hand."""
    circuit, said = load_profile(ROOT / "examples" / "head.json"), HEAD_OF_TODAY[machine][2]
    if said == "can't hold it":
        with pytest.raises(ImpossibleError):
            latency_s(circuit, machine)
    else:
        assert seconds(said) == near(latency_s(circuit, machine))


def test_what_the_published_head_takes_on_asics():
    table = rows("asic.md", "| machine | latency | range | what holds it back |")
    circuit = load_profile(ROOT / "examples" / "gpt2_head.json")
    for machine in ("flashtfhe", "hypothetical-asic"):
        assert seconds(table[machine][0]) == near(latency_s(circuit, machine))


def test_how_the_least_head_grows_with_the_text():
    table = rows("floor.md", "| tokens | PBS | two threads of a Zen 4 |")
    assert len(table) > 4
    for tokens, (pbs, on_zen4, on_h100) in table.items():
        request = ShapeRequest(find_shape("embedded"), "head", int(tokens), 2, variant="fast")
        profile = profile_of_shape(request)
        assert int(pbs.replace(",", "")) == profile.pbs_count
        assert seconds(on_zen4) == near(latency_s(profile, "epyc-zen4-2"))
        assert seconds(on_h100) == near(latency_s(profile, "h100"))

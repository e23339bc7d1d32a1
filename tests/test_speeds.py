"""How long commands take: what is promised holds, and what makes it hold stays so."""

import json
import math
import re
import sys

import numpy as np
import pytest
from scipy.special import stdtrit

from fhecost.accuracy.intervals import CONFIDENCE, _variance, ratio_interval
from fhecost.closed_form import search_space as spaces
from fhecost.gpt2.head_circuit import _KNOWN, FloatHeads, HeadRequest, locate
from fhecost.gpt2.kept_floats import KeptArray
from fhecost.heads.attention_head import causal_mask, probabilities_of
from fhecost.heads.blocks import block_diagonal, hadamard
from fhecost.projection.trend_fit import line_through
from tests.conftest import ROOT, load_script


@pytest.fixture(scope="module")
def stopwatch():
    return load_script(ROOT / "experiments" / "speeds" / "measure.py", "stopwatch")


def test_what_was_measured_is_within_what_is_promised(stopwatch):
    content = json.loads(stopwatch.RESULTS.read_text())
    speeds = {one["command"]: stopwatch.Speed(**one) for one in content["speeds"]}
    assert set(speeds) <= {one.command for one in stopwatch.COMMANDS}
    promised = [one for one in stopwatch.COMMANDS if one.cold_within_s or one.warm_within_s]
    assert len(promised) >= 8
    for one in promised:
        found = speeds[one.command]
        assert one.cold_within_s is None or found.cold_s <= one.cold_within_s, found
        assert one.warm_within_s is None or found.warm_s <= one.warm_within_s, found
    page = stopwatch.page(list(speeds.values()), content["machine"])
    assert stopwatch.PAGE.read_text(encoding="utf-8") == page


def test_the_stopwatch_counts_what_a_command_starts(stopwatch, tmp_path):
    work = f"{sys.executable} -c 'sum(range(3_000_000))'"
    one = stopwatch.cpu_seconds(work, tmp_path, {})
    three = stopwatch.cpu_seconds(f"({work} & {work} & {work} & wait)", tmp_path, {})
    assert three > 1.5 * one > 0
    with pytest.raises(SystemExit, match="no-such-command"):
        stopwatch.cpu_seconds("no-such-command", tmp_path, {})


def test_the_space_of_sets_is_made_once():
    assert spaces.search_space() is spaces.search_space(128) is spaces.search_space(security=128)


def same(one, other):
    """Whether two arrays are equal to the bit, and lie alike in memory."""
    if one is None or other is None:
        return one is other
    alike = one.flags.c_contiguous == other.flags.c_contiguous
    return alike and one.dtype == other.dtype and np.array_equal(one, other)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_kept_to_the_bit(order):
    wide = np.asarray(np.random.default_rng(0).normal(size=(3, 5)), order=order)
    narrow = np.asarray(wide.astype(np.float32).astype(float), order=order)
    for array, kind in ((wide, "<f8"), (narrow, "<f4"), (wide[0].copy(), "<f8")):
        kept = KeptArray.of(array)
        assert kept.kind == kind
        assert same(kept.array(), array)


def test_what_calibration_takes_from_a_model_is_kept(monkeypatch, tmp_path):
    pytest.importorskip("torch", reason="needs the extra [gpt2]")
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path))
    located = locate(HeadRequest(heads=(0, 2), seq_len=3))
    _KNOWN.clear()
    made = FloatHeads.at(located)
    _KNOWN.clear()
    monkeypatch.setattr("fhecost.gpt2.head_circuit.load_gpt2", lambda _: pytest.fail("loaded"))
    kept = FloatHeads.at(located)
    assert same(kept.calibration, made.calibration)
    assert same(kept.text, made.text)
    for one, other in zip(kept.weights, made.weights, strict=True):
        assert one.layer_weight_magnitude == other.layer_weight_magnitude
        assert (one.score_scale, one.of_layer) == (other.score_scale, other.of_layer)
        assert (one.rotary is None) == (other.rotary is None)
        for name in ("weight", "bias", "output_weight", "output_bias"):
            assert same(getattr(one, name), getattr(other, name)), name
    _KNOWN.clear()
    with pytest.raises(pytest.fail.Exception, match="loaded"):
        FloatHeads.at(locate(HeadRequest(heads=(0, 2), seq_len=3, text="Another text, please.")))


def test_another_width_needs_no_torch(run_fhecost):
    """The command may not import it, nor SciPy, though its circuit is new."""
    pytest.importorskip("torch", reason="needs the extra [gpt2]")
    _KNOWN.clear()
    FloatHeads.at(locate(HeadRequest(seq_len=2)))
    told = run_fhecost(
        "estimate", "--no-compile", "--bits", "3", "--seq-len", "2",
        environment={"PYTHONVERBOSE": "1"},
    )  # fmt: skip
    assert told.returncode == 0
    assert not re.search(r"import '(torch|transformers|scipy)'", told.stderr)
    assert "import 'fhecost.closed_form" in told.stderr


def test_blocks_are_those_of_scipy():
    """Which isn't loaded for them."""
    linalg = pytest.importorskip("scipy.linalg")
    for size in (1, 2, 64, 256):
        assert np.array_equal(hadamard(size), linalg.hadamard(size))
    parts = [np.random.default_rng(0).normal(size=size) for size in ((3, 2), (1, 4), (5, 5))]
    assert np.array_equal(block_diagonal(*parts), linalg.block_diag(*parts))


def test_a_softmax_is_that_of_scipy():
    """To the bit, masked scores and all."""
    softmax = pytest.importorskip("scipy.special").softmax
    scores = 9 * np.random.default_rng(0).normal(size=(3, 8, 8))
    scores = np.where(causal_mask(8), scores, -np.inf)
    assert np.array_equal(probabilities_of(scores), softmax(scores, axis=-1))


def test_reaches_of_intervals_are_those_of_scipy():
    """To the bit, and scipy.stats isn't loaded for them."""
    student = pytest.importorskip("scipy.stats").t
    degrees = np.arange(1, 400)
    for share in ((1 + CONFIDENCE) / 2, 0.95):
        assert np.array_equal(stdtrit(degrees, share), student.ppf(share, degrees))
    below = [2.0, 3.0, 5.0]
    low, high = ratio_interval([1.0, 2.0, 2.5], below)
    half = math.sqrt(_variance([1.0, 2.0, 2.5], below)) * student.ppf((1 + CONFIDENCE) / 2, 2)
    assert (high - low) / 2 == pytest.approx(half)


@pytest.mark.parametrize("count", [2, 3, 9])
def test_a_line_is_that_of_scipy(count):
    """To the bit, and scipy.stats isn't loaded for it."""
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(count)
    x, y = rng.normal(2020, 3, count), rng.normal(size=count)
    theirs, ours = stats.linregress(x, y), line_through(x, y)
    assert ours == (theirs.slope, theirs.intercept, theirs.stderr)
    flat = line_through(x, np.ones(count))
    assert (flat.slope, flat.intercept, flat.stderr) == (0.0, 1.0, 0.0)

"""The quantized softmaxes on real scores of GPT-2 124M, against its own softmax."""

import re
from pathlib import Path

import numpy as np
import pytest

from experiments.softmax.real_scores import VARIANTS, measure, read_prompts, row_variation
from fhecost.heads.attention_head import causal_mask

WIDTHS = range(2, 9)
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def prompts(gpt2_124m):
    return read_prompts(gpt2_124m)


@pytest.fixture(scope="module")
def errors(prompts):
    return {
        (name, bits): measure(prompts, make, bits)
        for name, make in VARIANTS.items()
        for bits in WIDTHS
    }


def test_variation_of_a_row_of_zeros_is_one():
    exact = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    got = np.array([[0.0, 0.0], [1.0, 0.5], [0.75, 0.25]])
    assert row_variation(got, exact).tolist() == [1.0, 0.5, 0.25]


def test_stored_scores_and_stored_softmax_belong_together(prompts):
    for prompt in prompts:
        lower = causal_mask(prompt.scores.shape[-1])
        masked = np.where(lower, prompt.scores, -np.inf)
        exponentials = np.exp(masked - masked.max(axis=-1, keepdims=True))
        exact = exponentials / exponentials.sum(axis=-1, keepdims=True)
        assert np.abs(exact - prompt.softmax).max() < 1e-6


@pytest.mark.parametrize("name", VARIANTS)
def test_errors_fall_with_every_bit(errors, name):
    for measure_of in ("mean", "row_mean"):
        falling = [getattr(errors[name, bits], measure_of) for bits in WIDTHS]
        assert falling == sorted(falling, reverse=True)
        assert falling[-1] < falling[0] / 8


@pytest.mark.parametrize("bits", WIDTHS)
def test_compact_is_nearer_than_reference(errors, bits):
    """On average and at the 95th percentile, with its wider exponential and without it."""
    reference = errors["reference", bits]
    for name in ("compact", "compact, one bit less"):
        for measure_of in ("mean", "p95", "row_mean", "row_p95"):
            assert getattr(errors[name, bits], measure_of) < getattr(reference, measure_of)


@pytest.mark.parametrize(
    ("bits", "reference", "compact"),
    [(2, 0.152, 0.040), (3, 0.076, 0.026), (4, 0.039, 0.018), (6, 0.014, 0.008), (8, 0.008, 0.004)],
)
def test_mean_errors_are_the_documented_ones(errors, bits, reference, compact):
    assert errors["reference", bits].mean == pytest.approx(reference, abs=6e-4)
    assert errors["compact", bits].mean == pytest.approx(compact, abs=6e-4)


def test_the_price_of_no_maximum_is_rows_without_weight(errors, prompts):
    """From 3 bits on only the compact softmax has such rows, and only three heads have them."""
    for bits in range(3, 9):
        assert errors["reference", bits].empty == 0
        assert 0 < errors["compact", bits].empty < 0.015
        assert errors["compact", bits].row_worst == pytest.approx(1)
    assert errors["reference", 2].empty > 0.25
    with_them = (1, 5, 4 * 12 + 11)
    others = [head for head in range(144) if head not in with_them]
    assert measure(prompts, VARIANTS["compact"], 4, others).empty == 0


def test_masked_tokens_keep_weight_in_the_reference_alone(prompts):
    judged, others = prompts[0], prompts[1:]
    upper = ~causal_mask(judged.scores.shape[-1])
    leaks = dict.fromkeys(("reference", "compact"), 0)
    for head, scores in enumerate(judged.scores):
        calibration = np.stack([prompt.scores[head, :6, :6] for prompt in others])
        for name in leaks:
            leaks[name] += bool(np.any(VARIANTS[name](calibration, 8)(scores)[upper]))
    assert leaks["reference"] > 50
    assert leaks["compact"] == 0


def test_the_document_holds_what_is_measured(errors):
    text = (ROOT / "docs" / "softmax.md").read_text()
    for (name, bits), measured in errors.items():
        row = re.search(rf"^\| {bits} \| {re.escape(name)} \| (.+) \|$", text, re.MULTILINE)
        assert row is not None
        stated = [float(cell.strip(" %")) for cell in row[1].split("|")]
        of_rows = [measured.row_mean, measured.row_p95, measured.row_worst, 100 * measured.empty]
        assert stated == pytest.approx([measured.mean, measured.p95, *of_rows], abs=0.051)
        assert stated[:5] == pytest.approx([measured.mean, measured.p95, *of_rows[:3]], abs=6e-5)

"""Accuracy: the arithmetic of agreement, the goals on the embedded model, and the command."""

import json
import os
import signal
from functools import reduce
from operator import add

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhecost.accuracy.agreement import Said, compare
from fhecost.accuracy.intervals import ratio_interval, share_interval, wilson_interval
from fhecost.accuracy.judge import Setting
from fhecost.accuracy.published import ALL_HEADS, SINGLE_HEAD
from fhecost.accuracy.records import AccuracyReport
from fhecost.accuracy.sweep import evaluation_sentences, measure_accuracy, read_sentences
from fhecost.errors import UsageError
from fhecost.gpt2.head_circuit import HeadRequest, profile_heads
from fhecost.gpt2.model import calibration_sentences
from fhecost.schemas import schema_path

pytest.importorskip("transformers", reason="needs the extra [gpt2]")


def compared(exact, other, tokens):
    """The agreement of logits of shape (L, vocabulary)."""
    off = float(((exact - other) ** 2).mean(axis=-1).sum())
    return compare(Said.by(exact, tokens), other, tokens, off)


def test_a_position_is_kept_when_the_float_choice_is_among_the_best_k():
    exact = np.array([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    other = np.array([[1.0, 3.0, 2.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    agreement = compared(exact, other, np.array([0, 3]))
    assert agreement.positions == 2
    assert agreement.kept.tolist() == [1, 2, 2]
    assert agreement.share(1) == 0.5
    assert agreement.logit_rmse == pytest.approx(np.sqrt((4 + 1 + 1) / 4 / 2))
    odds = np.exp(exact[0]) / np.exp(exact[0]).sum()
    assert agreement.float_perplexity == pytest.approx(1 / odds[3])
    assert agreement.predictions == 1


def test_wilsons_interval_of_a_known_case():
    """81 of 263: Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    low, high = wilson_interval(81, 263)
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@given(trials=st.integers(1, 10_000), data=st.data())
def test_an_interval_holds_its_share(trials, data):
    successes = data.draw(st.integers(0, trials))
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= high <= 1


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_interval_of_sentences_holds_their_share_and_is_no_narrower(sentences):
    positions = [count for count, _ in sentences]
    kept = [round(count * share) for count, share in sentences]
    low, high = share_interval(kept, positions)
    assert 0 <= low <= sum(kept) / sum(positions) <= high <= 1
    alone = wilson_interval(sum(kept), sum(positions))
    assert high - low >= alone[1] - alone[0] - 1e-9


def test_sentences_are_drawn_as_wholes():
    """In ten sentences kept and ten lost, 32 positions each say no more than one would."""
    kept, positions = [32, 0] * 10, [32] * 20
    assert share_interval(kept, positions) == pytest.approx(share_interval([1, 0] * 10, [1] * 20))
    assert share_interval([16] * 20, positions) == pytest.approx(
        wilson_interval(320, 640, reach=2.093), abs=1e-4
    )


def test_the_interval_of_a_mean_is_students():
    """Of sentences of equal length: mean and t times the standard error."""
    values = [3.0, 5.0, 4.0, 8.0]
    low, high = ratio_interval(values, [1] * 4)
    half = 3.1824 * np.std(values, ddof=1) / 2
    assert (low, high) == pytest.approx((5 - half, 5 + half), rel=1e-4)
    assert ratio_interval([3.0], [1]) is None


@given(st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=5))
def test_parts_add_up_to_the_whole(seeds):
    parts = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        logits = rng.standard_normal((2, 6, 20))
        parts.append(compared(logits[0], logits[1], rng.integers(0, 20, 6)))
    whole = reduce(add, parts)
    assert whole.positions == 6 * len(seeds)
    assert whole.share(5) == pytest.approx(np.mean([part.share(5) for part in parts]))
    assert whole.share(1) <= whole.share(5) <= whole.share(10)


def test_no_judged_sentence_is_one_of_calibration():
    judged, calibration = evaluation_sentences(), calibration_sentences("llama")
    assert len(calibration) == len(set(calibration)) > len(calibration_sentences())
    assert len(judged) >= 80
    assert len(set(judged)) == len(judged)
    assert not set(judged) & set(calibration)


def test_published_shares_are_those_of_the_facts(facts):
    published = json.loads((facts / "reference_head.json").read_text())["published"]
    for name, shares in (("single_head", SINGLE_HEAD), ("multi_head", ALL_HEADS)):
        for k in (1, 5):
            stated = published[f"{name}_top{k}_by_bits"]
            assert shares[k] == {bits: stated[str(bits)] for bits in shares[k]}


@pytest.fixture(scope="module")
def goals():
    """Layer 0 of the embedded model at 4 and 6 bits, in the clear and simulated."""
    return {
        mode: measure_accuracy(
            heads=heads, bits=[4, 6], seq_lens=seq_lens, variant="compact", mode=mode
        )
        for mode, seq_lens, heads in (
            ("disable", [16, 32], [0, 1, 2, 3, "all"]),
            ("simulate", [8], [0, "all"]),
        )
    }


@pytest.mark.parametrize(("mode", "seq_len"), [("disable", 16), ("disable", 32), ("simulate", 8)])
def test_quantized_heads_keep_what_the_goals_ask(goals, mode, seq_len):
    shares = {(row.heads, row.bits): row.top1 for row in goals[mode].rows if row.seq_len == seq_len}
    assert shares["0", 4] >= 0.97
    assert shares["0, 1, 2, 3", 4] >= 0.90
    assert shares["0, 1, 2, 3", 6] >= 0.98


def test_simulation_at_the_default_p_error_is_the_clear_result(goals):
    for row in goals["simulate"].rows:
        assert row.expected_wrong_lookups < 0.01
        assert row.wrong_values == row.wrong_sentences == row.exceeded == 0
        assert row.lookups == row.pbs_count * row.sentences


def test_more_bits_keep_more(goals):
    shares = {(row.heads, row.bits, row.seq_len): row.top1 for row in goals["disable"].rows}
    for (heads, bits, seq_len), share in shares.items():
        if bits == 4:
            assert share < shares[heads, 6, seq_len]


def test_a_killed_run_goes_on_where_it_stopped(monkeypatch):
    asked = {"heads": [1], "seq_lens": [4], "processes": 1}
    first = measure_accuracy(bits=[3], **asked)
    judged = []
    monkeypatch.setattr(
        "fhecost.accuracy.sweep.judge",
        lambda _model, _sentences, setting, _variant: judged.append(setting) or first.rows[0],
    )
    report = measure_accuracy(bits=[3, 4], **asked)
    assert judged == [Setting(0, (1,), 4, 4, "disable", "fast")]
    assert report.rows[0] == first.rows[0]


def test_a_damaged_row_is_judged_again(monkeypatch, tmp_path):
    """One bad byte stopped every later run; a changed share was believed."""
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path))
    asked = {"heads": [1], "seq_lens": [4], "bits": [3], "processes": 1}
    first = measure_accuracy(**asked)
    (path,) = (tmp_path / "accuracy").iterdir()
    whole = path.read_bytes()
    for damaged in (
        whole.replace(b'"top1":', b'"top1"\xff:'),
        whole.replace(b'"top1":0', b'"top1":1'),
    ):
        assert damaged != whole
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="cache entry not used, made anew"):
            assert measure_accuracy(**asked) == first
        assert path.read_bytes() == whole


def test_a_killed_worker_costs_its_own_row_alone(monkeypatch, tmp_path):
    """As a system out of memory kills it."""
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path))
    first = measure_accuracy(heads=[1], seq_lens=[4], bits=[3], processes=1)

    def killed(_model, _sentences, setting, _variant):
        if setting.bits == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return first.rows[0].changed(bits=setting.bits)

    monkeypatch.setattr("fhecost.accuracy.sweep.judge", killed)
    report = measure_accuracy(heads=[1], seq_lens=[4], bits=[3, 4, 5, 6], processes=2)
    assert [row.bits for row in report.rows] == [3, 4, 6]
    assert report.refusals == (
        "layer 0 heads 1, 5 bits, L=4: its process was killed (SIGKILL), perhaps for its memory",
    )
    assert len(list((tmp_path / "accuracy").iterdir())) == 3


def test_the_command_writes_rows_and_figures(run_fhecost, tmp_path):
    finished = run_fhecost(
        "accuracy", "--bits", "3,4", "--seq-len", "4,6", "--heads", "0",
        "--plot", "page.html", "--format", "json",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    content = json.loads(finished.stdout)
    jsonschema.validate(content, json.loads(schema_path("accuracy").read_text()))
    report = AccuracyReport.model_validate(content)
    assert [(row.seq_len, row.bits) for row in report.rows] == [(4, 3), (4, 4), (6, 3), (6, 4)]
    page = (tmp_path / "page.html").read_text()
    assert "published of GPT-2 124M" in page
    assert "<script src=" not in page
    table = run_fhecost("accuracy", "--bits", "3,4", "--seq-len", "4,6", "--heads", "0")
    assert max(map(len, table.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bits", "four"), "--bits four: must be numbers with commas"),
        (("--bits", "9"), "--bits 9: must be from 2 to 8"),
        (("--heads", "4"), "--heads 4: the layer has heads 0 to 3"),
        (("--heads", "first"), "--heads first: must be numbers such as 0,2, or all"),
        (("--layer", "7"), "--layer 7: the model has layers 0 to 3"),
        (("--seq-len", "1000"), "--seq-len 1000: must be from 2 to 256"),
        (("--variant", "tiny"), "--variant tiny: unknown"),
        (("--sentences", "none.txt"), "none.txt: can't be read"),
        (("--sweep-heads", "--heads", "0"), "--heads: --sweep-heads takes every one"),
        (("--plot", "missing/page.html"), "there is no folder missing"),
    ],
)
def test_bad_input_is_one_line(run_fhecost, arguments, message):
    finished = run_fhecost("accuracy", *arguments)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1


def test_a_calibration_sentence_cant_judge(tmp_path):
    path = tmp_path / "sentences.txt"
    path.write_text(f"Something new.\n{calibration_sentences()[3]}\n")
    with pytest.raises(UsageError, match="calibrated on one of its lines"):
        read_sentences(path)


def test_the_judged_circuit_is_the_estimated_one(goals):
    """Same operators, same widths: as many lookups, of the same error probability."""
    rows = {(row.heads, row.bits): row for row in goals["simulate"].rows}
    for bits in (4, 6):
        request = HeadRequest(seq_len=8, bits=bits, variant="compact")
        profile = profile_heads(request)
        assert rows["0", bits].pbs_count == profile.pbs_count
        assert rows["0", bits].p_error == profile.p_error
        assert rows["0", bits].global_p_error == profile.global_p_error


def test_a_sweep_shows_every_head_of_every_layer(run_fhecost, tmp_path):
    (tmp_path / "sentences.txt").write_text("The rain had stopped before we reached the farm.\n")
    finished = run_fhecost(
        "accuracy", "--sweep-heads", "--bits", "4", "--seq-len", "4",
        "--sentences", "sentences.txt", "--plot", "map.html", "--format", "json",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    rows = json.loads(finished.stdout)["rows"]
    assert {(row["layer"], row["heads"]) for row in rows} == {
        (layer, str(head)) for layer in range(4) for head in range(4)
    }
    page = (tmp_path / "map.html").read_text()
    assert "Top-1 by layer and head, 4 bits, L=4" in page
    assert '"type":"heatmap"' in page

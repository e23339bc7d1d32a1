"""What heads that turn are fitted by: columns of scores and values, levelled keys, spare codes."""

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from fhecost.heads.attention_head import AttentionHead, attend
from fhecost.heads.attention_head import scores_of as head_scores
from fhecost.heads.compact import quantize_with
from fhecost.heads.compact_attention import quantize_compact_attention
from fhecost.heads.compact_circuit import HeadRun
from fhecost.heads.fast import MORE_COLUMNS, SHIPPED, fast_setting
from fhecost.heads.head_columns import levelling
from fhecost.heads.low_rank import levelling_key, output_directions
from fhecost.heads.operators import ClearOperators
from fhecost.heads.pairs import Pairs
from fhecost.heads.rotary import Rotary
from fhecost.heads.score_columns import fitted_scores

SENTENCES, LENGTH, WIDTH, D = 24, 8, 48, 8


def turning_head(rng, scale=0.3):
    weight = scale * rng.standard_normal((WIDTH, 3 * D))
    return AttentionHead(
        weight=weight,
        bias=np.zeros(3 * D),
        layer_weight_magnitude=float(np.abs(weight).max()),
        output_weight=rng.standard_normal((D, WIDTH)),
        rotary=Rotary(1 / 100 ** (np.arange(0, D, 2) / D)),
        of_layer=6,
    )


def hidden_states(rng, first=0.0):
    """Of sentences whose first token is ``first`` away from all others."""
    hidden = rng.standard_normal((SENTENCES, LENGTH, WIDTH))
    hidden[:, 0] = 0.05 * hidden[:, 0] + first * rng.standard_normal(WIDTH)
    return hidden


def scores_of(rng):
    query, key = rng.standard_normal((2, SENTENCES, LENGTH, D))
    mask = np.tril(np.ones((LENGTH, LENGTH), dtype=bool))
    scores = np.where(mask, query @ key.swapaxes(1, 2) / np.sqrt(D), -np.inf)
    return query, key, softmax(scores, axis=-1), rng.standard_normal((SENTENCES, LENGTH, WIDTH))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_all_columns_keep_all_scores(seed):
    rng = np.random.default_rng(seed)
    query, key, probabilities, values = scores_of(rng)
    left, right = fitted_scores(query, key, probabilities, values, D)
    assert np.allclose(left @ right.T, np.eye(D), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_few_columns_keep_what_moves_the_output(seed):
    """Scores that matter are of rank 2; larger ones between tokens of equal values don't matter."""
    rng = np.random.default_rng(seed)
    query, key, _, values = scores_of(rng)
    key[..., 2:] *= 20
    # Columns beyond the second say the same of all keys of a row.
    key[..., 2:] = key[:, :1, 2:]
    mask = np.tril(np.ones((LENGTH, LENGTH), dtype=bool))

    def attended(scores):
        return softmax(np.where(mask, scores / np.sqrt(D), -np.inf), axis=-1)

    probabilities = attended(query @ key.swapaxes(1, 2))
    left, right = fitted_scores(query, key, probabilities, values, 2)
    kept = attended(query @ left @ (key @ right).swapaxes(1, 2))
    assert np.abs(kept - probabilities).max() < 0.02


def test_values_go_through_what_the_projection_reads():
    """Directions that the output projection drops get no column, however large they are."""
    rng = np.random.default_rng(1)
    attended = rng.standard_normal((400, D)) * np.where(np.arange(D) < 4, 100.0, 1.0)
    projection = np.zeros((D, WIDTH))
    projection[4:] = rng.standard_normal((4, WIDTH))
    kept, back = output_directions(attended, projection, 4)
    assert np.allclose(attended @ kept @ back @ projection, attended @ projection, atol=1e-4)


def test_levelled_keys_level_the_highest_scores():
    rng = np.random.default_rng(2)
    query, wanted = rng.standard_normal((500, D)), rng.standard_normal(D)
    key = levelling_key(query, query @ wanted + 3)
    assert key == pytest.approx(wanted, rel=0.05, abs=0.05)


def error_of(head, hidden, n_bits, **changed):
    setting, rules = fast_setting(n_bits, turns=True)
    heads = quantize_with([head], hidden, [replace(setting, **changed)], n_bits, rules)
    given = [heads.quantize_input(one) for one in hidden]
    values = np.stack(
        [heads.dequantize_output(heads.run(one, ClearOperators()))[0] for one in given]
    )
    exact = attend(head, hidden)
    return np.linalg.norm(values - exact) / np.linalg.norm(exact - exact.mean(axis=(0, 1))), heads


@pytest.mark.parametrize("seed", range(4))
def test_a_first_token_that_is_far_from_all_others_costs_no_accuracy(seed):
    """It has a mean of its own, and its query no part: the others' integers needn't reach it."""
    head = turning_head(np.random.default_rng(seed), scale=0.1)
    near = hidden_states(np.random.default_rng(10 + seed))
    far = hidden_states(np.random.default_rng(10 + seed), first=3.0)
    # Values don't see where it is, so that those of both are as large.
    away = far[:, 0].mean(axis=0)
    weight = head.weight.copy()
    weight[:, 2 * D :] -= np.outer(away, away @ weight[:, 2 * D :]) / (away @ away)
    head = replace(head, weight=weight)
    error, heads = error_of(head, far, 4)
    assert error < 1.5 * error_of(head, near, 4)[0]
    assert heads.mean.shape == (2, WIDTH)


def test_levelled_keys_level_the_rows_behind_the_first():
    """They attend to the first token, some more than others."""
    rng = np.random.default_rng(9)
    head = turning_head(rng)
    query, key, value = rng.standard_normal((3, SENTENCES, LENGTH, D))
    direction = rng.standard_normal(D)
    query, key[:, 0] = query + 2 * direction, key[:, 0] / 4 + 5 * direction
    # Its own query says nothing.
    query[:, 0] *= 100
    columns = np.concatenate((query, key, value), axis=-1)
    query, key, value = np.split(columns - levelling(head, columns, D), 3, axis=-1)

    def spread(keys):
        return head_scores(head, query, keys)[:, 1:].max(axis=-1).std()

    assert spread(key) < spread(columns[..., D : 2 * D]) / 5


def with_low_own_scores(rng):
    """A head, and a first token whose query is turned away from its key by a channel of its own."""
    head, hidden = turning_head(rng, scale=0.1), rng.standard_normal((SENTENCES, LENGTH, WIDTH))
    hidden[..., 0] = 0
    hidden[:, 0, 0] = np.linspace(-6, 6, SENTENCES)
    weight = head.weight.copy()
    weight[0], weight[0, 0], weight[0, D] = 0, 1, -1
    head = replace(head, weight=weight)
    query, key, _ = np.split(head.projected(hidden), 3, axis=-1)
    assert head_scores(head, query, key)[:, 0, 0].min() < -10
    return head, hidden


@pytest.mark.parametrize("changed", [{}, {"exact": True}])
def test_the_first_token_keeps_its_row_however_low_its_own_score_is(changed):
    """It attends to itself alone; as low as its score, the exponential would be nothing."""
    rng = np.random.default_rng(8)
    head, hidden = with_low_own_scores(rng)
    _, heads = error_of(head, hidden, 4, **changed)
    (one,) = heads.heads
    # The second half is none that it was calibrated on.
    for states in np.concatenate((hidden, 2 * hidden)):
        integers = heads.run(heads.quantize_input(states), ClearOperators())
        assert integers[0, one.value_rank] == one.largest_exponential
    # Of tokens behind others none is alone.
    assert HeadRun(one, ClearOperators(), Pairs(2, 3), 60, 60).is_alone is False


def test_the_first_token_keeps_its_row_behind_a_projection():
    rng = np.random.default_rng(8)
    head, hidden = with_low_own_scores(rng)
    layer = [replace(head, output_bias=np.zeros(WIDTH))] * 6
    attention = quantize_compact_attention(layer, hidden, 6)
    exact = 6 * attend(head, hidden)[:, 0] @ head.output_weight
    given = [
        attention.dequantize_output(
            attention.run(attention.quantize_input(states), ClearOperators())
        )
        for states in hidden
    ]
    off = np.stack(given)[:, 0, 0] - exact
    assert np.linalg.norm(off) < 0.2 * np.linalg.norm(exact - exact.mean(axis=0))


class Recording(ClearOperators):
    """Clear operators that keep what lookups return, by stage."""

    def __init__(self):
        super().__init__()
        self.found = defaultdict(list)

    @contextmanager
    def tag(self, name):
        self.stage = name
        yield

    def lookup(self, values, table, bounds=None):
        result = super().lookup(values, table, bounds)
        self.found[self.stage].append(result)
        return result


def test_exponentials_and_values_leave_the_ends_of_their_types_alone():
    """What a lookup reads beyond an end comes out as the negated other end."""
    rng = np.random.default_rng(5)
    head, hidden = turning_head(rng, scale=0.8), hidden_states(rng)
    _, heads = error_of(head, hidden, 4)
    one, seen = heads.heads[0], Recording()
    totals = []
    for states in hidden:
        integers = heads.run(heads.quantize_input(states), seen)
        totals.append(integers[:, one.value_rank])
    exponentials = np.stack(seen.found["softmax.exponential"])
    assert exponentials.min() == 1
    assert exponentials.max() == 2**one.exponential_bits - 2
    assert np.stack(seen.found["value.requantize"]).min() >= 1
    # Sums are those of what the raised integers stand for.
    ends = np.cumsum(np.arange(1, LENGTH + 1))
    rows = np.split(exponentials - 1, ends[:-1], axis=1)
    assert np.array_equal(totals, np.stack([row.sum(axis=1) for row in rows], axis=1))


def test_wider_heads_that_turn_have_more_columns():
    assert fast_setting(4, turns=True) == SHIPPED[4] == fast_setting(4)
    for bits, (score_rank, value_rank) in MORE_COLUMNS.items():
        setting, _ = fast_setting(bits, turns=True)
        assert (setting.score_rank, setting.value_rank) == (score_rank, value_rank)
    errors = [
        error_of(
            turning_head(np.random.default_rng(6)), hidden_states(np.random.default_rng(7)), n
        )[0]
        for n in (3, 4, 6, 8)
    ]
    assert errors == sorted(errors, reverse=True)

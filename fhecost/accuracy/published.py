"""The accuracy that the published example states, to be drawn beside one's own."""

from __future__ import annotations

from collections.abc import Mapping

MODEL = "gpt2"
"""The shape of the model that the published shares are of."""

SOURCE = (
    "published: Zama's quantized GPT-2 124M example for Concrete, layer 0, clear quantized model, "
    "79 sentences, 1,570 tokens"
)

SINGLE_HEAD: Mapping[int, Mapping[int, float]] = {
    1: {2: 0.7217, 3: 0.7217, 4: 0.9586, 5: 0.9561, 6: 0.9783, 7: 0.9854, 8: 0.9949},
    5: {2: 0.9153, 3: 0.9153, 4: 0.9987, 5: 0.9994, 6: 1.0, 7: 1.0, 8: 1.0},
}
"""By k, then by bits: share of positions whose float top-1 token is in the quantized top k."""

ALL_HEADS: Mapping[int, Mapping[int, float]] = {
    1: {2: 0.5051, 3: 0.3299, 4: 0.3446, 5: 0.6299, 6: 0.5554, 7: 0.8083, 8: 0.9293},
    5: {2: 0.8102, 3: 0.6662, 4: 0.6025, 5: 0.8446, 6: 0.7732, 7: 0.9815, 8: 0.9994},
}
"""As :data:`SINGLE_HEAD`, for all 12 heads with their output projection."""

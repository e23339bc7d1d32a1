"""Quantized heads survive a file, and only fit the model that they were made of."""

import json

import numpy as np
import pytest

import fhecost
from fhecost.errors import UsageError
from tests.conftest import attend_quantized

pytest.importorskip("transformers", reason="needs the extra [gpt2]")


@pytest.mark.parametrize("variant", ["compact", "reference"])
def test_saved_heads_are_the_same_heads(variant, tmp_path):
    path = tmp_path / "heads.json"
    options = {"n_bits": 4, "heads": (1, 3), "variant": variant, "calibration_length": 6}
    made = fhecost.MultiHeadsQGPT2Model.from_pretrained(**options)
    made.save_quantization(path)
    read = fhecost.MultiHeadsQGPT2Model.from_pretrained(**options, quantization=path)
    hidden = made.gpt2.hidden_states([[5, 6, 7, 8, 9, 10]], 0)[0]
    ours, theirs = (attend_quantized(model.quantized, hidden) for model in (made, read))
    assert np.array_equal(ours, theirs)


def test_heads_of_something_else_are_refused(tmp_path):
    path = tmp_path / "heads.json"
    fhecost.SingleHeadQGPT2Model.from_pretrained(heads=(1,)).save_quantization(path)
    with pytest.raises(UsageError, match=r"about.heads: the heads were made for \[1\], not \[2\]"):
        fhecost.SingleHeadQGPT2Model.from_pretrained(heads=(2,), quantization=path)
    content = json.loads(path.read_text())
    del content["heads"]["heads"]
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="not quantized heads"):
        fhecost.SingleHeadQGPT2Model.from_pretrained(heads=(1,), quantization=path)
    path.write_text("[]")
    with pytest.raises(UsageError, match="schema_version"):
        fhecost.SingleHeadQGPT2Model.from_pretrained(heads=(1,), quantization=path)

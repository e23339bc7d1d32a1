"""Any model folder, any configuration: a right number, or one line that says what is wrong."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from fhecost.cli import main
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.gpt2.model import load_gpt2
from fhecost.models.configuration import SPELLINGS
from fhecost.models.llama_configuration import LLAMA_TYPES
from fhecost.models.model_shape import ModelShape
from tests.damaged_models import config_case, folder_case

ASKED = ("--seq-len", "4", "--bits", "4", "--hardware", "h100", "--format", "json")
TEXT = " The captain said that the wind would change."


def run(capfd, *arguments):
    """The exit status, what is printed, and the lines on stderr."""
    status = 0
    try:
        main([*map(str, arguments)])
    except SystemExit as stop:
        status = stop.code
    printed = capfd.readouterr()
    return status, printed.out, printed.err.splitlines()


def assert_one_line(case, status, out, lines):
    said = f"{case.done}: {status} {lines}"
    assert status in (1, 2), said
    assert out == "", said
    assert len(lines) == 1, said
    assert lines[0].startswith("fhecost: "), said
    assert len(lines[0]) < 1000, said
    assert "unexpected " not in lines[0].replace("an unexpected", ""), said
    # What is wrong, by the file, the field or the option.
    named = (str(case.path), case.path.stem, "--", "at 4 bits the head's")
    assert any(name in lines[0] for name in named), said


def shape_by_transformers(path):
    """What transformers reads in a configuration of a family that is known."""
    from transformers import AutoConfig, GPT2Config

    content = json.loads(path.read_text(encoding="utf-8-sig"))
    if content.get("model_type") in LLAMA_TYPES:
        config = AutoConfig.for_model(**content)
        return ModelShape(
            name=path.parent.name,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            dimension=getattr(config, "head_dim", config.hidden_size // config.num_attention_heads),
            width=config.hidden_size,
            inner=config.intermediate_size,
            vocabulary=config.vocab_size,
            context=config.max_position_embeddings,
            reference="",
            family="llama",
        )
    # Spellings that transformers doesn't know, and a file without a type, mean what they say.
    for name, others in SPELLINGS.items():
        for other in others:
            if content.get(other) is not None:
                content[name] = content.pop(other)
    sizes = {name: content[name] for name in SPELLINGS if name in content}
    config = GPT2Config.from_dict({"model_type": "gpt2", **sizes})
    return ModelShape(
        name=path.parent.name,
        layers=config.n_layer,
        heads=config.n_head,
        kv_heads=config.n_head,
        dimension=config.n_embd // config.n_head,
        width=config.n_embd,
        inner=config.n_inner or 4 * config.n_embd,
        vocabulary=config.vocab_size,
        context=config.n_positions,
        reference="",
    )


def check_configuration(number, tmp_path, capfd):
    case = config_case(number, tmp_path / f"c{number}")
    scope = ("head", "block", "layer", "model", "cached-token")[number % 5]
    asked = ("estimate", "--no-compile", "--model", case.path, "--scope", scope, *ASKED)
    status, out, lines = run(capfd, *asked)
    if status:
        assert case.sound is not True, f"{case.done}: {lines}"
        assert_one_line(case, status, out, lines)
        return case, False
    assert case.sound is not False, case.done
    path = case.path if case.path.is_file() else case.path / "config.json"
    expected = ShapeRequest(shape_by_transformers(path), scope, 4, 4, "fast")
    assert json.loads(out)["circuit"]["pbs_count"] == profile_of_shape(expected).pbs_count, (
        case.done
    )
    return case, True


def check_folder(number, tmp_path, capfd):
    case = folder_case(number, tmp_path / f"f{number}")
    asked = ("estimate", "--no-compile", "--model", case.path, "--variant", "compact", *ASKED)
    status, out, lines = run(capfd, *asked)
    if status:
        assert case.sound is not True, f"{case.done}: {lines}"
        assert_one_line(case, status, out, lines)
        return case, False
    assert case.sound is not False, case.done
    assert json.loads(out)["estimates"][0]["latency_s"] > 0
    description = json.loads(out)["circuit"]["description"]
    if not (case.path / "tokenizer.json").is_file() or not list(case.path.glob("*.safetensors")):
        # Without weights the shape alone is costed, and the estimate says so.
        assert description["widths"] == "stated", case.done
        return case, True
    assert description["widths"] == "calibrated", case.done
    gpt2 = load_gpt2(case.path)
    files = sorted(case.path.glob("*.safetensors"))
    stored = {name: values for file in files for name, values in load_file(file).items()}
    stored = {name.removeprefix("transformer."): values for name, values in stored.items()}
    for name, values in gpt2.model.transformer.named_parameters():
        assert np.array_equal(values.detach().numpy(), stored[name].astype(np.float32)), case.done
    tokens = Tokenizer.from_file(str(case.path / "tokenizer.json")).encode(TEXT)
    assert gpt2.tokens(TEXT) == tokens.ids, case.done
    return case, True


@pytest.mark.parametrize("number", range(24))
def test_a_configuration(number, tmp_path, capfd):
    check_configuration(number, tmp_path, capfd)


@pytest.mark.parametrize("number", range(16))
def test_a_folder(number, tmp_path, capfd):
    check_folder(number, tmp_path, capfd)


@pytest.mark.slow
def test_five_hundred(tmp_path, capfd):
    """As many of both kinds as it takes; neither all right nor all refused."""
    wrong, accepted = [], 0
    for number in range(1000, 1250):
        for check in (check_configuration, check_folder):
            try:
                accepted += check(number, tmp_path, capfd)[1]
            except Exception as error:
                wrong.append(f"{check.__name__}({number}): {type(error).__name__}: {error}")
            for made in tmp_path.iterdir():
                shutil.rmtree(made)
    assert wrong == []
    assert 100 < accepted < 250

"""Shapes and the circuit of each scope: laws, requests, the command line."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fhecost
from fhecost.circuits.description import SCOPES
from fhecost.circuits.profile import CircuitProfile, load_profile
from fhecost.closed_form.requests import shape_request, widths_of
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.errors import UsageError
from fhecost.models.shape import SHAPES, find_shape

GPT2 = SHAPES["gpt2"]


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize("scope", SCOPES)
def test_every_shape_and_scope_has_a_circuit(name, scope):
    request = ShapeRequest(SHAPES[name], scope, 8, 4, "compact")
    start = time.perf_counter()
    circuit = profile_of_shape(request)
    assert time.perf_counter() - start < 1
    assert circuit.pbs_count > 0
    assert circuit.bsk_bytes > 0
    assert circuit.ksk_bytes > 0
    assert circuit.description.scope == scope


@pytest.mark.parametrize(
    ("name", "parameters", "tolerance"),
    [("gpt2", 124e6, 0.01), ("gpt2-medium", 355e6, 0.01), ("gpt2-large", 774e6, 0.01),
     ("gpt2-xl", 1558e6, 0.01), ("gpt3-175b", 175e9, 0.01)],
)  # fmt: skip
def test_shapes_have_the_published_number_of_parameters(name, parameters, tolerance):
    shape = SHAPES[name]
    layer = 4 * shape.width**2 + 2 * shape.width * shape.inner
    biases_and_norms = 9 * shape.width + shape.inner
    total = shape.layers * (layer + biases_and_norms)
    total += (shape.vocabulary + shape.context) * shape.width
    assert total == pytest.approx(parameters, rel=tolerance)


def count(scope, seq_len, **changed):
    return profile_of_shape(ShapeRequest(GPT2, scope, seq_len, 4, **changed)).pbs_count


def test_scopes_contain_each_other():
    assert count("block", 16) < count("layer", 16) < count("model", 16)
    model = profile_of_shape(ShapeRequest(GPT2, "model", 16, 4))
    last_norm = sum(stage.pbs_count for stage in model.stages if stage.name.startswith("norm."))
    # T = 1, whatever the length: the logits of the last token need no other.
    assert last_norm > 3 * GPT2.width
    assert model.pbs_count == GPT2.layers * count("layer", 16) + last_norm
    assert count("token", 16) == count("model", 16)
    assert count("cached-token", 16) < count("token", 16) / 10


def test_a_layer_has_the_lookups_that_its_documentation_counts():
    """T E and its like, as the docstring of the layer's plan derives them."""
    seq_len, width, inner = 16, GPT2.width, 4 * GPT2.width
    stages = {
        stage.name: stage
        for stage in profile_of_shape(ShapeRequest(GPT2, "layer", seq_len, 4)).stages
    }
    hidden = seq_len * width
    for norm in ("norm1", "norm2"):
        assert stages[f"{norm}.squares"].pbs_count == hidden
        assert stages[f"{norm}.product"].pbs_count == hidden + seq_len
        assert stages[f"{norm}.mean"].pbs_count % seq_len == 0
    for name, values in (
        ("norm1.requantize", hidden),
        ("attention.requantize", hidden),
        ("mlp.gelu", seq_len * inner),
        ("mlp.requantize", hidden),
    ):
        # One lookup a value, and one on a bit for each bit that the rounding drops.
        assert stages[name].pbs_count % values == 0
        assert stages[name].pbs_count // values == stages[name].depth
    assert stages["mlp.residual"].pbs_count == 0


@given(
    scope=st.sampled_from(SCOPES),
    bits=st.integers(3, 5),
    seq_len=st.integers(1, 400),
    more=st.integers(1, 100),
)
@settings(max_examples=40, deadline=None)
def test_more_tokens_are_never_less_work(scope, bits, seq_len, more):
    request = ShapeRequest(GPT2, scope, seq_len, bits, "compact")
    longer = replace(request, seq_len=seq_len + more)
    short_profile, long_profile = profile_of_shape(request), profile_of_shape(longer)
    # One token's work with a cache depends on the tokens before it in the attention alone.
    assert long_profile.pbs_count > short_profile.pbs_count
    assert long_profile.linear_count("clear_multiplication") >= short_profile.linear_count(
        "clear_multiplication"
    )
    assert CircuitProfile.model_validate(long_profile.model_dump(mode="json")) == long_profile


@given(seq_len=st.integers(1, 300), heads=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_heads_side_by_side_cost_what_each_costs(seq_len, heads):
    one = profile_of_shape(ShapeRequest(GPT2, "head", seq_len, 4, "compact", 1))
    several = profile_of_shape(ShapeRequest(GPT2, "head", seq_len, 4, "compact", heads))
    assert several.pbs_count == heads * one.pbs_count


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seq_len": 1025}, "gpt2 takes 1 to 1024"),
        ({"seq_len": 0}, "takes 1 to 1024"),
        ({"bits": 1}, "bits 1: must be from 2 to 8"),
        ({"variant": "quick"}, "variant quick: unknown; there is reference"),
        ({"heads": 13}, "has 12 a layer"),
    ],
)
def test_requests_out_of_range(changed, message):
    with pytest.raises(UsageError, match=message):
        profile_of_shape(replace(ShapeRequest(GPT2, "head", 6, 4, "compact"), **changed))


def test_a_shape_from_a_configuration(tmp_path):
    path = tmp_path / "config.json"
    content = {"n_layer": 2, "n_head": 4, "n_embd": 64, "vocab_size": 100, "n_positions": 32}
    path.write_text(json.dumps(content))
    shape = find_shape(str(path))
    assert (shape.layers, shape.heads, shape.width, shape.inner) == (2, 4, 64, 256)
    assert find_shape(str(tmp_path)) == shape
    path.write_text(json.dumps({**content, "n_head": 5}))
    with pytest.raises(UsageError, match="n_embd: 64 must be a multiple of n_head, 5"):
        find_shape(str(path))
    path.write_text(json.dumps({**content, "n_layer": "two"}))
    with pytest.raises(UsageError, match="n_layer: must be a whole number above 0"):
        find_shape(str(path))


def test_where_widths_come_from():
    assert widths_of("embedded") == "calibrated"
    assert widths_of("embedded", widths="stated") == "stated"
    assert widths_of("embedded", "layer") == widths_of("gpt2", "layer") == "stated"
    assert shape_request("embedded").shape.width == 256
    with pytest.raises(UsageError, match="widths calibrated: model gpt2 has no weights at hand"):
        widths_of("gpt2", widths="calibrated")
    with pytest.raises(UsageError, match="widths calibrated: scope layer has stated widths only"):
        widths_of("embedded", "layer", "calibrated")


def test_the_command_line(run_fhecost, tmp_path):
    ran = run_fhecost(
        "estimate", "--no-compile", "--model", "gpt2", "--scope", "model", "--seq-len", 1024,
        "--hardware", "h100,flashtfhe", "--save-profile", "whole.json",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "whole model (closed form)" in ran.stdout
    saved = load_profile(tmp_path / "whole.json")
    request = ShapeRequest(GPT2, "model", 1024, 4)
    assert saved.pbs_count == profile_of_shape(request).pbs_count
    again = run_fhecost(
        "estimate", "--profile", "whole.json", "--hardware", "h100,flashtfhe", "--format", "json"
    )
    report = fhecost.estimate_circuit(fhecost.PredictedShape(request), ["h100", "flashtfhe"])
    of_profile, of_shape = json.loads(again.stdout), json.loads(report.model_dump_json())
    # What sure parameter sets cost can't be told from the saved profile.
    told, known = of_profile.pop("unsure"), of_shape.pop("unsure")
    assert (told["work_factor"], known["reason"]) == (None, None)
    assert told["global_p_error"] == known["global_p_error"]
    assert of_profile == of_shape


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--scope", "layer"], "--scope layer: only heads are compiled; add --no-compile"),
        (["--widths", "stated"], "--widths: add --no-compile"),
        (
            ["--no-compile", "--scope", "layer", "--heads", "1"],
            "--heads: --scope layer has all heads, compact; leave these out",
        ),
        (
            ["--no-compile", "--model", "gpt2", "--text", "x"],
            "--text: a shape alone has no text and no layer; leave these out",
        ),
        (["--no-compile", "--model", "nowhere"], "--model nowhere: no shape of that name"),
        (["--profile", "x.json", "--no-compile"], "--no-compile: the circuit is that of --profile"),
    ],
)
def test_options_that_do_not_go_together(run_fhecost, arguments, line):
    ran = run_fhecost("estimate", *arguments)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"fhecost: {line}")
    assert len(ran.stderr.splitlines()) == 1


def test_a_shape_needs_neither_torch_nor_concrete():

    code = (
        "import sys\n"
        "from fhecost.cli import main\n"
        "main(['compare', '--no-compile', '--model', 'gpt2', '--scope', 'layer'])\n"
        "assert not {'torch', 'concrete', 'transformers'} & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr

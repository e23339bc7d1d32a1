"""Model folders and configurations as people have them: foreign, damaged, or fine but unusual.

Each case is made from a number, so that one that fails can be made again. What is right is told by
others: transformers' own ``GPT2Config`` reads the configuration, safetensors the weights.
"""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from fhecost.data import data_folder
from fhecost.models.llama_configuration import LLAMA_TYPES
from tests.model_damages import AFTER, CHANGES, Content, change_field, damaged_text

FOREIGN = (
    *("gptj", "codegen", "gpt_bigcode", "gpt_neo", "gpt_neox", "opt", "llama", "mistral"),
    *("mixtral", "qwen2", "qwen3", "phi", "phi3", "gemma", "gemma2", "falcon", "bloom", "mpt"),
    *("stablelm", "starcoder2", "olmo", "cohere", "bert", "distilbert", "camembert", "roberta"),
    *("electra", "deberta-v2", "albert", "openai-gpt", "ctrl", "xlnet", "biogpt", "persimmon"),
    *("granite", "t5", "bart", "mamba", "rwkv", "clip", "vit", "whisper", "imagegpt"),
    "decision_transformer",
)
"""Models of transformers that are no GPT-2, by their ``model_type``; some are Llama-shaped."""

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
        done += [change_field(draw, content) for _ in range(times)]
        sound = None
    path = folder / "config.json"
    folder.mkdir(parents=True)
    data = json.dumps(content, default=str).encode()
    if kind == "text":
        text_kind, data = damaged_text(draw, data)
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

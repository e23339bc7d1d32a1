"""Load a GPT-2-shaped model and take from it what a head needs: weights and hidden states.

torch and transformers are imported only when a model is really loaded; finding the model's folder
and hashing it needs neither.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from fhecost.data import data_folder
from fhecost.errors import FieldError, UsageError, did_you_mean
from fhecost.gpt2.one_line import reason_of
from fhecost.gpt2.tokenizer import check_tokens, load_tokenizer
from fhecost.gpt2.weights import SINGLE, check_finite, check_weights, holds_weights, no_weights
from fhecost.heads.attention_head import AttentionHead
from fhecost.models.configuration import read_configuration
from fhecost.models.shape import EMBEDDED, SHAPES, ModelShape, shape_of
from fhecost.quantization import FloatArray

FETCHED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.tiktoken")
"""What is fetched of a repository; a SentencePiece model ends in ``.model``."""

_MODEL_FILES = (".json", ".safetensors", ".txt", ".model", ".tiktoken")
CALIBRATION_TOKENS = 768
"""Tokens that calibration sees at least: 24 sentences of 32."""


def find_model(name: str) -> Path:
    """The folder of a model: ``embedded``, a folder, or a Hugging Face name in the local cache.

    A name that isn't in the cache is downloaded when the machine has a network.

    Raises:
        UsageError: there is no such model.
    """
    if name == EMBEDDED:
        return data_folder("models/embedded")
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise FieldError("model", "the folder has no config.json", name)
        return folder
    if folder.exists() or name.startswith((".", "/", "~")):
        raise FieldError("model", "not a folder with a config.json", name)
    return fetch_model(name)


def fetch_model(name: str) -> Path:
    """The folder of a Hugging Face model: from the local cache, or downloaded.

    Only what is read is fetched: configuration, tokenizer, safetensors.

    Raises:
        UsageError: it can't be had, or has no configuration, or no weights that are loaded.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        message = "a Hugging Face name needs: pip install 'fhecost[gpt2]'"
        raise FieldError("model", message) from error
    try:
        # Folders in a repository hold the same model for other programs.
        folder = snapshot_download(
            name, allow_patterns=[*FETCHED], ignore_patterns=["*/*", "*.fp16.safetensors"]
        )
    except (OSError, ValueError) as error:
        reason = type(error).__name__
        raise FieldError(
            "model",
            f"neither a folder nor a model that could be fetched ({reason}); use {EMBEDDED}, a "
            f"folder, or a name such as gpt2{did_you_mean(name, [EMBEDDED, *SHAPES])}",
            name,
        ) from error
    if not (Path(folder) / "config.json").is_file():
        raise FieldError("model", "the repository has no config.json", name)
    if not any(map(holds_weights, Path(folder).iterdir())):
        raise FieldError("model", no_weights(_names_in(name)), name)
    return Path(folder)


def _names_in(repository: str) -> list[str]:
    """The files at the top of a repository; none where they can't be asked for."""
    from huggingface_hub import HfApi

    try:
        return [name for name in HfApi().list_repo_files(repository) if "/" not in name]
    except (OSError, ValueError):
        return []


def model_shape(folder: Path) -> ModelShape:
    """Read the shape of the model in ``folder``.

    Raises:
        UsageError: the configuration is no GPT-2's.
    """
    return _configured(folder)[0]


def _configured(folder: Path) -> tuple[ModelShape, Mapping[str, Any]]:
    """The shape of the model in ``folder``, and what else its configuration says."""
    path = folder / "config.json"
    configuration = read_configuration(path, says_so=True)
    return shape_of(configuration, path.resolve().parent.name), configuration.content


def fingerprint(folder: Path) -> str:
    """SHA-256 over the names and contents of the model's configuration, tokenizer and weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in _MODEL_FILES:
            digest.update(path.name.encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def calibration_sentences() -> list[str]:
    """The English sentences that heads are calibrated on; none is used to judge accuracy."""
    text = (files("fhecost.gpt2") / "calibration_sentences.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]


@dataclass(frozen=True)
class GPT2:
    """A loaded model with its tokenizer."""

    shape: ModelShape
    model: Any
    tokenizer: Any

    def head(self, layer: int, head: int) -> AttentionHead:
        """The float weights of one head.

        Raises:
            UsageError: there is no such layer or head.
        """
        check_layer(self.shape, layer)
        projection = self.model.transformer.h[layer].attn.c_attn
        weight: FloatArray = projection.weight.detach().double().numpy()
        bias: FloatArray = projection.bias.detach().double().numpy()
        cut = AttentionHead.from_layer(weight, bias, self.shape.heads, head)
        output = self.model.transformer.h[layer].attn.c_proj
        output_weight: FloatArray = output.weight.detach().double().numpy()
        output_bias: FloatArray = output.bias.detach().double().numpy()
        rows = slice(head * cut.dimension, (head + 1) * cut.dimension)
        return replace(
            cut,
            output_weight=output_weight[rows],
            output_bias=output_bias,
            score_scale=self._score_scale(layer),
        )

    def _score_scale(self, layer: int) -> float:
        """What scores of ``layer`` are scaled by besides 1/sqrt(d), which all heads have.

        ``scale_attn_weights`` and ``scale_attn_by_inverse_layer_idx`` of transformers' GPT-2.
        """
        config = self.model.config
        scale = 1.0 if config.scale_attn_weights else math.sqrt(self.shape.dimension)
        return scale / (layer + 1) if config.scale_attn_by_inverse_layer_idx else scale

    def written(self, count: int, length: int, seed: int = 0) -> list[str]:
        """``count`` texts of ``length`` tokens that the model writes, drawn by its own odds."""
        import torch

        # What others draw isn't changed.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            begin = self.tokenizer.bos_token_id or 0
            begin = begin if begin < self.shape.vocabulary else 0
            tokens = torch.full((count, 1), begin)
            for _ in range(length):
                odds = self.model(tokens, use_cache=False).logits[:, -1].softmax(-1)
                tokens = torch.cat((tokens, torch.multinomial(odds, 1)), dim=1)
        return [self.tokenizer.decode(line) for line in tokens[:, 1:].tolist()]

    def tokens(self, text: str) -> list[int]:
        """Token ids of ``text``.

        Raises:
            UsageError: one of them is none of the model's.
        """
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        check_tokens(self.tokenizer, ids, self.shape.vocabulary)
        return ids

    def hidden_states(self, token_ids: Sequence[Sequence[int]], layer: int) -> FloatArray:
        """What reaches the attention of ``layer``: embeddings, earlier layers, its LayerNorm.

        Args:
            token_ids: one or more sentences of L token ids each.
            layer: from 0.

        Returns:
            shape (sentences, L, E).

        Raises:
            UsageError: the weights, finite all of them, let them overflow.
        """
        import torch

        caught: list[Any] = []
        norm = self.model.transformer.h[layer].ln_1
        hook = norm.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
        try:
            with torch.no_grad():
                self.model(input_ids=torch.tensor(token_ids))
        finally:
            hook.remove()
        states: FloatArray = caught[0].double().numpy().astype(np.float64)
        if not np.isfinite(states).all():
            raise UsageError(
                f"model {self.shape.name}: what reaches the attention of layer {layer} is infinite "
                "or no number: the weights before it overflow float32"
            )
        return states


def sentence_windows(model: GPT2, sentences: Sequence[str], length: int) -> list[list[int]]:
    """Token ids of one window of ``length`` tokens for each of ``sentences``.

    A window begins at its sentence and goes on into the following ones, and round to the first.

    Raises:
        UsageError: the sentences hold no token.
    """
    # A leading space gives each sentence the tokens that it has inside a text.
    tokens = [model.tokens(" " + sentence) for sentence in sentences]
    stream = [token for sentence in tokens for token in sentence]
    if not stream:
        raise FieldError("sentences", "hold no token that the model knows")
    stream = stream * (length // len(stream) + 2)
    windows, start = [], 0
    for sentence in tokens:
        windows.append(stream[start : start + length])
        start += len(sentence)
    return windows


def calibration_windows(model: GPT2, length: int) -> list[list[int]]:
    """Token ids of the windows of ``length`` tokens that heads are calibrated on.

    One for each calibration sentence; of short windows more, which begin inside the sentences, so
    that scales and widths rest on about as many tokens at every length.
    """
    sentences = calibration_sentences()
    windows = sentence_windows(model, sentences, length)
    stream = [token for sentence in sentences for token in model.tokens(" " + sentence)]
    missing = CALIBRATION_TOKENS // length - len(windows)
    starts = [len(stream) * index // missing for index in range(missing)]
    return windows + [(stream[start:] + stream)[:length] for start in starts]


def check_layer(shape: ModelShape, layer: int) -> None:
    """Raise a UsageError unless the model has ``layer``."""
    if not 0 <= layer < shape.layers:
        raise FieldError("layer", f"the model has layers 0 to {shape.layers - 1}", layer)


def check_seq_len(shape: ModelShape, seq_len: int) -> None:
    """Raise a UsageError unless ``seq_len`` fits the model's context."""
    if not 2 <= seq_len <= shape.context:
        message = f"must be from 2 to {shape.context}, the model's context"
        raise FieldError("seq_len", message, seq_len)


def load_gpt2(folder: Path) -> GPT2:
    """Load the model in ``folder`` for inference in float32.

    Raises:
        UsageError: no GPT-2, its files can't be read, or torch and transformers are missing.
    """
    # Sizes that the file spells otherwise are lost on transformers.
    shape, content = _configured(folder)
    try:
        import torch
        from transformers import GPT2Config, GPT2LMHeadModel
        from transformers.utils import logging
    except ImportError as error:
        raise UsageError("loading a model needs: pip install 'fhecost[gpt2]'") from error
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    path = folder / "config.json"
    for name in ("quantization_config", "transformers_weights"):
        if content.get(name):
            raise UsageError(f"{path}: {name}: only plain float weights in {SINGLE} are loaded")
    check_weights(folder, shape, content.get("tie_word_embeddings", True))
    # What it would tell of missing and spare tensors has been checked.
    told = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        model: Any = GPT2LMHeadModel.from_pretrained(
            folder,
            config=GPT2Config.from_dict(dict(content)),
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
        )
        model.eval()
        tokenizer = load_tokenizer(folder, shape)
    except UsageError:
        raise
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise FieldError("model", f"can't be loaded: {reason_of(error)}", folder) from error
    finally:
        logging.set_verbosity(told)
    check_finite(model, folder)
    return GPT2(shape=shape, model=model, tokenizer=tokenizer)

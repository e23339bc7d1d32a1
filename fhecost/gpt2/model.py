"""Load a GPT-2- or Llama-shaped model and take from it what a head needs: weights, hidden states.

torch and transformers are imported only when a model is really loaded; finding the model's folder
and hashing it needs neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from fhecost.errors import FieldError, UsageError, did_you_mean
from fhecost.files import read_json
from fhecost.gpt2.fetch import folder_of_gguf
from fhecost.gpt2.layout import cut_head, layout_of
from fhecost.gpt2.one_line import reason_of
from fhecost.gpt2.tensors import gpt2_tensors, llama_tensors
from fhecost.gpt2.tokenizer import check_tokens, load_tokenizer
from fhecost.gpt2.weights import SINGLE, check_finite, check_weights, holds_weights, no_weights
from fhecost.heads.attention_head import AttentionHead
from fhecost.models.configuration import read_configuration
from fhecost.models.gguf_file import is_gguf
from fhecost.models.kept import folder_at_hand, refuse_shape_alone
from fhecost.models.llama_configuration import LLAMA_TYPES, read_llama_configuration
from fhecost.models.model_shape import Family, ModelShape
from fhecost.models.shape import EMBEDDED, SHAPES, read_shape, shape_of
from fhecost.progress import Progress, silent
from fhecost.quantization import FloatArray

FETCHED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.tiktoken")
"""What is fetched of a repository; a SentencePiece model ends in ``.model``."""

_MODEL_FILES = (".json", ".safetensors", ".txt", ".model", ".tiktoken")
CALIBRATION_TOKENS = 768
"""Tokens that calibration sees at least: 24 sentences of 32."""


def find_model(name: str) -> Path:
    """The folder of a model: ``embedded``, one that was fetched, a folder, a GGUF file, or a name.

    A Hugging Face name that isn't in the local cache is downloaded when the machine has a network;
    a GGUF file is read once, which takes about a minute, and kept.

    Raises:
        UsageError: there is no such model.
    """
    known, folder = folder_at_hand(name), Path(name)
    if known is not None and known != folder:
        return known
    if is_gguf(folder):
        return folder_of_gguf(folder)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise FieldError("model", "the folder has no config.json", name)
        return folder
    if folder.exists() or name.startswith((".", "/", "~")):
        raise FieldError("model", "not a folder with a config.json", name)
    refuse_shape_alone(name)
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
    content = read_json(path)
    if isinstance(content, dict) and "model_type" not in content:
        # Names and shapes of tensors alone don't say what is done with them.
        raise UsageError(f"{path}: model_type: must be gpt2, llama, mistral or qwen2, not None")
    if isinstance(content, dict) and content["model_type"] in tuple(LLAMA_TYPES):
        return read_shape(path), content
    configuration = read_configuration(path)
    return shape_of(configuration, path.resolve().parent.name), configuration.content


def fingerprint(folder: Path) -> str:
    """SHA-256 over the names and contents of the model's configuration, tokenizer and weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in _MODEL_FILES:
            known = path.stat()
            digest.update(path.name.encode() + b"\0")
            digest.update(_hash_of(path, known.st_size, known.st_mtime_ns))
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _hash_of(path: Path, _size: int, _changed: int) -> bytes:
    """Of a file's content, made once as long as it isn't written to."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def calibration_sentences(family: Family = "gpt2") -> list[str]:
    """The English sentences that heads are calibrated on; none is used to judge accuracy.

    Heads that turn are fitted more closely, and get a hundred lines of old prose besides: of Conan
    Doyle, Austen, London, Baum and O. Henry, all in the public domain.
    """
    names = ["calibration_sentences.txt"]
    names += ["calibration_prose.txt"] if family == "llama" else []
    texts = ((files("fhecost.gpt2") / name).read_text(encoding="utf-8") for name in names)
    return [line for text in texts for line in text.splitlines() if line]


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
        return cut_head(self.model, self.shape, layer, head)

    def written(
        self, count: int, length: int, seed: int = 0, progress: Progress = silent
    ) -> list[str]:
        """``count`` texts of ``length`` tokens that the model writes, drawn by its own odds."""
        import torch

        # What others draw isn't changed.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            begin = self.tokenizer.bos_token_id or 0
            begin = begin if begin < self.shape.vocabulary else 0
            tokens = torch.full((count, 1), begin)
            # What came before is kept where that pays; elsewhere no draw changes by a rounding.
            keeps = self.shape.family == "llama"
            known: Any = None
            for done in range(length):
                progress(f"writing text to judge on: token {done + 1} of {length}")
                new = tokens[:, -1:] if known is not None else tokens
                said = self.model(new, past_key_values=known, use_cache=keeps)
                known = said.past_key_values if keeps else None
                odds = said.logits[:, -1].softmax(-1)
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
        """What reaches the attention of ``layer``: embeddings, earlier layers, the norm before it.

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

        def catch(_module: Any, _inputs: Any, output: Any) -> None:
            caught.append(output)
            raise ReachedError

        hook = layout_of(self.model).norm_in(self.model, layer).register_forward_hook(catch)
        try:
            # What comes behind isn't computed.
            with torch.no_grad(), suppress(ReachedError):
                self.model(input_ids=torch.tensor(token_ids), use_cache=False)
        finally:
            hook.remove()
        states: FloatArray = caught[0].double().numpy().astype(np.float64)
        check_states(self.shape, layer, states)
        return states


class ReachedError(Exception):
    """A forward pass is where it was to come to."""


def check_states(shape: ModelShape, layer: int, states: FloatArray) -> None:
    """Raise a UsageError unless all ``states``, which reach the attention of ``layer``, are finite.

    Weights that are finite, all of them, may still let them overflow.
    """
    if not np.isfinite(states).all():
        raise UsageError(
            f"model {shape.name}: what reaches the attention of layer {layer} is infinite or no "
            "number: the weights before it overflow float32"
        )


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
    sentences = calibration_sentences(model.shape.family)
    windows = sentence_windows(model, sentences, length)
    stream = [token for sentence in sentences for token in model.tokens(" " + sentence)]
    missing = CALIBRATION_TOKENS // length - len(windows)
    starts = [len(stream) * index // missing for index in range(missing)]
    return windows + [(stream[start:] + stream)[:length] for start in starts]


def check_layer(shape: ModelShape, layer: int, field: str = "layer") -> None:
    """Raise a UsageError, of ``field``, unless the model has ``layer``."""
    if not 0 <= layer < shape.layers:
        raise FieldError(field, f"the model has layers 0 to {shape.layers - 1}", layer)


def check_seq_len(shape: ModelShape, seq_len: int) -> None:
    """Raise a UsageError unless ``seq_len`` fits the model's context and its window, if any."""
    if shape.window is not None and seq_len > shape.window:
        message = (
            f"beyond the model's sliding window of {shape.window} tokens, which heads here lack"
        )
        raise FieldError("seq_len", message, seq_len)
    if not 2 <= seq_len <= shape.context:
        message = f"must be from 2 to {shape.context}, the model's context"
        raise FieldError("seq_len", message, seq_len)


def load_gpt2(folder: Path) -> GPT2:
    """Load the model in ``folder`` for inference in float32.

    Raises:
        UsageError: no model whose heads are known, its files can't be read, or torch and
            transformers are missing.
    """
    # Sizes that the file spells otherwise are lost on transformers.
    shape, content = _configured(folder)
    try:
        import torch
        import transformers
        from transformers.utils import logging
    except ImportError as error:
        raise UsageError("loading a model needs: pip install 'fhecost[gpt2]'") from error
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    path = folder / "config.json"
    if shape.family == "gpt2":
        kind, model_class = "GPT2", "GPT2LMHeadModel"
        names, tied = gpt2_tensors(shape), content.get("tie_word_embeddings", True)
    else:
        kind, said = LLAMA_TYPES[content["model_type"]], read_llama_configuration(path, content)
        names, tied, model_class = llama_tensors(said), said.tied, f"{kind}ForCausalLM"
    for name in ("quantization_config", "transformers_weights"):
        if content.get(name):
            raise UsageError(f"{path}: {name}: only plain float weights in {SINGLE} are loaded")
    check_weights(folder, names, tied)
    # What it would tell of missing and spare tensors has been checked.
    told = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        model: Any = getattr(transformers, model_class).from_pretrained(
            folder,
            config=getattr(transformers, f"{kind}Config").from_dict(dict(content)),
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

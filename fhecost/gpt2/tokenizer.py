"""The tokenizer in a model's folder: there, and of the model's own vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fhecost.errors import UsageError
from fhecost.gpt2.one_line import reason_of
from fhecost.models.model_shape import ModelShape

_TOO_LARGE_TO_PAD = 1_000_000
_PROBE = " The clerk who keeps the books of the bank"
_ALONE = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.txt",
)
_TOGETHER = ("vocab.json", "merges.txt")


def load_tokenizer(folder: Path, shape: ModelShape) -> Any:
    """The tokenizer in ``folder``, as transformers loads it.

    Raises:
        UsageError: there is none, its files can't be read, it makes nothing of English, or it has
            tokens for which the model has no embedding.
    """
    from transformers import AutoTokenizer

    _check_files(folder)
    try:
        # Code that comes with a folder isn't run, and not asked about either.
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        ids = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
        ordinary = _ordinary(tokenizer)
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise UsageError(f"{folder}: the tokenizer can't be loaded: {reason_of(error)}") from error
    if not ids or set(ids) <= {tokenizer.unk_token_id, None}:
        raise UsageError(f"{folder}: the tokenizer has no token for any word of {_PROBE.strip()!r}")
    beyond = max(ordinary, key=lambda token: ordinary[token])
    if ordinary[beyond] >= shape.vocabulary:
        raise UsageError(
            f"{folder}: the tokenizer is another model's: its token {beyond!r}, "
            f"{ordinary[beyond]}, isn't among the {shape.vocabulary} of vocab_size in config.json"
        )
    # Texts are cut to the sequence length here; the tokenizer's own length warning would mislead.
    tokenizer.model_max_length = _TOO_LARGE_TO_PAD
    return tokenizer


def check_tokens(tokenizer: Any, ids: list[int], vocabulary: int) -> None:
    """Raise a UsageError that names a token of ``ids`` for which the model has no embedding.

    A tokenizer may have more tokens than its model, such as one for padding, that no text holds.
    """
    for token in ids:
        if not 0 <= token < vocabulary:
            raise UsageError(
                f"the text holds the token {tokenizer.convert_ids_to_tokens(token)!r}, {token}, "
                f"beyond the {vocabulary} that the model knows (vocab_size)"
            )


def _check_files(folder: Path) -> None:
    if any((folder / name).is_file() for name in _ALONE):
        return
    missing = [name for name in _TOGETHER if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"{folder}: {missing[0]}: missing; a tokenizer is tokenizer.json, or vocab.json with "
            "merges.txt, or a SentencePiece model"
        )


def _ordinary(tokenizer: Any) -> dict[str, int]:
    """Ids by token, without those added to the vocabulary, which a text may never hold."""
    added = set(tokenizer.get_added_vocab())
    known: dict[str, int] = tokenizer.get_vocab()
    return {token: number for token, number in known.items() if token not in added} or known

"""Small Llamas, Mistrals and Qwen2s of random weights, saved as folders by transformers."""

import shutil
from pathlib import Path

from fhecost.data import data_folder

KINDS = ("llama", "mistral", "qwen2")
SIZES = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "vocab_size": 4096,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": None,
    "tie_word_embeddings": True,
}


def write_llama(folder: Path, kind: str, **changed) -> Path:
    """A model of ``kind`` with the tokenizer of the embedded model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(7)
    config = AutoConfig.for_model(kind, **{**SIZES, "initializer_range": 0.12, **changed})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, values in model.named_parameters():
            if name.endswith("bias"):
                values.normal_(0, 0.5)
            elif "norm" in name:
                values.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(data_folder("models/embedded") / name, folder / name)
    return folder

"""Small directories of language models, in the shapes that published ones have."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, BertTokenizer, LlamaConfig, PretrainedConfig, Qwen2Config

from hawkeye.models import HawkEye, HawkEyeConfig
from hawkeye.models.checkpoint import to_original
from hawkeye.models.tokenizers import sample_prompt

ROWS = 700
"""Words of the small tokenizer of Llama's kind (`tests/golden/tokenizers/llm`)."""
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
SIZES = {
    "num_frames": 2,
    "num_query_tokens": 2,
    "num_extra_query_tokens": 2,
    "lora": {"r": 2, "alpha": 2, "target_modules": ["q_proj"]},
    "vision_config": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "depth": 1,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    },
    "qformer_config": {
        "vocab_size": 30523,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    },
}


def write_llm(directory: Path, config: PretrainedConfig) -> None:
    """Random weights and the configuration."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(directory)


def write_llama(directory: Path, tokenizer: Path, rows: int = ROWS, **fields: Any) -> Path:
    """A language model with a table of `rows` rows, and the files of `tokenizer`."""
    write_llm(directory, LlamaConfig(**(TEXT | {"vocab_size": rows} | fields)))
    for file in tokenizer.iterdir():
        if file.name != "config.json":
            shutil.copyfile(file, directory / file.name)
    return directory


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes a JSON file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def write_qwen(directory: Path) -> Path:
    """A model of Qwen's kind: byte-level BPE, no BOS, no token for the unknown, rows to spare in the table."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([sample_prompt()] * 3, trainer)
    write_llm(directory, Qwen2Config(**(TEXT | {"vocab_size": 512, "bos_token_id": 0, "eos_token_id": 1})))
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(config | {"bos_token": None, "unk_token": None}))
    return directory


def write_uncased(directory: Path, vocabulary: Path) -> Path:
    """A model whose tokenizer loses capital letters."""
    write_llm(directory, LlamaConfig(**(TEXT | {"vocab_size": 30522})))
    BertTokenizer(str(vocabulary / "vocab.txt")).save_pretrained(directory)
    return directory


def write_stage_1(path: Path, **text: Any) -> Path:
    """A checkpoint of the encoder and the Q-Former alone, under the original's names."""
    torch.manual_seed(1)
    config = HawkEyeConfig(**(SIZES | {"text_config": TEXT | {"vocab_size": ROWS} | text}))
    entries = to_original(HawkEye(config).state_dict())
    kept = ("vision_encoder.", "vision_layernorm.", "qformer.", "query_tokens")
    torch.save({name: weight for name, weight in entries.items() if name.startswith(kept)}, path)
    return path


def write_sizes(path: Path, **text: Any) -> Path:
    """The YAML of a model with such a language model; it has the published one's number of words by default."""
    config = SIZES | {"text_config": TEXT | {"vocab_size": ROWS} | text}
    path.write_text(yaml.safe_dump({"tokenizer": "pretrained", "image_size": 16, "config": config}))
    return path

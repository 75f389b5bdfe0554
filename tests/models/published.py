"""Small files of weights like the published ones, cut from the golden model's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

LLM = "llama_model.base_model.model."
NOT_WEIGHTS = ("qformer.bert.embeddings.position_ids", "rotary_emb.inv_freq")


def publish(
    folder: Path,
    weights: Mapping[str, Tensor],
    sizes: Mapping[str, Any],
    tokenizers: Path,
    *,
    shards: str = "safetensors",
) -> dict[str, Path]:
    """Writes a Vicuna directory, the three stages' checkpoints and a configuration; returns their paths by name.

    Each file also holds wrong values of what a later one replaces, so that the order of loading matters.
    """
    paths = {
        "vicuna": folder / "vicuna",
        "stage_1": folder / "umt_l16_qformer.pth",
        "stage_2": folder / "videochat2_7b_stage2.pth",
        "tuned": folder / "hawkeye.pth",
        "config": folder / "model.yaml",
    }
    language_model = {
        name.removeprefix(LLM): weight
        for name, weight in weights.items()
        if name.startswith(LLM) and "lora" not in name
    }
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        language_model[name] = torch.cat([language_model[name], torch.full_like(language_model[name][:1], 9.0)])
    write_language_model(paths["vicuna"], language_model, sizes["text_config"], tokenizers / "llm", shards)
    vision = {name: weight for name, weight in weights.items() if name.startswith("vision_")}
    qformer = {name: weight for name, weight in weights.items() if name.startswith(("qformer", "query_tokens"))}
    projector = {name: weight for name, weight in weights.items() if name.startswith("llama_proj")}
    extra = {"extra_query_tokens": weights["extra_query_tokens"]}
    lora = {name: weight for name, weight in weights.items() if "lora" in name}
    wrong = {name: torch.zeros_like(weight) for name, weight in qformer.items()}
    heads = {"qformer.cls.predictions.bias": torch.zeros(3), "temp": torch.ones(1), "itm_head.weight": torch.ones(2, 2)}
    last_block = {f"vision_encoder.encoder.blocks.{sizes['vision_config']['depth']}.norm1.weight": torch.ones(4)}
    torch.save(vision | wrong | heads | last_block, paths["stage_1"])
    torch.save({"model": wrong | projector, "epoch": 1}, paths["stage_2"])
    torch.save(qformer | projector | extra | lora, paths["tuned"])
    paths["config"].write_text(yaml.safe_dump({"tokenizer": "pretrained", "config": dict(sizes)}))
    return paths


def write_language_model(
    directory: Path, weights: Mapping[str, Tensor], sizes: Mapping[str, Any], tokenizer: Path, shards: str
) -> None:
    """A directory like Vicuna's: two shards with an index, configuration and tokenizer."""
    shutil.copytree(tokenizer, directory)
    rows = len(weights["lm_head.weight"])
    (directory / "config.json").write_text(json.dumps(dict(sizes) | {"vocab_size": rows, "architectures": ["Llama"]}))
    names = sorted(weights)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    stem = "model" if shards == "safetensors" else "pytorch_model"
    places = {}
    for number, half in enumerate(halves, start=1):
        file = f"{stem}-{number:05d}-of-00002.{shards}"
        part = {name: weights[name].contiguous() for name in half}
        save_file(part, directory / file) if shards == "safetensors" else torch.save(part, directory / file)
        places |= dict.fromkeys(half, file)
    index = "model.safetensors.index.json" if shards == "safetensors" else "pytorch_model.bin.index.json"
    (directory / index).write_text(json.dumps({"metadata": {}, "weight_map": places}))

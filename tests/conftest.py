"""Fixtures that several packages' tests share: the golden values of the original, and the tiny model they go with."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from hawkeye.models import HawkEye, HawkEyeConfig, HawkEyeProcessor
from hawkeye.models.checkpoint import from_original


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """The folder of golden values."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden(golden_dir: Path) -> dict[str, Any]:
    """Settings and figures of the golden model."""
    return json.loads((golden_dir / "model_a.json").read_text())


@pytest.fixture(scope="session")
def golden_arrays(golden_dir: Path) -> dict[str, np.ndarray]:
    """Arrays of the golden model."""
    with np.load(golden_dir / "model_a.npz") as arrays:
        return dict(arrays)


def formula(name: str, shape: list[int], seed: int) -> torch.Tensor:
    """The weight or input `name` of the golden model: nothing is stored, all follows from the name."""
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    x = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    if name.startswith("input."):
        return x
    if len(shape) == 1:
        return 1 + 0.1 * x if name.endswith("weight") else 0.1 * x
    if "embed" in name or "query_tokens" in name:
        return 0.5 * x
    return x / float(np.sqrt(np.prod(shape[1:])))


def golden_sizes(golden: dict[str, Any]) -> dict[str, Any]:
    """Fields of the golden model's configuration; dropout stays at the original's 0.1."""
    sizes = golden["model"]
    return {
        "vision_config": {
            "hidden_size": sizes["vision_embed_dim"],
            "intermediate_size": 4 * sizes["vision_embed_dim"],
            "depth": sizes["vision_depth"] - 1,
            "num_attention_heads": sizes["vision_num_heads"],
        },
        "qformer_config": {
            "vocab_size": golden["state_dict"]["qformer.bert.embeddings.word_embeddings.weight"][0],
            "hidden_size": sizes["qformer_hidden_size"],
            "intermediate_size": sizes["qformer_intermediate_size"],
            "num_hidden_layers": sizes["qformer_num_hidden_layers"],
            "num_attention_heads": sizes["qformer_num_attention_heads"],
        },
        "text_config": {
            "model_type": "llama",
            "vocab_size": golden["llm_vocab"],
            "hidden_size": sizes["llm_hidden_size"],
            "intermediate_size": sizes["llm_intermediate_size"],
            "num_hidden_layers": sizes["llm_num_hidden_layers"],
            "num_attention_heads": sizes["llm_num_attention_heads"],
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-6,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
        "num_query_tokens": sizes["num_query_tokens"],
        "num_extra_query_tokens": sizes["num_extra_query_tokens"],
        "num_frames": sizes["num_frames"],
        "lora": {
            "r": sizes["lora_r"],
            "alpha": sizes["lora_alpha"],
            "dropout": 0.1,
            "target_modules": ["q_proj", "v_proj"],
        },
    }


def golden_config(golden: dict[str, Any], **changes: Any) -> HawkEyeConfig:
    """The golden model's configuration."""
    return HawkEyeConfig(**(golden_sizes(golden) | changes))


@pytest.fixture(scope="session")
def golden_weights(golden: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The golden model's weights under their original names."""
    weights = {name: formula(name, shape, golden["seed"]) for name, shape in golden["state_dict"].items()}
    weights["llama_model.base_model.model.lm_head.weight"][golden["lm_head_rows_zeroed_from"] :] = 0
    return weights


@pytest.fixture(scope="session")
def make_golden_model(golden: dict[str, Any], golden_weights: dict[str, torch.Tensor]) -> Callable[..., HawkEye]:
    """Makes a golden model of one's own, in evaluation mode; arguments change configuration fields."""

    def make(**changes: Any) -> HawkEye:
        model = HawkEye(golden_config(golden, **changes))
        model.load_state_dict(from_original(golden_weights))
        return model.eval()

    return make


@pytest.fixture(scope="session")
def golden_model(make_golden_model: Callable[..., HawkEye]) -> HawkEye:
    """The golden model, in evaluation mode; do not change its weights or mode."""
    return make_golden_model()


@pytest.fixture(scope="session")
def golden_video(golden: dict[str, Any]) -> torch.Tensor:
    """The video input of the golden runs, `[2, 12, 3, 224, 224]`."""
    return formula("input.video", [2, golden["model"]["num_frames"], 3, 224, 224], golden["seed"])


@pytest.fixture(scope="session")
def golden_image(golden: dict[str, Any]) -> torch.Tensor:
    """The image input of the golden runs, `[1, 1, 3, 224, 224]`."""
    return formula("input.image", [1, 1, 3, 224, 224], golden["seed"])


@pytest.fixture(scope="session")
def golden_processor(golden_dir: Path, golden_model: HawkEye) -> HawkEyeProcessor:
    """The processor of the golden model; its Q-Former's tokenizer adds [DEC], as in the original."""
    qformer_tokenizer = AutoTokenizer.from_pretrained(golden_dir / "tokenizers" / "bert")
    qformer_tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    return HawkEyeProcessor(
        tokenizer=AutoTokenizer.from_pretrained(golden_dir / "tokenizers" / "llm"),
        qformer_tokenizer=qformer_tokenizer,
        num_visual_tokens=golden_model.config.num_visual_tokens,
        visual_token_id=golden_model.config.visual_token_id,
    )

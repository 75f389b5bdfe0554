"""A model with random weights, small enough to run in a test, whose answers depend on what it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import yaml

from hawkeye.evaluation.answering import Answerer
from hawkeye.models import HawkEye, HawkEyeProcessor
from hawkeye.prompts import CHOICE_SENTENCES, frames_message, lettered
from hawkeye.training.start import new_model

SIZES = {
    "image_size": 16,
    "config": {
        "num_query_tokens": 2,
        "num_extra_query_tokens": 2,
        "qformer_text": "instruction",
        "initializer_range": 0.4,
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 32,
            "depth": 1,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 8,
        },
        "qformer_config": {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "initializer_range": 0.4,
        },
        "text_config": {
            "model_type": "llama",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 200,
            "tie_word_embeddings": True,
            "initializer_range": 0.4,
        },
    },
}
WORDS = "the red blue circle square jumps spins What happens first"


def make_small_model(folder: Path, words: Sequence[str] = (WORDS,)) -> tuple[HawkEye, HawkEyeProcessor]:
    """The model, in evaluation mode, and its processor; `folder` is for a file of sizes."""
    sizes = folder / "small_model.yaml"
    sizes.write_text(yaml.safe_dump(SIZES))
    torch.manual_seed(0)
    texts = [*words, *lettered(list(CHOICE_SENTENCES.values())), frames_message([0.0] * 12)]
    model, processor = new_model(sizes, texts)
    return model.eval(), processor


def make_small_answerer(folder: Path, **settings: int) -> Answerer:
    """An answerer with that model; `settings` are the answerer's."""
    return Answerer(*make_small_model(folder), **settings)

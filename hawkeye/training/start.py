"""The model that a run starts from: a saved one, or random weights of a configured size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hawkeye.config import ConfigError, ModelSettings, TrainSettings, load_settings, nearest
from hawkeye.data.sources import Source
from hawkeye.models.configuration import HawkEyeConfig
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor, normalisation
from hawkeye.models.word_tokenizer import build_word_tokenizer
from hawkeye.prompts import (
    ASSISTANT,
    CHOICE_SENTENCES,
    GROUNDING_ANSWER_PREFIX,
    GROUNDING_INSTRUCTION,
    GROUNDING_QUESTION,
    HUMAN,
    ONLY_BEST_OPTION,
    QA_ANSWER_PREFIX,
    QA_INSTRUCTION,
    STOP,
    frames_message,
)

FIXED_PHRASES = (
    *CHOICE_SENTENCES.values(),
    GROUNDING_INSTRUCTION,
    QA_INSTRUCTION,
    HUMAN,
    ASSISTANT,
    STOP,
    "<Video>",
    "</Video>",
    "The video contains 12 frames sampled at",
    "seconds.",
    "Question: ",
    GROUNDING_QUESTION.partition("%s")[0],
    GROUNDING_QUESTION.partition("%s")[2],
    "\nOptions:",
    "\n(",
    "\n" + ONLY_BEST_OPTION,
    GROUNDING_ANSWER_PREFIX,
    QA_ANSWER_PREFIX,
)
"""Sentences that every prompt repeats: one token each halves the length of a prompt."""


def start_model(settings: TrainSettings, sources: dict[str, Source]) -> tuple[HawkEye, HawkEyeProcessor]:
    """The model and processor that training starts from.

    Raises:
        ConfigError: if `settings.model` is neither a model directory nor a YAML of sizes.
    """
    if settings.model.is_dir():
        return HawkEye.from_pretrained(settings.model, dtype=torch.float32), HawkEyeProcessor.from_pretrained(
            settings.model
        )
    if settings.model.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"model {str(settings.model)!r}: neither a model directory nor a YAML of sizes")
    return new_model(settings.model, texts_of(sources.values()))


def freeze(model: HawkEye, names: Sequence[str]) -> None:
    """Stops the training of modules, or single weights, of a model.

    Raises:
        ConfigError: if the model has none of that name.
    """
    for name in names:
        weights = [weight for key, weight in model.named_parameters() if key == name or key.startswith(f"{name}.")]
        if not weights:
            raise ConfigError(
                f"frozen: the model has no module {name!r}{nearest(name, [n for n, _ in model.named_children()])}"
            )
        for weight in weights:
            weight.requires_grad_(False)


def new_model(path: Path, texts: Iterable[str]) -> tuple[HawkEye, HawkEyeProcessor]:
    """A model with random weights (torch's seed decides them), its vocabulary made from `texts`."""
    sizes = load_settings(path, ModelSettings)
    if sizes.tokenizer != "words":
        raise ConfigError(
            f"{path}: this model starts from published weights: make a directory of it with hawkeye convert"
        )
    tokenizer = build_word_tokenizer(texts, FIXED_PHRASES)
    config = HawkEyeConfig(**with_vocabulary(sizes.config, tokenizer))
    model = HawkEye(config)
    processor = HawkEyeProcessor(
        tokenizer=tokenizer,
        qformer_tokenizer=tokenizer,
        image_size=sizes.image_size,
        num_visual_tokens=config.num_query_tokens + config.num_extra_query_tokens,
        visual_token_id=config.visual_token_id,
        **normalisation(sizes),
    )
    return model, processor


def with_vocabulary(config: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Configuration fields with the vocabulary's size and special tokens filled in."""
    special = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return config | {
        "text_config": config.get("text_config", {}) | special,
        "qformer_config": config.get("qformer_config", {})
        | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id},
    }


def texts_of(sources: Iterable[Source]) -> Iterable[str]:
    """Every text of the sources' rows, and the sentences about frames."""
    for count in range(1, 13):
        yield frames_message([0.0] * count)
    for source in sources:
        for record in source.records:
            yield record.text or ""
            for turn in (*record.turns, *(record.turn_by_choice or {}).values()):
                yield from (turn.instruction, turn.question, turn.answer)

"""The model that a run starts from: a saved one, or random weights of a configured size."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hawkeye.config import ConfigError, ModelSettings, TrainSettings, load_settings, nearest
from hawkeye.data.sources import Source
from hawkeye.models.assembly import read_source
from hawkeye.models.configuration import HawkEyeConfig
from hawkeye.models.foreign import load, one_line_errors
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor, normalisation
from hawkeye.models.quantization import check_quantized, quantization_config
from hawkeye.models.saved import check_fits, load_config, load_processor, load_to_train, shipped_models
from hawkeye.models.weight_files import WeightFileError
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
from hawkeye.training.initialization import attend_by_resemblance

logger = logging.getLogger(__name__)

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


def start_model(
    settings: TrainSettings, sources: dict[str, Source], *, without_values: bool = False
) -> tuple[HawkEye, HawkEyeProcessor]:
    """The model and processor that training starts from: frozen, and of the types, that the configuration says.

    Args:
        settings: the run's.
        sources: the vocabulary of a new model is made from their texts.
        without_values: gives the weights' shapes and types alone (on torch's meta device), in no time.

    Raises:
        ConfigError: if `settings.model` is neither a model directory nor a YAML of sizes, or weights do not fit.
    """
    if not settings.model.exists() and (shipped := shipped_models().get(str(settings.model))):
        settings = settings.model_copy(update={"model": shipped})
    device = torch.device("meta" if without_values else "cpu")
    if settings.model.is_dir():
        config = load_config(settings.model)
        processor = load_processor(settings.model, config)
        model = _load(settings, config, device)
    elif settings.model.suffix in (".yaml", ".yml"):
        with device:
            model, processor = new_model(settings.model, texts_of(sources.values()))
    else:
        raise ConfigError(
            f"model {str(settings.model)!r}: neither a model directory nor a YAML of sizes nor the name of a shipped "
            f"model{nearest(str(settings.model), list(shipped_models()))}"
        )
    freeze(model, settings)
    for path in settings.weights:
        if not without_values:
            lay_over(model, path)
    return model, processor


def _load(settings: TrainSettings, config: HawkEyeConfig, device: torch.device) -> HawkEye:
    if device.type == "meta":
        with device, one_line_errors(f"{settings.model}: the model cannot be made"):
            return HawkEye(config)
    dtype = getattr(torch, settings.frozen_precision)
    if settings.quantization is None:
        return load_to_train(settings.model, dtype, lambda model: choose_trained(model, settings))
    device = torch.accelerator.current_accelerator(check_available=True) or device
    quantized = quantization_config(settings.quantization, dtype)
    options: dict[str, Any] = {"quantization_config": quantized, "device_map": {"": device}, "dtype": torch.float32}
    model: HawkEye = load(HawkEye, settings.model, "the model", **options)
    check_quantized(model, settings.quantization)
    return model


def lay_over(model: HawkEye, path: Path) -> None:
    """Loads a checkpoint in the original's names over a model, and says what it changed.

    Raises:
        WeightFileError: if it cannot be read, or holds an entry that the model lacks or has in another shape.
    """
    config = model.config
    assert isinstance(config, HawkEyeConfig)
    source = read_source(path, config)
    weights = {name.replace(".base_layer.", "."): weight for name, weight in model.named_parameters()}
    for name, weight in source.tensors.items():
        if name not in weights:
            raise WeightFileError(f"{path}: the model has no weight {name!r}")
        if weights[name].shape != weight.shape:
            raise WeightFileError(
                f"{path}: {name!r} has shape {list(weight.shape)}, but in the model {list(weights[name].shape)}"
            )
    with torch.no_grad():
        for name, weight in source.tensors.items():
            weights[name].copy_(weight)
    ignored = "".join(f"; {count} ignored: {reason}" for reason, count in source.ignored_by_reason().items())
    logger.info(
        "weights %s: %d loaded, %d kept%s", path, len(source.tensors), len(weights) - len(source.tensors), ignored
    )


def choose_trained(model: HawkEye, settings: TrainSettings) -> None:
    """Stops the training of the modules, or single weights, that the run freezes.

    Raises:
        ConfigError: if the model has none of a name.
    """
    for name in settings.frozen:
        weights = [weight for key, weight in model.named_parameters() if key == name or key.startswith(f"{name}.")]
        if not weights:
            raise ConfigError(
                f"frozen: the model has no module {name!r}{nearest(name, [key for key, _ in model.named_children()])}"
            )
        for weight in weights:
            weight.requires_grad_(False)


def freeze(model: HawkEye, settings: TrainSettings) -> None:
    """`choose_trained`, and sets the type of all frozen weights.

    Raises:
        ConfigError: if the model has none of a name.
    """
    choose_trained(model, settings)
    dtype = getattr(torch, settings.frozen_precision)
    for weight in model.parameters():
        if not weight.requires_grad and weight.is_floating_point():
            weight.data = weight.data.to(dtype)


def new_model(path: Path, texts: Iterable[str]) -> tuple[HawkEye, HawkEyeProcessor]:
    """A model with random weights (torch's seed decides them), its vocabulary made from `texts`."""
    sizes = load_settings(path, ModelSettings)
    if sizes.tokenizer != "words":
        raise ConfigError(
            f"{path}: this model starts from published weights: make a directory of it with hawkeye convert"
        )
    tokenizer = build_word_tokenizer(texts, FIXED_PHRASES)
    with one_line_errors(f"{path}: no model can be made of 'config'"):
        config = HawkEyeConfig(**with_vocabulary(sizes.config, tokenizer))
        model = HawkEye(config)
    if sizes.qformer_start == "resemblance":
        attend_by_resemblance(model.qformer)
    processor = HawkEyeProcessor(
        tokenizer=tokenizer,
        qformer_tokenizer=tokenizer,
        image_size=sizes.image_size,
        num_visual_tokens=config.num_query_tokens + config.num_extra_query_tokens,
        visual_token_id=config.visual_token_id,
        **normalisation(sizes),
    )
    check_fits(processor, config, str(path))
    return model, processor


def with_vocabulary(config: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Configuration fields with the vocabulary's size and special tokens filled in."""
    special = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    parts = {
        "text_config": special,
        "qformer_config": {key: special[key] for key in ("vocab_size", "pad_token_id")},
    }
    for part, fields in parts.items():
        given = config.get(part) or {}
        if isinstance(given, dict):  # what is no mapping is refused as such
            config = config | {part: given | fields}
    return config


def texts_of(sources: Iterable[Source]) -> Iterable[str]:
    """Every text of the sources' rows, and the sentences about frames."""
    for count in range(1, 13):
        yield frames_message([0.0] * count)
    for source in sources:
        for record in source.records:
            yield record.text or ""
            for turn in (*record.turns, *(record.turn_by_choice or {}).values()):
                yield from (turn.instruction, turn.question, turn.answer)

"""`hawkeye train CONFIG dry_run=true`: what a run would do, on what, with how much memory; no step is made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from rich.table import Table
from torch import nn

from hawkeye.annotations import AnnotationError, read_json, reading
from hawkeye.config import ConfigError, StageSettings, TrainSettings
from hawkeye.data.collate import IGNORED, Collator
from hawkeye.data.sources import Source, TrainingSet, frames_shown, num_steps, stage_sources
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.prompts import VISUAL_MARKER, conversation
from hawkeye.tables import table
from hawkeye.training.arguments import split_step
from hawkeye.training.checks import VideoCheck, check_lengths, check_videos, context_of, read_sources
from hawkeye.training.disk import BYTES, disk_table
from hawkeye.training.host_memory import host_memory_table
from hawkeye.training.run import frame_store
from hawkeye.training.start import start_model

SAMPLED_ROWS = 200
"""Rows of each source whose text is counted."""
SAMPLED_BATCHES = 4
"""Batches of a stage that are read to see how long its conversations are."""
LAYER_ACTIVATIONS = 34
"""Bytes that a transformer layer keeps for its backward pass, per token and unit of its width, in 16 bits and without
the attention's matrix (Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models", 2022)."""
QUANTIZED_BYTES = {"8bit": 1.0, "4bit": 0.52}
"""Bytes a quantised weight takes; NF4's scales add 4 % to its half byte."""


@dataclass(frozen=True)
class BatchShape:
    """What a process holds at a time."""

    windows: int
    conversations: int
    length: int
    """Tokens of a conversation, padding and visual tokens included."""
    learned: int
    """Tokens that have a label."""
    questions: int = 0
    """Texts that the Q-Former reads."""
    question_length: int = 0
    """Tokens of such a text, padding included."""


@dataclass(frozen=True)
class Memory:
    """Bytes on each process, at a step's peak. Activations are an estimate, the rest is counted."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    buckets: float = 0.0
    """Copies of the gradients that DDP sends; counted with them in the plan."""

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.buckets + self.optimizer + self.activations


def plan(settings: TrainSettings) -> Iterator[Table]:
    """Tables of a run's sources, modules and stages; none on other processes of a launcher than the first.

    Raises:
        ConfigError, AnnotationError, VideoError: what would stop the run before its first step.
    """
    if int(os.environ.get("RANK") or 0) > 0:
        return
    sources = read_sources(settings)
    yield sources_table(sources, check_videos(settings, sources))
    model, processor = start_model(settings, sources, without_values=True)
    sources = check_lengths(settings, sources, processor, model.config)
    yield modules_table(model)
    yield host_memory_table(model, settings.model if settings.model.is_dir() else None)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    rows = table(
        f"Stages, on {processes} process{'es' if processes > 1 else ''}",
        *("stage", "steps", "windows a step", "tokens a conversation", "GB a process"),
        *("weights", "gradients", "optimiser", "activations (estimate)"),
    )
    for stage in settings.stages:
        steps = num_steps(stage_sources(sources, stage), stage)
        size, batches = split_step(stage, processes)
        shape = _largest_batch(settings, stage, sources, model, processor, size)
        memory = memory_of(settings, stage, model, processes, shape)
        parts = (memory.total, memory.weights, memory.gradients + memory.buckets, memory.optimizer, memory.activations)
        windows = f"{stage.windows_per_step} = {processes} x {size} x {batches}"
        rows.add_row(stage.name, str(steps), windows, str(shape.length), *(f"{part / 1e9:.2f}" for part in parts))
    yield rows
    yield disk_table(settings, model)
    yield texts_table(settings, sources, processor)


def texts_table(settings: TrainSettings, sources: Mapping[str, Source], processor: HawkEyeProcessor) -> Table:
    """How long the conversations of each source are, by a sample of its rows, and how many of them are cut."""
    rows = table("Text, in tokens of a sample of the rows", "source", "rows", "median", "longest", "cut")
    for name, source in sources.items():
        rng = np.random.default_rng([settings.seed, *name.encode()])
        size = min(SAMPLED_ROWS, len(source.records))
        lengths = []
        for index in rng.choice(len(source.records), size, replace=False):
            record = source.records[int(index)]
            turns = record.turns or (next(iter((record.turn_by_choice or {}).values())),)
            text = conversation(turns, record.text or "").replace(VISUAL_MARKER, "")
            lengths.append(len(processor.tokenizer(text, add_special_tokens=False).input_ids) + 1)
        cut = sum(length > (settings.max_text_tokens or length) for length in lengths)
        rows.add_row(name, str(size), str(int(np.median(lengths))), str(max(lengths)), str(cut))
    return rows


def sources_table(sources: Mapping[str, Source], checks: Mapping[str, VideoCheck]) -> Table:
    """Rows and videos of each source."""
    columns = ("source", "rows", "bad rows", "videos found", "missing", "unreadable of those opened")
    rows = table("Sources", *columns)
    for name, source in sources.items():
        check = checks[name]
        numbers = (len(source.records), len(source.skipped), check.found, check.missing)
        rows.add_row(name, *map(str, numbers), f"{check.unreadable} of {check.opened}")
    return rows


def modules_table(model: nn.Module) -> Table:
    """Parameters of each module, trained and frozen."""
    rows = table("Modules", "module", "parameters", "trained", "frozen")
    for name, module in model.named_children():
        trained = sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
        total = sum(weight.numel() for weight in module.parameters())
        rows.add_row(name, f"{total:,}", f"{trained:,}", f"{total - trained:,}")
    own = [weight for name, weight in model.named_parameters(recurse=False) if weight.requires_grad]
    rows.add_row("queries", *(f"{number:,}" for number in (sum(weight.numel() for weight in own),) * 2), "0")
    return rows


def memory_of(
    settings: TrainSettings, stage: StageSettings, model: HawkEye, processes: int, shape: BatchShape
) -> Memory:
    """What a process needs for a step.

    Args:
        settings: the run's; its DeepSpeed stage decides what is split among the processes.
        stage: the stage.
        model: with or without the values of its weights, frozen and of the types that the run uses.
        processes: how many there are.
        shape: of what goes through the model together.
    """
    zero = _zero_stage(settings)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    frozen = sum(
        _bytes_of(name, weight, settings) for name, weight in model.named_parameters() if not weight.requires_grad
    )
    half = settings.precision != "float32"
    # DeepSpeed trains 16-bit weights and keeps their 32-bit originals with the optimiser's state.
    width = 2 if zero and half else 4
    states = (1 if settings.optimizer == "muon" else 2) * 4 + (4 if zero and half else 0)
    activations = _activations(settings, stage, model, shape)
    return Memory(
        weights=(frozen + width * trained) / (processes if zero == 3 else 1),
        gradients=width * trained / (processes if zero >= 2 else 1),
        optimizer=states * trained / (processes if zero >= 1 else 1),
        activations=activations,
        buckets=0.0 if zero or processes == 1 else width * trained,
    )


def _zero_stage(settings: TrainSettings) -> int:
    if settings.deepspeed is None:
        return 0
    try:
        with reading(str(settings.deepspeed)):
            return int(read_json(settings.deepspeed, dict)["zero_optimization"]["stage"])
    except AnnotationError as error:
        raise ConfigError(f"deepspeed {settings.deepspeed}: names no ZeRO stage ({error})") from None


def _bytes_of(name: str, weight: torch.Tensor, settings: TrainSettings) -> float:
    if settings.quantization and name.startswith("language_model.") and weight.ndim == 2 and "lm_head" not in name:
        return QUANTIZED_BYTES[settings.quantization] * weight.numel()
    return weight.element_size() * weight.numel()


def _activations(settings: TrainSettings, stage: StageSettings, model: HawkEye, shape: BatchShape) -> float:
    config = model.config
    patches = (
        frames_shown(stage, config.num_frames)
        * (config.vision_config.image_size // config.vision_config.patch_size) ** 2
    )
    parts = [
        (model.vision_encoder, config.vision_config.depth, config.vision_config.hidden_size, shape.windows * patches),
        (
            model.language_model,
            config.text_config.num_hidden_layers,
            config.text_config.hidden_size,
            shape.conversations * shape.length,
        ),
    ]
    qformer = config.qformer_config
    if stage.objective == "answers":
        tokens = shape.questions * (config.num_visual_tokens + shape.question_length)
        parts.append((model.qformer, qformer.num_hidden_layers, qformer.hidden_size, tokens))
    scale = BYTES[settings.precision] / 2
    # Keys and values of the windows' features, in the layers that attend to them.
    attending = -(-qformer.num_hidden_layers // qformer.cross_attention_frequency)
    kept = scale * 2 * 2 * qformer.hidden_size * shape.questions * patches * attending
    for module, layers, width, tokens in parts:
        layer = scale * LAYER_ACTIVATIONS * width * tokens
        if module is model.vision_encoder and not any(weight.requires_grad for weight in module.parameters()):
            kept += layer  # of one layer at a time
        elif settings.gradient_checkpointing:
            kept += layer + layers * scale * 2 * width * tokens
        else:
            kept += layers * layer
    # The logits, in the run's precision, and their log-probabilities and gradients in 32 bits.
    return kept + shape.learned * config.text_config.vocab_size * (2 * scale + 8)


def _largest_batch(
    settings: TrainSettings,
    stage: StageSettings,
    sources: Mapping[str, Source],
    model: HawkEye,
    processor: HawkEyeProcessor,
    size: int,
) -> BatchShape:
    """The one with the most tokens of a few batches of `size` windows; nothing but windows where the encoder trains
    alone."""
    if stage.objective == "words":
        return BatchShape(size, 0, 0, 0)
    frames = frame_store(settings.model_copy(update={"frame_cache": None}), processor)
    data = TrainingSet(sources, stage, frames, num_positions=model.config.num_frames, seed=settings.seed)
    collate = Collator(
        processor,
        settings.answer_weights,
        model.config.qformer_text == "instruction_and_question",
        max_text_tokens=settings.max_text_tokens,
        context=context_of(model.config),
    )
    shapes = []
    for start in range(0, min(SAMPLED_BATCHES * size, len(data)), size):
        batch = collate([data[index] for index in range(start, min(start + size, len(data)))])
        if "labels" in batch:
            learned = int((batch["labels"] != IGNORED).sum())
            rows, length = batch["labels"].shape
            texts = batch.get("qformer_input_ids", torch.empty(0, 0)).shape
            shapes.append(BatchShape(len(batch.get("pixel_values", ())), rows, length, learned, *texts))
    return max(shapes, key=lambda shape: shape.conversations * shape.length, default=BatchShape(0, 0, 0, 0))

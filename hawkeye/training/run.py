"""`hawkeye train`: from a configuration to a trained model."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path

import torch
import yaml
from torch import nn
from transformers import set_seed
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from hawkeye import processes
from hawkeye.config import ConfigError, StageSettings, TrainSettings, load_settings
from hawkeye.console import PrintableFormatter
from hawkeye.data.collate import Collator
from hawkeye.data.frame_cache import FrameCache
from hawkeye.data.frames import FrameFiles, FrameStore
from hawkeye.data.sources import Source, TrainingSet, frames_shown, num_steps, stage_sources
from hawkeye.data.transforms import random_crop_and_flip
from hawkeye.files import locked, write_text, written_whole
from hawkeye.models.attention import PLAIN_ATTENTION
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.models.saved import load_to_train, save_model
from hawkeye.training.arguments import loader_workers, split_step, stage_arguments, warn_of_idle_devices
from hawkeye.training.checkpoints import last_checkpoint, step_of
from hawkeye.training.checks import (
    VideoCheck,
    check_lengths,
    check_precision,
    check_shared_memory,
    check_videos,
    context_of,
    read_sources,
)
from hawkeye.training.curve import draw_curve
from hawkeye.training.resume import changes_of, check_changes, keep_data, keep_model
from hawkeye.training.start import choose_trained, start_model
from hawkeye.training.trainer import StageTrainer, check_finite
from hawkeye.training.watch import Interrupted
from hawkeye.training.words import WordClassifier, WordCollator, check_word_stage

logger = logging.getLogger(__name__)

PIXEL_BYTES = 4
"""Batches hold pixels as float32."""


def train(settings: TrainSettings) -> Path:
    """Runs or resumes a training run; returns the directory of the final model.

    Everything is checked before the first step: the configuration, every annotation row, the videos. A run that was
    stopped goes on from its last checkpoint when the same command is given again; finished stages are not repeated.

    Raises:
        ConfigError, AnnotationError, VideoError: before training starts, naming what is wrong.
        TrainingError: if too much goes wrong in training.
        Interrupted: after Ctrl-C or SIGTERM, when all is saved.
        InUseError: if another process trains in `output_dir`.
    """
    processes.join()
    with locked(settings.output_dir) if processes.is_main() else nullcontext():
        return _train(settings)


def _train(settings: TrainSettings) -> Path:
    final = settings.output_dir / "model"
    check_changes(settings)
    if final.exists():
        logger.warning("%s: this run has finished; delete it, or choose another output_dir, to train again", final)
        return final
    log_to(settings.output_dir / "train.log")
    warn_of_idle_devices()
    sources = read_sources(settings)
    for stage in settings.stages:
        stage_sources(sources, stage)
        if stage.objective == "words":
            check_word_stage(stage, sources)
    set_seed(settings.seed)
    model, processor = start_model(settings, sources)
    check_precision(settings, model)
    sources = check_lengths(settings, sources, processor, model.config)
    workers = loader_workers(settings.num_workers)
    for stage in settings.stages:
        windows, _ = split_step(stage, processes.count())
        pixels = windows * frames_shown(stage, model.config.num_frames) * 3 * processor.image_size**2
        check_shared_memory(stage, workers, pixels * PIXEL_BYTES)
    frames = frame_store(settings, processor)
    with processes.first_of_node():
        checks = check_videos(settings, sources, frames)
    if processes.is_main():
        keep_data(settings, sources)
        keep_model(settings)
        keep_settings(settings)
    describe(model, sources, checks)
    for index, stage in enumerate(settings.stages):
        model = run_stage(model, processor, sources, frames, settings, stage, settings.seed + 1000 * index)
    if processes.is_main():
        with written_whole(final) as unfinished:
            processor.save_pretrained(unfinished)
            save_trained(model, unfinished, settings)
        draw_curve(settings)
    processes.wait()
    return final


def keep_settings(settings: TrainSettings) -> None:
    """Writes the resolved configuration; where an earlier go of the run had another, says what is different."""
    path = settings.output_dir / "config.yaml"
    if path.exists():
        for change in changes_of(load_settings(path, TrainSettings), settings):
            logger.warning("this run goes on with another configuration: %s", change)
    write_text(path, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))


def frame_store(settings: TrainSettings, processor: HawkEyeProcessor) -> FrameStore:
    """Where the run's frames come from.

    Raises:
        ConfigError: if they are to be cached and changed at random.
    """
    size = processor.image_size
    if settings.frame_cache is None:
        if settings.augment:
            return FrameFiles(lambda frames, rng: random_crop_and_flip(frames, size, rng))
        return FrameFiles(lambda frames, _: processor.resize_frames(frames))
    if settings.augment:
        raise ConfigError("augment: cached frames are cut already: set frame_cache to null, or augment to false")
    directory = settings.data_dir / settings.frame_cache.dir
    return FrameCache(directory, processor.resize_frames, f"centre square {size}", settings.frame_cache.max_fps)


def log_to(path: Path) -> None:
    """Sends what the run says to a file as well as to the terminal; of other processes than the main one, warnings."""
    root = logging.getLogger("hawkeye")
    root.setLevel(logging.INFO)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if processes.is_main():
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    else:
        root.setLevel(logging.WARNING)
    for handler in handlers:
        handler.setFormatter(PrintableFormatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        root.addHandler(handler)


def describe(model: HawkEye, sources: dict[str, Source], checks: dict[str, VideoCheck]) -> None:
    """Logs what will be trained on what."""
    for name, source in sources.items():
        check = checks[name]
        logger.info(
            "source %-20s %7d rows %5d bad rows %6d videos found %5d missing %5d of %d opened unreadable",
            *(name, len(source.records), len(source.skipped), check.found, check.missing),
            *(check.unreadable, check.opened),
        )
    for name, module in model.named_children():
        count = sum(parameter.numel() for parameter in module.parameters())
        trained = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
        logger.info("module %-20s %11d parameters, %11d trained", name, count, trained)


def run_stage(
    model: HawkEye,
    processor: HawkEyeProcessor,
    sources: dict[str, Source],
    frames: FrameStore,
    settings: TrainSettings,
    stage: StageSettings,
    seed: int,
) -> HawkEye:
    """Trains one stage, or loads what it left if it has finished; returns the model after it."""
    directory = settings.output_dir / stage.name
    finished = directory / "finished"
    if finished.exists():
        logger.info("stage %s has finished: loading %s", stage.name, finished)
        return load_finished(finished, settings)
    data = TrainingSet(sources, stage, frames, num_positions=model.config.num_frames, seed=seed)
    arguments = stage_arguments(settings, stage, directory, seed, num_steps(data.sources, stage))
    trained: nn.Module = model
    collator: Collator | WordCollator = Collator(
        processor,
        settings.answer_weights,
        model.config.qformer_text == "instruction_and_question",
        num_frames=data.num_frames,
        max_text_tokens=settings.max_text_tokens,
        context=context_of(model.config),
        always_shows=arguments.world_size > 1,
    )
    if stage.objective == "words":
        set_seed(seed)  # the same first weights, whether or not a run was stopped before this stage
        trained, collator = WordClassifier(model), WordCollator(processor, model.config.num_frames)
    last = last_checkpoint(directory)
    if last and step_of(last) > arguments.max_steps:
        raise ConfigError(
            f"stage {stage.name!r}: {step_of(last)} steps are done, but the configuration now has {arguments.max_steps}"
        )
    if last:
        logger.info("stage %s goes on from %s", stage.name, last)
    use_quick_kernels(model, settings)
    trainer = StageTrainer(settings, stage, trained, data, collator, arguments)
    with trainer.signals.listening():
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    if trainer.signals.is_stopping:
        raise Interrupted(f"stopped at step {trainer.state.global_step}; the same command goes on from there")
    trainer.watch.tell(stage.name)
    trainer.watch.check_learned(stage.name)
    trainer.check_result()
    weights = trainer.all_weights()
    if settings.deepspeed is not None:
        check_finite(weights or {}, f"stage {stage.name}")
    if processes.is_main():
        with written_whole(finished) as unfinished:
            save_model(model, unfinished, torch.float32, weights=weights)
    processes.wait()
    if settings.deepspeed is None:
        return model
    # DeepSpeed has changed the model's parameters, and perhaps left each process with a part of them.
    del trainer, arguments
    unset_hf_deepspeed_config()
    return load_finished(finished, settings)


def load_finished(finished: Path, settings: TrainSettings) -> HawkEye:
    """The model that a stage has left."""
    dtype = getattr(torch, settings.frozen_precision)
    return load_to_train(finished, dtype, lambda model: choose_trained(model, settings))


def save_trained(model: HawkEye, directory: Path, settings: TrainSettings) -> None:
    """Writes the final model.

    Raises:
        ConfigError: if its weights do not fit `saved_precision`; the last stage keeps them.
    """
    dtype = getattr(torch, settings.saved_precision)
    # What a stage has left says its type in every part; a model that was made in this process does not.
    for part in (model.config.vision_config, model.config.qformer_config, model.config.text_config):
        part.dtype = dtype
    vars(model.config).pop("use_cache", None)  # the Trainer's, of stages that were trained in this process
    try:
        save_model(model, directory, dtype)
    except ConfigError as error:
        kept = settings.output_dir / settings.stages[-1].name / "finished"
        raise ConfigError(f"saved_precision {settings.saved_precision!r}: {error}; {kept} has the weights") from None


def use_quick_kernels(model: HawkEye, settings: TrainSettings) -> None:
    """On a CPU in bfloat16, plain products are quicker than the library's fused attention: a fifth of a step."""
    if settings.precision == "bfloat16" and not torch.accelerator.is_available():
        model.language_model.set_attn_implementation(PLAIN_ATTENTION)

"""`hawkeye train`: from a configuration to a trained model."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
import yaml
from torch import nn
from transformers import Trainer, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from hawkeye.config import StageSettings, TrainSettings
from hawkeye.data.collate import Collator
from hawkeye.data.frame_cache import FrameCache
from hawkeye.data.sources import Source, TrainingSet, read_source
from hawkeye.data.video import VideoError
from hawkeye.models.attention import PLAIN_ATTENTION
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.training.curve import draw_curve
from hawkeye.training.optimizer import make_optimizer
from hawkeye.training.start import start_model
from hawkeye.training.words import WordClassifier, WordCollator, check_word_stage

logger = logging.getLogger(__name__)


def train(settings: TrainSettings) -> Path:
    """Runs or resumes a training run; returns the directory of the final model.

    Everything is checked before the first step: the configuration, every annotation row, every video. A run that was
    stopped goes on from its last checkpoint when the same command is given again; finished stages are not repeated.

    Raises:
        ConfigError, AnnotationError, VideoError: before training starts, naming what is wrong.
    """
    final = settings.output_dir / "model"
    if (final / "config.json").exists():
        logger.info("%s: this run has finished; delete it, or choose another output_dir, to train again", final)
        return final
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    log_to(settings.output_dir / "train.log")
    sources = {name: read_source(name, source, settings.data_dir) for name, source in settings.sources.items()}
    for stage in settings.stages:
        if stage.objective == "words":
            check_word_stage(stage, sources)
    set_seed(settings.seed)
    model, processor = start_model(settings, sources)
    cache = FrameCache(
        settings.data_dir / settings.frame_cache.dir,
        processor.resize_frames,
        f"centre square {processor.image_size}",
        settings.frame_cache.max_fps,
    )
    check_videos(sources, cache)
    resolved = settings.model_dump(mode="json")
    (settings.output_dir / "config.yaml").write_text(yaml.safe_dump(resolved, sort_keys=False), encoding="utf-8")
    describe(model, sources)
    for index, stage in enumerate(settings.stages):
        model = run_stage(model, processor, sources, cache, settings, stage, settings.seed + 1000 * index)
    draw_curve(settings)
    processor.save_pretrained(final)
    model.to(getattr(torch, settings.saved_precision)).save_pretrained(final)
    return final


def log_to(path: Path) -> None:
    """Sends what the run says to a file as well as to the terminal."""
    root = logging.getLogger("hawkeye")
    root.setLevel(logging.INFO)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in (logging.StreamHandler(), logging.FileHandler(path, encoding="utf-8")):
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        root.addHandler(handler)


def check_videos(sources: dict[str, Source], cache: FrameCache) -> None:
    """Decodes every video that is not in the cache yet.

    Raises:
        VideoError: naming the videos that cannot be read.
    """
    paths = {source.video_path(record) for source in sources.values() for record in source.records} - {None}
    failures = cache.fill(sorted(path for path in paths if path), torch.get_num_threads())
    if failures:
        listed = "; ".join(list(failures.values())[:5])
        raise VideoError(f"{len(failures)} of {len(paths)} training videos cannot be read: {listed}")


def describe(model: HawkEye, sources: dict[str, Source]) -> None:
    """Logs what will be trained on what."""
    for name, source in sources.items():
        videos = len({record.video for record in source.records if record.video})
        logger.info("source %-20s %7d rows %6d videos", name, len(source.records), videos)
    for name, module in model.named_children():
        count = sum(parameter.numel() for parameter in module.parameters())
        trained = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
        logger.info("module %-20s %11d parameters, %11d trained", name, count, trained)


class StageTrainer(Trainer):
    """transformers' Trainer on a schedule of windows, with the run's optimiser."""

    def __init__(self, settings: TrainSettings, stage: StageSettings, model: nn.Module, data: TrainingSet,
                 collator: Collator | WordCollator, arguments: TrainingArguments) -> None:  # fmt: skip
        super().__init__(model=model, args=arguments, train_dataset=data, data_collator=collator)
        self.settings = settings
        self.stage = stage
        # The model's loss is a mean over its own batch, so the Trainer must not divide by a count of its own.
        self.model_accepts_loss_kwargs = False

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Writes the figures to the run's log too."""
        super().log(logs, start_time)
        if "loss" in logs:
            logger.info(
                "stage %s step %d of %d loss %.4f learning rate %.2e gradient norm %.2f",
                self.stage.name,
                self.state.global_step,
                self.stage.steps,
                float(logs["loss"]),
                float(logs["learning_rate"]),
                float(logs["grad_norm"]),
            )

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """The optimiser that the configuration names."""
        if self.optimizer is None:
            trained = self.model if model is None else model
            assert isinstance(trained, torch.nn.Module)
            self.optimizer = make_optimizer(trained, self.settings, self.stage.learning_rate)
        return self.optimizer


def run_stage(
    model: HawkEye,
    processor: HawkEyeProcessor,
    sources: dict[str, Source],
    cache: FrameCache,
    settings: TrainSettings,
    stage: StageSettings,
    seed: int,
) -> HawkEye:
    """Trains one stage, or loads what it left if it has finished; returns the model after it."""
    directory = settings.output_dir / stage.name
    finished = directory / "finished"
    if (finished / "config.json").exists():
        logger.info("stage %s has finished: loading %s", stage.name, finished)
        return HawkEye.from_pretrained(finished)
    data = TrainingSet(sources, stage, cache, num_positions=model.config.num_frames, seed=seed)
    trained: nn.Module = model
    collator: Collator | WordCollator = Collator(
        processor, settings.answer_weights, model.config.qformer_text == "instruction_and_question"
    )
    if stage.objective == "words":
        set_seed(seed)  # the same first weights, whether or not a run was stopped before this stage
        trained, collator = WordClassifier(model), WordCollator(processor)
    last = get_last_checkpoint(str(directory)) if directory.exists() else None
    if last:
        logger.info("stage %s goes on from %s", stage.name, last)
    use_quick_kernels(model, settings)
    trainer = StageTrainer(settings, stage, trained, data, collator, stage_arguments(settings, stage, directory, seed))
    trainer.train(resume_from_checkpoint=last)
    model.save_pretrained(finished)
    return model


def use_quick_kernels(model: HawkEye, settings: TrainSettings) -> None:
    """On a CPU in bfloat16, plain products are quicker than the library's fused attention: a fifth of a step."""
    if settings.precision == "bfloat16" and not torch.accelerator.is_available():
        model.language_model.set_attn_implementation(PLAIN_ATTENTION)


def stage_arguments(settings: TrainSettings, stage: StageSettings, directory: Path, seed: int) -> TrainingArguments:
    """The Trainer's arguments for one stage."""
    return TrainingArguments(
        output_dir=str(directory),
        max_steps=stage.steps,
        per_device_train_batch_size=stage.windows_per_step,
        learning_rate=stage.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": stage.min_lr_ratio},
        warmup_steps=stage.warmup_steps,
        max_grad_norm=settings.max_grad_norm,
        bf16=settings.precision == "bfloat16",
        use_cpu=not torch.accelerator.is_available(),
        gradient_checkpointing=settings.gradient_checkpointing and stage.objective == "answers",
        train_sampling_strategy="sequential",  # the schedule is already shuffled
        dataloader_num_workers=settings.num_workers,
        remove_unused_columns=False,
        save_steps=settings.save_steps,
        save_total_limit=2,
        logging_steps=settings.logging_steps,
        logging_first_step=True,
        report_to=["tensorboard"],
        seed=seed,
    )

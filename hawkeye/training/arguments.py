"""How a stage's steps are made: the Trainer's arguments, processes, devices and loaders."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from transformers import TrainingArguments

from hawkeye import processes
from hawkeye.config import ConfigError, StageSettings, TrainSettings
from hawkeye.pools import limited_workers

logger = logging.getLogger(__name__)


def stage_arguments(
    settings: TrainSettings, stage: StageSettings, directory: Path, seed: int, steps: int
) -> TrainingArguments:
    """The Trainer's arguments for one stage.

    Raises:
        ConfigError: if the step's windows cannot be split evenly among the processes.
    """
    warmup = stage.warmup_steps
    if stage.warmup_epochs is not None and stage.epochs is not None:
        warmup = round(steps * stage.warmup_epochs / stage.epochs)
    clamped = stage.schedule == "clamped_cosine"
    arguments = OneDeviceArguments(
        output_dir=str(directory),
        max_steps=steps,
        learning_rate=stage.learning_rate,
        lr_scheduler_type="cosine" if clamped else "cosine_with_min_lr",
        lr_scheduler_kwargs={} if clamped else {"min_lr_rate": stage.min_lr_ratio},
        warmup_steps=warmup,
        max_grad_norm=settings.max_grad_norm or 0.0,  # the library's word for none
        deepspeed=str(settings.deepspeed) if settings.deepspeed else None,
        bf16=settings.precision == "bfloat16",
        fp16=settings.precision == "float16",
        use_cpu=not torch.accelerator.is_available(),
        activation_checkpointing=settings.gradient_checkpointing and stage.objective == "answers",
        train_sampling_strategy="sequential",  # the schedule is already shuffled
        dataloader_num_workers=loader_workers(settings.num_workers),
        remove_unused_columns=False,
        save_steps=settings.save_steps,
        save_total_limit=settings.keep_checkpoints,
        logging_steps=settings.logging_steps,
        logging_first_step=True,
        report_to=["tensorboard"],
        seed=seed,
    )
    arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps = split_step(
        stage, arguments.world_size
    )
    return arguments


class OneDeviceArguments(TrainingArguments):
    """The Trainer's arguments for processes that use one device each, however many there are.

    The library would spread a process without a launcher over all devices by `DataParallel`, which splits batches
    along their first dimension: that is not the same thing in all of ours.
    """

    @property
    def n_gpu(self) -> int:
        """One device, or none."""
        return min(1, super().n_gpu)


def loader_workers(num_workers: int) -> int:
    """What `limited_workers` leaves of `num_workers` where the node's processes share its cores."""
    return limited_workers(num_workers, processes.count_on_node())


def warn_of_idle_devices() -> None:
    """Says so where a run that no launcher has started leaves devices unused."""
    count = torch.accelerator.device_count() if torch.accelerator.is_available() else 1
    if processes.count() == 1 and count > 1:
        logger.warning(
            "%d devices are visible, and one is used: torchrun --nproc_per_node %d -m hawkeye train ... uses all",
            *(count, count),
        )


def split_step(stage: StageSettings, num_processes: int) -> tuple[int, int]:
    """Windows that a process takes at a time, and how often it does so in a step.

    Raises:
        ConfigError: if the step's windows cannot be split evenly.
    """
    own, rest = divmod(stage.windows_per_step, num_processes)
    if rest or not own:
        raise ConfigError(
            f"stage {stage.name!r}: windows_per_step {stage.windows_per_step} cannot be split evenly among "
            f"{num_processes} processes"
        )
    size = min(own, stage.windows_per_process or own)
    while own % size:
        size -= 1
    return size, own // size

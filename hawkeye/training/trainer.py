"""One stage of a run on transformers' Trainer: its loss, its schedule, its checkpoints."""

from __future__ import annotations

import logging
import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hawkeye import processes
from hawkeye.config import StageSettings, TrainSettings
from hawkeye.data.collate import IGNORED, BatchReport, Collator
from hawkeye.data.sources import TrainingSet
from hawkeye.files import written_whole
from hawkeye.models.checkpoint import to_original
from hawkeye.models.weight_files import read_weights
from hawkeye.training.optimizer import make_optimizer
from hawkeye.training.watch import SignalWatch, StepWatch, Throughput
from hawkeye.training.words import WordCollator

logger = logging.getLogger(__name__)

COMPLETE = "complete"
"""An empty file that appears in a checkpoint when all else has been written."""


class StageTrainer(Trainer):
    """transformers' Trainer on a schedule of windows.

    The loss is the weighted mean over the tokens of the whole step, so that it does not depend on how a step is split
    among processes and batches. A batch whose loss is no finite number on any process is skipped on all.
    """

    def __init__(
        self,
        settings: TrainSettings,
        stage: StageSettings,
        model: nn.Module,
        data: TrainingSet,
        collator: Collator | WordCollator,
        arguments: TrainingArguments,
    ) -> None:
        self.watch = StepWatch(settings.max_unreadable_ratio, settings.max_skipped_steps)
        self.signals = SignalWatch()
        self.throughput = Throughput()
        export_to = settings.output_dir if settings.export_checkpoints and stage.objective == "answers" else None
        trained = frozenset(name for name, weight in model.named_parameters() if weight.requires_grad)
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=data,
            data_collator=collator,
            callbacks=[self.watch, self.signals, _FinishCheckpoint(export_to, trained)],
        )
        self.settings = settings
        self.stage = stage
        # The Trainer must not divide by counts of its own: `compute_loss` divides by the step's weight.
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = stage.objective == "answers"

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds how quick training is, and writes the figures to the run's log too."""
        if "loss" in logs:
            logs |= self.throughput.report()
        super().log(logs, start_time)
        if "loss" in logs:
            logger.info(
                "stage %s step %d of %d loss %.4f learning rate %.2e gradient norm %.2f "
                "windows/s %.1f tokens/s %.0f waiting for data %.0f %%",
                self.stage.name,
                self.state.global_step,
                self.state.max_steps,
                float(logs["loss"]),
                float(logs["learning_rate"]),
                float(logs.get("grad_norm", math.nan)),
                logs["windows_per_second"],
                logs["tokens_per_second"],
                100 * logs["waiting"],
            )

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """The optimiser that the configuration names."""
        if self.optimizer is None:
            trained = self.model if model is None else model
            assert isinstance(trained, torch.nn.Module)
            self.optimizer = make_optimizer(trained, self.settings, self.stage.learning_rate)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        """The learning rate's course: the library's, or the original's clamped one."""
        if self.stage.schedule != "clamped_cosine":
            return super().create_scheduler(num_training_steps, optimizer)
        if self.lr_scheduler is None:
            scheduled = self.optimizer if optimizer is None else optimizer
            assert scheduled is not None
            ratio = partial(
                clamped_cosine,
                warmup_steps=int(self.args.warmup_steps),
                num_steps=num_training_steps,
                floor=self.stage.min_lr_ratio,
            )
            self.lr_scheduler = LambdaLR(scheduled, ratio)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """The batches of one step, and the weight of all labels that it learns from on all processes."""
        with self.throughput.waiting():
            batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self.stage.objective != "answers":
            return batches, None
        weight = torch.zeros((), device=device)
        for batch in batches:
            if "labels" in batch:
                weight += batch["loss_weights"][:, 1:][batch["labels"][:, 1:] != IGNORED].sum().to(device)
        return batches, self.accelerator.reduce(weight, "sum")

    def all_weights(self) -> dict[str, Tensor] | None:
        """After training, every weight by its name, on the main process; None where the model itself holds them."""
        if not self.is_deepspeed_enabled:
            return None
        weights: dict[str, Tensor] | None = self.accelerator.get_state_dict(self.model_wrapped)
        return weights

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The batch's share of the step's loss, times the number of processes, whose gradients are averaged."""
        if num_items_in_batch is None:
            return super().compute_loss(model, inputs, return_outputs)
        loss = model(**inputs, loss_denominator=num_items_in_batch)["loss"] * self.args.world_size
        return (loss, None) if return_outputs else loss

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward of one batch, unless its loss is no finite number on some process.

        Raises:
            TrainingError: if too much could not be read or was skipped.
        """
        model.train()
        report: BatchReport = inputs.pop("report")
        self.watch.note_own(report)
        self.throughput.note(report, inputs)
        inputs = self._prepare_inputs(inputs)
        loss = torch.zeros((), device=self.args.device)
        if inputs:
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        is_finite = bool(loss.isfinite())
        if not is_finite:
            logger.warning("the loss is %s for %s", loss.item(), "; ".join(report.places))
        unreadable = len(report.unreadable)
        counts = torch.tensor([len(report.places) + unreadable, unreadable, int(not is_finite)], device=loss.device)
        samples, unreadable, broken = self.accelerator.reduce(counts, "sum").tolist()
        self.watch.count(samples, unreadable, broken > 0)
        if broken or not inputs:
            return torch.zeros((), device=loss.device)
        if not self.loss_is_scaled_for_ga:
            loss = loss / self.current_gradient_accumulation_steps
        # The Trainer's own way to say that the loss is scaled already.
        self.accelerator.backward(loss, **({"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}))
        return loss.detach()


def clamped_cosine(step: int, *, warmup_steps: int, num_steps: int, floor: float) -> float:
    """The learning rate at a step as a share of its peak: linear warm-up, then half a cosine, never below `floor`.

    The original clamps both ends, so warm-up starts at `floor` (its `min_lr_multi`).
    """
    if step < warmup_steps:
        return max(floor, step / warmup_steps)
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return max(floor, 0.5 * (1 + math.cos(math.pi * progress)))


class _FinishCheckpoint(TrainerCallback):
    """Marks a checkpoint as whole once it is, and exports its trained weights where the run asks for that."""

    def __init__(self, export_to: Path | None, trained: frozenset[str]) -> None:
        self.export_to = export_to
        self.trained = trained

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        processes.wait()  # under DeepSpeed each process writes its part
        if not processes.is_main():
            return
        directory = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        (directory / COMPLETE).touch()
        if self.export_to is not None:
            export_trained(directory, self.export_to / f"ckpt_{state.global_step}.pth", self.trained, state.global_step)


def export_trained(checkpoint: Path, path: Path, trained: frozenset[str], step: int) -> None:
    """Writes the trained weights of a checkpoint as the original does: its names, under "model"; whole or not at all.

    Args:
        checkpoint: a directory that holds all weights under our names.
        path: the file to write.
        trained: our names of the weights that train.
        step: optimiser steps so far.
    """
    weights = {name: weight for name, weight in read_weights(checkpoint).items() if name in trained}
    with written_whole(path) as unfinished:
        torch.save({"model": to_original(weights), "global_step": step}, unfinished)


def last_checkpoint(directory: Path) -> Path | None:
    """The last whole checkpoint of a stage; those that were being written when a process died are deleted."""
    found = sorted(directory.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    whole = [path for path in found if (path / COMPLETE).exists()]
    if processes.is_main():
        for path in set(found).difference(whole):
            logger.warning("%s is incomplete, and deleted", path)
            shutil.rmtree(path)
    return whole[-1] if whole else None

"""One stage of a run on transformers' Trainer: its loss, its schedule, its checkpoints."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import Trainer, TrainingArguments

from hawkeye import processes
from hawkeye.config import StageSettings, TrainSettings
from hawkeye.data.collate import IGNORED, BatchReport, Collator
from hawkeye.data.sources import TrainingSet
from hawkeye.training.checkpoints import FinishCheckpoint
from hawkeye.training.optimizer import make_optimizer
from hawkeye.training.resume import ApplyChanges
from hawkeye.training.watch import SignalWatch, StepWatch, Throughput, TrainingError
from hawkeye.training.words import WordCollator

logger = logging.getLogger(__name__)

MAX_OVERFLOWS = 30
"""A gradient scaler starts at 2 ** 16 and halves after each overflow: by then it scales the loss by 2 ** -14."""


class StageTrainer(Trainer):
    """transformers' Trainer on a schedule of windows.

    The loss is the weighted mean over the tokens of the whole step, so that it does not depend on how a step is split
    among processes and batches. A batch whose loss is no finite number on any process is skipped on all: its gradients
    count as zero. A step of which nothing is left, or whose gradients are not finite, changes no weight; with a
    gradient scaler (float16) and under DeepSpeed, which must go through every step, it is one with zero gradients.
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
        self.throughput = Throughput()
        self.signals = SignalWatch(self.throughput)
        export_to = settings.output_dir if settings.export_checkpoints and stage.objective == "answers" else None
        trained = frozenset(name for name, weight in model.named_parameters() if weight.requires_grad)
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=data,
            data_collator=collator,
            callbacks=[
                self.watch,
                self.signals,
                ApplyChanges(settings, stage),
                FinishCheckpoint(export_to, trained, settings.keep_checkpoints),
            ],
        )
        self._has_learned = False
        self._overflows = 0
        self._last_good: dict[str, Any] | None = None
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
        self._has_learned = False
        self._watch_overflows()
        with self.throughput.waiting():
            batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self.stage.objective != "answers":
            return batches, None
        weight = torch.zeros((), device=device)
        for batch in batches:
            if "labels" in batch:
                weight += batch["loss_weights"][:, 1:][batch["labels"][:, 1:] != IGNORED].sum().to(device)
        return batches, self.accelerator.reduce(weight, "sum")

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The gradients' norm before clipping; gradients that are not finite are dropped, and so is the step."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        leaves_it_to_the_library = self.accelerator.scaler is not None or self.is_deepspeed_enabled
        if norm is not None and not math.isfinite(norm) and not leaves_it_to_the_library:
            logger.warning("the gradients' norm is %s in step %d: skipped", norm, self.state.global_step + 1)
            model.zero_grad()
            self.watch.drop_step()
        return norm

    def _watch_overflows(self) -> None:
        """Counts the steps in a row that the library has skipped because gradients overflowed in float16.

        Raises:
            TrainingError: when lowering the loss's scale has not helped for so many that it never will.
        """
        self._overflows = self._overflows + 1 if self.accelerator.optimizer_step_was_skipped else 0
        if self._overflows > MAX_OVERFLOWS:
            raise TrainingError(
                f"stage {self.stage.name}: the gradients were not finite in {self._overflows} steps in a row, whatever "
                "the scale of the loss: precision=bfloat16 has a wider range"
            )

    def check_result(self) -> None:
        """Refuses what training has made of the model if it cannot be used.

        Raises:
            TrainingError: if weights are not finite, or the loss is not for a batch for which it was.
        """
        assert isinstance(self.model, nn.Module)
        check_finite(dict(self.model.named_parameters()), f"stage {self.stage.name}")
        if self._last_good is None:
            return
        self.model_wrapped.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            count = torch.ones((), device=self.args.device) if self.stage.objective == "answers" else None
            loss = self.compute_loss(self.model_wrapped, self._last_good, num_items_in_batch=count)
        if processes.any_of(not bool(loss.isfinite())):
            raise TrainingError(
                f"stage {self.stage.name}: the loss is {loss.item()} after the last step, for a batch for which it was "
                f"finite before: the weights are not saved; lower the learning rate {self.stage.learning_rate:g}"
            )

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
        # A step may have nothing to learn from, where no video of it could be read.
        denominator = torch.where(torch.as_tensor(num_items_in_batch) > 0, num_items_in_batch, 1.0)
        loss = model(**inputs, loss_denominator=denominator)["loss"] * self.args.world_size
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
        with self.compute_loss_context_manager():
            loss = self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        is_finite = bool(loss.isfinite())
        if not is_finite:
            logger.warning("the loss is %s for %s", loss.item(), "; ".join(report.places))
        unreadable = len(report.unreadable)
        own = [len(report.places) + unreadable, unreadable, report.cut, int(not is_finite)]
        counts = torch.tensor(own, device=loss.device)
        samples, unreadable, cut, broken = self.accelerator.reduce(counts, "sum").tolist()
        self.watch.count(samples, unreadable, broken > 0, cut)
        if not self.loss_is_scaled_for_ga:
            loss = loss / self.current_gradient_accumulation_steps
        # DDP and DeepSpeed wait for the gradients of every batch, a gradient scaler for those of every step: so a
        # batch that is skipped goes the way back too.
        with _zero_gradients(model) if broken else nullcontext():
            # The Trainer's own way to say that the loss is scaled already.
            self.accelerator.backward(loss, **({"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}))
        if broken:
            loss = torch.zeros_like(loss)
        elif num_items_in_batch is None or num_items_in_batch > 0:
            self._has_learned, self._last_good = True, inputs
        if self.accelerator.sync_gradients and not (
            self._has_learned or self.accelerator.scaler is not None or self.is_deepspeed_enabled
        ):
            model.zero_grad()  # optimisers leave weights without gradients alone
        return loss.detach()


def clamped_cosine(step: int, *, warmup_steps: int, num_steps: int, floor: float) -> float:
    """The learning rate at a step as a share of its peak: linear warm-up, then half a cosine, never below `floor`.

    The original clamps both ends, so warm-up starts at `floor` (its `min_lr_multi`).
    """
    if step < warmup_steps:
        return max(floor, step / warmup_steps)
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return max(floor, 0.5 * (1 + math.cos(math.pi * progress)))


@contextmanager
def _zero_gradients(model: nn.Module) -> Iterator[None]:
    """While the context is open, the way back adds zeros to the gradients of all weights, whatever it finds."""
    hooks = [weight.register_hook(torch.zeros_like) for weight in model.parameters() if weight.requires_grad]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def check_finite(weights: Mapping[str, Tensor], where: str) -> None:
    """Refuses weights that are not finite; of weights that DeepSpeed has split, each process looks at its part.

    Raises:
        TrainingError: naming the first of them, on every process alike.
    """
    parts = ((name, getattr(weight, "ds_tensor", weight)) for name, weight in weights.items())
    broken = [name for name, part in parts if part.is_floating_point() and not bool(part.isfinite().all())]
    if processes.any_of(bool(broken)):
        reason = "weights of another process are not finite"
        if broken:
            reason = f"{len(broken)} of {len(weights)} weights are not finite, {broken[0]} among them"
        raise TrainingError(f"{where}: {reason}: not saved")

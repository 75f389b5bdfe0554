"""A run that goes on with another configuration: what is applied, and what is refused because it cannot be."""

from __future__ import annotations

from typing import Any

from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hawkeye.config import StageSettings, TrainSettings
from hawkeye.training.optimizer import DECAYS


class ApplyChanges(TrainerCallback):
    """Gives a stage that goes on from a checkpoint what the configuration says now, where the checkpoint says other."""

    def __init__(self, settings: TrainSettings, stage: StageSettings) -> None:
        self.settings = settings
        self.stage = stage

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - the library's signature
        optimizer: Any = None,
        lr_scheduler: Any = None,
        **_: Any,
    ) -> None:
        """Sets learning rate, its course, weight decay, and how often figures and checkpoints are written."""
        state.save_steps, state.logging_steps = int(args.save_steps), int(args.logging_steps)
        if not state.global_step:
            return
        scheduler = getattr(lr_scheduler, "scheduler", lr_scheduler)
        assert isinstance(scheduler, LambdaLR)
        scheduler.base_lrs = [self.stage.learning_rate] * len(scheduler.base_lrs)
        for group, ratio in zip(optimizer.param_groups, scheduler.lr_lambdas):
            group["initial_lr"] = self.stage.learning_rate
            group["lr"] = self.stage.learning_rate * ratio(scheduler.last_epoch)
            if group.get(DECAYS, group["weight_decay"] > 0):
                group["weight_decay"] = self.settings.weight_decay

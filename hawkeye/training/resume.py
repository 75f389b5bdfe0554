"""A run that goes on with another configuration: what is applied, and what is refused because it cannot be.

A checkpoint fixes the model's sizes, where its stage stands in the order of the rows, what the optimiser keeps for
which weights, and in
which form it is written; what a finished stage was trained with cannot change at all. All else is applied from the
next step on, and logged: learning rates and their course, weight decay, more (or, down to those done, fewer) steps,
clipping, precision, what is shown of the rows, how much their answers count, how steps are split and how often figures
and checkpoints are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hawkeye.annotations import read_json
from hawkeye.config import ConfigError, ModelSettings, StageSettings, TrainSettings, differences, load_settings
from hawkeye.data.sources import Source
from hawkeye.files import sha256, write_json
from hawkeye.training.checkpoints import COMPLETE
from hawkeye.training.optimizer import DECAYS

OF_THE_RUN = frozenset({"model", "weights", "seed"})
"""What the first step of a run fixes."""
OF_THE_OPTIMIZER = frozenset({"frozen", "optimizer", "quantization", "deepspeed"})
"""What the checkpoints of a stage fix beside."""
OF_THE_ORDER = frozenset({"objective", "windows_per_step", "sources"})
"""Settings of a stage that its checkpoints fix."""
OF_NO_RESULT = frozenset(
    {"name", "source", "output_dir", "data_dir", "num_workers", "dry_run", "save_steps", "logging_steps"}
    | {"keep_checkpoints", "max_unreadable_ratio", "max_skipped_steps", "export_checkpoints"}
)
"""Settings that say nothing of a finished model: with others it would be the same."""
PATHS = frozenset({"model", "weights", "deepspeed"})
"""Settings that may be written in several ways, absolute or from a folder."""
DATA = "data.json"
MODEL = "model.json"
"""In a run's folder: what the model's file of sizes said when the run began."""


def check_changes(settings: TrainSettings) -> None:
    """Refuses settings that differ from those of the run in `output_dir` where they can no longer be followed.

    Raises:
        ConfigError: naming each with both values; also if the run's own configuration cannot be read.
    """
    path = settings.output_dir / "config.yaml"
    if not path.exists():
        return
    before = load_settings(path, TrainSettings)
    changes = {change.partition(" was ")[0]: change for change in changes_of(before, settings)}
    if (settings.output_dir / "model").exists():
        refused = [change for key, change in changes.items() if key.partition(".")[0] not in OF_NO_RESULT]
        why, way_out = "has finished with other settings", "delete it or choose another output_dir to train with these"
    else:
        refused = [change for key, change in changes.items() if _is_fixed(key, before, settings)]
        refused += _moved_stages(before, settings)
        why, way_out = "goes on from checkpoints that fix", "set them as they were, or choose another output_dir"
    if refused:
        raise ConfigError(f"{settings.output_dir}: this run {why}: {'; '.join(refused)}; {way_out}")


def changes_of(before: TrainSettings, now: TrainSettings) -> list[str]:
    """What two configurations say differently; a path that is only written in another way is the same."""
    first, second = (settings.model_dump(mode="json") for settings in (before, now))
    for name in PATHS:
        for told in (first, second):
            value = told[name]
            told[name] = [str(Path(p).resolve()) for p in value] if isinstance(value, list) else _resolved(value)
    return differences(first, second)


def _resolved(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _is_fixed(key: str, before: TrainSettings, now: TrainSettings) -> bool:
    """Whether the setting of this name can no longer change, as far as the run has come."""
    top, _, rest = key.partition(".")
    started = [stage.name for stage in before.stages if _has_started(now, stage.name)]
    running = [name for name in started if not (now.output_dir / name / "finished").exists()]
    if top in OF_THE_RUN:
        return bool(started)
    if top in OF_THE_OPTIMIZER or (top == "precision" and now.deepspeed is not None):
        return bool(running)
    if top == "stages":
        # A stage's name may hold dots, its fields' names do not, but for a mapping of shares.
        name = next((stage.name for stage in before.stages if f"{rest}.".startswith(f"{stage.name}.")), "")
        field = rest.removeprefix(name).removeprefix(".").partition(".")[0]
        if name in running:
            return not field or field in OF_THE_ORDER
        return name in started
    return False


def _has_started(settings: TrainSettings, name: str) -> bool:
    directory = settings.output_dir / name
    return (directory / "finished").exists() or any(directory.glob(f"checkpoint-*/{COMPLETE}"))


def _moved_stages(before: TrainSettings, now: TrainSettings) -> list[str]:
    """The order of the stages, if it changes before or at the last that has started: their seeds go by it."""
    names, new = ([stage.name for stage in settings.stages] for settings in (before, now))
    fixed = max((index + 1 for index, name in enumerate(names) if _has_started(now, name)), default=0)
    return [f"stages were {', '.join(names)} and are {', '.join(new)}"] if names[:fixed] != new[:fixed] else []


def keep_data(settings: TrainSettings, sources: Mapping[str, Source]) -> None:
    """Notes the run's rows; where an earlier go of the run has trained on others, refuses these.

    Raises:
        ConfigError: naming each source whose file, or number of rows, is not what it was.
    """
    path = settings.output_dir / DATA
    found = {
        name: {"rows": len(source.records), "sha256": sha256(settings.data_dir / source.settings.annotations)}
        for name, source in sources.items()
    }
    if path.exists() and any(_has_started(settings, stage.name) for stage in settings.stages):
        before = read_json(path, dict)
        if changed := sorted(name for name in {*before, *found} if before.get(name) != found.get(name)):
            raise ConfigError(
                f"{settings.output_dir}: this run goes on from checkpoints that were trained on other rows of the "
                f"sources {', '.join(changed)}: restore their files, or choose another output_dir"
            )
    write_json(path, found)


def keep_model(settings: TrainSettings) -> None:
    """Notes the sizes of the run's new model; where an earlier go of the run has trained one of others, refuses these.

    A model's directory is not compared: its weights are those of the checkpoints once a stage has begun.

    Raises:
        ConfigError: naming each field of the sizes that is not what it was.
    """
    source, path = Path(settings.model), settings.output_dir / MODEL
    if not source.is_file():
        return
    found = load_settings(source, ModelSettings).model_dump(mode="json")
    has_started = any(_has_started(settings, stage.name) for stage in settings.stages)
    changes = differences(read_json(path, dict), found) if has_started and path.exists() else []
    if changes:
        raise ConfigError(
            f"{settings.output_dir}: this run goes on from checkpoints that fix the model of {source}: "
            f"{'; '.join(changes)}; set them as they were, or choose another output_dir"
        )
    write_json(path, found)


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
        scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]  # what the next step's figures tell

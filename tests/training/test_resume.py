"""Runs that are started again with other settings: each is applied, or refused by name."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from hawkeye.config import ConfigError, StageSettings, TrainSettings
from hawkeye.training import resume
from hawkeye.training.run import train
from hawkeye.training.trainer import StageTrainer
from tests.training.runs import assert_equal_weights, settings
from tests.training.test_survival import step_counts, stop_in_step

NO_CACHE = "frame_cache=null"


def stopped_in_two(folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    """A run of which stage one has finished, and stage two has a checkpoint of step 4."""
    stop_in_stage_two = StageTrainer.training_step

    def stopping(trainer: StageTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if trainer.stage.name == "two" and trainer.state.global_step == 5:
            raise MemoryError("no more")
        return stop_in_stage_two(trainer, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StageTrainer, "training_step", stopping)
        with pytest.raises(MemoryError):
            train(settings(folder, NO_CACHE, *overrides))


REFUSED = {
    "seed=3": "seed was 0 and is 3",
    "model=other": 'model was .*model.yaml" and is .*other',
    "weights=[x.pth]": "weights was",
    "frozen=[qformer]": r"frozen was \[\] and is \[\"qformer\"\]",
    "optimizer=muon": 'optimizer was "adamw" and is "muon"',
    "quantization=4bit": 'quantization was null and is "4bit"',
    "deepspeed=zero2.json": "deepspeed was null",
    "stages.1.windows_per_step=2": "stages.two.windows_per_step was 4 and is 2",
    "stages.1.sources={plain: 1}": "stages.two.sources.segments was 1.0 and is null",
    "stages.1.objective=words": "stages.two.objective was",
    "stages.0.learning_rate=0.5": "stages.one.learning_rate was 0.01 and is 0.5",
    "stages.0.name=first": "stages were one, two and are first, two",
    "stages.1.steps=3": "stage 'two': 4 steps are done, but the configuration now has 3",
}


def test_what_checkpoints_fix_is_refused_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_in_two(folder, monkeypatch)
    for override, told in REFUSED.items():
        with pytest.raises(ConfigError, match=told):
            train(settings(folder, NO_CACHE, override))
    sizes = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(sizes.replace("num_query_tokens: 2", "num_query_tokens: 3"))
    with pytest.raises(ConfigError, match=r"fix the model of .*model\.yaml: config\.num_query_tokens was 2 and is 3"):
        train(settings(folder, NO_CACHE))
    (folder / "model.yaml").write_text(f"# the same sizes\n{sizes}")
    shutil.copy(folder / "plain.json", folder / "plain.former")
    (folder / "plain.json").write_text(json.dumps(json.loads((folder / "plain.json").read_text())[:1]))
    with pytest.raises(ConfigError, match="trained on other rows of the sources plain: restore their files"):
        train(settings(folder, NO_CACHE))
    shutil.move(folder / "plain.former", folder / "plain.json")
    train(settings(folder, NO_CACHE, "stages.1.steps=4"))


def test_every_setting_is_known_to_be_applied_or_refused() -> None:
    applied = {"sources", "stages", "weight_decay", "max_grad_norm", "precision", "frozen_precision", "saved_precision"}
    applied |= {"gradient_checkpointing", "answer_weights", "frame_cache", "augment", "skip_bad_rows"}
    applied |= {"allow_missing_sources", "max_text_tokens"}
    known = applied | resume.OF_THE_RUN | resume.OF_THE_OPTIMIZER | resume.OF_NO_RESULT
    assert set(TrainSettings.model_fields) == known
    applied = {"steps", "epochs", "windows_per_process", "questions_per_window", "num_frames", "learning_rate"}
    applied |= {"warmup_steps", "warmup_epochs", "schedule", "min_lr_ratio"}
    assert set(StageSettings.model_fields) == applied | resume.OF_THE_ORDER | {"name"}


def seen_by_optimizer(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float, float]]:
    """Step, learning rate and weight decay of the matrices, before each step of a run."""
    seen: list[tuple[int, float, float]] = []
    step = StageTrainer.training_step

    def watching(trainer: StageTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        group = trainer.optimizer.param_groups[0]
        seen.append((trainer.state.global_step, group["lr"], group["weight_decay"]))
        return step(trainer, *args, **kwargs)

    monkeypatch.setattr(StageTrainer, "training_step", watching)
    return seen


def test_learning_rate_its_course_and_weight_decay_are_applied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_in_two(folder, monkeypatch)
    changes = ("stages.1.learning_rate=0.004", "stages.1.min_lr_ratio=0.5", "stages.1.steps=12", "weight_decay=0.3")
    with monkeypatch.context() as patch:
        resumed = seen_by_optimizer(patch)
        train(settings(folder, NO_CACHE, *changes, "save_steps=3"))
    assert [step for step, *_ in resumed] == list(range(4, 12))
    with monkeypatch.context() as patch:
        fresh = seen_by_optimizer(patch)
        train(settings(folder, NO_CACHE, *changes, f"output_dir={folder / 'fresh'}"))
    assert resumed == fresh[-8:]
    log = (folder / "out" / "train.log").read_text()
    assert "goes on with another configuration: stages.two.learning_rate was 0.01 and is 0.004" in log
    told = re.findall(r"stage two step (\d+) of 12 loss .* learning rate (\S+)", log)
    assert told == [(str(step + 1), f"{rate:.2e}") for step, rate, _ in resumed]
    assert (folder / "out" / "two" / "checkpoint-9").exists()  # saved every three steps, as is said now


def test_a_finished_run_refuses_other_settings(folder: Path) -> None:
    model = train(settings(folder, NO_CACHE))
    with pytest.raises(ConfigError, match=r"has finished with other settings: saved_precision was .*; delete it or"):
        train(settings(folder, NO_CACHE, "saved_precision=bfloat16"))
    run = settings(folder, NO_CACHE)
    more = StageSettings(name="three", steps=1, windows_per_step=1, learning_rate=0.1)
    with pytest.raises(ConfigError, match=r"stages.three was null and is"):
        train(run.model_copy(update={"stages": [*run.stages, more]}))
    assert train(settings(folder, NO_CACHE, "num_workers=1", "logging_steps=7")) == model


def test_a_run_goes_on_past_a_damaged_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = settings(folder, NO_CACHE, "save_steps=2")
    with monkeypatch.context() as patch:
        stop_in_step(6, patch)
        with pytest.raises(MemoryError):
            train(run)
    (folder / "out" / "one" / "checkpoint-4" / "trainer_state.json").write_text("{")
    whole = train(settings(folder, NO_CACHE, "save_steps=2", f"output_dir={folder / 'whole'}"))
    assert_equal_weights(whole, train(run))
    assert "checkpoint-4 is damaged (trainer_state.json is not what was written)" in (
        (folder / "out" / "train.log").read_text()
    )
    assert step_counts(folder / "out" / "one" / "checkpoint-6")["samples"] == 24


def test_a_configuration_of_the_run_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "config.yaml").write_text("[")
    with pytest.raises(ConfigError, match=r"out/config\.yaml: not valid YAML"):
        train(settings(folder))

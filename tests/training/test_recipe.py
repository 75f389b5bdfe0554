"""What a run does with its settings: learning rates, clipping, the windows of its stages, the types of its weights."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import AdamW

from hawkeye.data.sources import Sample, TrainingSet
from hawkeye.training.checks import read_sources
from hawkeye.training.run import train
from hawkeye.training.start import start_model
from tests.training.runs import assert_equal_weights, settings

STAGE = "windows_per_step: 2, learning_rate: 0.01, num_frames: 2"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Learning rate, and norm of all gradients, of each step that AdamW takes."""
    seen, step = list[tuple[float, float]](), AdamW.step

    def watched(optimizer: AdamW, *args: Any, **kwargs: Any) -> Any:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        seen.append((optimizer.param_groups[0]["lr"], float(norm)))
        return step(optimizer, *args, **kwargs)

    monkeypatch.setattr(AdamW, "step", watched)
    return seen


def test_warm_up_in_epochs_lasts_as_many_steps(folder: Path, steps: list[tuple[float, float]]) -> None:
    # 4 rows, two at a time: two steps an epoch, so that one and a half epochs are three steps.
    train(settings(folder, f"stages=[{{name: one, epochs: 3, warmup_epochs: 1.5, {STAGE}}}]"))
    # Then half a cosine over the other three: 1, (1 + cos 60 degrees) / 2, (1 + cos 120 degrees) / 2.
    expected = [0.0, 0.01 / 3, 0.02 / 3, 0.01, 0.0075, 0.0025]
    assert [rate for rate, _ in steps] == pytest.approx(expected)


def test_gradients_are_clipped_to_the_norm_that_is_set(folder: Path, steps: list[tuple[float, float]]) -> None:
    stage = f"stages=[{{name: one, steps: 3, warmup_steps: 0, {STAGE}}}]"
    train(settings(folder, stage, "max_grad_norm=0.01"))
    assert [norm for _, norm in steps] == pytest.approx([0.01] * 3, rel=1e-3)
    steps.clear()
    train(settings(folder, stage, "max_grad_norm=null", f"output_dir={folder / 'free'}"))
    assert min(norm for _, norm in steps) > 0.1


def test_each_stage_draws_windows_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, list[Any]] = defaultdict(list)
    get = TrainingSet.__getitem__

    def watched(data: TrainingSet, index: int) -> Any:
        sample = get(data, index)
        assert isinstance(sample, Sample)
        shown[data.stage.name].append((sample.place, sample.seconds.tolist()))
        return sample

    monkeypatch.setattr(TrainingSet, "__getitem__", watched)
    stages = ", ".join(f"{{name: {name}, steps: 4, {STAGE}, sources: {{segments: 1, plain: 1}}}}" for name in "ab")
    train(settings(folder, f"stages=[{stages}]"))
    assert len(shown["a"]) == len(shown["b"]) == 8
    assert shown["a"] != shown["b"]


def test_a_word_stage_begins_with_the_same_weights_when_a_run_goes_on_at_it(folder: Path) -> None:
    words = "objective: words, num_frames: 1, windows_per_step: 12, learning_rate: 0.01, sources: {plain: 1}"
    stages = f"stages=[{{name: one, steps: 2, {STAGE}}}, {{name: two, steps: 2, warmup_steps: 0, {words}}}]"
    whole = train(settings(folder, stages))
    shutil.copytree(folder / "out" / "one", folder / "stopped" / "one")
    assert_equal_weights(whole, train(settings(folder, stages, f"output_dir={folder / 'stopped'}")))


def test_frozen_weights_alone_are_kept_in_their_own_precision(folder: Path) -> None:
    run = settings(folder, "frozen=[vision_encoder, qformer]", "frozen_precision=bfloat16")
    model, _ = start_model(run, read_sources(run))
    types = defaultdict(set)
    for name, weight in model.named_parameters():
        types[name.partition(".")[0]].add((weight.dtype, weight.requires_grad))
    frozen, trained = {(torch.bfloat16, False)}, {(torch.float32, True)}
    assert types == {name: frozen if name in ("vision_encoder", "qformer") else trained for name in types}
    assert len(types) > 3
    model, _ = start_model(settings(folder, "frozen=[vision_encoder]", "frozen_precision=float32"), read_sources(run))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}

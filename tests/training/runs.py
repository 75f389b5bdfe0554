"""What tests ask of finished runs."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from hawkeye.config import TrainSettings, load_settings


def settings(folder: Path, *overrides: str) -> TrainSettings:
    return load_settings(folder / "run.yaml", TrainSettings, overrides)


def weights(model_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(model_dir / "model.safetensors")


def assert_equal_weights(one: Path, other: Path) -> None:
    assert (one / "config.json").read_text() == (other / "config.json").read_text()
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)

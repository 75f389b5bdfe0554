"""Every shipped configuration loads, and says only what its class knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawkeye.config import TrainSettings, load_settings
from hawkeye.evaluation.settings import EvaluationSettings

ROOT = Path(__file__).parent.parent / "configs"


@pytest.mark.parametrize("path", sorted((ROOT / "train").glob("*.yaml")), ids=lambda path: path.stem)
def test_training_configurations_load(path: Path) -> None:
    settings = load_settings(path, TrainSettings)
    assert all(name in settings.sources for stage in settings.stages for name in stage.sources or ())


@pytest.mark.parametrize("path", sorted((ROOT / "eval").glob("*.yaml")), ids=lambda path: path.stem)
def test_evaluation_configurations_load(path: Path) -> None:
    settings = load_settings(path, EvaluationSettings)
    assert settings.grounding or settings.videoqa
    assert settings.source


def test_mvbench_has_its_twenty_tasks() -> None:
    tasks = load_settings(ROOT / "eval" / "mvbench.yaml", EvaluationSettings).videoqa
    assert len(tasks) == 20
    assert all(file.annotations.stem == name for name, file in tasks.items())
    assert [name for name, file in tasks.items() if file.fps] == ["episodic_reasoning"]

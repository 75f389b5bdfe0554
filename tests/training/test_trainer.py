"""The schedule, how a step is split, and which checkpoint a run goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawkeye.config import ConfigError, StageSettings
from hawkeye.training.arguments import split_step
from hawkeye.training.checkpoints import COMPLETE, last_checkpoint, mark_complete
from hawkeye.training.trainer import clamped_cosine


@pytest.mark.parametrize(
    ("step", "ratio"),
    [
        (0, 0.25),  # 0, clamped
        (2, 0.25),  # 2/10, clamped
        (5, 0.5),  # 5/10
        (10, 1.0),
        (30, 0.75),  # a third of the way: (1 + cos 60 degrees) / 2
        (40, 0.5),  # half: (1 + cos 90 degrees) / 2
        (50, 0.25),  # two thirds: (1 + cos 120 degrees) / 2
        (70, 0.25),  # the end: 0, clamped
    ],
)
def test_the_clamped_cosine_is_the_one_worked_out_by_hand(step: int, ratio: float) -> None:
    assert clamped_cosine(step, warmup_steps=10, num_steps=70, floor=0.25) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("windows", "at_most", "processes", "split"),
    [(16, 2, 8, (2, 1)), (16, 2, 1, (2, 8)), (16, None, 4, (4, 1)), (12, 5, 1, (4, 3)), (6, 4, 2, (3, 1))],
)
def test_a_step_has_the_same_windows_on_any_number_of_processes(
    windows: int, at_most: int | None, processes: int, split: tuple[int, int]
) -> None:
    stage = StageSettings(name="s", steps=1, windows_per_step=windows, windows_per_process=at_most, learning_rate=1.0)
    size, times = split_step(stage, processes)
    assert (size, times) == split
    assert size * times * processes == windows


def test_a_step_that_cannot_be_split_is_refused() -> None:
    stage = StageSettings(name="s", steps=1, windows_per_step=16, learning_rate=1.0)
    with pytest.raises(ConfigError, match="windows_per_step 16 cannot be split evenly among 3 processes"):
        split_step(stage, 3)


def test_incomplete_checkpoints_are_deleted_and_passed_over(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step in (90, 100, 110):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (90, 100):
        (tmp_path / f"checkpoint-{step}" / COMPLETE).touch()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-100"
    assert not (tmp_path / "checkpoint-110").exists()


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "manifest"])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}" / "part").mkdir(parents=True)
        (tmp_path / f"checkpoint-{step}" / "part" / "state.json").write_text("{}")
        (tmp_path / f"checkpoint-{step}" / "weights").write_bytes(b"12345678")
        mark_complete(tmp_path / f"checkpoint-{step}")
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    newest = tmp_path / "checkpoint-10"
    match damage:
        case "cut":
            (newest / "weights").write_bytes(b"1234")
        case "flipped":
            (newest / "weights").write_bytes(b"12345679")
        case "gone":
            (newest / "part" / "state.json").unlink()
        case "manifest":
            (newest / COMPLETE).write_text("[")
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    assert "checkpoint-10 is damaged (" in caplog.text
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    assert (tmp_path / "damaged-checkpoint-10" / "weights").exists()

"""Which frames are shown: equal to the original's choice, and random choice that keeps to its window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawkeye.data.sampling import evaluation_indices, training_indices
from hawkeye.temporal import Span

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "data_a.json").read_text())


def windows(limit: float) -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(st.floats(0, limit), st.floats(0, limit)).map(lambda pair: (min(pair), max(pair)))


@pytest.mark.parametrize("row", GOLDEN["eval_frame_indices"])
def test_evaluation_shows_the_originals_frames(row: dict[str, Any]) -> None:
    window = Span(*row["bound"]) if row["bound"] else None
    assert evaluation_indices(row["num_frames"], row["fps"], row["max_frame"], window) == row["indices"]


@pytest.mark.parametrize("row", GOLDEN["train_frame_indices_middle"])
def test_training_without_chance_shows_the_originals_frames(row: dict[str, Any]) -> None:
    chosen = training_indices(row["num_frames"], row["video_length"], row["start_pos"], row["end_pos"])
    assert chosen == row["indices"]


def test_all_golden_rows_are_compared() -> None:
    assert len(GOLDEN["eval_frame_indices"]) == len(GOLDEN["train_frame_indices_middle"]) == 40


@given(
    num_frames=st.integers(1, 32), video_length=st.integers(1, 400), window=windows(1.3), seed=st.integers(0, 2**32 - 1)
)
def test_random_frames_stay_in_their_window(
    num_frames: int, video_length: int, window: tuple[float, float], seed: int
) -> None:
    def draw() -> list[int]:
        return training_indices(num_frames, video_length, *window, np.random.default_rng(seed))

    chosen = draw()
    assert len(chosen) == num_frames
    assert chosen == sorted(chosen)
    first, stop = (min(round(ratio * video_length), video_length) for ratio in window)
    # A window of no frame shows the one at its start.
    assert min(first, video_length - 1) <= chosen[0]
    assert chosen[-1] <= max(first, stop - 1)
    assert chosen == draw()


def test_random_frames_differ_by_seed() -> None:
    draws = {tuple(training_indices(12, 360, rng=np.random.default_rng(seed))) for seed in range(20)}
    assert len(draws) == 20


def test_every_interval_gives_each_of_its_frames_its_turn() -> None:
    rng = np.random.default_rng(0)
    draws = np.array([training_indices(4, 40, 0.2, 0.8, rng) for _ in range(300)])
    assert [sorted(set(column.tolist())) for column in draws.T] == [
        list(range(start, start + 6)) for start in (8, 14, 20, 26)
    ]


@given(num_frames=st.integers(1, 32), fps=st.floats(0.5, 60), last=st.integers(0, 2000), window=windows(120))
def test_evaluation_frames_exist_and_rise(num_frames: int, fps: float, last: int, window: tuple[float, float]) -> None:
    chosen = evaluation_indices(num_frames, fps, last, Span(*window))
    assert len(chosen) == num_frames
    assert chosen == sorted(chosen)
    assert chosen[0] >= 0
    assert chosen[-1] <= last


def test_a_window_from_before_the_video_shows_its_beginning() -> None:
    assert evaluation_indices(4, 10, 99, Span(-3, 2)) == evaluation_indices(4, 10, 99, Span(0, 2))
    assert evaluation_indices(2, 10, 99, Span(-3, -2)) == [0, 0]


@pytest.mark.parametrize(("num_frames", "fps", "last"), [(0, 8, 9), (12, 0, 9), (12, float("nan"), 9), (12, 8, -1)])
def test_evaluation_refuses_what_has_no_frames(num_frames: int, fps: float, last: int) -> None:
    with pytest.raises(ValueError, match="cannot choose"):
        evaluation_indices(num_frames, fps, last)


@pytest.mark.parametrize("arguments", [(0, 9), (12, 0), (12, 9, 0.8, 0.2), (12, 9, -0.1, 0.5), (12, 9, 0.0, np.nan)])
def test_training_refuses_what_has_no_frames(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"cannot choose|is none"):
        training_indices(*arguments)

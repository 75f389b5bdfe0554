"""Wherever frames are read, one at a time is at full size in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hawkeye.data import frame_cache, frames
from hawkeye.data.frame_cache import FrameCache
from hawkeye.data.frames import FrameFiles
from hawkeye.data.thumbnails import thumbnails
from hawkeye.data.transforms import random_crop_and_flip
from hawkeye.data.video import VideoReader
from hawkeye.evaluation.answering import View
from hawkeye.temporal import Span
from tests.small_model import make_small_answerer

SIDE, COUNT = 1000, 60


class Large(VideoReader):
    """A minute of pictures of 3 MB, made when they are asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, np.arange(COUNT, dtype=float), 1.0)

    def _decode(self, indices: list[int]) -> Iterator[np.ndarray]:
        for index in indices:
            yield np.full((SIDE, SIDE, 3), index, dtype=np.uint8)


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "v.mp4"
    path.touch()
    for module in (frames, frame_cache):
        monkeypatch.setattr(module, "open_video", lambda path, **_: Large(path))
    return path


def peak_pictures(work: Callable[[], object]) -> float:
    """The most memory that was in use at once, in pictures."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / (SIDE * SIDE * 3)
    finally:
        tracemalloc.stop()


def test_evaluation(video: Path, tmp_path: Path) -> None:
    answerer = make_small_answerer(tmp_path)
    reader = Large(video)
    views = [View(reader, Span(float(start), 60.0), "query", "") for start in range(4)]
    assert peak_pictures(lambda: answerer.look(views)) < 6


@pytest.mark.parametrize("kind", ["plain", "augmented"])
def test_training(kind: str, video: Path) -> None:
    store = FrameFiles(
        lambda frames, rng: random_crop_and_flip(frames, 32, rng) if kind == "augmented" else frames[:, :32, :32]
    )

    def pick() -> None:
        with store.open(video) as shown:
            assert shown.pick(list(range(24)), np.random.default_rng(0)).shape == (24, 32, 32, 3)

    assert peak_pictures(pick) < 12  # resizing goes through float32 copies of one


def test_the_frame_cache(video: Path, tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "cache", lambda frames: frames[:, :32, :32], "cut", max_fps=5)
    assert peak_pictures(lambda: cache.get(video)) < 4


def test_thumbnails(video: Path) -> None:
    assert peak_pictures(lambda: thumbnails(Large(video), 20, 48)) < 6


def test_all_frames_of_a_window_are_cut_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ramp(Large):
        def _decode(self, indices: list[int]) -> Iterator[np.ndarray]:
            ramp = np.linspace(0, 255, 64, dtype=np.uint8)
            for _ in indices:
                yield np.broadcast_to(ramp[None, :, None], (48, 64, 3)).copy()

    monkeypatch.setattr(frames, "open_video", lambda path, **_: Ramp(path))
    store, rng = FrameFiles(lambda frames, rng: random_crop_and_flip(frames, 32, rng)), np.random.default_rng(0)
    with store.open(tmp_path) as shown:
        windows = [shown.pick([0, 20, 40], rng) for _ in range(3)]
    for window in windows:
        assert (window == window[:1]).all()
    assert (windows[0] != windows[1]).any()

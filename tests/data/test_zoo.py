"""Every kind of video file, read by every backend: frames, times, length, orientation, colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hawkeye.data.video import open_video, read_window
from hawkeye.temporal import Span
from tests.data.video_files import numbers_of
from tests.data.zoo import KINDS, Kind


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files are, written once for all backends."""
    return tmp_path_factory.mktemp("zoo")


def written(kind: Kind, folder: Path) -> Path:
    path = folder / kind.name
    if not path.exists():
        kind.write(path)
    return path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_frames_times_and_length(kind: Kind, backend: str, folder: Path) -> None:
    with open_video(written(kind, folder), backend=backend) as reader:
        assert reader.num_frames == len(kind.shown)
        np.testing.assert_allclose(reader.seconds, kind.seconds, atol=kind.tolerance)
        assert reader.duration == pytest.approx(kind.duration, abs=max(kind.tolerance, 0.002))
        frames = reader.frames(range(reader.num_frames))
        assert numbers_of(frames) == kind.shown
        for start in (reader.num_frames - 1, reader.num_frames // 2, 0):
            some = [start, reader.num_frames - 1]
            np.testing.assert_array_equal(reader.frames(some), frames[some])
    np.testing.assert_allclose(frames[:, -8:-2, 4:12].mean(axis=(0, 1, 2)), (220, 30, 30), atol=12)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_windows_show_what_is_shown_when_they_say(kind: Kind, folder: Path) -> None:
    window = Span(0.6 * kind.duration, 0.9 * kind.duration)
    with open_video(written(kind, folder)) as reader:
        evaluated = read_window(reader, window, 5)
        trained = read_window(reader, window, 5, np.random.default_rng(0))
    for frames, seconds in (evaluated, trained):
        inside = seconds > 0  # a frame that is still shown when the window begins has second 0
        shown = np.searchsorted(kind.seconds, window.start + seconds + kind.tolerance, side="right") - 1
        np.testing.assert_array_equal(np.array(numbers_of(frames))[inside], np.array(kind.shown)[shown][inside])
        assert seconds.max() <= window.end - window.start + kind.tolerance

"""Every kind of video file, read by every backend: frames, times, length, orientation, colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hawkeye.data.video import open_video
from tests.data.video_files import numbers_of
from tests.data.zoo import KINDS, Kind


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files are, written once for all backends."""
    return tmp_path_factory.mktemp("zoo")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_frames_times_and_length(kind: Kind, backend: str, folder: Path) -> None:
    path = folder / kind.name
    if not path.exists():
        kind.write(path)
    with open_video(path, backend=backend) as reader:
        assert reader.num_frames == len(kind.shown)
        np.testing.assert_allclose(reader.seconds, kind.seconds, atol=kind.tolerance)
        assert reader.duration == pytest.approx(kind.duration, abs=max(kind.tolerance, 0.002))
        frames = reader.frames(range(reader.num_frames))
        assert numbers_of(frames) == kind.shown
        for start in (reader.num_frames - 1, reader.num_frames // 2, 0):
            assert numbers_of(reader.frames([start, reader.num_frames - 1])) == [kind.shown[start], kind.shown[-1]]
    np.testing.assert_allclose(frames[:, -8:-2, 4:12].mean(axis=(0, 1, 2)), (220, 30, 30), atol=12)

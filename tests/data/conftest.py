"""Fixtures that the tests of videos share."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawkeye.data.video import BACKENDS
from tests.data.video_files import CLOSED, numbered_frames, write_video


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each of the libraries that read video files."""
    pytest.importorskip({"pyav": "av"}.get(request.param, request.param))
    return request.param


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """60 numbered frames at 8 a second."""
    return write_video(tmp_path / "plain.mp4", numbered_frames(60), x264=CLOSED)

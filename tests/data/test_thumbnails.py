"""Small pictures along a video."""

from __future__ import annotations

from pathlib import Path

from hawkeye.data.thumbnails import thumbnails
from hawkeye.data.video import open_video
from hawkeye.temporal import Span
from tests.data.video_files import numbered_frames, numbers_of, write_video


def test_thumbnails_are_evenly_spaced_in_time_and_small(tmp_path: Path) -> None:
    stamps = [*range(0, 1000, 100), *range(1000, 11000, 1000)]  # ten frames in a second, then one a second
    path = write_video(tmp_path / "v.mp4", numbered_frames(20), pts=stamps)
    with open_video(path) as reader:
        shown = thumbnails(reader, 4, 24)
        assert shown.shape == (4, 24, 32, 3)
        assert numbers_of(shown) == [10, 12, 15, 17]
        assert numbers_of(thumbnails(reader, 2, 100, Span(0.0, 1.0))) == [2, 7]
        end = Span(reader.duration, reader.duration)
        assert numbers_of(thumbnails(reader, 2, 100, end)) == [19, 19]

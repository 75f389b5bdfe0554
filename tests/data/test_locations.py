"""Where the videos that rows name lie, and how long they are said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawkeye.annotations import AnnotationError
from hawkeye.data.durations import compare_durations
from hawkeye.data.locations import locate
from hawkeye.data.video import VideoError


@pytest.mark.parametrize("ending", ["", ".mp4", ".mkv", ".webm"])
def test_any_ending_finds_what_is_there(ending: str, tmp_path: Path) -> None:
    video = tmp_path / f"v_1.2{ending}"
    if ending:
        video.touch()
    else:
        video.mkdir()
    assert locate(tmp_path, "v_1.2", "{name}.*", "row 0") == video


def test_frames_come_before_files_and_what_is_missing_keeps_its_pattern(tmp_path: Path) -> None:
    (tmp_path / "v.mkv").touch()
    (tmp_path / "v.mp4").touch()
    assert locate(tmp_path, "v.avi", "{stem}.*", "row 0") == tmp_path / "v.mp4"
    (tmp_path / "v").mkdir()
    assert locate(tmp_path, "v.avi", "{stem}.*", "row 0") == tmp_path / "v"
    assert locate(tmp_path, "w", "{name}.*", "row 0") == tmp_path / "w.*"
    assert locate(tmp_path, "a/v.avi", "{name}", "row 0") == tmp_path / "a" / "v.avi"


def test_a_pattern_that_a_name_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"row 0: video 'v' does not fit the pattern '\{thousands\}.\*'"):
        locate(tmp_path, "v", "{thousands}.*", "row 0")


@pytest.mark.parametrize("found", [98.0, 100.0, 102.0])
def test_lengths_that_differ_by_rounding_are_the_same(found: float) -> None:
    assert compare_durations(100.0, found, "row 0") is None
    assert compare_durations(None, found, "row 0") is None


@pytest.mark.parametrize("found", [80.0, 97.9, 102.1, 120.0])
def test_other_lengths_are_told(found: float) -> None:
    told = f"row 0: the annotated 'duration' is 100 s, the video is {found:g} s long"
    assert compare_durations(100.0, found, "row 0") == told


@pytest.mark.parametrize("found", [150.0, 79.9, 120.1])
def test_lengths_of_other_videos_are_refused(found: float) -> None:
    with pytest.raises(VideoError, match=rf"the video is {found:g} s long: is it another video.*another 'fps'"):
        compare_durations(100.0, found, "row 0")


def test_endings_in_capitals_are_found_after_the_others(tmp_path: Path) -> None:
    (tmp_path / "v.MP4").touch()
    assert locate(tmp_path, "v", "{name}.*", "row 0").samefile(tmp_path / "v.MP4")
    (tmp_path / "v.mkv").touch()
    assert locate(tmp_path, "v", "{name}.*", "row 0") == tmp_path / "v.mkv"

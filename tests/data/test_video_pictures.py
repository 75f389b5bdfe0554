"""GIFs and folders of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hawkeye.data.sampling import evaluation_indices
from hawkeye.data.video import VideoError, open_video, read_window
from hawkeye.temporal import Span
from tests.data.video_files import (
    cut,
    numbered_frames,
    numbers_of,
)


def write_gif(path: Path, milliseconds: list[int]) -> Path:
    pictures = [Image.fromarray(frame) for frame in numbered_frames(len(milliseconds))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=milliseconds, disposal=1)
    return path


@pytest.mark.parametrize("name", ["v.gif", "v.mp4"])
def test_gifs_keep_their_own_times(name: str, tmp_path: Path) -> None:
    lengths = [100, 200, 50, 400, 250]
    path = write_gif(tmp_path / "v.gif", lengths).rename(tmp_path / name)
    with open_video(path) as reader:
        np.testing.assert_allclose(reader.seconds, [0, 0.1, 0.3, 0.35, 0.75])
        assert (reader.num_frames, reader.fps, reader.duration) == (5, 5.0, 1.0)
        assert numbers_of(reader.frames([4, 0, 3, 3])) == [4, 0, 3, 3]
        frames, seconds = read_window(reader, Span(0.3, 0.9), 3)
        assert (numbers_of(frames), seconds.round(9).tolist()) == ([3, 3, 4], [0.05, 0.05, 0.45])


def test_gifs_without_times_show_ten_frames_a_second(tmp_path: Path) -> None:
    with open_video(write_gif(tmp_path / "v.gif", [0, 0, 0])) as reader:
        np.testing.assert_allclose(reader.seconds, [0, 0.1, 0.2])
        assert reader.fps == pytest.approx(10)


def test_a_cut_gif_is_an_error(tmp_path: Path) -> None:
    path = cut(write_gif(tmp_path / "v.gif", [100] * 20), 0.6)
    with pytest.raises(VideoError, match=r"v\.gif: cannot be read as a GIF"):
        open_video(path)


def write_folder(path: Path, count: int = 12) -> Path:
    path.mkdir()
    for index, frame in enumerate(numbered_frames(count)):
        Image.fromarray(frame).save(path / f"frame{index}.png")
    return path


def test_a_folder_of_frames_is_in_natural_order(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "v")
    (path / "._frame0.png").write_bytes(b"left by an archive")
    (path / "notes.txt").write_text("no frame")
    with open_video(path, fps=3) as reader:
        assert (reader.num_frames, reader.fps, reader.duration) == (12, 3.0, 4.0)
        assert numbers_of(reader.frames(range(12))) == list(range(12))
        frames, seconds = read_window(reader, Span(1, 3), 4)
    assert numbers_of(frames) == evaluation_indices(4, 3, 11, Span(1, 3))
    np.testing.assert_allclose(seconds, np.array(numbers_of(frames)) / 3 - 1)


def test_a_folder_needs_its_frame_rate(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="v: a folder of frames needs its frame rate; pass fps"):
        open_video(write_folder(tmp_path / "v"))


@pytest.mark.parametrize("fps", [0.0, -3.0, float("nan"), float("inf")])
def test_a_frame_rate_is_positive(fps: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fps must be a positive number"):
        open_video(write_folder(tmp_path / "v"), fps=fps)


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_broken_image_in_a_folder_is_named(share: float, tmp_path: Path) -> None:
    path = write_folder(tmp_path / "v")
    cut(path / "frame7.png", share)
    with open_video(path, fps=3) as reader:
        assert numbers_of(reader.frames([6, 8])) == [6, 8]
        with pytest.raises(VideoError, match=r"v/frame7\.png: cannot be read as an image"):
            reader.frames([6, 7])


def test_images_of_different_sizes_are_an_error(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "v")
    Image.new("RGB", (32, 16)).save(path / "frame3.png")
    with (
        open_video(path, fps=3) as reader,
        pytest.raises(VideoError, match="v: its frames differ in size: 64x48 and 32x16"),
    ):
        reader.frames([2, 3])

"""GIFs and folders of frames."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from hawkeye.data import video_reader
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


@pytest.mark.parametrize("milliseconds", [0, 10])
def test_delays_that_browsers_do_not_keep_are_a_tenth_of_a_second(milliseconds: int, tmp_path: Path) -> None:
    with open_video(write_gif(tmp_path / "v.gif", [milliseconds] * 30)) as reader:
        assert reader.duration == pytest.approx(3.0)
    with open_video(write_gif(tmp_path / "v.gif", [20] * 30)) as reader:
        assert reader.duration == pytest.approx(0.6)


def test_webp_animations_keep_their_own_times(tmp_path: Path) -> None:
    pictures = [Image.fromarray(frame) for frame in numbered_frames(4)]
    path = tmp_path / "v.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[100, 5, 250, 50], lossless=True)
    with open_video(path) as reader:
        np.testing.assert_allclose(reader.seconds, [0, 0.1, 0.2, 0.45])
        assert reader.duration == pytest.approx(0.5)
        assert numbers_of(reader.frames([3, 0, 2, 1])) == [3, 0, 2, 1]
    pictures[2].save(tmp_path / "still.webp", lossless=True)
    with open_video(tmp_path / "still.webp") as reader:
        assert (reader.num_frames, numbers_of(reader.frames([0]))) == (1, [2])
    with pytest.raises(VideoError, match=r"v\.webp: cannot be read as a WEBP|frame \d cannot be read"):
        open_video(cut(path, 0.5)).frames([3])


def test_an_animation_that_promises_huge_pictures_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    path = write_gif(tmp_path / "v.gif", [100] * 3)
    data = bytearray(path.read_bytes())
    data[6:10] = (60000).to_bytes(2, "little") * 2
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"v\.gif: its pictures are too large, of more than 67108864 pixels"):
        open_video(path)
    data[6:10] = (9000).to_bytes(2, "little") * 2
    path.write_bytes(data)
    with pytest.raises(
        VideoError, match=r"v\.gif: pictures of 9000 x 9000 have more than 67108864 pixels; .*MAX_PIXELS"
    ):
        open_video(path)


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
    with pytest.raises(VideoError, match="v: a folder of frames needs its frame rate: pass fps"):
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


@pytest.mark.parametrize("suffix", ["jpg", "jfif", "jpe", "tif", "avif", "bmp", "gif", "webp"])
def test_frames_of_every_common_kind_count(suffix: str, tmp_path: Path) -> None:
    path = write_folder(tmp_path / "v", 4)
    Image.open(path / "frame2.png").convert("RGB").save(path / f"frame2.{suffix.upper()}", quality=95)
    (path / "frame2.png").unlink()
    with open_video(path, fps=2) as reader:
        assert numbers_of(reader.frames(range(4))) == [0, 1, 2, 3]


def test_pictures_that_cannot_be_read_are_not_passed_over(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "v")
    (path / "frame3.png").rename(path / "frame3.heic")
    with pytest.raises(VideoError, match=r"v: holds pictures of a kind that cannot be read, such as frame3\.heic"):
        open_video(path, fps=3)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_of_16_bits_keeps_its_brightness(suffix: str, tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 65536, 256, dtype=np.uint16), (4, 1))
    Image.fromarray(ramp).save(tmp_path / f"0.{suffix}")
    with open_video(tmp_path, fps=1) as reader:
        (frame,) = reader.frames([0])
    np.testing.assert_array_equal(frame, np.broadcast_to(np.arange(256)[:, None], (4, 256, 3)))


def test_a_picture_without_a_known_range_is_an_error(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "0.tif")
    with open_video(tmp_path, fps=1) as reader, pytest.raises(VideoError, match=r"0\.tif.*32 bits and no known range"):
        reader.frames([0])


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_frames_are_turned_as_their_exif_data_says(suffix: str, tmp_path: Path) -> None:
    (frame,) = numbered_frames(1, 48, 64)
    turned = Image.fromarray(np.rot90(frame))
    exif = turned.getexif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise
    turned.save(tmp_path / f"0.{suffix}", exif=exif, quality=95)
    with open_video(tmp_path, fps=1) as reader:
        (shown,) = reader.frames([0])
    assert np.abs(shown.astype(int) - frame).mean() < 5


def test_a_pipe_among_the_frames_of_a_folder_is_refused_at_opening(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png")
    os.mkfifo(tmp_path / "1.png")

    with pytest.raises(VideoError, match=r"holds 1\.png, which is a pipe"):
        open_video(tmp_path, fps=1)


def test_a_huge_frame_in_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_reader, "MAX_PIXELS", 64 * 48 - 1)
    with (
        open_video(write_folder(tmp_path / "v"), fps=1) as reader,
        pytest.raises(VideoError, match=r"frame0\.png: pictures of 64 x 48 have more than 3071 pixels"),
    ):
        reader.frames([0])


@pytest.mark.parametrize(("orientation", "shape"), [(1, (8, 16, 3)), (3, (8, 16, 3)), (6, (16, 8, 3))])
def test_a_picture_that_is_read_as_a_video_may_carry_exif_data(
    orientation: int, shape: tuple[int, ...], tmp_path: Path
) -> None:
    image = Image.new("RGB", (16, 8), "red")
    image.paste("blue", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(tmp_path / "picture.jpg", exif=exif, quality=95, subsampling=0)

    with open_video(tmp_path / "picture.jpg") as reader:
        (frame,) = reader.frames([0])

    assert frame.shape == shape
    blue_first = frame[1, 1, 2] > 128
    assert blue_first == (orientation != 3)

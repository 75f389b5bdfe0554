"""The cache of decoded frames: whole, renewed when a file changes, truthful about what it cannot read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hawkeye.data import frame_cache
from hawkeye.data.frame_cache import FrameCache
from hawkeye.data.video import VideoError
from tests.data.video_files import write_video


def grey(values: list[int]) -> np.ndarray:
    return np.broadcast_to(np.array(values, dtype=np.uint8)[:, None, None, None], (len(values), 32, 32, 3))


def keep(frames: np.ndarray) -> np.ndarray:
    return frames[:, :4, :4]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "v.mp4"
    write_video(path, grey([20 * index for index in range(12)]), fps=6)
    return path


def test_frames_come_with_their_times_and_the_duration(video: Path, tmp_path: Path) -> None:
    cached = FrameCache(tmp_path / "cache", keep, "keep", max_fps=3).get(video)
    assert cached.frames.shape == (6, 4, 4, 3)
    np.testing.assert_allclose(cached.frames[:, 0, 0, 0].astype(float), [0, 40, 80, 120, 160, 200], atol=6)
    np.testing.assert_allclose(cached.seconds, np.arange(6) / 3)
    assert cached.duration == pytest.approx(2.0)


def test_a_video_is_decoded_once(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FrameCache(tmp_path / "cache", keep, "keep", max_fps=3)
    first = cache.get(video)
    monkeypatch.setattr(frame_cache, "open_video", lambda path: pytest.fail(f"{path} was opened again"))
    np.testing.assert_array_equal(cache.get(video).frames, first.frames)


def test_a_changed_video_is_decoded_again(video: Path, tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "cache", keep, "keep", max_fps=6)
    assert len(cache.get(video).frames) == 12
    write_video(video, grey([0] * 6), fps=6)
    os.utime(video, ns=(1, 1))
    assert len(cache.get(video).frames) == 6


def test_another_transform_does_not_get_these_frames(video: Path, tmp_path: Path) -> None:
    FrameCache(tmp_path / "cache", keep, "keep", max_fps=6).get(video)
    other = FrameCache(tmp_path / "cache", lambda frames: frames[:, :2, :2], "smaller", max_fps=6)
    assert other.get(video).frames.shape == (12, 2, 2, 3)


def test_filling_reports_each_video_that_cannot_be_read(video: Path, tmp_path: Path) -> None:
    broken, missing = tmp_path / "broken.mp4", tmp_path / "missing.mp4"
    broken.write_bytes(b"no video")
    failures = FrameCache(tmp_path / "cache", keep, "keep", max_fps=6).fill([video, broken, missing, video], 2)
    assert sorted(failures) == [broken, missing]
    assert all(path.name in reason for path, reason in failures.items())


def test_a_decoding_that_is_cut_short_leaves_no_entry(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FrameCache(tmp_path / "cache", keep, "keep", max_fps=6)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(frame_cache.np, "save", full_disk)
        with pytest.raises(OSError, match="No space left"):
            cache.get(video)
    assert len(cache.get(video).frames) == 12


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"none\.mp4"):
        FrameCache(tmp_path / "cache", keep, "keep", max_fps=6).get(tmp_path / "none.mp4")


def write_folder(path: Path, values: list[int]) -> Path:
    path.mkdir(exist_ok=True)
    for index, frame in enumerate(grey(values)):
        Image.fromarray(frame).save(path / f"{index}.png")
    return path


def test_a_folder_of_frames_is_filled_at_its_rate(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "v", [0, 40, 80, 120])
    cache = FrameCache(tmp_path / "cache", keep, "keep", max_fps=5)
    assert cache.fill([folder], 1, fps=2.0) == {}
    assert list(cache.fill([folder], 1)) == [folder]  # a folder does not know its rate
    assert cache.get(folder, 2.0).seconds.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert cache.get(folder, 4.0).seconds.tolist() == [0.0, 0.25, 0.5, 0.75]
    assert (cache.get(folder, 4.0).duration, cache.get(folder, 4.0).fps) == (1.0, 4.0)


def test_a_frame_that_is_written_again_in_its_folder_is_decoded_again(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "v", [0, 40])
    cache = FrameCache(tmp_path / "cache", keep, "keep", max_fps=5)
    assert cache.get(folder, 2.0).frames[:, 0, 0, 0].tolist() == [0, 40]
    status = folder.stat()
    Image.fromarray(grey([80])[0]).save(folder / "1.png")
    os.utime(folder / "1.png", ns=(1, status.st_mtime_ns + 1))
    os.utime(folder, ns=(1, status.st_mtime_ns))
    assert cache.get(folder, 2.0).frames[:, 0, 0, 0].tolist() == [0, 80]


@pytest.mark.parametrize("changed", ["CLOCK_VERSION", "MAX_PIXELS"])
def test_what_decides_times_and_frames_is_part_of_the_key(
    changed: str, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FrameCache(tmp_path / "cache", keep, "keep", max_fps=6)
    cache.get(video)
    monkeypatch.setattr(frame_cache, changed, getattr(frame_cache, changed) + 1)
    monkeypatch.setattr(frame_cache, "open_video", lambda *_, **__: pytest.fail("opened again"))
    with pytest.raises(pytest.fail.Exception, match="opened again"):
        cache.get(video)


def test_frames_are_shrunk_one_by_one_and_written_in_pieces(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, ...]] = []

    def shrink(frames: np.ndarray) -> np.ndarray:
        given.append(frames.shape)
        return frames[:, :4, :4]

    whole = FrameCache(tmp_path / "whole", keep, "keep", max_fps=6).get(video)
    monkeypatch.setattr(frame_cache, "PIECE", 5)
    cached = FrameCache(tmp_path / "cache", shrink, "keep", max_fps=6).get(video)
    assert given == [(1, 32, 32, 3)] * 12
    np.testing.assert_array_equal(cached.frames, whole.frames)

"""Reading videos: files, GIFs and folders of frames behind one small interface."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from hawkeye.data.sampling import evaluation_indices
from hawkeye.data.video_reader import VideoError, VideoReader, one_line
from hawkeye.temporal import Span

__all__ = ["BACKENDS", "VideoError", "VideoReader", "open_video", "read_window", "read_windows"]

BACKENDS = ("pyav", "decord")


def open_video(path: str | Path, *, backend: str | None = None, fps: float | None = None) -> VideoReader:
    """Opens a video file, a GIF or a folder of frames; use it as a context manager.

    Args:
        path: the file or folder.
        backend: "pyav" or "decord" for video files; by default PyAV, which takes a fifth to two thirds of decord's time
            for twelve frames of a window (`scripts/benchmark/decoding.py`). Files that decord is known to read wrongly
            go through PyAV all the same (`video_decoders.DecordReader`).
        fps: frames per second of a folder of frames, which does not know its own; files keep to theirs.

    Raises:
        VideoError: naming the file and what is wrong: missing, empty, no video, truncated, no frames.
        ValueError: if the backend is unknown or not installed, or `fps` is no positive number.
    """
    if backend not in (None, *BACKENDS):
        raise ValueError(f"unknown video backend {backend!r}; there are {', '.join(BACKENDS)}")
    if fps is not None and not 0 < fps < float("inf"):
        raise ValueError(f"fps must be a positive number, not {fps}")
    path = Path(path)
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                head = file.read(6)
    except (OSError, ValueError) as error:
        raise VideoError(f"{path}: cannot be read ({one_line(error)})") from None
    # Readers are imported here, so that nothing needs a library of a kind of video that it never meets.
    if stat.S_ISDIR(status.st_mode):
        from hawkeye.data.video_pictures import FolderReader

        return FolderReader(path, fps)
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{path}: is neither a file nor a folder")
    if not head:
        raise VideoError(f"{path}: the file is empty")
    if head in (b"GIF87a", b"GIF89a"):
        from hawkeye.data.video_pictures import GifReader

        return GifReader(path)
    from hawkeye.data.video_decoders import DecordReader, PyAVReader

    if backend == "decord" and not _has_decord():
        raise ValueError("decord is not installed; use backend='pyav'")
    return DecordReader(path) if backend == "decord" else PyAVReader(path)


@cache
def _has_decord() -> bool:
    try:
        import decord  # noqa: F401  # whether it loads is the question: its wheels lack libraries on some systems
    except (ImportError, OSError):
        return False
    return True


def read_window(
    reader: VideoReader, window: Span | None, num_frames: int, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The frames to show of a window, one from each of `num_frames` equal parts.

    At constant frame rates they are those of the original's evaluation (`evaluation_indices`); at variable ones the
    frames shown in the middle of each part, as their timestamps say, and none from outside the window.

    Args:
        window: in seconds; None is the whole video. What lies beyond the video's end is left out.
        num_frames: how many frames; a window with fewer repeats some.
        rng: draws the moment within each part, in place of the middle.

    Returns:
        Frames uint8 `[T, H, W, 3]` and their times `[T]` in seconds relative to the start of the window, >= 0.

    Raises:
        ValueError: if `num_frames` is not positive.
        VideoError: if the window begins where the video has ended, or a frame cannot be decoded.
    """
    ((frames, seconds),) = read_windows(reader, [window], num_frames, rng)
    return frames, seconds


def read_windows(
    reader: VideoReader, windows: Sequence[Span | None], num_frames: int, rng: np.random.Generator | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """What `read_window` reads of each of several windows of one video, decoded together in one pass.

    Args, Raises: as `read_window` has them.
    """
    shown = [_indices(reader, window, num_frames, rng) for window in windows]
    wanted = sorted({index for indices in shown for index in indices})
    frames = reader.frames(wanted)
    return [
        (
            frames[np.searchsorted(wanted, indices)],
            np.maximum(reader.seconds[indices] - (window.start if window else 0.0), 0.0),
        )
        for indices, window in zip(shown, windows)
    ]


def _indices(reader: VideoReader, window: Span | None, num_frames: int, rng: np.random.Generator | None) -> list[int]:
    """Which frames `read_window` shows."""
    shown = Span(0.0, reader.duration) if window is None else window
    if shown.start >= reader.duration:
        raise VideoError(
            f"{reader.path}: the window begins at second {shown.start:g}, the video ends at {reader.duration:g}"
        )
    if rng is None and reader.has_constant_rate:
        return evaluation_indices(num_frames, reader.fps, reader.num_frames - 1, window)
    evaluation_indices(num_frames, reader.fps, reader.num_frames - 1, window)  # refuses what it cannot show
    offsets = np.full(num_frames, 0.5) if rng is None else rng.random(num_frames)
    return _indices_by_time(reader, shown, offsets)


def _indices_by_time(reader: VideoReader, window: Span, offsets: np.ndarray) -> list[int]:
    """The frame shown at each offset (in [0, 1)) into each of `len(offsets)` equal parts of a window."""
    start, end = max(0.0, window.start), min(window.end, reader.duration)
    moments = start + (np.arange(len(offsets)) + offsets) * max(0.0, end - start) / len(offsets)
    # A frame that began before the window is still shown at its start, but is not of the window.
    first = np.searchsorted(reader.seconds, start, side="left")
    last = np.searchsorted(reader.seconds, end, side="right") - 1
    indices = np.searchsorted(reader.seconds, moments, side="right") - 1
    return [int(index) for index in (np.clip(indices, first, last) if first <= last else indices)]

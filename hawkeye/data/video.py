"""Reading videos: files, GIFs and other animations, and folders of frames behind one small interface."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from hawkeye.data.clock import choose_frames
from hawkeye.data.video_reader import PictureTransform, VideoError, VideoReader, one_line
from hawkeye.temporal import Span

__all__ = ["BACKENDS", "VideoError", "VideoReader", "open_video", "read_window", "read_windows"]

BACKENDS = ("pyav", "decord")

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
"""How addresses begin; one letter before the colon is a drive."""


def open_video(path: str | Path, *, backend: str | None = None, fps: float | None = None) -> VideoReader:
    """Opens a video file, a GIF, a WebP animation or a folder of frames; use it as a context manager.

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
                head = file.read(12)
    except (OSError, ValueError) as error:
        if address := _URL.match(str(path)):
            # Paths have one slash where addresses have two.
            whole = f"{address[1]}://{str(path)[address.end() :]}"
            raise VideoError(f"{whole}: is an address; only local files are read: download it first") from None
        raise VideoError(f"{path}: cannot be read ({one_line(error)})") from None
    # Readers are imported here, so that nothing needs a library of a kind of video that it never meets.
    if stat.S_ISDIR(status.st_mode):
        from hawkeye.data.video_pictures import FolderReader

        return FolderReader(path, fps)
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{path}: is neither a file nor a folder")
    if not head:
        raise VideoError(f"{path}: the file is empty")
    if head[:6] in (b"GIF87a", b"GIF89a") or head[:4] + head[8:] == b"RIFFWEBP":
        from hawkeye.data.video_pictures import AnimationReader

        return AnimationReader(path, "GIF" if head.startswith(b"GIF") else "WEBP")
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
    reader: VideoReader,
    window: Span | None,
    num_frames: int,
    rng: np.random.Generator | None = None,
    transform: PictureTransform | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The frames to show of a window, as `choose_frames` chooses them.

    Args:
        window: in seconds; None is the whole video. What lies beyond the video's end is left out.
        num_frames: how many frames; a window with fewer repeats some.
        rng: draws the moment within each part, in place of the middle.
        transform: see `VideoReader.frames`.

    Returns:
        Frames uint8 `[T, H, W, 3]` and their times `[T]` in seconds relative to the start of the window, >= 0.

    Raises:
        ValueError: if `num_frames` is not positive.
        VideoError: if the window begins where the video has ended, or a frame cannot be decoded.
    """
    ((frames, seconds),) = read_windows(reader, [window], num_frames, rng, transform)
    return frames, seconds


def read_windows(
    reader: VideoReader,
    windows: Sequence[Span | None],
    num_frames: int,
    rng: np.random.Generator | None = None,
    transform: PictureTransform | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """What `read_window` reads of each of several windows of one video, decoded together in one pass.

    Args, Raises: as `read_window` has them.
    """
    shown = [choose_frames(reader, window, num_frames, rng) for window in windows]
    wanted = np.unique(np.concatenate(shown))
    frames = reader.frames(wanted.tolist(), transform)
    return [
        (
            frames[np.searchsorted(wanted, indices)],
            np.maximum(reader.seconds[indices] - (window.start if window else 0.0), 0.0),
        )
        for indices, window in zip(shown, windows)
    ]

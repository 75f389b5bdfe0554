"""What all kinds of videos have in common."""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np

_log = logging.getLogger(__name__)

_warned: set[tuple[str, str]] = set()
"""Files and kinds of warnings that this process has logged."""

PictureTransform = Callable[[np.ndarray], np.ndarray]
"""A uint8 picture `[H, W, 3]` of any size to one of a fixed size."""

_STANDS_STILL = 2.0
"""Frames from which on the last picture's own length breaks a constant rate (a recording that ends with a still)."""


class VideoError(ValueError):
    """A video that cannot be read; the message names the file and what is wrong with it."""

    def __init__(self, message: str) -> None:
        # File names need not be UTF-8; a message that cannot be printed would hide the file.
        super().__init__(message.encode("utf-8", "backslashreplace").decode())


def _max_pixels() -> int:
    name = "HAWKEYE_MAX_PIXELS"
    told = os.environ.get(name, str(2**26))
    if not told.isdecimal() or not int(told):
        raise ValueError(f"the environment variable {name} must be a positive whole number, not {told!r}")
    return int(told)


MAX_PIXELS = _max_pixels()
"""Largest pictures that are decoded, width times height; by default 8,192 by 8,192, 200 MB each.

A file of a few hundred bytes can promise pictures that fill any memory. The environment variable HAWKEYE_MAX_PIXELS
sets another limit.
"""


def check_size(path: Path, width: int, height: int) -> None:
    """Refuses pictures that are too large to decode.

    Raises:
        VideoError: naming the limit and how to raise it.
    """
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{path}: pictures of {width} x {height} have more than {MAX_PIXELS} pixels; the environment variable "
            "HAWKEYE_MAX_PIXELS sets another limit"
        )


class VideoReader(ABC):
    """An open video: its frames by index, and when each is shown.

    Second 0 is where players and `ffmpeg -ss` have it, and so the tools that annotations are made with: where the
    first of picture and sound begins. Pictures that begin later than the sound by no more than about a frame begin at
    0 (codecs' delays shift them so).

    A reader may be shared by threads (one reads at a time), not by processes.

    Attributes:
        path: the file or folder.
        seconds: `[num_frames]` presentation time of every frame in seconds, rising; the first is 0 unless the pictures
            begin after the sound.
        fps: average frames per second.
        last_seconds: how long the last frame is shown.
        declared_duration: length in seconds that the file's header declares, of whatever can be read; None where it
            declares none.
        warnings: what is wrong with the file although it can be read, as far as it was met, by kind.
    """

    def __init__(
        self,
        path: Path,
        seconds: np.ndarray,
        fps: float,
        last_seconds: float | None = None,
        declared_duration: float | None = None,
    ) -> None:
        self.path = path
        self.seconds = seconds
        self.fps = fps
        self.last_seconds = 1 / fps if last_seconds is None else last_seconds
        self.declared_duration = declared_duration
        self.warnings: dict[str, str] = {}
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._closed = False

    @property
    def num_frames(self) -> int:
        """Number of frames, at least 1."""
        return len(self.seconds)

    @property
    def duration(self) -> float:
        """The second at which the last frame's own time ends."""
        if self.has_constant_rate and abs(self.last_seconds * self.fps - 1) <= 0.25:
            return self.num_frames / self.fps
        return float(self.seconds[-1]) + self.last_seconds

    @cached_property
    def has_constant_rate(self) -> bool:
        """Whether every frame is shown when its index says, to a quarter of a frame, and the last is no still."""
        even = np.arange(self.num_frames) / self.fps
        is_even = np.abs(self.seconds - even).max() <= 0.25 / self.fps
        return bool(is_even and self.last_seconds * self.fps <= _STANDS_STILL)

    def frames(self, indices: Sequence[int], transform: PictureTransform | None = None) -> np.ndarray:
        """Frames by index, uint8 RGB `[T, H, W, 3]`, upright; `indices` may repeat and come in any order.

        Only the frames asked for are kept in memory, and of each only what `transform` makes of it. Rising indices are
        read in one pass, and a call that goes on where the last one ended continues it, so a long video can be read in
        pieces.

        Args:
            indices: frames in [0, num_frames).
            transform: applied to every picture as soon as it is decoded (crop, resize); its results have one shape.

        Raises:
            IndexError: if there are no indices, or one is not in [0, num_frames).
            ValueError: if the reader is closed, or was opened by another process.
            VideoError: if a frame cannot be decoded.
        """
        if os.getpid() != self._process:  # before the lock, which a thread of the other process may have held
            raise ValueError(f"{self.path}: its reader was opened in another process; open it in this one")
        with self._lock:
            if self._closed:
                raise ValueError(f"{self.path}: its reader is closed")
            return self._read([int(index) for index in indices], transform)

    def _read(self, wanted: list[int], transform: PictureTransform | None) -> np.ndarray:
        distinct = sorted(set(wanted))
        if not distinct:
            raise IndexError(f"{self.path}: no frames asked for")
        if distinct[0] < 0 or distinct[-1] >= self.num_frames:
            raise IndexError(f"{self.path}: frames {distinct[0]} to {distinct[-1]} asked for, it has {self.num_frames}")
        decoded = self._stack(self._decode(distinct), len(distinct), transform)
        return decoded if wanted == distinct else decoded[np.searchsorted(distinct, wanted)]

    def _stack(self, pictures: Iterable[np.ndarray], count: int, transform: PictureTransform | None) -> np.ndarray:
        """`count` pictures `[H, W, 3]` of one size as an array `[T, H, W, 3]`, without holding them twice."""
        stack = np.empty(0, dtype=np.uint8)
        for index, picture in enumerate(pictures):
            kept = picture if transform is None else transform(picture)
            if not index:
                stack = np.empty((count, *kept.shape), dtype=np.uint8)
            if kept.shape != stack.shape[1:]:
                sizes = " and ".join(f"{shape[1]}x{shape[0]}" for shape in (stack.shape[1:], kept.shape))
                raise VideoError(f"{self.path}: its frames differ in size: {sizes}")
            stack[index] = kept
        return stack

    def _warn(self, kind: str, message: str) -> None:
        """Keeps a warning, the first of its kind, and logs it unless this process has done so."""
        self.warnings.setdefault(kind, f"{self.path}: {message}".encode("utf-8", "backslashreplace").decode())
        if (str(self.path), kind) not in _warned:
            _warned.add((str(self.path), kind))
            _log.warning("%s", self.warnings[kind])

    @abstractmethod
    def _decode(self, indices: list[int]) -> Iterable[np.ndarray]:
        """Pictures `[H, W, 3]` at rising, distinct, valid indices, one after the other."""

    def close(self) -> None:
        """Frees the file and what decodes it; nothing can be read from then on. Closing twice does nothing."""
        if os.getpid() != self._process:
            return  # the file belongs to the process that opened it
        with self._lock:
            if not self._closed:
                self._closed = True
                self._free()

    def _free(self) -> None:  # noqa: B027  # a folder has nothing to free
        """Frees what a kind of reader holds; called once."""

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def one_line(error: BaseException) -> str:
    """Another library's error as part of a message."""
    message = getattr(error, "strerror", None) or str(error)
    return " ".join(message.split())[:200] or type(error).__name__

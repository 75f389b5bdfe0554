"""One clock for all videos: the frames to show of a part of one, in training, evaluation, data sets and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from hawkeye.data.sampling import evaluation_indices, training_indices
from hawkeye.data.video_reader import VideoError
from hawkeye.temporal import Span

CLOCK_VERSION = 3
"""Raise it whenever a video gets other times, or other frames for them: what was cached before is then not used."""

VARIABLE_RATE = 90_000.0
"""Ticks per second of videos whose rate varies: MPEG's own, finer than the times of any common container."""

_OFF_BEAT = 0.25
"""Share of a frame by which frames of a constant rate may come early or late: containers round times."""


class Timeline(Protocol):
    """When the frames of a video are shown: an open reader, or cached frames.

    Attributes:
        path: names it in messages.
        seconds: `[F]` presentation times of its frames, rising; the first may come after 0.
        duration: its end, in seconds.
        fps: average frames per second.
    """

    @property
    def path(self) -> Path: ...

    @property
    def seconds(self) -> np.ndarray: ...

    @property
    def duration(self) -> float: ...

    @property
    def fps(self) -> float: ...


class Clock:
    """Counts a video's time in ticks: its frames at a constant rate, `VARIABLE_RATE` otherwise.

    The original's samplers choose among frame numbers. Here they choose among ticks, which are the same numbers at a
    constant rate, and times where frame numbers say nothing of time.

    Attributes:
        is_constant: whether every frame is shown when its index says, the last one for about as long as the others.
        rate: ticks per second.
        num_ticks: from the first frame to the end of the video.
        offset: seconds before the first tick.
    """

    def __init__(self, video: Timeline) -> None:
        self.offset = float(video.seconds[0])
        self._seconds = video.seconds - self.offset
        length, count = video.duration - self.offset, len(video.seconds)
        late = np.abs(self._seconds * video.fps - np.arange(count)).max()
        self.is_constant = bool(late <= _OFF_BEAT and abs(length * video.fps - count) <= 1)
        self.rate = video.fps if self.is_constant else VARIABLE_RATE
        self.num_ticks = count if self.is_constant else max(1, round(length * VARIABLE_RATE))

    def ticking(self, window: Span) -> Span:
        """A window in seconds of the video, in seconds from the first tick on."""
        return Span(window.start - self.offset, window.end - self.offset)

    def shown(self, ticks: Sequence[int] | np.ndarray) -> np.ndarray:
        """`[T]` indices of the frames that are shown at ticks."""
        return self.at(self.offset + (np.asarray(ticks) + 0.5) / self.rate)

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """`[T]` indices of the frames that are shown at times; before the first frame it stands in."""
        return np.maximum(np.searchsorted(self._seconds, seconds - self.offset, side="right") - 1, 0)

    def within(self, window: Span, frames: np.ndarray) -> np.ndarray:
        """Frames moved to the nearest that begin in a window, bounds included.

        Where none begins in it, they become the one that is still shown at its start.
        """
        window = self.ticking(window)
        first = np.searchsorted(self._seconds, window.start, side="left")
        last = np.searchsorted(self._seconds, window.end, side="right") - 1
        return np.clip(frames, first, last) if first <= last else np.full_like(frames, max(first - 1, 0))


def choose_frames(
    video: Timeline, window: Span | None, num_frames: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """The frames to show of a part of a video, one from each of `num_frames` equal parts of it.

    Without `rng` they are those in the middle of each part; at a constant rate exactly the original's choice, which
    rounds the window's bounds to frames. With it, they are random ones of the same parts, as in the original's
    training; none begins outside the window where one begins inside (Parity: the original's rounding lets some).

    Args:
        window: in seconds; None is the whole video. What lies beyond the video's end is left out.
        num_frames: how many; a window with fewer repeats some.

    Returns:
        `[num_frames]` indices, rising.

    Raises:
        ValueError: if `num_frames` is not positive.
        VideoError: if the window begins where the video has ended.
    """
    if window is not None:
        check_window(video, window)
    clock = Clock(video)
    ticking = clock.ticking(window) if window is not None else None
    if rng is None:
        frames = clock.shown(evaluation_indices(num_frames, clock.rate, clock.num_ticks - 1, ticking))
        return frames if window is None or clock.is_constant else clock.within(window, frames)
    start, end = (0.0, 1.0)
    if ticking is not None:
        start, end = np.clip(np.array([ticking.start, ticking.end]) * clock.rate / clock.num_ticks, 0.0, 1.0).tolist()
    frames = clock.shown(training_indices(num_frames, clock.num_ticks, start, end, rng))
    return frames if window is None else clock.within(window, frames)


def check_window(video: Timeline, window: Span) -> None:
    """Refuses a window of which a video shows nothing.

    Raises:
        VideoError: if the window begins where the video has ended.
    """
    if window.start >= video.duration:
        raise VideoError(
            f"{video.path}: the window begins at second {window.start:g}, the video ends at {video.duration:g}"
        )


def thinned(video: Timeline, max_fps: float) -> tuple[np.ndarray, float]:
    """The frames to keep of a video where about `max_fps` a second are enough, and how many a second these are.

    At a constant rate they are every n-th frame; at a variable one those shown at even moments, so that what is shown
    for long is kept, however closely it follows another.

    Returns:
        Indices, rising and distinct, and frames per second.
    """
    clock = Clock(video)
    if clock.is_constant:
        step = max(1, round(video.fps / max_fps))
        return np.arange(0, len(video.seconds), step), video.fps / step
    moments = np.arange(0, clock.num_ticks, clock.rate / max_fps).astype(int)
    kept = np.unique(clock.shown(moments))
    return kept, len(kept) / (clock.num_ticks / clock.rate)

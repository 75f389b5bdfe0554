"""Which frames of a scene are looked at, and reading them one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil

import numpy as np

from hawkeye.data.clock import Clock, Timeline
from hawkeye.data.video import VideoReader
from hawkeye.temporal import Span

SCENE_ROUNDING = 0.0006
"""Seconds, a little more than half of the milliseconds that scenes are rounded to: their last frame is within them."""


def inner_frames(scene: Span, fps: float, count: int) -> list[int]:
    """`count` frames inside a scene, evenly spread (the similarity stage's).

    They are the original's: `interval = floor((last - first) / (count + 1)) + 1` frames apart, after the first.
    """
    first, last = int(scene.start * fps), int(scene.end * fps)
    interval = (last - first) // (count + 1) + 1
    return [first + interval * place for place in range(1, count + 1)]


def scored_frames(scene: Span, fps: float, count: int) -> list[int]:
    """`count` frames of a scene, evenly spread (the score stage's): the same without the one frame more."""
    first, last = int(scene.start * fps), int(scene.end * fps)
    interval = (last - first) // (count + 1)
    return [first + interval * place for place in range(1, count + 1)]


def middle_frame(scene: Span, fps: float) -> int | None:
    """The frame in the middle of a scene (the caption stage's); None where the scene has none."""
    first, last = int(scene.start * fps), int(scene.end * fps)
    interval = ceil((last - first) / 2)
    return first + interval if interval > 0 and first + interval < last else None


def scene_frames(video: Timeline, scene: Span, rule: Callable[[Span, float], Sequence[int]]) -> list[int]:
    """The frames of a scene by one of the rules above, which count in the ticks of the video's clock.

    Parity: where the original's rule reaches the next scene, as for each fourth one in the similarity stage, the frame
    is the last one of its own.

    Args:
        rule: from a scene and ticks per second to ticks.
    """
    clock = Clock(video)
    start, end = scene.start - SCENE_ROUNDING, scene.end - SCENE_ROUNDING
    ticks = rule(clock.ticking(scene), clock.rate)
    return clock.within(Span(start, max(start, end)), clock.shown(ticks)).tolist() if len(ticks) else []


def each_frame(reader: VideoReader, indices: Sequence[int]) -> Iterator[np.ndarray]:
    """Frames, uint8 `[H, W, 3]`, at rising indices, of which one is in memory at a time.

    Raises:
        VideoError: if a frame cannot be decoded.
    """
    for index in indices:
        yield reader.frames([index])[0]

"""Which frames of a scene are looked at, and reading those of a whole video in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from hawkeye.data.video import VideoReader
from hawkeye.temporal import Span


def inner_frames(scene: Span, fps: float, count: int) -> list[int]:
    """`count` frames strictly inside a scene, evenly spread (the similarity stage's).

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


def read_frames(reader: VideoReader, indices: Sequence[int]) -> dict[int, np.ndarray]:
    """The frames at these indices, each uint8 `[H, W, 3]`, decoded in one pass; those past the end are the last one.

    Raises:
        VideoError: if a frame cannot be decoded.
    """
    wanted = sorted({min(index, reader.num_frames - 1) for index in indices})
    found = dict(zip(wanted, reader.frames(wanted))) if wanted else {}
    return {index: found[min(index, reader.num_frames - 1)] for index in indices}

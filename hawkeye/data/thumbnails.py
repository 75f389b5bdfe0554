"""Small pictures along a video, for plots and pages."""

from __future__ import annotations

import numpy as np
from PIL import Image

from hawkeye.data.clock import Clock
from hawkeye.data.video_reader import VideoReader
from hawkeye.temporal import Span

WIDEST = 8
"""Times its height: as wide as a thumbnail gets."""


def thumbnails(reader: VideoReader, count: int, height: int, window: Span | None = None) -> np.ndarray:
    """The frames shown in the middles of `count` equal parts of a video, or of a window of it, made small.

    People see the moments that are written beside them; `choose_frames` rounds these as the original does for models.

    Args:
        height: of the largest, in pixels; smaller pictures stay as they are.

    Returns:
        uint8 `[count, h, w, 3]`.

    Raises:
        VideoError: if a frame cannot be decoded.
    """

    def shrink(picture: np.ndarray) -> np.ndarray:
        image = Image.fromarray(np.ascontiguousarray(picture))
        image.thumbnail((WIDEST * height, height))
        return np.asarray(image)

    window = window or Span(0.0, reader.duration)
    middles = window.start + (np.arange(count) + 0.5) * window.duration / count
    return reader.frames(Clock(reader).at(middles).tolist(), shrink)

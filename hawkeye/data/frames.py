"""Where training gets a video's frames from: the files themselves, or the cache of decoded ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from hawkeye.data.clock import Timeline
from hawkeye.data.video import open_video
from hawkeye.data.video_reader import VideoReader

Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""uint8 frames `[T, H, W, 3]` of any size to uint8 frames `[T, S, S, 3]`; may draw from the generator.

It is given one picture at a time, and for each a generator of the same state, so it draws the same for all.
"""


class ShownVideo(Timeline, Protocol):
    """A video of which frames are picked."""

    def pick(self, indices: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Frames by index, uint8 `[T, S, S, 3]`."""


class FrameStore(Protocol):
    """Opens videos for training."""

    def open(self, path: Path, fps: float | None = None) -> AbstractContextManager[ShownVideo]:
        """A video; `fps` is the rate of a folder of frames.

        Raises:
            VideoError: if it cannot be read.
        """


class _OpenVideo:
    def __init__(self, reader: VideoReader, transform: Transform) -> None:
        self.path, self.seconds, self.duration, self.fps = reader.path, reader.seconds, reader.duration, reader.fps
        self._reader, self._transform = reader, transform

    def pick(self, indices: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        seed = int(rng.integers(2**63))
        return self._reader.frames(
            indices, lambda picture: self._transform(picture[None], np.random.default_rng(seed))[0]
        )


class FrameFiles:
    """Frames decoded whenever they are shown, for data that would not fit in a cache."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    @contextmanager
    def open(self, path: Path, fps: float | None = None) -> Iterator[ShownVideo]:
        """See `FrameStore.open`."""
        with open_video(path, fps=fps) as reader:
            yield _OpenVideo(reader, self.transform)

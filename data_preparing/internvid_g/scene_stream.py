"""Our readers as PySceneDetect's videos, so that scenes are cut by the same clock as frames are taken by."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
from scenedetect import FrameTimecode
from scenedetect.common import Timecode, TimecodeLike
from scenedetect.scene_manager import compute_downscale_factor
from scenedetect.video_stream import SeekError, VideoStream

from hawkeye.data.video import VideoReader

MICROSECOND = Fraction(1, 1_000_000)


class ReaderStream(VideoStream):
    """A video from its first frame on; positions are times since that one."""

    BACKEND_NAME = "hawkeye"

    def __init__(self, reader: VideoReader) -> None:
        self._reader = reader
        self._next = 0
        height, width = reader.frames([0], self._small).shape[1:3]
        self._size = (int(width), int(height))

    @property
    def path(self) -> str:
        """See `VideoStream`, here and below."""
        return str(self._reader.path)

    @property
    def name(self) -> str:
        return self._reader.path.stem

    @property
    def is_seekable(self) -> bool:
        return False

    @property
    def frame_rate(self) -> Fraction:
        return Fraction(self._reader.fps).limit_denominator(100_000)

    @property
    def duration(self) -> FrameTimecode:
        return self._timecode(self._reader.duration)

    @property
    def frame_size(self) -> tuple[int, int]:
        return self._size

    @property
    def aspect_ratio(self) -> float:
        return 1.0

    @property
    def position(self) -> FrameTimecode:
        return self._timecode(self._reader.seconds[max(0, self._next - 1)])

    @property
    def position_ms(self) -> float:
        return 1000 * self.position.seconds

    @property
    def frame_number(self) -> int:
        return self._next

    def read(self, decode: bool = True) -> np.ndarray | bool:
        if self._next == self._reader.num_frames:
            return False
        self._next += 1
        return self._reader.frames([self._next - 1], self._small)[0] if decode else True

    def reset(self) -> None:
        self._next = 0

    def seek(self, target: TimecodeLike) -> None:
        raise SeekError(f"{self.path}: is read from start to end, not from {target}")

    def _timecode(self, second: float) -> FrameTimecode:
        since_first = round((second - self._reader.seconds[0]) / MICROSECOND)
        return FrameTimecode(Timecode(pts=since_first, time_base=MICROSECOND), fps=self.frame_rate)

    @staticmethod
    def _small(picture: np.ndarray) -> np.ndarray:
        """A picture in OpenCV's order of colours, at the size to which PySceneDetect would reduce it itself."""
        height, width = picture.shape[:2]
        factor = max(1.0, compute_downscale_factor(max(width, height)))
        size = (max(1, round(width / factor)), max(1, round(height / factor)))
        return cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), cv2.COLOR_RGB2BGR)

"""Reading videos: files, GIFs and folders of frames behind one small interface."""

from __future__ import annotations

import importlib.util
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image, UnidentifiedImageError

from hawkeye.data.sampling import evaluation_indices
from hawkeye.temporal import Span

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
BACKENDS = ("decord", "pyav")


class VideoError(ValueError):
    """A video that cannot be read; the message names the file and what is wrong with it."""


class VideoReader(ABC):
    """An open video: its frames by index, and when each is shown.

    Attributes:
        path: the file or folder.
        seconds: `[num_frames]` presentation time of every frame, relative to the first, in seconds.
        fps: average frames per second.
    """

    def __init__(self, path: Path, seconds: np.ndarray, fps: float) -> None:
        if not len(seconds):
            raise VideoError(f"{path}: holds no frames")
        if not (np.isfinite(fps) and fps > 0):
            raise VideoError(f"{path}: has no usable frame rate ({fps})")
        self.path = path
        self.seconds = seconds
        self.fps = fps

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.seconds)

    @property
    def duration(self) -> float:
        """Length in seconds: the last frame is shown as long as the average one."""
        return float(self.seconds[-1]) + 1 / self.fps

    @cached_property
    def has_constant_rate(self) -> bool:
        """Whether all frames are shown equally long, to a quarter of a frame."""
        even = np.arange(self.num_frames) / self.fps
        return bool(np.abs(self.seconds - even).max() <= 0.25 / self.fps)

    def frames(self, indices: Sequence[int]) -> np.ndarray:
        """Frames by index, uint8 RGB `[T, H, W, 3]`, upright; `indices` may repeat and come in any order.

        Raises:
            IndexError: if an index is not in [0, num_frames).
            VideoError: if a frame cannot be decoded.
        """
        wanted = sorted(set(indices))
        if not wanted:
            raise IndexError(f"{self.path}: no frames asked for")
        if wanted[0] < 0 or wanted[-1] >= self.num_frames:
            raise IndexError(f"{self.path}: frames {wanted[0]} to {wanted[-1]} of {self.num_frames} asked for")
        decoded = self._decode([int(index) for index in wanted])
        place = {index: position for position, index in enumerate(wanted)}
        return decoded[[place[index] for index in indices]]

    @abstractmethod
    def _decode(self, indices: list[int]) -> np.ndarray:
        """Frames at rising, distinct, valid indices."""

    def close(self) -> None:
        """Frees the file."""

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_video(path: str | Path, *, backend: str | None = None, fps: float | None = None) -> VideoReader:
    """Opens a video file, a GIF or a folder of frames.

    Args:
        path: the file or folder.
        backend: "decord" or "pyav" for video files; by default decord where it is installed.
        fps: frames per second of a folder of frames, which does not know its own.

    Raises:
        VideoError: naming the file and what is wrong: missing, empty, no video, truncated, no frames.
        ValueError: if the backend is unknown or not installed.
    """
    path = Path(path)
    if backend not in (None, *BACKENDS):
        raise ValueError(f"unknown video backend {backend!r}; there are {', '.join(BACKENDS)}")
    if not path.exists():
        raise VideoError(f"{path}: no such file or folder")
    if path.is_dir():
        return FolderReader(path, fps)
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty")
    if path.suffix.lower() == ".gif":
        return GifReader(path)
    if backend == "pyav" or (backend is None and importlib.util.find_spec("decord") is None):
        return PyAVReader(path)
    return DecordReader(path)


def read_window(
    reader: VideoReader, window: Span | None, num_frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """What evaluation shows of a window.

    Args:
        window: in seconds; None is the whole video. What lies beyond the video's end is left out.

    Returns:
        Frames uint8 `[T, H, W, 3]` and their times `[T]` in seconds relative to the start of the window (Parity: the
        index over the frame rate for constant rates, as the original prints them).

    Raises:
        VideoError: if the window begins after the video's end.
    """
    start = 0.0 if window is None else window.start
    if start > reader.duration:
        raise VideoError(f"{reader.path}: a window from second {start:g} on, but it ends at {reader.duration:g}")
    indices = evaluation_indices(num_frames, reader.fps, reader.num_frames - 1, window)
    if reader.has_constant_rate:
        seconds = np.array(indices) / reader.fps
    else:
        end = float(reader.seconds[-1]) if window is None else min(window.end, float(reader.seconds[-1]))
        times = start + (np.arange(num_frames) + 0.5) * max(0.0, end - start) / num_frames
        indices = list(np.maximum(np.searchsorted(reader.seconds, times + 1e-6, side="right") - 1, 0))
        seconds = reader.seconds[indices]
    return reader.frames(indices), np.maximum(seconds - start, 0.0)


def _first_sentence(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


class PyAVReader(VideoReader):
    """Video files through PyAV. Frame times come from the packets, so opening decodes nothing."""

    def __init__(self, path: Path) -> None:
        try:
            self.container = av.open(str(path))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise VideoError(f"{path}: cannot be read as a video ({_first_sentence(error)})") from None
        if not self.container.streams.video:
            self.container.close()
            raise VideoError(f"{path}: has no video stream")
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "AUTO"
        self.reformatter = VideoReformatter()
        try:
            self.timestamps, self.keyframes = self._index(path)
        except av.FFmpegError as error:
            raise VideoError(f"{path}: is damaged ({_first_sentence(error)})") from None
        seconds = (self.timestamps - self.timestamps[:1]) * float(self.stream.time_base or 1)
        rate = self.stream.average_rate
        super().__init__(path, seconds, _average_rate(seconds, float(rate) if rate else None))

    def _index(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Presentation timestamps of all frames, and of the keyframes, in the stream's units, rising."""
        packets = [packet for packet in self.container.demux(self.stream) if packet.size]
        stamps = [packet.pts for packet in packets]
        if any(stamp is None for stamp in stamps):
            raise VideoError(f"{path}: its frames have no timestamps")
        keyframes = [packet.pts for packet in packets if packet.is_keyframe]
        return np.unique(np.array(stamps, dtype=np.int64)), np.unique(np.array(keyframes, dtype=np.int64))

    def _decode(self, indices: list[int]) -> np.ndarray:
        images: list[np.ndarray] = []
        wanted = iter(self.timestamps[indices])
        target = next(wanted)
        position: int | None = None
        frames = iter(())
        try:
            while True:
                keyframe = self._keyframe_before(int(target))
                if position is None or position > target or keyframe > position:
                    self.container.seek(int(keyframe), stream=self.stream)
                    frames = self.container.decode(self.stream)
                for frame in frames:
                    position = frame.pts
                    if position is not None and position >= target:
                        break
                else:
                    raise VideoError(f"{self.path}: is truncated: frame {indices[len(images)]} cannot be decoded")
                if position != target:
                    raise VideoError(f"{self.path}: is damaged: frame {indices[len(images)]} is missing")
                images.append(self._image(frame))
                target = next(wanted)
        except StopIteration:
            return np.stack(images)
        except av.FFmpegError as error:
            raise VideoError(f"{self.path}: is damaged ({_first_sentence(error)})") from None

    def _keyframe_before(self, timestamp: int) -> int:
        place = int(np.searchsorted(self.keyframes, timestamp, side="right")) - 1
        return int(self.keyframes[place]) if place >= 0 else int(self.timestamps[0])

    def _image(self, frame: av.VideoFrame) -> np.ndarray:
        # One reformatter for all frames: making one for each takes ten times as long.
        image = self.reformatter.reformat(frame, format="rgb24").to_ndarray()
        return np.rot90(image, round(frame.rotation / 90) % 4)

    def close(self) -> None:
        self.container.close()


def _average_rate(seconds: np.ndarray, declared: float | None) -> float:
    """Frames per second: the declared one where the frames' times agree with it, else what the times say."""
    if len(seconds) < 2 or seconds[-1] <= 0:
        return declared or 1.0
    measured = (len(seconds) - 1) / float(seconds[-1])
    return declared if declared and abs(declared - measured) <= 0.02 * measured else measured


class DecordReader(VideoReader):
    """Video files through decord; rotated files and what decord cannot open go through PyAV."""

    def __init__(self, path: Path) -> None:
        # PyAV's index is cheap, and its times and errors are the better ones.
        with PyAVReader(path) as index:
            rotation = self._rotation(index)
            super().__init__(path, index.seconds, index.fps)
        self.fallback: PyAVReader | None = None
        self.reader: Any = None
        if rotation:
            self.fallback = PyAVReader(path)
            return
        import decord

        try:
            self.reader = decord.VideoReader(str(path), num_threads=1)
            usable = len(self.reader) == self.num_frames
        except (decord.DECORDError, RuntimeError):
            usable = False
        if not usable:
            self.fallback = PyAVReader(path)

    @staticmethod
    def _rotation(index: PyAVReader) -> int:
        try:
            index.container.seek(int(index.timestamps[0]), stream=index.stream)
            return round(next(index.container.decode(index.stream)).rotation)
        except (StopIteration, av.FFmpegError):
            raise VideoError(f"{index.path}: is damaged: its first frame cannot be decoded") from None

    def _decode(self, indices: list[int]) -> np.ndarray:
        if self.fallback:
            return self.fallback._decode(indices)
        import decord

        try:
            return self.reader.get_batch(indices).asnumpy()
        except (decord.DECORDError, RuntimeError):
            # PyAV either reads it or says what is wrong.
            self.fallback = PyAVReader(self.path)
            return self.fallback._decode(indices)

    def close(self) -> None:
        if self.fallback:
            self.fallback.close()
        self.reader = None


class GifReader(VideoReader):
    """GIFs, each frame shown as long as the file says (a tenth of a second where it says nothing)."""

    def __init__(self, path: Path) -> None:
        try:
            with Image.open(path) as image:
                images, lengths = [], []
                for index in range(getattr(image, "n_frames", 1)):
                    image.seek(index)
                    images.append(np.asarray(image.convert("RGB")))
                    lengths.append((image.info.get("duration") or 100) / 1000)
        except (UnidentifiedImageError, OSError, EOFError, SyntaxError) as error:
            raise VideoError(f"{path}: cannot be read as a GIF ({_first_sentence(error)})") from None
        self.images = np.stack(images)
        seconds = np.cumsum([0.0, *lengths[:-1]])
        super().__init__(path, seconds, len(lengths) / sum(lengths))

    def _decode(self, indices: list[int]) -> np.ndarray:
        return self.images[indices]


class FolderReader(VideoReader):
    """A folder of frames, in the natural order of their names."""

    def __init__(self, path: Path, fps: float | None) -> None:
        files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
        self.files = sorted(files, key=lambda file: _natural(file.name))
        if not self.files:
            raise VideoError(f"{path}: the folder holds no frames ({', '.join(sorted(IMAGE_SUFFIXES))})")
        if fps is None:
            raise VideoError(f"{path}: a folder of frames needs its frame rate; pass fps")
        super().__init__(path, np.arange(len(self.files)) / fps if fps > 0 else np.zeros(1), fps)

    def _decode(self, indices: list[int]) -> np.ndarray:
        images = [self._image(self.files[index]) for index in indices]
        shapes = {image.shape for image in images}
        if len(shapes) > 1:
            raise VideoError(f"{self.path}: its frames differ in size: {sorted(shapes)}")
        return np.stack(images)

    def _image(self, file: Path) -> np.ndarray:
        try:
            with Image.open(file) as image:
                return np.asarray(image.convert("RGB"))
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise VideoError(f"{file}: cannot be read as an image ({_first_sentence(error)})") from None


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]

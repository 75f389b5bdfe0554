"""Decoded frames on disk: a video is decoded and resized once, and read by memory map from then on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from hawkeye.data.clock import CLOCK_VERSION, thinned
from hawkeye.data.video import VideoError, open_video
from hawkeye.data.video_reader import MAX_PIXELS
from hawkeye.files import written_whole
from hawkeye.pools import process_pool

VIDEOS_PER_TASK = 4
"""Videos that a decoding process takes at a time."""

PIECE = 64
"""Shrunk frames that are held in memory before they are written."""

FrameTransform = Callable[[np.ndarray], np.ndarray]
"""uint8 frames [T, H, W, 3] of any size to uint8 frames [T, S, S, 3]; it is given one at a time."""


@dataclass(frozen=True)
class CachedVideo:
    """A video's kept frames, and the times of these; a `Timeline`.

    Attributes:
        path: the video.
        frames: uint8 [F, S, S, 3].
        seconds: [F] presentation times.
        duration: the video's end, in seconds.
        fps: kept frames per second.
    """

    path: Path
    frames: np.ndarray
    seconds: np.ndarray
    duration: float
    fps: float

    def pick(self, indices: Sequence[int], rng: np.random.Generator) -> np.ndarray:  # noqa: ARG002 - the protocol's
        """Frames by index, uint8 [T, S, S, 3]."""
        return self.frames[indices]


class FrameCache:
    """A folder of decoded videos, keyed by path, size and change time of the file and by all that decides what is kept.

    It costs `S * S * 3` bytes a frame: 12 kB at 64 x 64, or 2.7 MB for a 45-second video at 5 frames a second.
    """

    def __init__(self, directory: Path, transform: FrameTransform, transform_name: str, max_fps: float) -> None:
        self.directory = directory
        self.transform = transform
        self.transform_name = transform_name
        self.max_fps = max_fps

    @contextmanager
    def open(self, path: Path, fps: float | None = None) -> Iterator[CachedVideo]:
        """See `hawkeye.data.frames.FrameStore.open`."""
        yield self.get(path, fps)

    def get(self, path: Path, fps: float | None = None) -> CachedVideo:
        """A video's frames, decoded now if they are not yet in the cache.

        Raises:
            VideoError: if the video cannot be read.
        """
        frames_path = self._path(path, fps)
        if not frames_path.exists():
            self._decode(path, frames_path, fps)
        *seconds, duration, kept_fps = np.load(frames_path.with_suffix(".times.npy"))
        return CachedVideo(path, np.load(frames_path, mmap_mode="r"), np.array(seconds), duration, kept_fps)

    def fill(self, paths: Iterable[Path], num_workers: int, fps: float | None = None) -> Mapping[Path, str]:
        """Decodes what is missing, showing progress; returns the videos that cannot be read, with the reason.

        Args:
            num_workers: processes that decode.
            fps: frames per second of those that are folders of frames.
        """
        paths = [path for path in dict.fromkeys(paths) if not self._is_cached(path, fps)]
        failures: dict[Path, str] = {}
        if not paths:
            return failures
        decode = partial(self._try, fps=fps)
        with ExitStack() as stack:
            results: Iterable[str | None] = map(decode, paths)
            if num_workers > 1 and len(paths) > VIDEOS_PER_TASK:
                pool = stack.enter_context(process_pool(num_workers))
                results = pool.map(decode, paths, chunksize=VIDEOS_PER_TASK)
            for path, problem in tqdm(zip(paths, results), total=len(paths), desc="decoding videos", unit="video"):
                if problem:
                    failures[path] = problem
        return failures

    def _is_cached(self, path: Path, fps: float | None) -> bool:
        return path.exists() and self._path(path, fps).exists()

    def _try(self, path: Path, fps: float | None) -> str | None:
        try:
            self.get(path, fps)
        except VideoError as error:
            return str(error)
        return None

    def _path(self, path: Path, fps: float | None) -> Path:
        try:
            identity = [str(path.resolve()), *_state(path)]
        except OSError as error:
            raise VideoError(f"{path}: cannot be read ({error.strerror})") from None
        kept = [self.transform_name, self.max_fps, fps, CLOCK_VERSION, MAX_PIXELS]
        key = hashlib.sha256("|".join(map(str, [*identity, *kept])).encode("utf-8", "surrogateescape")).hexdigest()[:24]
        return self.directory / key[:2] / f"{key}.npy"

    def _decode(self, path: Path, frames_path: Path, fps: float | None) -> None:
        with open_video(path, fps=fps) as reader:
            kept, kept_fps = thinned(reader, self.max_fps)
            times = [*reader.seconds[kept], reader.duration, kept_fps]
            # The frames appear last, and by renaming: a file that exists is whole and has its times.
            with written_whole(frames_path.with_suffix(".times.npy")) as unfinished:
                np.save(unfinished, times)
            with written_whole(frames_path) as unfinished, unfinished.open("wb") as file:
                for start in range(0, len(kept), PIECE):
                    piece = reader.frames(
                        kept[start : start + PIECE].tolist(), lambda frame: self.transform(frame[None])[0]
                    )
                    if not start:
                        _write_header(file, (len(kept), *piece.shape[1:]))
                    file.write(piece.data)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """What a .npy file of uint8 values says of them before they come."""
    descr = np.lib.format.dtype_to_descr(np.dtype(np.uint8))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _state(path: Path) -> tuple[int, int]:
    """Size and change time of a file; of a folder the sum of its files' sizes, and the newest of all changes."""
    status = path.stat()
    if not path.is_dir():
        return status.st_size, status.st_mtime_ns
    files = [entry.stat() for entry in os.scandir(path)]
    return sum(file.st_size for file in files), max(file.st_mtime_ns for file in [status, *files])

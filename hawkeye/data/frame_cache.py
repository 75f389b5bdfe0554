"""Decoded frames on disk: a video is decoded and resized once, and read by memory map from then on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hawkeye.data.video import VideoError, open_video
from hawkeye.files import written_whole

VIDEOS_PER_TASK = 4
"""Videos that a decoding process takes at a time."""

FrameTransform = Callable[[np.ndarray], np.ndarray]
"""uint8 frames [T, H, W, 3] of any size to uint8 frames [T, S, S, 3]."""


@dataclass(frozen=True)
class CachedVideo:
    """Frames [F, S, S, 3] uint8, their presentation times [F] in seconds, and the video's duration in seconds."""

    frames: np.ndarray
    seconds: np.ndarray
    duration: float

    def pick(self, indices: Sequence[int], rng: np.random.Generator) -> np.ndarray:  # noqa: ARG002 - the protocol's
        """Frames by index, uint8 [T, S, S, 3]."""
        return self.frames[indices]


class FrameCache:
    """A folder of decoded videos, keyed by path, size and change time of the file and by what was kept of it.

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
        frames_path = self._path(path)
        if not frames_path.exists():
            self._decode(path, frames_path, fps)
        times = np.load(frames_path.with_suffix(".times.npy"))
        return CachedVideo(np.load(frames_path, mmap_mode="r"), times[:-1], float(times[-1]))

    def fill(self, paths: Iterable[Path], num_workers: int) -> Mapping[Path, str]:
        """Decodes what is missing, showing progress; returns the videos that cannot be read, with the reason."""
        paths = [path for path in dict.fromkeys(paths) if not self._is_cached(path)]
        failures: dict[Path, str] = {}
        if not paths:
            return failures
        with ExitStack() as stack:
            results: Iterable[str | None] = map(self._try, paths)
            if num_workers > 1 and len(paths) > VIDEOS_PER_TASK:
                # Forking a process whose libraries have started threads can hang its children.
                pool = stack.enter_context(ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")))
                results = pool.map(self._try, paths, chunksize=VIDEOS_PER_TASK)
            for path, problem in tqdm(zip(paths, results), total=len(paths), desc="decoding videos", unit="video"):
                if problem:
                    failures[path] = problem
        return failures

    def _is_cached(self, path: Path) -> bool:
        return path.exists() and self._path(path).exists()

    def _try(self, path: Path) -> str | None:
        try:
            self.get(path)
        except VideoError as error:
            return str(error)
        return None

    def _path(self, path: Path) -> Path:
        try:
            status = path.stat()
        except OSError as error:
            raise VideoError(f"{path}: cannot be read ({error.strerror})") from None
        identity = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{self.transform_name}|{self.max_fps}"
        key = hashlib.sha256(identity.encode()).hexdigest()[:24]
        return self.directory / key[:2] / f"{key}.npy"

    def _decode(self, path: Path, frames_path: Path, fps: float | None) -> None:
        with open_video(path, fps=fps) as reader:
            step = max(1, round(reader.fps / self.max_fps))
            indices = range(0, reader.num_frames, step)
            frames = self.transform(reader.frames(indices))
            times = np.append(reader.seconds[list(indices)], reader.duration)
        # The frames appear last, and by renaming: a file that exists is whole and has its times.
        for target, array in ((frames_path.with_suffix(".times.npy"), times), (frames_path, frames)):
            with written_whole(target, by_many=True) as unfinished:
                np.save(unfinished, array)

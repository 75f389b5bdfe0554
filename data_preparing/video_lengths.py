"""Lengths of videos that annotations do not tell."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from hawkeye.annotations import AnnotationError, read_json
from hawkeye.data.video import open_video

SHOWN = 5


def read_lengths(path: Path | None, videos: Path | None, names: Iterable[str], suffix: str) -> dict[str, float]:
    """The length of each video in seconds, from a JSON file `{name: seconds}`, the rest from the videos themselves.

    Args:
        path: the file, or None.
        videos: the folder of the videos, or None.
        suffix: what follows a name in that folder, such as ".mp4".

    Raises:
        AnnotationError: if a length is no positive number, or naming videos whose length nothing tells.
        VideoError: naming a video that cannot be read.
    """
    told = read_json(path, dict) if path is not None and path.is_file() else {}
    for name, seconds in told.items():
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
            raise AnnotationError(
                f"{path}: the length of {name!r} must be a positive number of seconds, not {seconds!r}"
            )
    missing = sorted({name for name in names if name not in told})
    if missing and videos is None:
        shown = ", ".join(missing[:SHOWN])
        raise AnnotationError(
            f"{path or '--video-lengths-fname'}: tells no length of {len(missing)} videos, such as {shown}; "
            "--videos FOLDER reads them from the videos"
        )
    if missing and videos is not None:
        folder = videos

        def length(name: str) -> float:
            with open_video(folder / f"{name}{suffix}") as reader:
                return round(reader.duration, 3)

        with ThreadPoolExecutor() as pool:
            found = list(tqdm(pool.map(length, missing), total=len(missing), desc="lengths", unit="video"))
        told |= dict(zip(missing, found))
    return told

"""Lengths of videos that annotations do not tell."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_preparing.tables import filled, read_csv
from hawkeye.annotations import AnnotationError, read_json
from hawkeye.data.video import open_video

SHOWN = 5


def read_lengths(path: Path | None, videos: Path | None, names: Iterable[str], suffix: str) -> dict[str, float]:
    """The length of each video in seconds, from a file, the rest from the videos themselves.

    Args:
        path: JSON, `{name: seconds}`, or a table (.csv) with the columns `id` and `length`, such as Charades' own; or
            None.
        videos: the folder of the videos, or None.
        suffix: what follows a name in that folder, such as ".mp4".

    Raises:
        AnnotationError: if a length is no positive number, or naming videos whose length nothing tells.
        VideoError: naming a video that cannot be read.
    """
    told = _told(path) if path is not None and path.is_file() else {}
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


def _told(path: Path) -> dict[str, Any]:
    if path.suffix != ".csv":
        return read_json(path, dict)
    lengths: dict[str, Any] = {}
    for place, row in read_csv(path, ("id", "length")):
        try:
            lengths[filled(row, "id", place)] = float(filled(row, "length", place))
        except ValueError:
            raise AnnotationError(f"{place}: 'length' must be a number of seconds, not {row['length']!r}") from None
    return lengths

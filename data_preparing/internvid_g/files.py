"""The chain's files, read again: rows grouped by their video."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import numpy as np

from data_preparing.internvid_g.runner import Item, Row
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.annotations import AnnotationError, read_json_lines, read_span, required
from hawkeye.data.locations import VIDEO_ENDINGS
from hawkeye.temporal import Span


def video_items(settings: ChainSettings) -> list[Item]:
    """The videos of the folder, in order of their names, from `start_index` to `end_index`.

    Raises:
        AnnotationError: if there is no folder, or no video in it.
    """
    folder = settings.path(settings.videos)
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: no such folder of videos; put videos there, or name 'download.ids'")
    names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in VIDEO_ENDINGS)
    if not names:
        raise AnnotationError(f"{folder}: holds no videos ({', '.join(VIDEO_ENDINGS)})")
    return [Item(name) for name in names[settings.start_index : settings.end_index]]


def rows_by_video(path: Path, stage: str) -> dict[str, list[Row]]:
    """The rows of each video, videos and rows in the file's order; every row says `video_fname`.

    Args:
        stage: that writes the file.

    Raises:
        AnnotationError: naming the file, and the line, that is missing or wrong.
    """
    if not path.exists():
        raise AnnotationError(f"{path}: no such file; the stage {stage} writes it")
    found: dict[str, list[Row]] = {}
    for place, row in read_json_lines(path):
        found.setdefault(video_name(row, place), []).append(row)
    return found


def video_name(row: Row, place: str) -> str:
    """The video that a row is about, a file in the folder of videos.

    Raises:
        AnnotationError: if it is missing, or would be a file elsewhere.
    """
    name: str = required(row, "video_fname", str, place)
    path = PurePath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise AnnotationError(f"{place}: 'video_fname' must name a file in the folder of videos, not {name!r}")
    return name


def one_row(rows: list[Row], path: Path, video: str) -> Row:
    """The only row of a video.

    Raises:
        AnnotationError: if there are several.
    """
    if len(rows) != 1:
        raise AnnotationError(f"{path}: {len(rows)} rows are about {video}, there must be one")
    return rows[0]


def read_scenes(row: Row, place: str) -> list[Span]:
    """The scenes of a row, in seconds.

    Raises:
        AnnotationError: if they are missing or no spans.
    """
    pairs = required(row, "scenes", list, place)
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise AnnotationError(f"{place}: 'scenes' must hold [start, end] pairs, not {pairs!r}")
    return [read_span({"start": start, "end": end}, "start", "end", place) for start, end in pairs]


def read_matrix(row: Row, place: str) -> np.ndarray:
    """The similarities of a row's scenes, `[n, n]`.

    Raises:
        AnnotationError: if they are missing or no square of numbers.
    """
    rows: list[Any] = required(row, "similarity_matrix", list, place)
    try:
        matrix = np.array(rows, dtype=float).reshape(len(rows), len(rows))
    except (TypeError, ValueError):
        matrix = np.full((1, 1), np.nan)
    if not np.isfinite(matrix).all():
        raise AnnotationError(f"{place}: 'similarity_matrix' must be a square of numbers")
    return matrix

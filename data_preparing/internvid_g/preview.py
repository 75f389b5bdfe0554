"""`preview`: a page on which a person can judge the data, video by video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from tqdm import tqdm

from data_preparing.internvid_g.files import one_row, read_scenes, rows_by_video, video_name
from data_preparing.internvid_g.runner import Row
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.annotations import AnnotationError, finite, read_duration, read_json_lines, read_span, required
from hawkeye.console import printable
from hawkeye.data.thumbnails import thumbnails
from hawkeye.data.video import VideoError, open_video
from hawkeye.files import write_text
from hawkeye.report.embedding import embedded_frame
from hawkeye.temporal import Span

FRAMES, FRAME_HEIGHT = 16, 60
SHOWN_VIDEOS = 20


@dataclass(frozen=True)
class Bar:
    """A stretch of a video's timeline, as percentages of its length; `kind` is its colour."""

    kind: str
    left: float
    width: float
    text: str


@dataclass(frozen=True)
class ScoredCaption:
    """A row of the captions with their scores: `fit` is the similarity of caption and frames."""

    segment: Span
    caption: str
    fit: float


@dataclass(frozen=True)
class MadeRow:
    """A row of the data set: a segment, its negative span, and the length of its video in seconds."""

    segment: Span
    context: Span
    caption: str
    duration: float


@dataclass(frozen=True)
class ShownVideo:
    """A video with frames, or why there are none, and lines of bars below each other."""

    name: str
    duration: float
    frames: list[str]
    problem: str
    lines: list[tuple[str, list[Bar]]]


def write_preview(settings: ChainSettings, output: Path, limit: int = SHOWN_VIDEOS) -> int:
    """Writes a page about videos of the data set, evenly drawn from it; returns how many.

    Raises:
        AnnotationError: if a file of the chain is missing or cannot be read.
    """
    scenes, merged = (
        {name: _scenes(rows, path, name) for name, rows in rows_by_video(path, stage).items()}
        for path, stage in (
            (settings.path(settings.scenes), "scenes"),
            (settings.path(settings.merged_scenes), "merge"),
        )
    )
    scores: dict[str, list[ScoredCaption]] = {}
    for place, row in read_json_lines(settings.path(settings.scores)):
        scores.setdefault(video_name(row, place), []).append(_scored(row, place))
    dataset: dict[str, list[MadeRow]] = {}
    for place, row in read_json_lines(settings.path(settings.dataset)):
        dataset.setdefault(required(row, "video", str, place), []).append(_made(row, place))
    names = list(dataset)
    if without := [name for name in names if name not in scenes or name not in merged]:
        raise AnnotationError(
            f"{settings.path(settings.dataset)}: its video {without[0]!r} has no scenes in "
            f"{settings.path(settings.scenes)} or {settings.path(settings.merged_scenes)}"
        )
    drawn = sorted({int(index) for index in np.linspace(0, len(names) - 1, limit)}) if names else []
    shown = [
        _shown(settings, name, [scenes[name], merged[name]], scores.get(name, []), dataset[name])
        for name in tqdm([names[index] for index in drawn], desc="preview", unit="video")
    ]
    environment = Environment(
        loader=PackageLoader("data_preparing.internvid_g", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    content: dict[str, Any] = {"videos": shown, "total": len(dataset), "folder": settings.folder}
    write_text(output, printable(environment.get_template("preview.html").render(**content)))
    return len(shown)


def _scenes(rows: list[Row], path: Path, name: str) -> list[Span]:
    return read_scenes(one_row(rows, path, name), f"{path}: {name}")


def _scored(row: Row, place: str) -> ScoredCaption:
    segment, caption = read_span(row, "start_sec", "end_sec", place), required(row, "caption", str, place)
    return ScoredCaption(segment, caption, finite(row, "clip_sim", place))


def _made(row: Row, place: str) -> MadeRow:
    segment = read_span(row, "start_sec", "end_sec", place)
    context = read_span(row, "neg_start_sec", "neg_end_sec", place)
    if (duration := read_duration(row, place)) is None:
        raise AnnotationError(f"{place}: 'duration' is missing")
    return MadeRow(segment, context, required(row, "caption", str, place), duration)


def _shown(
    settings: ChainSettings,
    name: str,
    scenes: Sequence[Sequence[Span]],
    scores: Sequence[ScoredCaption],
    dataset: Sequence[MadeRow],
) -> ShownVideo:
    duration = dataset[0].duration

    def bar(kind: str, span: Span, text: str = "") -> Bar:
        start, end = min(span.start, duration), min(span.end, duration)
        return Bar(kind, 100 * start / duration, 100 * (end - start) / duration, text)

    kept = {(row.segment, row.caption) for row in dataset}
    lines = [
        ("scenes", [bar(f"scene{index % 2}", scene, str(index)) for index, scene in enumerate(scenes[0])]),
        ("merged", [bar(f"merged{index % 2}", scene, str(index)) for index, scene in enumerate(scenes[1])]),
    ]
    for scored in scores:
        kind = "kept" if (scored.segment, scored.caption) in kept else "lost"
        lines.append((f"fits {scored.fit:.3f}", [bar(kind, scored.segment, scored.caption)]))
    for row in dataset:
        lines.append(("negative span", [bar("context", row.context), bar("kept", row.segment, row.caption)]))
    frames, problem = _frames(settings.path(settings.videos) / name)
    return ShownVideo(name, duration, frames, problem, lines)


def _frames(path: Path) -> tuple[list[str], str]:
    try:
        with open_video(path) as reader:
            return [embedded_frame(frame, FRAME_HEIGHT) for frame in thumbnails(reader, FRAMES, FRAME_HEIGHT)], ""
    except VideoError as error:
        return [], str(error)

"""`preview`: a page on which a person can judge the data, video by video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from tqdm import tqdm

from data_preparing.internvid_g.files import one_row, read_scenes, rows_by_video
from data_preparing.internvid_g.runner import Row
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.annotations import AnnotationError, read_json_lines, read_span, required
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
    scenes_path, merged_path = map(settings.path, (settings.scenes, settings.merged_scenes))
    scenes = rows_by_video(scenes_path, "scenes")
    merged = rows_by_video(merged_path, "merge")
    scores = rows_by_video(settings.path(settings.scores), "score")
    dataset: dict[str, list[Row]] = {}
    for place, row in read_json_lines(settings.path(settings.dataset)):
        required(row, "caption", str, place)
        required(row, "duration", (int, float), place)
        dataset.setdefault(required(row, "video", str, place), []).append(row)
    names = list(dataset)
    for name in names:
        if name not in scenes or name not in merged:
            raise AnnotationError(f"{settings.path(settings.dataset)}: its video {name} has no scenes in {scenes_path}")
    names = (
        [names[place] for place in sorted({int(place) for place in np.linspace(0, len(names) - 1, limit)})]
        if names
        else []
    )
    shown = [
        _shown(
            settings,
            name,
            read_scenes(one_row(scenes[name], scenes_path, name), name),
            read_scenes(one_row(merged[name], merged_path, name), name),
            scores.get(name, []),
            dataset[name],
        )
        for name in tqdm(names, desc="preview", unit="video")
    ]
    environment = Environment(
        loader=PackageLoader("data_preparing.internvid_g", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    content: dict[str, Any] = {"videos": shown, "total": len(dataset), "folder": settings.folder}
    write_text(output, environment.get_template("preview.html").render(**content))
    return len(shown)


def _shown(
    settings: ChainSettings,
    name: str,
    scenes: Sequence[Span],
    merged: Sequence[Span],
    scores: Sequence[Row],
    dataset: Sequence[Row],
) -> ShownVideo:
    duration = max(float(dataset[0]["duration"]), 1e-3)  # a timeline needs some length

    def bar(kind: str, span: Span, text: str = "") -> Bar:
        start, end = min(span.start, duration), min(span.end, duration)
        return Bar(kind, 100 * start / duration, 100 * (end - start) / duration, text)

    kept = {(row.get("start_sec"), row.get("end_sec"), row["caption"]) for row in dataset}
    lines = [
        ("scenes", [bar(f"scene{place % 2}", scene, str(place)) for place, scene in enumerate(scenes)]),
        ("merged", [bar(f"merged{place % 2}", scene, str(place)) for place, scene in enumerate(merged)]),
    ]
    for row in scores:
        span, caption = read_span(row, "start_sec", "end_sec", name), required(row, "caption", str, name)
        is_kept = (span.start, span.end, caption) in kept
        fits = required(row, "clip_sim", (int, float), name)
        lines.append((f"fits {fits:.3f}", [bar("kept" if is_kept else "lost", span, caption)]))
    for row in dataset:
        segment = read_span(row, "start_sec", "end_sec", name)
        context = read_span(row, "neg_start_sec", "neg_end_sec", name)
        lines.append(("negative span", [bar("context", context), bar("kept", segment, row["caption"])]))
    frames, problem = _frames(settings.path(settings.videos) / name)
    return ShownVideo(name, duration, frames, problem, lines)


def _frames(path: Path) -> tuple[list[str], str]:
    try:
        with open_video(path) as reader:
            return [embedded_frame(frame, FRAME_HEIGHT) for frame in thumbnails(reader, FRAMES, FRAME_HEIGHT)], ""
    except VideoError as error:
        return [], str(error)

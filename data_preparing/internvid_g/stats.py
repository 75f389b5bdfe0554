"""`stats`: what was made, and what each stage lost and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from data_preparing.internvid_g.chain import STAGES
from data_preparing.internvid_g.runner import log_of
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.annotations import AnnotationError, read_json_lines, read_span, required
from hawkeye.tables import table
from hawkeye.temporal import Span

PERCENTILES = (5, 50, 95)


@dataclass(frozen=True)
class StageCounts:
    """What a stage did: videos, those that failed, rows that it wrote, and what was lost, by reason."""

    name: str
    videos: int
    failed: int
    rows: int
    lost: dict[str, int]


def stage_counts(settings: ChainSettings) -> list[StageCounts]:
    """The counts of each stage that has run, from its log."""
    found = []
    for kind in STAGES:
        stage = kind(settings)
        log = log_of(stage)
        outcomes = [log.outcome(key) for key in log.all_keys()]
        if outcomes:
            lost: Counter[str] = Counter()
            for outcome in outcomes:
                lost.update(outcome.lost)
            good = [outcome for outcome in outcomes if outcome.error is None]
            rows = sum(len(outcome.rows[0]) for outcome in good)
            found.append(StageCounts(stage.name, len(outcomes), len(outcomes) - len(good), rows, dict(lost)))
    return found


def dataset_figures(settings: ChainSettings) -> dict[str, float | list[float]]:
    """What the paper reports of the data set: videos, segments, and lengths of segments and negative spans.

    Lengths are in seconds: the mean, and the 5th, 50th and 95th percentile.

    Raises:
        AnnotationError: if the data set is not there, is empty or cannot be read.
    """
    path = settings.path(settings.dataset)
    rows = read_json_lines(path)
    if not rows:
        raise AnnotationError(f"{path}: holds no rows")
    videos, spans = list[str](), list[tuple[Span, Span]]()
    for place, row in rows:
        videos.append(required(row, "video", str, place))
        segment, context = (read_span(row, f"{of}start_sec", f"{of}end_sec", place) for of in ("", "neg_"))
        if not context.duration:
            raise AnnotationError(f"{place}: the negative span [{context.start}, {context.end}] is empty")
        spans.append((segment, context))
    segments, contexts = (np.array([pair[side].duration for pair in spans]) for side in (0, 1))
    distinct = {(video, segment) for video, (segment, _) in zip(videos, spans)}
    return {
        "videos": len(set(videos)),
        "captions": len(rows),
        "segments": len(distinct),
        "segment seconds": _lengths(segments),
        "negative span seconds": _lengths(contexts),
        "segment share of negative span": _lengths(segments / contexts),
    }


def _lengths(values: np.ndarray) -> list[float]:
    return [float(values.mean()), *(float(value) for value in np.percentile(values, PERCENTILES))]


def print_stats(settings: ChainSettings, console: Console) -> None:
    """Prints both."""
    console.print(_losses(stage_counts(settings)))
    rows = table("The data set", "", "", "mean", *(f"{percentile} %" for percentile in PERCENTILES))
    for name, value in dataset_figures(settings).items():
        if isinstance(value, list):
            rows.add_row(name, "", *(f"{each:.2f}" for each in value))
        else:
            rows.add_row(name, str(value), *[""] * (len(PERCENTILES) + 1))
    console.print(rows)


def _losses(counts: list[StageCounts]) -> Table:
    rows = table("What each stage wrote and lost", "stage", "videos", "failed", "rows", "lost", "% of rows", "why")
    rows.columns[-1].justify = "left"
    for stage in counts:
        rows.add_row(stage.name, str(stage.videos), str(stage.failed), str(stage.rows), "", "", "", style="bold")
        # A video that fails or has no cut is no row that the stage would have written.
        whole = stage.rows + sum(stage.lost.values())
        for why, count in stage.lost.items():
            rows.add_row("", "", "", "", str(count), f"{100 * count / whole:.1f}", why)
    return rows

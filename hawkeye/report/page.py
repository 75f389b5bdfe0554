"""The report's page: one HTML file that holds its charts and frames in itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from hawkeye.annotations import AnnotationError
from hawkeye.console import printable
from hawkeye.data.thumbnails import thumbnails
from hawkeye.data.video import VideoError, open_video
from hawkeye.evaluation.examples import Example
from hawkeye.files import write_text
from hawkeye.report import charts
from hawkeye.report.analysis import Comparison, best, by_length, by_position, by_turn, compare, worst
from hawkeye.report.embedding import embedded_figure, embedded_frame
from hawkeye.report.runs import AnsweredQuestion, FoundQuery, Key, Run
from hawkeye.temporal import Span

EXAMPLES = 6
"""Shown of the worst and of the best queries of the first run."""
FRAMES, FRAME_HEIGHT = 12, 54


@dataclass(frozen=True)
class Bar:
    """A stretch of a timeline, as percentages of the video."""

    name: str
    kind: str
    """gold, turn or found: its colour."""
    left: float
    width: float
    text: str


@dataclass(frozen=True)
class ShownExample:
    """A query with frames of its video, or with why there are none, and bars on one timeline."""

    query: FoundQuery
    frames: list[str]
    problem: str
    bars: list[Bar]


def write_report(runs: Sequence[Run], output: Path) -> None:
    """Writes the page about runs; the first is the one that the others are compared with.

    Raises:
        ValueError: if there is no run.
    """
    if not runs:
        raise ValueError("a report needs at least one run")
    write_text(output, printable(_template("report.html").render(**_content(runs))))


@cache
def _template(name: str) -> Any:
    environment = Environment(
        loader=PackageLoader("hawkeye.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["percent"] = lambda share: "" if share is None else f"{100 * share:.1f}"
    return environment.get_template(name)


def _content(runs: Sequence[Run]) -> dict[str, Any]:
    first, judged = runs[0], [run for run in runs if run.judged]
    return {
        "runs": runs,
        "tables": {run.name: by_turn(run) for run in judged},
        "comparisons": {run.name: compare(first, run) for run in runs[1:]},
        "figures": _figures(runs, judged),
        "worst": [_shown(first, query, runs) for query in worst(first, EXAMPLES)],
        "best": [_shown(first, query, runs) for query in best(first, EXAMPLES)],
        "failures": {run.name: failures(run) for run in runs},
        "skipped": {run.name: (run.results or {}).get("skipped_rows", []) for run in runs},
        "accuracies": {run.name: accuracies(run) for run in runs},
    }


def failures(run: Run) -> list[tuple[Key, str]]:
    """Every example that failed, with its error."""
    rows: list[FoundQuery | AnsweredQuestion] = [*run.queries, *run.questions]
    return [(row.key, row.error) for row in rows if row.error is not None]


def accuracies(run: Run) -> dict[str, tuple[int, float | None]]:
    """Of each task of questions: how many, and the share answered rightly; None where the answers are not told."""
    found = {}
    for task in dict.fromkeys(question.task for question in run.questions):
        of_task = [question for question in run.questions if question.task == task]
        told = [question for question in of_task if question.right is not None]
        found[task] = (len(of_task), sum(question.is_right for question in told) / len(told) if told else None)
    return found


def _figures(runs: Sequence[Run], judged: Sequence[Run]) -> list[tuple[str, str]]:
    """Headings and pictures: a dollar sign in a name is no formula, and the same runs give the same bytes."""
    with matplotlib.rc_context({"text.parse_math": False, "svg.hashsalt": "hawkeye"}):
        return [(heading, embedded_figure(figure)) for heading, figure in _charts(runs, judged)]


def _charts(runs: Sequence[Run], judged: Sequence[Run]) -> list[tuple[str, Figure]]:
    made: list[tuple[str, Figure]] = []
    if judged:
        made += [
            ("Score after each turn", charts.score_per_turn(judged)),
            ("By the length of the segment, as a share of the video", charts.score_by_bin(judged, by_length, "length")),
            ("By the place of the segment's centre", charts.score_by_bin(judged, by_position, "place in the video")),
            ("How far the confidence can be believed", charts.confidence_reliability(judged)),
        ]
    made += [
        ("Answers at each turn", charts.answer_distribution(run)) for run in runs if any(q.choices for q in run.queries)
    ]
    for run in runs:
        if run.questions:
            made.append(("Options chosen and right", charts.letter_distribution(run.questions, run.name)))
    return made


def _shown(run: Run, query: FoundQuery, runs: Sequence[Run]) -> ShownExample:
    frames, problem = _frames(run, query)
    assert query.duration
    bar = _bars(query.duration)
    bars = [bar("annotated", "gold", gold, "") for gold in query.golds]
    for turn, (window, choice) in enumerate(zip(query.windows, query.choices), start=1):
        bars.append(bar(f"turn {turn}", "turn", window, choice.value))
    for other in runs:
        found = next((each for each in other.queries if each.key == query.key and each.span), None)
        if found is not None and found.span is not None:
            name = "found" if len(runs) == 1 else other.name
            bars.append(bar(name, "found", found.span, f"{found.span.start:.1f}-{found.span.end:.1f} s"))
    return ShownExample(query, frames, problem, bars)


def _bars(duration: float) -> Callable[[str, str, Span, str], Bar]:
    def bar(name: str, kind: str, span: Span, text: str) -> Bar:
        start, end = min(span.start, duration), min(span.end, duration)
        return Bar(name, kind, 100 * start / duration, 100 * (end - start) / duration, text)

    return bar


def _frames(run: Run, query: FoundQuery) -> tuple[list[str], str]:
    """Frames evenly spread over the query's video, or why they cannot be shown."""
    videos = run.videos.get(query.task)
    if videos is None:
        return [], "the run does not say where its videos are: name their folder with --videos"
    try:
        path = videos.path(Example(str(run.path), "", query.video))
        with open_video(path, fps=videos.fps) as reader:
            return [embedded_frame(frame, FRAME_HEIGHT) for frame in thumbnails(reader, FRAMES, FRAME_HEIGHT)], ""
    except (VideoError, AnnotationError) as error:
        return [], str(error)


def told_difference(comparison: Comparison) -> str:
    """A comparison in one line, in percent."""
    low, high = (100 * value for value in comparison.interval)
    return f"{100 * comparison.difference:+.1f} ({low:+.1f} to {high:+.1f}), p = {comparison.p:.3f}"

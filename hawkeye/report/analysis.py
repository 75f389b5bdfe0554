"""What a report says of runs: figures by turn, by kind of segment, of answers and confidence, and of runs in pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from hawkeye.evaluation.metrics import Figures, Target, baselines_by_turn, bootstrap_means, grounding_figures
from hawkeye.report.runs import AnsweredQuestion, FoundQuery, Key, Run
from hawkeye.temporal import Choice, Span

LENGTH_EDGES = (0.0, 0.05, 0.1, 0.2, 0.4, 1.0)
"""Of segments, as shares of their video."""
POSITION_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Of segments' centres, as shares of their video."""
CONFIDENCE_EDGES = tuple(np.linspace(0, 1, 11).round(1).tolist())


@dataclass(frozen=True)
class Bin:
    """The queries between two edges (the upper one belongs to the next bin), and their figures; None without any."""

    low: float
    high: float
    count: int
    figures: Figures | None
    mean_value: float | None
    """Of what the edges bound."""


@dataclass(frozen=True)
class Comparison:
    """How a run differs from another on the examples that both have: second minus first.

    `interval` holds 95 % of the means of a paired bootstrap by videos; `p` is twice the share of them on the other side
    of zero (at least one resample's worth, at most 1).
    """

    name: str
    count: int
    difference: float
    interval: tuple[float, float]
    p: float


def by_turn(run: Run) -> list[Figures]:
    """Figures after each turn; failed queries count as 0."""
    return [grounding_figures(scores) for scores in zip(*(query.ious for query in run.judged))] if run.judged else []


def baselines(run: Run) -> dict[str, list[Figures]]:
    """What needs no model, after each turn, on the queries whose video was read."""
    targets = [
        Target(Span(0.0, query.duration), query.golds) for query in run.judged if query.duration and query.choices
    ]
    return baselines_by_turn(targets, run.max_turns) if targets else {}


def by_length(run: Run) -> list[Bin]:
    """Figures by the length of the first annotated segment, as a share of the video."""
    return _binned(run, LENGTH_EDGES, lambda query, video: query.golds[0].duration / video)


def by_position(run: Run) -> list[Bin]:
    """Figures by where the centre of the first annotated segment lies, as a share of the video."""
    return _binned(run, POSITION_EDGES, lambda query, video: query.golds[0].middle / video)


def reliability(run: Run) -> list[Bin]:
    """Figures by the confidence that came with the span; where a run tells none, bins without queries."""
    return _binned(run, CONFIDENCE_EDGES, lambda query, _: query.confidence)


def _binned(run: Run, edges: Sequence[float], value: Callable[[FoundQuery, float], float | None]) -> list[Bin]:
    known = [(value(query, query.duration), query.iou) for query in run.judged if query.duration]
    pairs = [(place, iou) for place, iou in known if place is not None]
    bins = []
    for low, high in pairwise(edges):
        last = high == edges[-1]
        inside = [(place, iou) for place, iou in pairs if low <= place and (place < high or last)]
        figures = grounding_figures([iou for _, iou in inside]) if inside else None
        bins.append(Bin(low, high, len(inside), figures, _mean([place for place, _ in inside])))
    return bins


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def answers_by_turn(run: Run) -> list[Counter[Choice]]:
    """How often each answer was given at each turn, among the queries that were still asked."""
    turns = max((len(query.choices) for query in run.queries), default=0)
    return [Counter(query.choices[turn] for query in run.queries if turn < len(query.choices)) for turn in range(turns)]


def right_first_answers(run: Run) -> Counter[Choice]:
    """How often each answer about the whole video would have been right."""
    return Counter(choice for query in run.judged if (choice := query.right_first_choice) is not None)


def letters(questions: Sequence[AnsweredQuestion]) -> tuple[Counter[str], Counter[str]]:
    """How often each letter was chosen, and how often each was right."""
    chosen = Counter(question.chosen for question in questions if question.chosen)
    return chosen, Counter(question.right for question in questions if question.right)


def compare(first: Run, second: Run) -> list[Comparison]:
    """The second run's mean IoU, recalls and accuracies beside the first's, where both have the same examples."""
    found: list[Comparison] = []
    pairs = _paired(first.judged, second.judged)
    if pairs:
        videos = [query.video for query, _ in pairs]
        ious = np.array([[before.iou, after.iou] for before, after in pairs])
        scores: dict[str, np.ndarray] = {"mIoU": ious}
        scores |= {f"R1@{threshold}": (ious >= threshold).astype(float) for threshold in (0.3, 0.5, 0.7)}
        found += [_comparison(name, values, videos) for name, values in scores.items()]
    for task in dict.fromkeys(question.task for question in first.questions):
        of_task = [
            [question for question in run.questions if question.task == task and question.right is not None]
            for run in (first, second)
        ]
        answered = _paired(*of_task)
        if answered:
            right = np.array([[before.is_right, after.is_right] for before, after in answered], dtype=float)
            found.append(_comparison(f"accuracy, {task}", right, [before.key[0] for before, _ in answered]))
    return found


def _comparison(name: str, scores: np.ndarray, videos: Sequence[str]) -> Comparison:
    differences = scores[:, 1] - scores[:, 0]
    means = bootstrap_means(differences.tolist(), videos)
    low, high = np.percentile(means, (2.5, 97.5))
    smaller = min((means <= 0).mean(), (means >= 0).mean())
    p = min(1.0, 2 * max(float(smaller), 1 / len(means)))
    return Comparison(name, len(scores), float(differences.mean()), (float(low), float(high)), p)


Row = TypeVar("Row", FoundQuery, AnsweredQuestion)


def _paired(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[Row, Row]]:
    others: Mapping[Key, Row] = {row.key: row for row in second}
    return [(row, others[row.key]) for row in first if row.key in others]


def worst(run: Run, count: int) -> list[FoundQuery]:
    """The lowest IoUs, the most confident first among equal ones; one of each video."""
    return _one_of_each_video(sorted(run.judged, key=lambda query: (query.iou, -(query.confidence or 0.0))), count)


def best(run: Run, count: int) -> list[FoundQuery]:
    """The highest IoUs; one of each video."""
    return _one_of_each_video(sorted(run.judged, key=lambda query: -query.iou), count)


def _one_of_each_video(queries: Sequence[FoundQuery], count: int) -> list[FoundQuery]:
    found: dict[str, FoundQuery] = {}
    for query in queries:
        if query.duration:
            found.setdefault(query.video, query)
    return list(found.values())[:count]

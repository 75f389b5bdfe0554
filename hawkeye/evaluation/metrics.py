"""Figures: recall at IoU thresholds, mean IoU, and what trivial and perfect answers would get."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hawkeye.temporal import (
    MAX_TURNS,
    Choice,
    Span,
    best_iop,
    best_iou,
    best_path,
    iou,
    narrow,
    walk,
    whole_window_choice,
)

THRESHOLDS = (0.3, 0.5, 0.7)
MAP_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Of QVHighlights' mean average precision (Lei et al., 2021)."""
GROUNDED_IOP = 0.5
"""From this share on, a span grounds an answer."""

Figures = dict[str, float]
"""`miou`, and `r1@t` for each threshold t: the share of queries whose IoU is at least t. All in [0, 1]."""


@dataclass(frozen=True)
class Target:
    """What a query's walk is judged by: the whole video, in seconds, and the spans annotated in it."""

    video: Span
    golds: tuple[Span, ...]


def grounding_figures(ious: Sequence[float], weights: Sequence[float] | None = None) -> Figures:
    """`miou` and `r1@t` of IoUs, which count equally unless there are `weights`.

    Raises:
        ValueError: if there is no IoU.
    """
    if not len(ious):
        raise ValueError("no queries to average over")
    scores = np.asarray(ious, dtype=float)
    recalls = {f"r1@{threshold}": float(np.average(scores >= threshold, weights=weights)) for threshold in THRESHOLDS}
    return {"miou": float(np.average(scores, weights=weights)), **recalls}


def average_precision(ranked: Sequence[Span], golds: Sequence[Span], threshold: float) -> float:
    """Area under the precision-recall curve of spans, the best first, in [0, 1].

    Each span takes the annotated span of the highest IoU, at least `threshold`, that no better one has taken; precision
    is interpolated at every recall (as QVHighlights and ActivityNet do: Lei et al., 2021; Heilbron et al., 2015).

    Raises:
        ValueError: if `golds` is empty.
    """
    if not golds:
        raise ValueError("average precision needs at least one annotated span")
    free = set(range(len(golds)))
    hits = []
    for span in ranked:
        near = [place for place in free if iou(span, golds[place]) >= threshold]
        hits.append(bool(near))
        if near:
            free.remove(max(near, key=lambda place: iou(span, golds[place])))
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[np.array(hits, dtype=bool)].sum() / len(golds))


def mean_average_precision(predictions: Sequence[tuple[Sequence[Span], Sequence[Span]]]) -> Figures:
    """`map@t` of ranked spans beside the annotated ones for each of `MAP_THRESHOLDS`, and their mean, `map`."""
    by_threshold = {
        threshold: float(np.mean([average_precision(ranked, golds, threshold) for ranked, golds in predictions]))
        for threshold in MAP_THRESHOLDS
    }
    return {"map": float(np.mean(list(by_threshold.values()))), **{f"map@{t}": by_threshold[t] for t in by_threshold}}


def mean_figures(figures: Sequence[Figures]) -> Figures:
    """The average of several figures, name by name."""
    return {name: float(np.mean([each[name] for each in figures])) for name in figures[0]}


def ious_by_turn(target: Target, choices: Sequence[Choice], max_turns: int = MAX_TURNS) -> list[float]:
    """The IoU reached after each turn; a walk that stopped early keeps its span."""
    return [best_iou(span, target.golds) for span in walk(target.video, choices, max_turns)]


def random_figures(target: Target, max_turns: int) -> list[Figures]:
    """Expected figures after each turn of equally likely answers, exactly.

    A window in which no annotated span begins or ends lies inside or outside each of them, and so does all that it can
    be narrowed to: such windows are counted together. Only the few others are followed one by one, those that meet
    together, so the cost grows with the number of turns, not with the number of windows, 2^turns.
    """
    bounds = [bound for gold in target.golds for bound in (gold.start, gold.end)]
    crossed = {0: 1.0}  # windows that a bound divides: probability by start, counted in half lengths
    # The others: probability by length of the shortest annotated span around them.
    within = defaultdict[float, float](float)
    ious, shares, figures = list[float](), list[float](), list[Figures]()  # of walks that have stopped
    for turn in range(max_turns + 1):
        length = target.video.duration / 2**turn
        standing = list[tuple[float, float]]()
        for index in list(crossed):
            start = target.video.start + index * length / 2
            window = Span(start, start + length)
            if any(window.start < bound < window.end for bound in bounds):
                standing.append((best_iou(window, target.golds), crossed[index]))
            else:
                around = [gold.duration for gold in target.golds if gold.contains(window) and gold.duration > 0]
                within[min(around, default=math.inf)] += crossed.pop(index)
        standing += [(length / shortest, probability) for shortest, probability in within.items()]
        if turn:
            scores, weights = zip(*standing)
            figures.append(grounding_figures([*ious, *scores], [*shares, *weights]))
        ious += [score for score, _ in standing]
        shares += [probability / len(Choice) for _, probability in standing]
        parts = defaultdict[int, float](float)
        for index, probability in crossed.items():
            for half in range(len(Choice) - 1):
                parts[2 * index + half] += probability / len(Choice)
        crossed = dict(parts)
        for shortest in within:
            within[shortest] *= 1 - 1 / len(Choice)
    return figures


def rule_choices(target: Target, num_turns: int) -> list[Choice]:
    """The answers of someone who follows `whole_window_choice` turn by turn, to the first annotated span."""
    window, choices = target.video, list[Choice]()
    while len(choices) < num_turns and Choice.THROUGHOUT not in choices:
        choices.append(whole_window_choice(window, target.golds[0]))
        window = narrow(window, choices[-1])
    return choices


def oracle_choices(target: Target, num_turns: int) -> Sequence[Choice]:
    """The answers that end nearest to an annotated span; none of so many turns do better."""
    paths = [best_path(target.video, gold, num_turns) for gold in target.golds]
    return max(paths, key=lambda found: found[1])[0]


def baselines_by_turn(targets: Sequence[Target], max_turns: int = MAX_TURNS) -> dict[str, list[Figures]]:
    """What needs no model, by name, after each turn.

    "random" takes each answer with probability a quarter (the expectation, exactly), "always the middle" speaks for
    itself, "whole-window rule" is `rule_choices`, and "oracle" is `oracle_choices` for that number of turns: nothing
    passes it.
    """
    turns = range(1, max_turns + 1)
    walks = {
        "always the middle": lambda _, turn: [Choice.MIDDLE] * turn,
        "whole-window rule": rule_choices,
        "oracle": oracle_choices,
    }
    found: dict[str, list[Figures]] = {
        "random": [mean_figures(figures) for figures in zip(*(random_figures(target, max_turns) for target in targets))]
    }
    for name, choose in walks.items():
        found[name] = [
            grounding_figures([ious_by_turn(target, choose(target, turn), turn)[-1] for target in targets])
            for turn in turns
        ]
    return found


def choice_accuracy(pairs: Sequence[tuple[Choice | None, Choice | None]]) -> dict[str, float]:
    """Accuracy of single answers beside what needs no model, in [0, 1].

    Args:
        pairs: the model's answer and the right one; None in both places where it failed, which is wrong.
    """
    return {
        "accuracy": sum(answer is not None and answer is gold for answer, gold in pairs) / len(pairs),
        "random": 1 / len(Choice),
        "always the middle": sum(gold is Choice.MIDDLE for _, gold in pairs) / len(pairs),
        "oracle": 1.0,
    }


def qa_accuracy(answers: Sequence[tuple[bool, int]]) -> dict[str, float]:
    """Accuracy beside chance, in [0, 1].

    Args:
        answers: whether each was right, and how many options there were.
    """
    return {
        "accuracy": sum(right for right, _ in answers) / len(answers),
        "random": sum(1 / options for _, options in answers) / len(answers),
    }


@dataclass(frozen=True)
class GroundedAnswer:
    """A question that was answered and grounded: whether rightly, and the span found (None after an error)."""

    is_right: bool
    span: Span | None
    golds: tuple[Span, ...]


def grounded_qa_figures(answers: Sequence[GroundedAnswer]) -> Figures:
    """NExT-GQA's figures (Xiao et al., 2024), in [0, 1].

    `acc@gqa` counts answers that are right with a span of which at least half lies in an annotated one.

    Raises:
        ValueError: if there is no answer.
    """
    if not answers:
        raise ValueError("no answers to average over")
    ious = np.array([best_iou(answer.span, answer.golds) if answer.span else 0.0 for answer in answers])
    iops = np.array([best_iop(answer.span, answer.golds) if answer.span else 0.0 for answer in answers])
    right = np.array([answer.is_right for answer in answers])
    figures = {"acc@qa": right.mean(), "acc@gqa": (right & (iops >= GROUNDED_IOP)).mean()}
    for name, scores in (("iop", iops), ("iou", ious)):
        figures[f"m{name}"] = scores.mean()
        figures |= {f"{name}@{threshold}": (scores >= threshold).mean() for threshold in THRESHOLDS[:2]}
    return {name: float(value) for name, value in figures.items()}


def bootstrap_interval(
    scores: Sequence[float], groups: Sequence[str], *, num_resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of a mean by the percentile bootstrap (Efron, 1979), the same at every call.

    Args, Raises: as `bootstrap_means` has them.
    """
    low, high = np.percentile(bootstrap_means(scores, groups, num_resamples=num_resamples, seed=seed), (2.5, 97.5))
    return float(low), float(high)


def bootstrap_means(
    scores: Sequence[float], groups: Sequence[str], *, num_resamples: int = 2000, seed: int = 0
) -> np.ndarray:
    """Means of scores drawn again with replacement, `[num_resamples]`.

    What is drawn is groups, whole videos with all that was asked about them: scores of one video are not independent.

    Args:
        scores: one for each example.
        groups: the video of each example.

    Raises:
        ValueError: if there is no score.
    """
    if not len(scores):
        raise ValueError("no scores to draw from")
    places = np.unique(np.asarray(groups), return_inverse=True)[1]
    sums, counts = np.bincount(places, weights=np.asarray(scores, dtype=float)), np.bincount(places)
    rng = np.random.default_rng(seed)
    means = np.empty(num_resamples)
    for index in range(num_resamples):
        drawn = rng.integers(len(sums), size=len(sums))
        means[index] = sums[drawn].sum() / counts[drawn].sum()
    return means

"""Figures: recall at IoU thresholds, mean IoU, accuracy, and what trivial and perfect answers would get."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hawkeye.temporal import MAX_TURNS, Choice, Span, best_iou, best_path, narrow, walk, whole_window_choice

THRESHOLDS = (0.3, 0.5, 0.7)


def grounding_figures(ious: Sequence[float]) -> dict[str, float]:
    """`miou` and `r1@t`, the share of queries with an IoU of at least t, in [0, 1].

    Raises:
        ValueError: if there is no query.
    """
    if not len(ious):
        raise ValueError("no queries to average over")
    scores = np.asarray(ious, dtype=float)
    return {"miou": float(scores.mean())} | {f"r1@{t}": float((scores >= t).mean()) for t in THRESHOLDS}


def ious_by_turn(window: Span, choices: Sequence[Choice], golds: Sequence[Span], max_turns: int) -> list[float]:
    """The IoU reached after each turn; a walk that stopped early keeps its span."""
    return [best_iou(span, golds) for span in walk(window, choices, max_turns)]


def random_ious_by_turn(window: Span, golds: Sequence[Span], max_turns: int) -> list[float]:
    """Expected IoU after each turn when every answer is equally likely: exact, by following all walks."""
    totals = [0.0] * max_turns

    def follow(span: Span, turn: int, probability: float) -> None:
        if turn == max_turns:
            return
        for choice in Choice:
            share = probability / len(Choice)
            if choice is Choice.THROUGHOUT:
                score = share * best_iou(span, golds)
                for later in range(turn, max_turns):
                    totals[later] += score
            else:
                part = narrow(span, choice)
                totals[turn] += share * best_iou(part, golds)
                follow(part, turn + 1, share)

    follow(window, 0, 1.0)
    return totals


def random_recalls(window: Span, golds: Sequence[Span], max_turns: int) -> dict[str, float]:
    """Probability that a walk of random answers ends at an IoU of at least t, for each threshold t."""
    totals = dict.fromkeys((f"r1@{t}" for t in THRESHOLDS), 0.0)

    def end(span: Span, probability: float) -> None:
        score = best_iou(span, golds)
        for t in THRESHOLDS:
            totals[f"r1@{t}"] += probability * (score >= t)

    def follow(span: Span, turn: int, probability: float) -> None:
        if turn == max_turns:
            end(span, probability)
            return
        for choice in Choice:
            if choice is Choice.THROUGHOUT:
                end(span, probability / len(Choice))
            else:
                follow(narrow(span, choice), turn + 1, probability / len(Choice))

    follow(window, 0, 1.0)
    return totals


def rule_choices(window: Span, segment: Span, max_turns: int = MAX_TURNS) -> list[Choice]:
    """The answers of someone who follows `whole_window_choice` turn by turn."""
    choices: list[Choice] = []
    while len(choices) < max_turns and Choice.THROUGHOUT not in choices:
        choices.append(whole_window_choice(window, segment))
        window = narrow(window, choices[-1])
    return choices


def baseline_figures(windows: Sequence[Span], golds: Sequence[Sequence[Span]], max_turns: int) -> dict[str, dict[str, float]]:
    """What needs no model: random answers, always the middle, and perfect answers, by name.

    `random` is exact. `oracle` takes the walk that ends nearest to an annotated span; `rule` answers each turn as
    `temporal.whole_window_choice` does, for the first annotated span.
    """
    chance = [random_ious_by_turn(window, spans, max_turns)[-1] for window, spans in zip(windows, golds)]
    recalls = [random_recalls(window, spans, max_turns) for window, spans in zip(windows, golds)]
    walks = {
        "always the middle": [[Choice.MIDDLE] * max_turns for _ in windows],
        "rule": [rule_choices(window, spans[0], max_turns) for window, spans in zip(windows, golds)],
        "oracle": [
            max((best_path(window, span, max_turns) for span in spans), key=lambda found: found[1])[0]
            for window, spans in zip(windows, golds)
        ],
    }
    random = {"miou": float(np.mean(chance))}
    random |= {f"r1@{t}": float(np.mean([recall[f"r1@{t}"] for recall in recalls])) for t in THRESHOLDS}
    return {"random": random} | {
        name: grounding_figures(
            [
                ious_by_turn(window, choices, spans, max_turns)[-1]
                for window, choices, spans in zip(windows, answers, golds)
            ]
        )
        for name, answers in walks.items()
    }

"""Figures of reports, worked out by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hawkeye.report.analysis import (
    answers_by_turn,
    best,
    by_length,
    by_position,
    by_turn,
    compare,
    reliability,
    right_first_answers,
    worst,
)
from hawkeye.report.runs import FoundQuery, Run, read_runs
from hawkeye.temporal import Choice, Span


def query(video: str, gold: Span, iou: float, confidence: float | None = None) -> FoundQuery:
    key = (video, "what", 1)
    return FoundQuery(key, "", (gold,), 10.0, gold, (iou,), (Choice.MIDDLE,), (Span(0, 10),), confidence, None)


def run_of(name: str, *queries: FoundQuery) -> Run:
    return Run(name, Path(name), list(queries), [], None, {})


def test_figures_after_each_turn(runs: dict[str, Path]) -> None:
    (run,) = read_runs([runs["first"]])
    # "beginning" twice: [0, 4], then [0, 2]. One segment is [0, 2], one [3, 5], one [6, 8], and one failed.
    first, second = by_turn(run)
    assert first["miou"] == pytest.approx((1 / 2 + 1 / 5 + 0 + 0) / 4)
    assert second["miou"] == pytest.approx(1 / 4)
    assert (first["r1@0.5"], second["r1@0.7"]) == (1 / 4, 1 / 4)


def test_bins_by_length_and_position() -> None:
    run = run_of("x", query("a", Span(0, 1), 0.2), query("b", Span(9, 10), 0.6), query("c", Span(0, 10), 1.0))
    assert [(bin.count, bin.figures and bin.figures["miou"]) for bin in by_length(run)] == [
        (0, None),
        (0, None),
        (2, pytest.approx(0.4)),
        (0, None),
        (1, 1.0),
    ]
    assert [bin.count for bin in by_position(run)] == [1, 0, 1, 0, 1]


def test_confidence_beside_what_came_of_it() -> None:
    run = run_of("x", query("a", Span(0, 1), 0.2, 0.91), query("b", Span(0, 1), 0.6, 1.0), query("c", Span(0, 1), 1.0))
    *lower, top = reliability(run)
    assert [bin.count for bin in lower] == [0] * 9
    assert (top.count, top.mean_value) == (2, pytest.approx(0.955))
    assert top.figures is not None
    assert (top.figures["miou"], top.figures["r1@0.5"]) == (pytest.approx(0.4), 0.5)


def test_answers_and_right_answers(runs: dict[str, Path]) -> None:
    (run,) = read_runs([runs["first"]])
    assert answers_by_turn(run) == [Counter({Choice.BEGINNING: 3}), Counter({Choice.BEGINNING: 3})]
    assert right_first_answers(run) == Counter({Choice.BEGINNING: 1, Choice.MIDDLE: 1, Choice.END: 1})


def test_a_pair_of_runs(runs: dict[str, Path]) -> None:
    first, second = read_runs([runs["first"], runs["second"]])
    # The second says "end" twice: [6, 8]. Only the first and the third of four queries differ: by -1 and +1.
    miou, *_, accuracy = compare(first, second)
    assert (miou.name, miou.count, miou.difference) == ("mIoU", 4, pytest.approx(0.0))
    assert miou.interval[0] < 0 < miou.interval[1]
    assert miou.p > 0.5
    assert (accuracy.name, accuracy.count, accuracy.difference, accuracy.p) == ("accuracy, what", 2, 0.0, 1.0)


def test_a_clear_difference_is_told_and_only_common_examples_count() -> None:
    videos = [f"v{number}" for number in range(30)]
    low = run_of("low", *(query(video, Span(0, 1), 0.2) for video in videos))
    high = run_of("high", query("other", Span(0, 1), 0.0), *(query(video, Span(0, 1), 0.5) for video in videos[:20]))
    miou = compare(low, high)[0]
    assert (miou.count, miou.difference, miou.interval) == (20, pytest.approx(0.3), pytest.approx((0.3, 0.3)))
    assert miou.p == pytest.approx(2 / 2000)


def test_worst_and_best_are_of_different_videos() -> None:
    run = run_of(
        "x",
        query("a", Span(0, 1), 0.0, 0.3),
        query("b", Span(0, 1), 0.0, 0.9),
        query("b", Span(2, 3), 0.1, 0.9),
        query("c", Span(0, 1), 0.8, 0.1),
    )
    assert [found.video for found in worst(run, 3)] == ["b", "a", "c"]
    assert [found.video for found in best(run, 1)] == ["c"]

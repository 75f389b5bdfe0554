"""Spans, choices and windows: the original's figures, and what must hold for every segment and window."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawkeye.temporal import (
    Choice,
    Span,
    best_choice,
    best_iou,
    best_path,
    iou,
    narrow,
    sample_path_window,
    sample_span_window,
    sample_window,
    walk,
    whole_window_choice,
)

BEGINNING, MIDDLE, END, THROUGHOUT = Choice
GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "data_a.json").read_text())

choices = st.sampled_from(list(Choice))


@st.composite
def segments_in_contexts(draw: st.DrawFn) -> tuple[Span, Span]:
    """A segment and the context that it lies in."""
    # Eighths of a second, so that sums are exact and bounds touch now and then.
    low, before, length, after = (draw(st.integers(least, 400)) / 8 for least in (0, 0, 1, 0))
    segment = Span(low + before, low + before + length)
    return segment, Span(low, segment.end + after)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    start, length = draw(st.floats(0.0, 100.0)), draw(st.floats(0.0, 100.0))
    return Span(start, start + length)


@pytest.mark.parametrize("bounds", [(2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_span_has_finite_ordered_bounds(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=rf"span .*{bounds[0]}, {bounds[1]}"):
        Span(*bounds)


def test_iou_of_spans_that_overlap_touch_nest_and_miss() -> None:
    assert iou(Span(0, 2), Span(1, 4)) == 0.25
    assert iou(Span(0, 2), Span(2, 4)) == 0.0
    assert iou(Span(0, 8), Span(2, 4)) == 0.25
    assert iou(Span(0, 1), Span(5, 6)) == 0.0
    assert iou(Span(3, 3), Span(3, 3)) == 0.0


def test_best_iou_is_the_originals() -> None:
    for case in GOLDEN["best_iou"]:
        golds = [Span(*gold) for gold in case["gold"]]
        assert best_iou(Span(*case["pred"]), golds) == pytest.approx(case["iou"], rel=1e-12)
    with pytest.raises(ValueError, match="at least one annotated span"):
        best_iou(Span(0, 1), [])


def test_iou_after_each_turn_is_the_originals() -> None:
    for case in GOLDEN["iou_by_turn"]:
        answers = [Choice(label) for label in case["pred_answer_list"]]
        scores = [iou(span, Span(*case["gt_span"])) for span in walk(Span(0, case["duration"]), answers)]
        assert scores == pytest.approx(case["iou_by_turn"], rel=1e-12)


def test_whole_window_choices_are_the_originals() -> None:
    for case in GOLDEN["whole_window_labels"]:
        row = case["example"]
        context, segment = Span(row["neg_start_sec"], row["neg_end_sec"]), Span(row["start_sec"], row["end_sec"])
        assert whole_window_choice(context, segment) is Choice(case["choice"])


def test_narrow_takes_half_of_the_window() -> None:
    window = Span(4.0, 12.0)
    assert [narrow(window, choice) for choice in Choice] == [Span(4, 8), Span(6, 10), Span(8, 12), window]


def test_a_walk_stops_at_throughout_and_keeps_its_span() -> None:
    assert walk(Span(0, 16), [END, THROUGHOUT, BEGINNING]) == [Span(8, 16)] * 4
    assert walk(Span(0, 16), [BEGINNING, END]) == [Span(0, 8), Span(4, 8), Span(4, 8), Span(4, 8)]
    assert walk(Span(0, 16), [MIDDLE] * 4, max_turns=2) == [Span(4, 12), Span(6, 10)]


@given(spans(), st.lists(choices, max_size=6), st.integers(1, 6))
def test_a_walk_is_narrow_after_narrow(window: Span, answers: list[Choice], max_turns: int) -> None:
    found = walk(window, answers, max_turns)
    assert len(found) == max_turns
    for turn, span in enumerate(found):
        taken = answers[: turn + 1]
        stop = taken.index(THROUGHOUT) if THROUGHOUT in taken else len(taken)
        expected = window
        for choice in taken[:stop]:
            expected = narrow(expected, choice)
        assert span == expected


@given(spans(), choices)
def test_narrow_stays_in_the_window(window: Span, choice: Choice) -> None:
    part = narrow(window, choice)
    assert window.start <= part.start <= part.end <= window.end
    assert part.duration == pytest.approx(window.duration * (1 if choice is THROUGHOUT else 0.5), abs=1e-9)


@given(spans(), spans())
def test_no_walk_ends_nearer_than_the_best_path(window: Span, segment: Span) -> None:
    path, score = best_path(window, segment, 3)
    reached = {answers: iou(walk(window, answers, 3)[-1], segment) for answers in product(Choice, repeat=3)}
    assert score == max(reached.values())
    assert iou(walk(window, path, 3)[-1], segment) == score
    assert len(path) == 3 or path[-1] is THROUGHOUT


def test_the_best_path_to_a_quarter_is_two_halvings() -> None:
    assert best_path(Span(0, 16), Span(4, 8)) == ((BEGINNING, END, THROUGHOUT), 1.0)
    assert best_path(Span(0, 16), Span(0, 16), 0) == ((), 1.0)


@given(segments_in_contexts())
def test_the_best_choice_costs_at_most_the_margin(pair: tuple[Span, Span]) -> None:
    segment, window = pair
    best = best_path(window, segment)[1]
    choice = best_choice(window, segment, margin=0.05)
    part = narrow(window, choice)
    reached = iou(part, segment) if choice is THROUGHOUT else best_path(part, segment, 3)[1]
    assert reached >= best - 0.05
    assert best_choice(window, segment, margin=1.0) is whole_window_choice(window, segment)


def test_the_best_choice_leaves_the_plain_rule_where_that_loses() -> None:
    # The segment begins with the window and just crosses its centre: the plain rule says "middle".
    window, segment = Span(0, 16), Span(0.5, 8.2)
    assert whole_window_choice(window, segment) is MIDDLE
    assert best_choice(window, segment) is BEGINNING


@given(segments_in_contexts(), st.integers(0, 2**32 - 1))
def test_a_sampled_window_holds_the_segment_where_its_answer_says(pair: tuple[Span, Span], seed: int) -> None:
    segment, context = pair
    window, choice = sample_window(segment, context, np.random.default_rng(seed))
    slack = 1e-9 * context.end
    assert context.start - slack <= window.start <= segment.start + slack
    assert segment.end - slack <= window.end <= context.end + slack
    length, middle = segment.duration, window.middle
    match choice:
        case Choice.BEGINNING:
            assert segment.end <= middle + slack
            assert window.end >= segment.end + length - slack
        case Choice.END:
            assert segment.start >= middle - slack
            assert window.start <= segment.start - length + slack
        case Choice.MIDDLE:
            assert segment.start - slack <= middle <= segment.end + slack
            assert segment.start - window.start >= length / 2 - slack
            assert window.end - segment.end >= length / 2 - slack
        case Choice.THROUGHOUT:
            assert window.duration <= 2 * length + slack


@pytest.mark.parametrize(
    ("context", "possible"),
    [
        (Span(4, 6), {THROUGHOUT}),
        (Span(4, 9), {THROUGHOUT, BEGINNING}),
        (Span(1, 6), {THROUGHOUT, END}),
        (Span(2.5, 7.5), {THROUGHOUT, MIDDLE}),
        (Span(0, 10), set(Choice)),
    ],
)
def test_windows_are_drawn_for_the_answers_that_have_room(context: Span, possible: set[Choice]) -> None:
    rng = np.random.default_rng(0)
    assert {sample_window(Span(4, 6), context, rng)[1] for _ in range(200)} == possible


def test_throughout_is_drawn_less_often_than_the_others() -> None:
    rng = np.random.default_rng(0)
    drawn = [sample_window(Span(40, 60), Span(0, 100), rng)[1] for _ in range(2000)]
    shares = {choice: drawn.count(choice) / len(drawn) for choice in Choice}
    assert shares[THROUGHOUT] == pytest.approx(0.3 / 6.3, abs=0.02)
    assert all(shares[choice] == pytest.approx(2 / 6.3, abs=0.04) for choice in (BEGINNING, MIDDLE, END))


def test_windows_in_which_the_segment_falls_between_frames_are_drawn_again() -> None:
    segment, context = Span(50, 51), Span(0, 100)
    windows = [sample_window(segment, context, np.random.default_rng(seed))[0] for seed in range(300)]
    too_long = sum(window.duration / 12 >= segment.duration for window in windows)
    # Five of six draws are too long, so a sixth of the windows remain too long after ten: (5/6)**10.
    assert too_long / len(windows) == pytest.approx(0.16, abs=0.06)


@given(segments_in_contexts(), st.integers(0, 2**32 - 1))
def test_a_window_on_the_path_still_shows_some_of_the_segment(pair: tuple[Span, Span], seed: int) -> None:
    segment, context = pair
    window, choice = sample_path_window(segment, context, np.random.default_rng(seed))
    assert context.start <= window.start < window.end <= context.end
    assert min(window.end, segment.end) > max(window.start, segment.start)
    assert choice is best_choice(window, segment)


def test_without_slips_and_trimming_the_path_is_the_oracles() -> None:
    segment, context = Span(3.0, 5.0), Span(0.0, 32.0)
    window, visited = context, {context}
    for turn in range(3):
        window = narrow(window, best_choice(window, segment, 4 - turn))
        visited.add(window)
    drawn = {
        sample_path_window(segment, context, np.random.default_rng(seed), slip_probability=0.0, trim_ratio=0.0)[0]
        for seed in range(100)
    }
    assert drawn == visited


def drawn_after_one_turn_at_most(segment: Span, slip_probability: float) -> list[Span]:
    """1200 windows on the path to a segment of a video of 16 s: half of them are the whole video."""
    rng = np.random.default_rng(0)
    options = {"max_turns": 2, "slip_probability": slip_probability, "trim_ratio": 0.0}
    return [sample_path_window(segment, Span(0, 16), rng, **options)[0] for _ in range(1200)]


def test_a_turn_slips_as_often_as_asked_to() -> None:
    # The right turn to [2, 6] is [0, 8]. A slip takes one of three halves; [8, 16] shows nothing and is not taken.
    drawn = drawn_after_one_turn_at_most(Span(2, 6), 1.0)
    assert set(drawn) == {Span(0, 16), Span(0, 8), Span(4, 12)}
    assert drawn.count(Span(0, 8)) / 1200 == pytest.approx(1 / 6, abs=0.04)
    assert drawn.count(Span(4, 12)) / 1200 == pytest.approx(1 / 6, abs=0.04)
    drawn = drawn_after_one_turn_at_most(Span(2, 6), 0.3)
    assert drawn.count(Span(4, 12)) / 1200 == pytest.approx(0.3 / 6, abs=0.025)


def test_a_slip_that_loses_more_than_half_of_the_iou_is_not_taken() -> None:
    # [2, 5] has IoU 3/16 with the whole video and 1/10 with [4, 12], more than half of it; [2, 4.5] has IoU 2.5/16
    # and 0.5/10, less than a third.
    assert Span(4, 12) in drawn_after_one_turn_at_most(Span(2, 5), 1.0)
    assert set(drawn_after_one_turn_at_most(Span(2, 4.5), 1.0)) == {Span(0, 16), Span(0, 8)}


def test_a_window_for_numbers_is_shown_the_segment_for_one_frame_to_half_of_them() -> None:
    # Twelve frames of a window of 12 s show a segment of 1 s once, those of a window of 2 s six times.
    rng = np.random.default_rng(0)
    windows = [sample_span_window(Span(50, 51), Span(0, 100), rng) for _ in range(1000)]
    lengths = np.array([window.duration for window in windows])
    assert 2 <= lengths.min() < 2.1
    assert 11.9 < lengths.max() <= 12
    assert lengths.mean() == pytest.approx(7, abs=0.3)
    assert all(window.contains(Span(50, 51)) for window in windows)
    # Where in the window the segment lies is as random: before its middle as often as after it.
    assert np.mean([window.middle > 50.5 for window in windows]) == pytest.approx(0.5, abs=0.05)
    # Of 12 s, a window around a segment of 8 s can only be all.
    assert sample_span_window(Span(1, 9), Span(0, 12), rng) == Span(0, 12)


@pytest.mark.parametrize("sampler", [sample_window, sample_path_window, sample_span_window])
@pytest.mark.parametrize("segment", [Span(3, 3), Span(3, 11), Span(0, 2)])
def test_an_empty_segment_or_one_outside_its_context_is_refused(sampler: Any, segment: Span) -> None:
    with pytest.raises(ValueError, match="must be non-empty and lie within its context"):
        sampler(segment, Span(1, 10), np.random.default_rng(0))


@given(segments_in_contexts(), st.integers(0, 2**32 - 1))
def test_the_generator_decides_the_window(pair: tuple[Span, Span], seed: int) -> None:
    drawn = [sample_window(*pair, np.random.default_rng(seed)) for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_room_that_fits_the_segment_to_the_last_bit_gives_a_window() -> None:
    # 28.7 - 21.4 > 21.4 - 14.1 by rounding alone, while 21.4 + (21.4 - 14.1) lies beyond 28.7.
    for seed in range(100):
        sample_window(Span(14.1, 21.4), Span(9.8, 28.7), np.random.default_rng(seed))


def test_windows_around_a_segment_that_starts_at_minus_zero() -> None:
    for seed in range(50):
        window, _ = sample_window(Span(-0.0, 4.5), Span(0.0, 9.0), np.random.default_rng(seed), num_frames=12)
        assert window.start == 0.0


def test_a_window_of_one_frame_is_the_segment_s() -> None:
    window = sample_span_window(Span(2, 4), Span(0, 8), np.random.default_rng(0), num_frames=1)
    assert (window.start, window.end) == pytest.approx((2, 4))

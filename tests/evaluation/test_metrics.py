"""Figures, and the baselines that they stand beside."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hawkeye.evaluation.metrics import (
    MAP_THRESHOLDS,
    GroundedAnswer,
    Target,
    average_precision,
    baselines_by_turn,
    bootstrap_interval,
    choice_accuracy,
    grounded_qa_figures,
    grounding_figures,
    ious_by_turn,
    mean_average_precision,
    oracle_choices,
    qa_accuracy,
    random_figures,
    rule_choices,
)
from hawkeye.temporal import Choice, Span, best_iou, walk

BEGINNING, MIDDLE, END, THROUGHOUT = Choice
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "data_a.json").read_text())
TARGETS = [
    Target(Span(0, 16), (Span(4, 8),)),
    Target(Span(0, 60), (Span(20.5, 31.0), Span(40, 45))),
    Target(Span(0, 30), (Span(0, 30),)),
]


def test_figures_are_mean_iou_and_recalls() -> None:
    assert grounding_figures([0.0, 0.3, 0.5, 0.7, 1.0]) == {"miou": 0.5, "r1@0.3": 0.8, "r1@0.5": 0.6, "r1@0.7": 0.4}
    with pytest.raises(ValueError, match="no queries"):
        grounding_figures([])


def test_a_walk_that_stopped_keeps_its_iou() -> None:
    assert ious_by_turn(TARGETS[0], [BEGINNING, END, THROUGHOUT]) == [0.5, 1.0, 1.0, 1.0]
    assert ious_by_turn(TARGETS[0], [END, BEGINNING], 2) == [0.0, 0.0]


@pytest.mark.parametrize("case", GOLDEN["iou_by_turn"])
def test_golden_ious_by_turn(case: dict[str, Any]) -> None:
    target = Target(Span(0.0, case["duration"]), (Span(*case["gt_span"]),))
    found = ious_by_turn(target, list(map(Choice, case["pred_answer_list"])))
    assert found == pytest.approx(case["iou_by_turn"], rel=1e-12)


def test_average_precision_on_paper() -> None:
    golds = [Span(0, 10), Span(20, 30)]
    # Right, wrong, right: precision 1 up to recall 1/2, then 2/3 up to recall 1.
    assert average_precision([Span(0, 9), Span(50, 60), Span(21, 30)], golds, 0.5) == pytest.approx((1 + 2 / 3) / 2)
    # Wrong, right, right: precision 1/2 and 2/3; at recall 1/2 the best that comes later counts.
    assert average_precision([Span(50, 60), Span(0, 10), Span(20, 30)], golds, 0.5) == pytest.approx(2 / 3)
    # The second span of one segment is no hit, and a segment that no span reaches has no precision.
    assert average_precision([Span(0, 10), Span(0, 9)], golds, 0.5) == 0.5
    # Between two segments in reach (IoU 9/11 and 9/10), the nearer one is taken. That leaves the other for the next
    # span: IoU 7/10 with [0, 10], but 5/12 with [2, 12].
    near = [Span(0, 10), Span(2, 12)]
    assert average_precision([Span(2, 11), Span(0, 7)], near, 0.5) == 1.0
    assert average_precision([], golds, 0.5) == 0.0
    with pytest.raises(ValueError, match="at least one annotated span"):
        average_precision([Span(0, 1)], [], 0.5)


def test_mean_average_precision_is_over_queries_and_then_over_thresholds() -> None:
    assert MAP_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    # IoU 0.8 (seven of ten thresholds) with the one segment, and 1 with one of two.
    found = mean_average_precision([([Span(0, 8)], [Span(0, 10)]), ([Span(0, 5)], [Span(0, 5), Span(5, 9)])])
    assert found["map@0.5"] == found["map@0.8"] == 0.75
    assert found["map@0.85"] == 0.25
    assert found["map"] == pytest.approx((7 * 0.75 + 3 * 0.25) / 10)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_random_figures_are_the_mean_over_all_sequences_of_answers(target: Target, turns: int) -> None:
    ious = [best_iou(walk(target.video, answers, turns)[-1], target.golds) for answers in product(Choice, repeat=turns)]
    assert random_figures(target, turns)[-1] == pytest.approx(grounding_figures(ious))


def test_baselines_of_many_turns_are_as_quick_as_of_few() -> None:
    found = baselines_by_turn(TARGETS, 60)
    assert len(found["random"]) == len(found["oracle"]) == 60
    # Walks on and on through a video that is all segment: after n turns a window of 2^-n, unless it stopped before.
    expected = sum(0.75**turn * 0.25 * 0.5**turn for turn in range(60)) + 0.75**60 * 0.5**60
    assert random_figures(TARGETS[2], 60)[-1]["miou"] == pytest.approx(expected)


def test_the_rule_and_the_oracle() -> None:
    crossing = Target(Span(0, 16), (Span(0.5, 8.2),))
    assert rule_choices(crossing, 4) == [MIDDLE, THROUGHOUT]
    assert rule_choices(Target(Span(0, 16), (Span(13, 14),)), 3) == [END, END, MIDDLE]
    assert list(oracle_choices(crossing, 4)) == [BEGINNING, THROUGHOUT]
    assert list(oracle_choices(TARGETS[1], 2)) in ([MIDDLE, BEGINNING], [BEGINNING, END])
    several = Target(Span(0, 16), (Span(0, 16), Span(4, 8)))
    assert rule_choices(several, 4) == [THROUGHOUT]


def test_baselines_after_each_turn() -> None:
    target = Target(Span(0, 16), (Span(4.5, 7.5),))
    some, most = {"r1@0.3": 1.0, "r1@0.5": 0.0, "r1@0.7": 0.0}, {"r1@0.3": 1.0, "r1@0.5": 1.0, "r1@0.7": 1.0}
    assert baselines_by_turn([target], 2) == {
        "random": random_figures(target, 2),
        "always the middle": [
            {"miou": 3 / 8, **some},
            {"miou": 1.5 / 5.5, "r1@0.3": 0.0, "r1@0.5": 0.0, "r1@0.7": 0.0},
        ],
        "whole-window rule": [{"miou": 3 / 8, **some}, {"miou": 3 / 4, **most}],
        "oracle": [{"miou": 3 / 8, **some}, {"miou": 3 / 4, **most}],
    }


def test_nothing_passes_the_oracle() -> None:
    rng = np.random.default_rng(0)
    starts, lengths = rng.uniform(0, 40, 30), rng.uniform(1, 20, 30)
    targets = [Target(Span(0, 60), (Span(start, start + length),)) for start, length in zip(starts, lengths)]
    found = baselines_by_turn(targets)
    for turn in range(4):
        mious = {name: figures[turn]["miou"] for name, figures in found.items()}
        assert max(mious, key=mious.__getitem__) == "oracle"
    assert found["oracle"][3]["miou"] > 0.7 > found["whole-window rule"][3]["miou"]
    assert found["always the middle"][3]["miou"] < 0.2


def test_accuracy_of_single_answers_counts_failures_as_wrong() -> None:
    assert choice_accuracy([(END, END), (MIDDLE, END), (BEGINNING, MIDDLE), (None, None)]) == {
        "accuracy": 0.25,
        "random": 0.25,
        "always the middle": 0.25,
        "oracle": 1.0,
    }


def test_accuracy_of_questions_beside_chance() -> None:
    assert qa_accuracy([(True, 4), (False, 2), (True, 4), (False, 4)]) == {"accuracy": 0.5, "random": 0.3125}


def test_grounded_answers_on_paper() -> None:
    golds = (Span(2, 6), Span(10, 12))
    answers = [
        GroundedAnswer(True, Span(4, 8), golds),  # IoP 2 of 4, IoU 2 of 6
        GroundedAnswer(False, Span(10, 12), golds),  # all of it, and wrong
        GroundedAnswer(True, Span(0, 16), golds),  # IoP and IoU 4 of 16, of the longer span
        GroundedAnswer(True, None, golds),  # right, and its video could not be read for grounding
        GroundedAnswer(True, Span(6, 6), golds),  # a point on the bound of an annotated span: IoP 1, IoU 0
        GroundedAnswer(True, Span(7, 7), golds),  # a point in none
    ]
    assert grounded_qa_figures(answers) == pytest.approx(
        {
            **{"acc@qa": 5 / 6, "acc@gqa": 2 / 6},
            **{"miop": (1 / 2 + 1 + 1 / 4 + 1) / 6, "iop@0.3": 3 / 6, "iop@0.5": 3 / 6},
            **{"miou": (1 / 3 + 1 + 1 / 4) / 6, "iou@0.3": 2 / 6, "iou@0.5": 1 / 6},
        }
    )
    with pytest.raises(ValueError, match="no answers"):
        grounded_qa_figures([])


def test_intervals_are_those_of_the_means_of_drawn_videos() -> None:
    rng = np.random.default_rng(1)
    scores = rng.uniform(size=400)
    low, high = bootstrap_interval(scores.tolist(), [str(number) for number in range(400)])
    # Of independent scores: the normal approximation, which is close for 400 of them.
    half = 1.96 * scores.std() / 20
    assert (low, high) == pytest.approx((scores.mean() - half, scores.mean() + half), abs=0.1 * half)
    # Four equal scores a video say as little as one, so the interval is twice as wide as their number promises.
    repeated = np.repeat(scores[:100], 4)
    wide = bootstrap_interval(repeated.tolist(), [str(number // 4) for number in range(400)])
    assert wide[1] - wide[0] == pytest.approx(2 * 1.96 * repeated.std() / 10, rel=0.1)
    assert bootstrap_interval([1.0, 1.0], ["a", "b"]) == (1.0, 1.0)
    with pytest.raises(ValueError, match="no scores"):
        bootstrap_interval([], [])


def test_the_bootstrap_agrees_with_scipy() -> None:
    from scipy.stats import bootstrap

    scores = np.random.default_rng(3).beta(2, 3, 200)
    ours = bootstrap_interval(scores.tolist(), [str(place) for place in range(200)], num_resamples=20000)
    theirs = bootstrap((scores,), np.mean, n_resamples=20000, method="percentile", rng=4).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.002)

"""Our figures are those that the benchmarks' official evaluation code prints for the same predictions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hawkeye.evaluation.metrics import (
    GroundedAnswer,
    grounded_qa_figures,
    grounding_figures,
    mean_average_precision,
)
from hawkeye.temporal import best_iou
from tests.evaluation.official_sets import GOLDEN, NEXTGQA_SEED, QVHIGHLIGHTS_SEED, nextgqa, qvhighlights

OFFICIAL: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))


def rounded(official: dict[str, float], decimals: int) -> dict[str, Any]:
    """Shares that round to the official percentages, and a hair for those that lie between two of them."""
    return {name: pytest.approx(value / 100, abs=0.5001 * 10 ** -(2 + decimals)) for name, value in official.items()}


def test_qvhighlights_figures_are_those_of_its_evaluation_code() -> None:
    official, queries = OFFICIAL["qvhighlights"], qvhighlights()
    assert official["seed"] == QVHIGHLIGHTS_SEED
    average = mean_average_precision([(query.ranked, query.golds) for query in queries])
    recall = grounding_figures([best_iou(query.ranked[0], query.golds) for query in queries])
    expected = {f"map@{threshold}": value for threshold, value in official["MR-mAP"].items()}
    expected["map"] = expected.pop("map@average")
    assert average == rounded(expected, official["decimals"])
    shared = {name: recall[name] for name in ("r1@0.5", "r1@0.7")}
    assert shared == rounded({name: official["MR-R1"][name[3:]] for name in shared}, official["decimals"])


def test_nextgqa_figures_are_those_of_its_evaluation_code() -> None:
    official, questions = OFFICIAL["nextgqa"], nextgqa()
    assert official["seed"] == NEXTGQA_SEED
    figures = grounded_qa_figures([GroundedAnswer(q.answer == q.prediction, q.span, q.golds) for q in questions])
    names = {"Acc&GQA": "acc@gqa", "mIoP": "miop", "mIoU": "miou"}
    names |= {f"T{kind}@{t}": f"{kind.lower()}@{t}" for kind in ("IoP", "IoU") for t in (0.3, 0.5)}
    expected = {ours: official[theirs] for theirs, ours in names.items()}
    assert {name: figures[name] for name in expected} == rounded(expected, official["decimals"])

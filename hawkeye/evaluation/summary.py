"""From predictions to the figures of a run: every number in results.json is made here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hawkeye.evaluation.examples import GroundingExample
from hawkeye.evaluation.metrics import (
    THRESHOLDS,
    GroundedAnswer,
    baselines_by_turn,
    bootstrap_interval,
    choice_accuracy,
    grounded_qa_figures,
    grounding_figures,
    mean_average_precision,
    mean_figures,
    qa_accuracy,
)
from hawkeye.evaluation.predictions import GroundingPrediction, QAPrediction, SpanPrediction
from hawkeye.temporal import Span, best_iou

QA_FIGURES = ("accuracy", "random")

DEFINITIONS = {
    "queries": "queries in the annotation files, those that failed among them",
    "questions": "multiple-choice questions in the annotation files, those that failed among them",
    "failed": "examples whose video could not be read or whose answer names no option; they count as wrong",
    "skipped_rows": "bad rows of the annotation files, with skip_bad_rows; they are in no figure",
    "video_warnings": "what is wrong with videos that were read all the same, such as shorter than their header says",
    "unparsable": "answers in numbers that name no span; they count as wrong",
    "questions_per_query": "mean number of questions asked about a query, failed ones left out",
    "miou": "mean over queries of the highest intersection over union of the span with an annotated one, in seconds",
    "r1@0.3": "share of queries whose IoU is at least 0.3 (as is usual; the original's script asks for more than 0.3)",
    "r1@0.5": "share of queries whose IoU is at least 0.5",
    "r1@0.7": "share of queries whose IoU is at least 0.7",
    "by_turn": "the figures after each turn; a walk that stopped early keeps its span",
    "accuracy": "share of right answers; of the average, the mean of the tasks' accuracies",
    "shown": "what of their videos a task's questions show: annotated, the seconds from a row's start to its end; or "
    "whole, all of it, also what comes after the end (as the original shows STAR's)",
    "duration_warnings": "videos whose length differs from the annotated duration by more than 2 %; examples of those "
    "that differ by more than 20 %, and queries whose annotated times all lie after the video's end, fail",
    "random": "the expectation if every option is as probable as the others",
    "always the middle": "the figures of always answering 'middle'",
    "whole-window rule": "the figures of the answer that training asks for about an uncropped window, turn by turn",
    "oracle": "the figures of the answers that end nearest to an annotated span in so many turns",
    "whole video": "the figures of naming the whole video",
    "middle half": "the figures of naming the second and the third quarter of the video",
    "accuracy_whole_window": "share of right answers to the first question, about the whole video",
    "accuracy_crops": "share of right answers about one window around the segment, drawn as in training",
    "intervals": "95 % intervals by a percentile bootstrap of whole videos, 2000 resamples",
    "interval": "95 % interval by a percentile bootstrap of whole videos, 2000 resamples",
    "seen": "the figures of combinations that training shows",
    "held_out": "the figures of combinations that training never shows",
    "map": "mean of map@0.5 to map@0.95 in steps of 0.05",
    "map@0.5": "mean over queries of the average precision of the ranked spans at IoU 0.5, interpolated",
    "map@0.75": "the same at IoU 0.75",
    "acc@qa": "share of questions answered rightly",
    "acc@gqa": "share of questions answered rightly with a span of which at least half lies in an annotated one",
    "miop": "mean over queries of the largest share of the span that lies in an annotated one",
    "iop@0.3": "share of queries whose intersection over prediction is at least 0.3",
    "iop@0.5": "share of queries whose intersection over prediction is at least 0.5",
    "iou@0.3": "share of queries whose IoU is at least 0.3",
    "iou@0.5": "share of queries whose IoU is at least 0.5",
}
"""What the names in results.json mean; shares are in [0, 1]."""


def definitions_of(summary: dict[str, Any]) -> dict[str, str]:
    """The definitions of the names that a summary holds, at any depth."""
    names: set[str] = set()
    inner: list[Any] = [summary]
    while inner:
        value = inner.pop()
        if isinstance(value, dict):
            names |= value.keys()
            inner += value.values()
        elif isinstance(value, list):
            inner += value
    return {name: text for name, text in DEFINITIONS.items() if name in names}


def summarise_grounding(predictions: Sequence[GroundingPrediction], max_turns: int) -> dict[str, Any]:
    """All figures of grounding; failed queries count as wrong everywhere but in the baselines.

    Where the annotations keep the spans, as test sets do, no figure but the counts.
    """
    counts = {
        "queries": len(predictions),
        "failed": sum(prediction.error is not None for prediction in predictions),
        "questions_per_query": _mean_turns(predictions),
    }
    if not any(prediction.example.golds for prediction in predictions):
        return counts
    ious = [prediction.ious(max_turns) for prediction in predictions]
    by_turn = [grounding_figures(scores) for scores in zip(*ious)]
    whole = choice_accuracy([prediction.first_answer() for prediction in predictions])
    crops = choice_accuracy([prediction.crop_answer() for prediction in predictions])
    summary: dict[str, Any] = {
        **counts,
        **by_turn[-1],
        "accuracy_whole_window": whole["accuracy"],
        "accuracy_crops": crops["accuracy"],
        "single_turn": {"whole_window": whole, "crops": crops},
        "by_turn": by_turn,
    }
    final = [scores[-1] for scores in ious]
    examples = [prediction.example for prediction in predictions]
    summary["intervals"] = grounding_intervals(final, examples)
    summary |= _by_combination(examples, final)
    targets = [prediction.target for prediction in predictions if prediction.target]
    summary["baselines_by_turn"] = baselines_by_turn(targets, max_turns) if targets else {}
    return summary


def summarise_ranks(predictions: Sequence[GroundingPrediction]) -> dict[str, float]:
    """Mean average precision of the ranked spans; failed queries count as 0."""
    return mean_average_precision([(prediction.ranked, prediction.example.golds) for prediction in predictions])


def _mean_turns(predictions: Sequence[GroundingPrediction]) -> float:
    """Questions asked about a query on average, failed ones left out; "throughout" ends a recursion early."""
    turns = [len(prediction.found.turns) for prediction in predictions if prediction.found]
    return sum(turns) / len(turns) if turns else 0.0


def summarise_spans(predictions: Sequence[SpanPrediction]) -> dict[str, Any]:
    """Figures of spans in numbers, beside those of naming the whole video and its middle half.

    Answers that name no span count as wrong.
    """
    ious = [prediction.iou for prediction in predictions]
    read = [(prediction.example.golds, prediction.duration) for prediction in predictions if prediction.duration]
    trivial = {"whole video": (0.0, 1.0), "middle half": (0.25, 0.75)}
    return {
        "queries": len(predictions),
        "failed": sum(prediction.error is not None for prediction in predictions),
        "unparsable": sum(prediction.is_unparsable for prediction in predictions),
        **grounding_figures(ious),
        "intervals": grounding_intervals(ious, [prediction.example for prediction in predictions]),
        **_by_combination([prediction.example for prediction in predictions], ious),
        "baselines": {
            name: grounding_figures([best_iou(Span(start * length, end * length), golds) for golds, length in read])
            for name, (start, end) in trivial.items()
        }
        if read
        else {},
    }


def grounding_intervals(ious: Sequence[float], examples: Sequence[GroundingExample]) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each of `grounding_figures`."""
    videos = [example.video for example in examples]
    recalls = {
        f"r1@{threshold}": bootstrap_interval([iou >= threshold for iou in ious], videos) for threshold in THRESHOLDS
    }
    return {"miou": bootstrap_interval(ious, videos), **recalls}


def _by_combination(examples: Sequence[GroundingExample], ious: Sequence[float]) -> dict[str, Any]:
    """Figures of seen and of held-out combinations apart, where the annotation tells them."""
    parts: dict[str, Any] = {}
    for name, flag in (("seen", False), ("held_out", True)):
        part = [iou for example, iou in zip(examples, ious) if example.held_out is flag]
        if part:
            parts[name] = {"queries": len(part), **grounding_figures(part)}
    return parts


def summarise_qa(answered: dict[str, list[QAPrediction]]) -> dict[str, Any]:
    """Accuracy of each task beside chance, and the average of the tasks; None where the answers are not told."""
    tasks: dict[str, dict[str, Any]] = {}
    for task, predictions in answered.items():
        judged = [(p.is_right, len(p.example.candidates)) for p in predictions if p.is_right is not None]
        tasks[task] = {
            "questions": len(predictions),
            "failed": sum(prediction.error is not None for prediction in predictions),
            **(qa_accuracy(judged) if judged else dict.fromkeys(QA_FIGURES)),
        }
        if judged:
            videos = [prediction.example.video for prediction in predictions]
            tasks[task]["interval"] = bootstrap_interval([right for right, _ in judged], videos)
    judged_tasks = [task for task in tasks.values() if task["accuracy"] is not None]
    average = (
        mean_figures([{name: task[name] for name in QA_FIGURES} for task in judged_tasks]) if judged_tasks else None
    )
    return {"tasks": tasks, "average": average or dict.fromkeys(QA_FIGURES)}


def summarise_grounded_qa(
    queries: Sequence[GroundingPrediction | SpanPrediction], questions: Sequence[QAPrediction]
) -> dict[str, Any]:
    """Figures of questions that were both answered and grounded, matched by video and id."""
    right = {_identity(question): bool(question.is_right) for question in questions}
    answers = [GroundedAnswer(right[_identity(query)], query.span, query.example.golds) for query in queries]
    return {"questions": len(answers), **grounded_qa_figures(answers)}


def _identity(prediction: GroundingPrediction | SpanPrediction | QAPrediction) -> tuple[str, str]:
    return prediction.example.video, prediction.example.id

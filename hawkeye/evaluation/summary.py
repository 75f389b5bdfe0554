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

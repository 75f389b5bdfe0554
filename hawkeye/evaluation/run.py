"""`hawkeye evaluate`: from a configuration to a table, results.json and predictions."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hawkeye.data.instruction import AnnotationError
from hawkeye.data.video import VideoError, VideoReader, open_video
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.examples import (
    GroundingExample,
    QAExample,
    missing_videos,
    read_grounding_examples,
    read_qa_examples,
)
from hawkeye.evaluation.grounding import Grounding, Query, ask_choice, ground, option_rng
from hawkeye.evaluation.metrics import baseline_figures, grounding_figures, ious_by_turn
from hawkeye.evaluation.settings import EvaluationSettings
from hawkeye.evaluation.videoqa import ChoiceQuestion, answer
from hawkeye.temporal import Choice, Span, sample_window, whole_window_choice

Row = dict[str, Any]


def evaluate(settings: EvaluationSettings, answerer: Answerer | None = None) -> Row:
    """Runs an evaluation; returns what it writes to `output_dir/results.json`.

    Every annotation row is checked, and every video looked for, before the model is loaded. A video that cannot be
    read costs its examples alone: they are recorded with the error, counted as wrong and listed in the results.

    Args:
        answerer: the model to evaluate, if not the one that the settings name.

    Raises:
        ConfigError, AnnotationError: naming what is wrong, before anything runs.
    """
    queries = _read_grounding(settings)
    tasks = {name: read_qa_examples(settings.data_dir / path)[: settings.limit] for name, path in settings.videoqa.items()}
    _check_videos(settings, [*queries, *(example for examples in tasks.values() for example in examples)])
    if answerer is None:
        from hawkeye.pipeline import load_model

        answerer = load_model(settings.model, precision=settings.precision, batch_size=settings.batch_size).answerer
    started = time.monotonic()
    results: Row = {"name": settings.name, "settings": settings.model_dump(mode="json"), "failures": []}
    predictions: list[Row] = []
    if queries:
        rows = evaluate_grounding(answerer, queries, settings)
        results["grounding"] = summarise_grounding(rows, settings.max_turns)
        predictions += rows
    if tasks:
        rows = [row for name, examples in tasks.items() for row in evaluate_qa(answerer, name, examples, settings)]
        results["videoqa"] = summarise_qa(rows)
        predictions += rows
    results["failures"] = [{"id": row["id"], "error": row["error"]} for row in predictions if row.get("error")]
    results["seconds"] = round(time.monotonic() - started, 1)
    write_whole(settings.output_dir / "predictions.jsonl", "".join(json.dumps(row) + "\n" for row in predictions))
    write_whole(settings.output_dir / "results.json", json.dumps(results, indent=2) + "\n")
    return results


def _read_grounding(settings: EvaluationSettings) -> list[GroundingExample]:
    if settings.grounding is None and not settings.videoqa:
        raise AnnotationError(f"evaluation {settings.name!r}: neither 'grounding' nor 'videoqa' names an annotation file")
    if settings.grounding is None:
        return []
    return read_grounding_examples(settings.data_dir / settings.grounding)[: settings.limit]


def _check_videos(settings: EvaluationSettings, examples: Sequence[GroundingExample | QAExample]) -> None:
    folder = settings.data_dir / settings.videos
    missing = missing_videos([example.video for example in examples], folder)
    if missing and not settings.allow_missing_videos:
        raise AnnotationError(
            f"{len(missing)} videos are missing in {folder}, the first of them {', '.join(missing[:3])}; "
            "with allow_missing_videos=true their examples count as wrong"
        )


def write_whole(path: Path, text: str) -> None:
    """Writes a file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _by_video(examples: Sequence[Any], label: str) -> Iterator[tuple[str, list[Any]]]:
    """The examples of each video together, in the order of their names, with progress."""
    ordered = sorted(examples, key=lambda example: example.video)
    with tqdm(total=len(ordered), desc=label, unit="question") as progress:
        for video, group in groupby(ordered, key=lambda example: example.video):
            members = list(group)
            yield video, members
            progress.update(len(members))


def _open(stack: ExitStack, settings: EvaluationSettings, video: str) -> VideoReader:
    return stack.enter_context(open_video(settings.data_dir / settings.videos / video))


def evaluate_grounding(
    answerer: Answerer, examples: Sequence[GroundingExample], settings: EvaluationSettings
) -> list[Row]:
    """One prediction row for each query, in the order of the videos' names."""
    rows: list[Row] = []
    for video, group in _by_video(examples, "grounding"):
        try:
            with ExitStack() as stack:
                reader = _open(stack, settings, video)
                queries = [Query(reader, example.query, example.id) for example in group]
                found = ground(answerer, queries, max_turns=settings.max_turns, seed=settings.seed)
                crops = _crops(answerer, queries, group, settings.seed)
                rows += [
                    _grounding_row(example, grounding, crop) for example, grounding, crop in zip(group, found, crops)
                ]
        except VideoError as error:
            rows += [_failed_row(example, str(error)) for example in group]
    return rows


def _crops(
    answerer: Answerer, queries: Sequence[Query], examples: Sequence[GroundingExample], seed: int
) -> list[Row]:
    """The single question of training: a random window around the segment, its answer, and the model's."""
    windows, golds = [], []
    for query, example in zip(queries, examples):
        whole = Span(0.0, query.reader.duration)
        gold = example.golds[0]
        inside = Span(min(gold.start, whole.end), min(gold.end, whole.end))
        if inside.duration > 0:
            window, choice = sample_window(inside, whole, option_rng(seed, f"crop {query.id}"))
        else:
            window, choice = whole, whole_window_choice(whole, gold)
        windows.append(window)
        golds.append(choice)
    found = ask_choice(answerer, queries, windows, seed=seed)
    return [
        {
            "crop": [window.start, window.end],
            "crop_choice": max(probabilities, key=lambda choice: probabilities[choice]).value,
            "crop_gold": gold.value,
        }
        for window, gold, probabilities in zip(windows, golds, found)
    ]


def _grounding_row(example: GroundingExample, found: Grounding, crop: Row) -> Row:
    return {
        "id": example.id,
        "video_fname": example.video,
        "duration": found.duration,
        "question": example.query,
        "pred_span": [found.span.start, found.span.end],
        "gt_span": [[gold.start, gold.end] for gold in example.golds],
        "pred_answer_list": [choice.value for choice in found.choices],
        "probabilities": [
            {choice.value: round(value, 6) for choice, value in turn.probabilities.items()} for turn in found.turns
        ],
        "confidence": found.confidence,
        "iou": max(ious_by_turn(found.span, [Choice.THROUGHOUT], example.golds, 1)),
        "held_out": example.held_out,
        **crop,
    }


def _failed_row(example: GroundingExample, error: str) -> Row:
    return {
        "id": example.id,
        "video_fname": example.video,
        "question": example.query,
        "gt_span": [[gold.start, gold.end] for gold in example.golds],
        "iou": 0.0,
        "held_out": example.held_out,
        "error": error,
    }


def summarise_grounding(rows: Sequence[Row], max_turns: int) -> Row:
    """All figures of the grounding rows; failed ones count as wrong everywhere but in the baselines."""
    walked = [row for row in rows if "error" not in row]
    turns = [_ious(row, max_turns) for row in rows]
    summary: Row = {
        "queries": len(rows),
        "failed": len(rows) - len(walked),
        "by_turn": [grounding_figures([scores[turn] for scores in turns]) for turn in range(max_turns)],
    }
    summary |= summary["by_turn"][-1]
    summary["accuracy_whole_window"] = sum(_first_is_right(row) for row in walked) / len(rows)
    summary["accuracy_crops"] = sum(row["crop_choice"] == row["crop_gold"] for row in walked) / len(rows)
    for name, flag in (("held_out", True), ("seen", False)):
        part = [scores[-1] for row, scores in zip(rows, turns) if row["held_out"] is flag]
        if part:
            summary[name] = {"queries": len(part), **grounding_figures(part)}
    if walked:
        windows = [Span(0.0, row["duration"]) for row in walked]
        summary["baselines"] = baseline_figures(windows, [_golds(row) for row in walked], max_turns)
    return summary


def _golds(row: Row) -> list[Span]:
    return [Span(*span) for span in row["gt_span"]]


def _ious(row: Row, max_turns: int) -> list[float]:
    if "error" in row:
        return [0.0] * max_turns
    choices = [Choice(label) for label in row["pred_answer_list"]]
    return ious_by_turn(Span(0.0, row["duration"]), choices, _golds(row), max_turns)


def _first_is_right(row: Row) -> bool:
    gold = whole_window_choice(Span(0.0, row["duration"]), _golds(row)[0])
    return bool(row["pred_answer_list"][0] == gold.value)


def evaluate_qa(answerer: Answerer, task: str, examples: Sequence[QAExample], settings: EvaluationSettings) -> list[Row]:
    """One prediction row for each question of a task."""
    rows: list[Row] = []
    for video, group in _by_video(examples, task):
        base = [
            {"id": example.id, "task_type": task, "video_fname": video, "options": len(example.candidates)}
            for example in group
        ]
        try:
            with ExitStack() as stack:
                reader = _open(stack, settings, video)
                asked = [ChoiceQuestion(reader, e.question, e.candidates, e.window) for e in group]
                for row, example, found in zip(base, group, answer(answerer, asked)):
                    rows.append(
                        row
                        | {
                            "pred": example.candidates[found.index],
                            "gt_answer": example.candidates[example.answer],
                            "res": found.index == example.answer,
                            "probabilities": [round(value, 6) for value in found.probabilities],
                        }
                    )
        except VideoError as error:
            rows += [row | {"res": False, "error": str(error)} for row in base]
    return rows


def summarise_qa(rows: Sequence[Row]) -> Row:
    """Accuracy of each task beside chance, and the tasks' average."""
    summary: Row = {"tasks": {}}
    for task in dict.fromkeys(row["task_type"] for row in rows):
        part = [row for row in rows if row["task_type"] == task]
        summary["tasks"][task] = {
            "questions": len(part),
            "failed": sum("error" in row for row in part),
            "accuracy": sum(row["res"] for row in part) / len(part),
            "chance": sum(1 / row["options"] for row in part) / len(part),
        }
    figures = list(summary["tasks"].values())
    summary["average_accuracy"] = sum(task["accuracy"] for task in figures) / len(figures)
    return summary

"""`hawkeye evaluate`: from a configuration to figures, results.json and predictions.jsonl."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, groupby
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from hawkeye.config import ConfigError
from hawkeye.data.instruction import AnnotationError
from hawkeye.data.video import VideoError, VideoReader, open_video
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.examples import (
    Example,
    ExampleType,
    GroundingExample,
    QAExample,
    missing_videos,
    read_grounding_examples,
    read_qa_examples,
)
from hawkeye.evaluation.grounding import Query, ask_once, check_grounding, ground, option_rng
from hawkeye.evaluation.metrics import (
    Figures,
    baselines_by_turn,
    choice_accuracy,
    grounding_figures,
    qa_accuracy,
)
from hawkeye.evaluation.predictions import (
    Crop,
    GroundingPrediction,
    Prediction,
    QAPrediction,
    SpanPrediction,
    write_predictions,
)
from hawkeye.evaluation.settings import EvaluationSettings, SpanSettings
from hawkeye.evaluation.spans import ask_spans, check_span
from hawkeye.evaluation.videoqa import ChoiceQuestion, answer, check_choice
from hawkeye.files import write_text
from hawkeye.temporal import Span, best_iou, sample_window, whole_window_choice

PredictionType = TypeVar("PredictionType")


def evaluate(settings: EvaluationSettings, answerer: Answerer | None = None) -> dict[str, Any]:
    """Runs an evaluation; returns what it writes to `output_dir/results.json`.

    Every annotation row is checked and every video looked for before the model is loaded, and every query's length
    before the first video is opened. A video that cannot be read costs its examples alone: they count as wrong, and
    are listed in the results with the error.

    Args:
        answerer: the model to evaluate, if not the one that the settings name.

    Raises:
        ConfigError, AnnotationError: naming what is wrong, before anything runs.
    """
    queries = [example for path in settings.grounding for example in _first(read_grounding_examples, path, settings)]
    tasks = {name: _first(read_qa_examples, path, settings) for name, path in settings.videoqa.items()}
    _check_videos(settings, [*queries, *chain.from_iterable(tasks.values())])
    if answerer is None:
        from hawkeye.pipeline import load_model

        answerer = load_model(
            settings.model,
            dtype=settings.dtype,
            quantization=settings.quantization,
            batch_size=settings.batch_size,
        ).answerer
    _check_prompts(answerer, queries, tasks, settings)
    settings.output_dir.mkdir(parents=True, exist_ok=True)

    started = time.monotonic()
    grounded = predict_grounding(answerer, queries, settings) if settings.spans is None else []
    named = predict_spans(answerer, queries, settings, settings.spans) if settings.spans else []
    answered = {name: predict_qa(answerer, name, examples, settings) for name, examples in tasks.items()}
    predictions: list[Prediction] = [*grounded, *named, *chain.from_iterable(answered.values())]
    results: dict[str, Any] = {"name": settings.name, "settings": settings.model_dump(mode="json")}
    if grounded:
        results["grounding"] = summarise_grounding(grounded, settings.max_turns)
    if named:
        results["spans"] = summarise_spans(named)
    if answered:
        results["videoqa"] = summarise_qa(answered)
    results["failures"] = [
        {"place": prediction.example.place, "video": prediction.example.video, "error": prediction.error}
        for prediction in predictions
        if prediction.error
    ]
    results["seconds"] = round(time.monotonic() - started, 1)
    write_predictions(settings.output_dir / "predictions.jsonl", predictions)
    write_text(settings.output_dir / "results.json", json.dumps(results, indent=2) + "\n")
    return results


def _first(read: Callable[[Path], list[ExampleType]], path: Path, settings: EvaluationSettings) -> list[ExampleType]:
    return read(settings.data_dir / path)[: settings.limit]


def _check_videos(settings: EvaluationSettings, examples: Sequence[Example]) -> None:
    if not examples:
        raise ConfigError(f"evaluation {settings.name!r}: neither 'grounding' nor 'videoqa' names an annotation file")
    folder = settings.data_dir / settings.videos
    missing = missing_videos(examples, folder)
    if missing and not settings.allow_missing_videos:
        raise AnnotationError(
            f"{folder}: {len(missing)} of the annotations' videos are missing, such as {', '.join(missing[:3])}; "
            "with allow_missing_videos=true their examples count as wrong"
        )


def _check_prompts(
    answerer: Answerer,
    queries: Sequence[GroundingExample],
    tasks: dict[str, list[QAExample]],
    settings: EvaluationSettings,
) -> None:
    for query in queries:
        with _naming(query):
            if settings.spans is None:
                check_grounding(answerer, query.query)
            else:
                check_span(answerer, query.query, settings.spans)
    for question in chain.from_iterable(tasks.values()):
        with _naming(question):
            check_choice(answerer, question.question, question.candidates)


@contextmanager
def _naming(example: Example) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise AnnotationError(f"{example.place}: {error}") from None


def predict_grounding(
    answerer: Answerer, examples: Sequence[GroundingExample], settings: EvaluationSettings
) -> list[GroundingPrediction]:
    """One prediction for each query, in order; those of one chunk of videos advance together."""

    def predict(asked: Sequence[tuple[VideoReader, GroundingExample]]) -> list[GroundingPrediction]:
        queries = [Query(reader, example.query, example.key) for reader, example in asked]
        found = ground(answerer, queries, max_turns=settings.max_turns, seed=settings.seed)
        crops = _crops(answerer, queries, [example for _, example in asked], settings.seed)
        return [
            GroundingPrediction(example, grounding, crop) for (_, example), grounding, crop in zip(asked, found, crops)
        ]

    return _predict(examples, "grounding", settings, predict, lambda e, error: GroundingPrediction(e, error=error))


def _crops(answerer: Answerer, queries: Sequence[Query], examples: Sequence[GroundingExample], seed: int) -> list[Crop]:
    """The single question of training: a random window around the segment, and its answer."""
    windows, golds = [], []
    for query, example in zip(queries, examples):
        video, gold = Span(0.0, query.reader.duration), example.golds[0]
        segment = Span(min(gold.start, video.end), min(gold.end, video.end))
        window, choice = video, whole_window_choice(video, segment)
        if segment.duration > 0:
            rng = option_rng(seed, f"crop {query.key}")
            window, choice = sample_window(segment, video, rng, num_frames=answerer.num_frames)
        windows.append(window)
        golds.append(choice)
    turns = ask_once(answerer, queries, windows, seed=seed)
    return [Crop(turn, gold) for turn, gold in zip(turns, golds)]


def predict_spans(
    answerer: Answerer, examples: Sequence[GroundingExample], settings: EvaluationSettings, spans: SpanSettings
) -> list[SpanPrediction]:
    """One prediction for each query, in order, from one answer in numbers."""

    def predict(asked: Sequence[tuple[VideoReader, GroundingExample]]) -> list[SpanPrediction]:
        answers = ask_spans(answerer, [Query(reader, example.query, example.key) for reader, example in asked], spans)
        return [SpanPrediction(example, found, reader.duration) for (reader, example), found in zip(asked, answers)]

    return _predict(examples, "spans", settings, predict, lambda e, error: SpanPrediction(e, error=error))


def predict_qa(
    answerer: Answerer, task: str, examples: Sequence[QAExample], settings: EvaluationSettings
) -> list[QAPrediction]:
    """One prediction for each question of a task, in order."""

    def predict(asked: Sequence[tuple[VideoReader, QAExample]]) -> list[QAPrediction]:
        questions = [
            ChoiceQuestion(reader, example.question, example.candidates, example.window) for reader, example in asked
        ]
        return [
            QAPrediction(task, example, found, reader.duration)
            for (reader, example), found in zip(asked, answer(answerer, questions))
        ]

    return _predict(examples, task, settings, predict, lambda e, error: QAPrediction(task, e, error=error))


def _predict(
    examples: Sequence[ExampleType],
    label: str,
    settings: EvaluationSettings,
    predict: Callable[[Sequence[tuple[VideoReader, ExampleType]]], list[PredictionType]],
    fail: Callable[[ExampleType, str], PredictionType],
) -> list[PredictionType]:
    """Predictions in the order of `examples`, chunk by chunk, with progress."""
    found: dict[str, PredictionType] = {}
    with tqdm(total=len(examples), desc=label, unit="question") as progress:
        for chunk in _chunks(examples, settings.batch_size):
            for example, prediction in zip(chunk, _predict_chunk(chunk, settings, predict, fail)):
                found[example.place] = prediction
            progress.update(len(chunk))
    return [found[example.place] for example in examples]


def _predict_chunk(
    chunk: Sequence[ExampleType],
    settings: EvaluationSettings,
    predict: Callable[[Sequence[tuple[VideoReader, ExampleType]]], list[PredictionType]],
    fail: Callable[[ExampleType, str], PredictionType],
) -> list[PredictionType]:
    """Opens each video of the chunk once. After an error the chunk is halved, until the bad examples stand alone."""
    folder = settings.data_dir / settings.videos
    try:
        with ExitStack() as stack:
            videos = dict.fromkeys(example.video for example in chunk)
            readers = {video: stack.enter_context(open_video(folder / video)) for video in videos}
            return predict([(readers[example.video], example) for example in chunk])
    except VideoError as error:
        if len(chunk) == 1:
            return [fail(chunk[0], str(error))]
    middle = len(chunk) // 2
    halves = (chunk[:middle], chunk[middle:])
    return [prediction for half in halves for prediction in _predict_chunk(half, settings, predict, fail)]


def _chunks(examples: Sequence[ExampleType], size: int) -> Iterator[list[ExampleType]]:
    """Whole videos' examples, at least `size` of them (the last chunk has the rest)."""
    chunk: list[ExampleType] = []
    for _, group in groupby(sorted(examples, key=lambda example: example.video), key=lambda example: example.video):
        chunk += group
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def summarise_grounding(predictions: Sequence[GroundingPrediction], max_turns: int) -> dict[str, Any]:
    """All figures of grounding; failed queries count as wrong everywhere but in the baselines."""
    ious = [prediction.ious(max_turns) for prediction in predictions]
    by_turn = [grounding_figures(scores) for scores in zip(*ious)]
    whole = choice_accuracy([prediction.first_answer() for prediction in predictions])
    crops = choice_accuracy([prediction.crop_answer() for prediction in predictions])
    summary: dict[str, Any] = {
        "queries": len(predictions),
        "failed": sum(prediction.error is not None for prediction in predictions),
        **by_turn[-1],
        "accuracy_whole_window": whole["accuracy"],
        "accuracy_crops": crops["accuracy"],
        "single_turn": {"whole_window": whole, "crops": crops},
        "by_turn": by_turn,
    }
    summary |= _by_combination([prediction.example for prediction in predictions], [scores[-1] for scores in ious])
    targets = [prediction.target for prediction in predictions if prediction.target]
    summary["baselines_by_turn"] = baselines_by_turn(targets, max_turns) if targets else {}
    return summary


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
        **_by_combination([prediction.example for prediction in predictions], ious),
        "baselines": {
            name: grounding_figures([best_iou(Span(start * length, end * length), golds) for golds, length in read])
            for name, (start, end) in trivial.items()
        }
        if read
        else {},
    }


def _by_combination(examples: Sequence[GroundingExample], ious: Sequence[float]) -> dict[str, Any]:
    """Figures of seen and of held-out combinations apart, where the annotation tells them."""
    parts: dict[str, Any] = {}
    for name, flag in (("seen", False), ("held_out", True)):
        part = [iou for example, iou in zip(examples, ious) if example.held_out is flag]
        if part:
            parts[name] = {"queries": len(part), **grounding_figures(part)}
    return parts


def summarise_qa(answered: dict[str, list[QAPrediction]]) -> dict[str, Any]:
    """Accuracy of each task beside chance, and the tasks' averages."""
    tasks: dict[str, Figures] = {
        task: qa_accuracy([(prediction.is_right, len(prediction.example.candidates)) for prediction in predictions])
        for task, predictions in answered.items()
    }
    return {
        "tasks": {
            task: {
                "questions": len(predictions),
                "failed": sum(prediction.error is not None for prediction in predictions),
                **tasks[task],
            }
            for task, predictions in answered.items()
        },
        "average": {name: sum(task[name] for task in tasks.values()) / len(tasks) for name in ("accuracy", "random")},
    }

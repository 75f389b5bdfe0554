"""`hawkeye evaluate`: from a configuration to figures, results.json and predictions.jsonl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from itertools import groupby
from typing import Any

from tqdm import tqdm

from hawkeye import processes
from hawkeye.annotations import read_json, reading
from hawkeye.console import printable
from hawkeye.data.durations import check_begins_before_end, compare_durations
from hawkeye.data.video import VideoError, VideoReader, open_video
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.examples import GroundingExample
from hawkeye.evaluation.grounding import AnswerError
from hawkeye.evaluation.items import Item, check_grounded, check_videos, items_of, path_of, read_tasks, readable
from hawkeye.evaluation.predictions import Row
from hawkeye.evaluation.settings import EvaluationSettings
from hawkeye.evaluation.store import Key, PredictionStore
from hawkeye.evaluation.summary import (
    definitions_of,
    summarise_grounded_qa,
    summarise_grounding,
    summarise_qa,
    summarise_ranks,
    summarise_spans,
)
from hawkeye.evaluation.tasks import Task
from hawkeye.files import json_text, locked, sha256, write_text

NOT_IDENTITY = {"output_dir", "restart", "allow_missing_videos", "skip_bad_rows", "source", "average_precision"}
"""Settings that change no prediction."""


NOT_WEIGHTS = {".md", ".log", ".png"}
"""Endings of files in a model's directory that change no prediction; hidden ones do not either."""


def evaluate(settings: EvaluationSettings, answerer: Answerer | None = None) -> dict[str, Any]:
    """Runs an evaluation, or what is left of it; returns what it writes to `output_dir/results.json`.

    Every annotation row is checked and every video looked for before the model is loaded, and every query's length
    before the first video is opened. A video that cannot be read costs its examples alone: they count as wrong, are
    listed in the results with the error, and are tried again by the next run. Under torchrun each process answers its
    share. The same examples go through the model together however often a run is stopped and whoever answers them, so
    the results are the same.

    Args:
        answerer: the model to evaluate, if not the one that the settings name.

    Raises:
        ConfigError, AnnotationError: naming what is wrong, before anything runs.
        InUseError: if another process is evaluating to the same `output_dir`.
    """
    skipped: list[str] = []
    tasks = read_tasks(settings, skipped)
    if not settings.allow_missing_videos:
        check_videos(items_of(tasks))
    processes.join()
    with locked(settings.output_dir) if processes.is_main() else nullcontext():
        return _evaluate(settings, answerer, tasks, skipped)


def _evaluate(
    settings: EvaluationSettings, answerer: Answerer | None, tasks: list[Task[Any]], skipped: list[str]
) -> dict[str, Any]:
    items = items_of(tasks)
    store, identity = PredictionStore(settings.output_dir), _identity(settings, answerer)
    if not settings.restart:
        store.check(identity)
    done = {} if settings.restart else store.read()
    chunks = [chunk for chunk in _chunks(items, settings.batch_size) if any(_key(item) not in done for item in chunk)]
    if chunks:
        answerer = answerer or load_answerer(settings)
        bad_rows = skipped if settings.skip_bad_rows else None
        tasks = readable(answerer, tasks, bad_rows)
        if settings.grounded_qa is not None:
            check_grounded(settings, tasks, bad_rows)
        items = items_of(tasks)
        # Again, without what the model cannot read: chunks must not depend on where the run was begun.
        chunks = [
            chunk for chunk in _chunks(items, settings.batch_size) if any(_key(item) not in done for item in chunk)
        ]
    processes.wait()  # all have read what there is
    if processes.is_main():
        store.open(identity, restart=settings.restart)
    processes.wait()
    if chunks and answerer is not None:
        _answer(answerer, chunks, settings, store)
    processes.wait()
    if processes.is_main():
        rows = store.finish([_key(item) for item in items])
        summary = _summary(settings, items, rows) | {"skipped_rows": skipped}
        results = {"name": settings.name, **identity, **summary, "definitions": definitions_of(summary)}
        write_text(store.results, json_text(results, indent=2) + "\n")
    processes.wait()
    return read_json(store.results, dict)


def _identity(settings: EvaluationSettings, answerer: Answerer | None) -> dict[str, Any]:
    """All that the predictions depend on: the settings, and checksums of the files behind them."""
    files = [settings.data_dir / file.annotations for file in (*settings.grounding, *settings.videoqa.values())]
    checksums = {"annotations": {str(path): sha256(path) for path in files}}
    if answerer is None:
        from hawkeye.pipeline import model_directory

        directory = model_directory(settings.model)
        files_of_model = [path for path in sorted(directory.iterdir()) if path.is_file() and path.name[0] != "."]
        checksums["model"] = {path.name: sha256(path) for path in files_of_model if path.suffix not in NOT_WEIGHTS}
    told = settings.model_dump(mode="json", exclude=NOT_IDENTITY)
    return {"settings": told, "checksums": checksums}


def load_answerer(settings: EvaluationSettings) -> Answerer:
    """The model that the settings name.

    Raises:
        ConfigError: if it cannot be loaded.
    """
    from hawkeye.pipeline import load_model

    return load_model(
        settings.model,
        dtype=settings.dtype,
        quantization=settings.quantization,
        batch_size=settings.batch_size,
        num_frames=settings.num_frames,
    ).answerer


def _key(item: Item) -> Key:
    task, example = item
    return task.name, example.video, example.id


def _chunks(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Whole videos with all that is asked about them, at least `size` examples (the last chunk has the rest)."""
    chunk: list[Item] = []
    for _, group in groupby(sorted(items, key=path_of), key=path_of):
        chunk += group
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _answer(
    answerer: Answerer, chunks: Sequence[list[Item]], settings: EvaluationSettings, store: PredictionStore
) -> None:
    """Answers this process's share of the chunks, each kept as soon as it is there."""
    own = chunks[processes.rank() :: processes.count()]
    label = f"process {processes.rank() + 1} of {processes.count()}" if processes.count() > 1 else settings.name
    total = sum(map(len, own))
    with tqdm(total=total, desc=printable(label), unit="question", disable=not processes.is_main()) as progress:
        for chunk in own:
            # What the model still knows of earlier videos depends on where the run was begun; the answers must not.
            answerer.forget()
            store.append(_answer_chunk(answerer, chunk))
            progress.update(len(chunk))


def _answer_chunk(answerer: Answerer, chunk: list[Item]) -> list[Row]:
    """Opens each video of the chunk once. After an error the chunk is halved, until the bad examples stand alone."""
    try:
        with ExitStack() as stack:
            media = {(path_of(item), item[0].videos.fps): None for item in chunk}
            readers = {(path, fps): stack.enter_context(open_video(path, fps=fps)) for path, fps in media}
            rows: list[Row] = []
            fitting: list[Item] = []
            for task, example in chunk:
                found = readers[task.videos.path(example), task.videos.fps].duration
                try:
                    compare_durations(example.duration, found, example.place)
                    if isinstance(example, GroundingExample):
                        check_begins_before_end(example.golds, found, example.place)
                    fitting.append((task, example))
                except VideoError as error:
                    rows.append(task.failed(example, str(error)).as_row())
            for task in {id(task): task for task, _ in fitting}.values():
                examples = [example for other, example in fitting if other is task]
                asked = [(readers[task.videos.path(example), task.videos.fps], example) for example in examples]
                predicted = [prediction.as_row() for prediction in task.predict(answerer, asked)]
                rows += [row | _warnings_of(reader) for row, (reader, _) in zip(predicted, asked)]
            return rows
    except (VideoError, AnswerError) as error:
        if len(chunk) == 1:
            ((task, example),) = chunk
            return [task.failed(example, str(error)).as_row()]
    middle = len(chunk) // 2
    return [row for half in (chunk[:middle], chunk[middle:]) for row in _answer_chunk(answerer, half)]


def _warnings_of(reader: VideoReader) -> Row:
    return {"video_warnings": list(reader.warnings.values())} if reader.warnings else {}


def _summary(settings: EvaluationSettings, items: Sequence[Item], rows: Sequence[Row]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for (task, example), row in zip(items, rows):
        with reading(f"predictions of {settings.output_dir}: the line about {example.place}"):
            found.setdefault(task.name, []).append(task.read(example, row))
    summary: dict[str, Any] = {}
    queries = [prediction for file in settings.grounding for prediction in found[str(file.annotations)]]
    if queries and settings.spans is None:
        summary["grounding"] = summarise_grounding(queries, settings.max_turns)
        if settings.average_precision and "miou" in summary["grounding"]:
            summary["grounding"] |= summarise_ranks(queries)
    elif queries:
        summary["spans"] = summarise_spans(queries)
    if settings.videoqa:
        answered = {name: found[name] for name in settings.videoqa}
        summary["videoqa"] = summarise_qa(answered)
        cut = [name for name, predictions in answered.items() if any(each.example.window for each in predictions)]
        if cut:
            summary["shown"] = {name: settings.videoqa[name].shown for name in cut}
    if settings.grounded_qa is not None:
        summary["grounded_qa"] = summarise_grounded_qa(queries, found[settings.grounded_qa])
    summary["failures"] = [
        {"place": example.place, "video": example.video, "error": row["error"]}
        for (_, example), row in zip(items, rows)
        if "error" in row
    ]
    summary["duration_warnings"] = _duration_warnings(items, rows)
    summary["video_warnings"] = list(dict.fromkeys(text for row in rows for text in row.get("video_warnings", [])))
    return summary


def _duration_warnings(items: Sequence[Item], rows: Sequence[Row]) -> list[str]:
    """What to tell of videos whose length is not the annotated one, once for each video."""
    told: dict[str, str] = {}
    for (_, example), row in zip(items, rows):
        found = row.get("duration", row.get("video_secs"))
        if "error" not in row and found is not None and example.video not in told:
            warning = compare_durations(example.duration, found, example.place)
            if warning:
                told[example.video] = warning
    return list(told.values())

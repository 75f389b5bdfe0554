"""`hawkeye evaluate`: from a configuration to figures, results.json and predictions.jsonl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hawkeye import processes
from hawkeye.annotations import WAY_OUT, AnnotationError, read_json
from hawkeye.config import ConfigError, nearest
from hawkeye.console import printable
from hawkeye.data.durations import compare_durations
from hawkeye.data.video import VideoError, open_video
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.examples import Example, ExampleType, read_grounding_examples, read_qa_examples
from hawkeye.evaluation.grounding import AnswerError
from hawkeye.evaluation.predictions import Row
from hawkeye.evaluation.settings import AnnotationFile, EvaluationSettings
from hawkeye.evaluation.store import Key, PredictionStore
from hawkeye.evaluation.summary import (
    definitions_of,
    summarise_grounded_qa,
    summarise_grounding,
    summarise_qa,
    summarise_ranks,
    summarise_spans,
)
from hawkeye.evaluation.tasks import MultipleChoice, SpansInNumbers, Task, TurnByTurn, Videos
from hawkeye.files import json_text, sha256, write_text
from hawkeye.prompts import GROUNDING_WORDING, QA_WORDING

Item = tuple[Task[Any], Example]
"""One example with its task."""

NOT_IDENTITY = {"output_dir", "restart", "allow_missing_videos", "skip_bad_rows", "source", "average_precision"}
"""Settings that change no prediction."""


NOT_WEIGHTS = {".md", ".log", ".png"}
"""Endings of files in a model's directory that change no prediction."""


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
    """
    skipped: list[str] = []
    tasks = read_tasks(settings, skipped)
    items = _items(tasks)
    if not settings.allow_missing_videos:
        check_videos(items)
    processes.join()
    store, identity = PredictionStore(settings.output_dir), _identity(settings, answerer)
    if not settings.restart:
        store.check(identity)
    done = {} if settings.restart else store.read()
    chunks = [chunk for chunk in _chunks(items, settings.batch_size) if any(_key(item) not in done for item in chunk)]
    if chunks:
        answerer = answerer or load_answerer(settings)
        bad_rows = skipped if settings.skip_bad_rows else None
        tasks = _readable(answerer, tasks, bad_rows)
        if settings.grounded_qa is not None:
            _check_grounded(settings, tasks, bad_rows)
        items = _items(tasks)
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


def read_tasks(settings: EvaluationSettings, skipped: list[str]) -> list[Task[Any]]:
    """What the settings ask: of each annotation file `limit` examples from `start_index` on; questions that are also
    to be grounded are those of the queries.

    Args:
        skipped: with `skip_bad_rows`, what is wrong with each row that is left out is added here.

    Raises:
        ConfigError: if they ask nothing.
        AnnotationError: naming the file, the row and the value that is wrong.
    """
    tasks: list[Task[Any]] = []
    bad_rows = skipped if settings.skip_bad_rows else None
    for file in settings.grounding:
        name, videos = str(file.annotations), _videos(settings, file)
        queries = _share(read_grounding_examples(settings.data_dir / file.annotations, bad_rows), settings, name)
        if settings.spans is None:
            how = settings.strategy, settings.max_turns, settings.seed, settings.decoding
            tasks.append(TurnByTurn(name, queries, videos, *how, settings.grounding_wording.over(GROUNDING_WORDING)))
        else:
            tasks.append(SpansInNumbers(name, queries, videos, settings.spans))
    for name, file in settings.videoqa.items():
        questions = read_qa_examples(settings.data_dir / file.annotations, bad_rows)
        if name == settings.grounded_qa and (settings.limit is not None or settings.start_index):
            queried = {(query.video, query.id) for task in tasks for query in task.examples}
            questions = [question for question in questions if (question.video, question.id) in queried]
        else:
            questions = _share(questions, settings, name)
        wording = settings.videoqa_wording.over(QA_WORDING)
        tasks.append(MultipleChoice(name, questions, _videos(settings, file), file.shown, wording))
    if not tasks:
        raise ConfigError(f"evaluation {settings.name!r}: neither 'grounding' nor 'videoqa' names an annotation file")
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise ConfigError(f"evaluation {settings.name!r}: two tasks have one name: {', '.join(sorted(names))}")
    if settings.grounded_qa is not None:
        _check_grounded(settings, tasks, bad_rows)
    return tasks


def _share(examples: list[ExampleType], settings: EvaluationSettings, name: str) -> list[ExampleType]:
    """The examples of a file that the settings ask about."""
    if settings.start_index >= len(examples):
        raise ConfigError(f"start_index {settings.start_index} leaves none of the {len(examples)} examples of {name}")
    return examples[settings.start_index :][: settings.limit]


def _check_grounded(settings: EvaluationSettings, tasks: Sequence[Task[Any]], bad_rows: list[str] | None) -> None:
    name = settings.grounded_qa
    if name not in settings.videoqa:
        known = nearest(str(name), list(settings.videoqa))
        raise ConfigError(f"evaluation {settings.name!r}: 'grounded_qa' is {name!r}, no task of 'videoqa'{known}")
    asked = {(example.video, example.id) for task in tasks if task.name == name for example in task.examples}
    for task in tasks[: len(settings.grounding)]:
        for example in list(task.examples):
            if (example.video, example.id) not in asked:
                problem = f"{example.place}: no question of {name!r} has its video and qid {example.id!r}"
                if bad_rows is None:
                    raise AnnotationError(f"{problem} {WAY_OUT}")
                bad_rows.append(problem)
                task.examples.remove(example)
        if not task.examples:
            raise AnnotationError(f"{task.name}: no question of {name!r} has the video and qid of any query")


def _videos(settings: EvaluationSettings, file: AnnotationFile) -> Videos:
    return Videos(settings.data_dir / (file.videos or settings.videos), file.file, file.fps)


def _identity(settings: EvaluationSettings, answerer: Answerer | None) -> dict[str, Any]:
    """All that the predictions depend on: the settings, and checksums of the files behind them."""
    files = [settings.data_dir / file.annotations for file in (*settings.grounding, *settings.videoqa.values())]
    checksums = {"annotations": {str(path): sha256(path) for path in files}}
    if answerer is None:
        from hawkeye.pipeline import model_directory

        directory = model_directory(settings.model)
        files_of_model = [path for path in sorted(directory.iterdir()) if path.is_file()]
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


def check_videos(items: Sequence[Item]) -> None:
    """Looks for the videos of all examples.

    Raises:
        AnnotationError: naming the first that are missing.
    """
    paths = list(dict.fromkeys(map(path_of, items)))
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise AnnotationError(
            f"{len(missing)} of the annotations' {len(paths)} videos are missing, such as {', '.join(missing[:3])}; "
            "with allow_missing_videos=true their examples count as wrong"
        )


def _items(tasks: Sequence[Task[Any]]) -> list[Item]:
    return [(task, example) for task in tasks for example in task.examples]


def _readable(answerer: Answerer, tasks: Sequence[Task[Any]], skipped: list[str] | None) -> list[Task[Any]]:
    """The tasks with the examples whose prompts the model can read and answer.

    Args:
        skipped: where given, what is wrong with each example that is left out is added here.

    Raises:
        AnnotationError: naming the row of the first that it cannot, unless such rows are skipped; or a task of which
            nothing is left.
    """
    left = []
    for task in tasks:
        examples = []
        for example in task.examples:
            try:
                task.check(answerer, example)
                examples.append(example)
            except ValueError as error:
                if skipped is None:
                    raise AnnotationError(f"{example.place}: {error} {WAY_OUT}") from None
                skipped.append(f"{example.place}: {error}")
        if not examples:
            raise AnnotationError(f"{task.name}: this model can read none of its rows: {skipped and skipped[-1]}")
        left.append(replace(task, examples=examples))  # type: ignore[type-var]  # the protocol's tasks are dataclasses
    return left


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


def path_of(item: Item) -> Path:
    """Where an example's video is."""
    task, example = item
    return task.videos.path(example)


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
                    fitting.append((task, example))
                except VideoError as error:
                    rows.append(task.failed(example, str(error)).as_row())
            for task in {id(task): task for task, _ in fitting}.values():
                examples = [example for other, example in fitting if other is task]
                asked = [(readers[task.videos.path(example), task.videos.fps], example) for example in examples]
                rows += [prediction.as_row() for prediction in task.predict(answerer, asked)]
            return rows
    except (VideoError, AnswerError) as error:
        if len(chunk) == 1:
            ((task, example),) = chunk
            return [task.failed(example, str(error)).as_row()]
    middle = len(chunk) // 2
    return [row for half in (chunk[:middle], chunk[middle:]) for row in _answer_chunk(answerer, half)]


def _summary(settings: EvaluationSettings, items: Sequence[Item], rows: Sequence[Row]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for (task, example), row in zip(items, rows):
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

"""What an evaluation asks: the tasks of its settings with their examples, checked before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hawkeye.annotations import WAY_OUT, AnnotationError
from hawkeye.config import ConfigError, nearest
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.examples import Example, ExampleType, read_grounding_examples, read_qa_examples
from hawkeye.evaluation.settings import AnnotationFile, EvaluationSettings
from hawkeye.evaluation.tasks import MultipleChoice, SpansInNumbers, Task, TurnByTurn, Videos
from hawkeye.prompts import GROUNDING_WORDING, QA_WORDING

Item = tuple[Task[Any], Example]
"""One example with its task."""


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
        check_grounded(settings, tasks, bad_rows)
    return tasks


def _share(examples: list[ExampleType], settings: EvaluationSettings, name: str) -> list[ExampleType]:
    """The examples of a file that the settings ask about."""
    if settings.start_index >= len(examples):
        raise ConfigError(f"start_index {settings.start_index} leaves none of the {len(examples)} examples of {name}")
    return examples[settings.start_index :][: settings.limit]


def check_grounded(settings: EvaluationSettings, tasks: Sequence[Task[Any]], bad_rows: list[str] | None) -> None:
    """Sees to it that each query of a grounded task is a question of it, too.

    Args:
        bad_rows: where given, queries that are none are left out, and what is wrong is added here.

    Raises:
        ConfigError, AnnotationError: if there is no such task, or naming the first query that is no question.
    """
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


def items_of(tasks: Sequence[Task[Any]]) -> list[Item]:
    """Every example with its task, in order."""
    return [(task, example) for task in tasks for example in task.examples]


def readable(answerer: Answerer, tasks: Sequence[Task[Any]], skipped: list[str] | None) -> list[Task[Any]]:
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


def path_of(item: Item) -> Path:
    """Where an example's video is."""
    task, example = item
    return task.videos.path(example)

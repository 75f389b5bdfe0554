"""Measuring how a model answers about windows, on videos whose segments are known; the search by belief uses it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hawkeye.config import ConfigError
from hawkeye.console import printable, warn
from hawkeye.data.durations import check_begins_before_end, compare_durations
from hawkeye.data.video import VideoError, VideoReader, open_video
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.belief import search_windows
from hawkeye.evaluation.examples import GroundingExample
from hawkeye.evaluation.grounding import Query, ask_windows, check_grounding, option_order, option_rng
from hawkeye.evaluation.items import check_videos, path_of, read_tasks
from hawkeye.evaluation.responses import Responses
from hawkeye.evaluation.run import load_answerer
from hawkeye.evaluation.settings import EvaluationSettings
from hawkeye.evaluation.tasks import TurnByTurn
from hawkeye.files import check_writable
from hawkeye.pipeline import model_directory
from hawkeye.prompts import GROUNDING_WORDING, Wording
from hawkeye.temporal import Choice, Span

WINDOWS_PER_QUERY = 32
"""Windows that each query is asked about: the whole video, and others drawn from those of the search."""


def calibrate(settings: EvaluationSettings) -> tuple[Path, Responses]:
    """Asks the model about random windows of the annotated videos, and keeps what it answers in its directory.

    The annotations must not be a test's: how the model answers there is not to be known. Queries with several segments
    are left out, and so are videos that cannot be read, each with a warning.

    Returns:
        The file, and what it holds.

    Raises:
        ConfigError, AnnotationError: naming what is wrong, before anything runs.
        OSError: if the model's directory cannot be written to, before anything runs too.
    """
    directory = model_directory(settings.model)
    check_writable(directory)
    skipped: list[str] = []
    tasks = [task for task in read_tasks(settings, skipped) if isinstance(task, TurnByTurn)]
    for problem in skipped:
        warn(f"left out: {problem}")
    items = [(task, example) for task in tasks for example in task.examples if len(example.golds) == 1]
    if not items:
        raise ConfigError(f"calibration {settings.name!r}: its annotation files hold no query with one segment")
    check_videos(items)
    answerer = load_answerer(settings)
    for task, example in items:
        check_grounding(answerer, example.query, task.wording)
    observed: list[np.ndarray] = []
    videos = groupby(sorted(items, key=path_of), key=path_of)
    with tqdm(total=len(items), desc=printable(settings.name), unit="query") as progress:
        for path, group in videos:
            tasks_of_video, examples = zip(*group)
            try:
                with open_video(path, fps=tasks_of_video[0].videos.fps) as reader:
                    for example in examples:
                        if told := compare_durations(example.duration, reader.duration, example.place):
                            warn(told)
                        check_begins_before_end(example.golds, reader.duration, example.place)
                    observed.append(observe(answerer, reader, examples, settings.seed, tasks_of_video[0].wording))
            except VideoError as error:
                warn(f"left out: {error}")
            progress.update(len(examples))
    if not observed:
        raise ConfigError(f"calibration {settings.name!r}: none of its videos can be read")
    table = np.concatenate(observed)
    responses = Responses.fit(table[:, :2], table[:, 2:4], table[:, 4:], queries=len(table) // WINDOWS_PER_QUERY)
    return responses.save(directory), responses


def observe(
    answerer: Answerer,
    reader: VideoReader,
    examples: Sequence[GroundingExample],
    seed: int,
    wording: Wording = GROUNDING_WORDING,
) -> np.ndarray:
    """Answers about windows of one video that all queries share: rows of segment (2), window (2), answers (4), the
    times as shares of the video.

    Raises:
        VideoError: if frames cannot be read.
    """
    answerer.forget()
    rng = option_rng(seed, f"windows {reader.path.name}")
    candidates = search_windows()
    others = 1 + rng.permutation(len(candidates) - 1)[: WINDOWS_PER_QUERY - 1]
    rows = list[np.ndarray]()
    queries = [Query(reader, example.query, example.key, wording=wording) for example in examples]
    rngs = [option_rng(seed, query.key) for query in queries]
    for window in candidates[[0, *others]]:
        start, end = window * reader.duration
        found = ask_windows(answerer, queries, [Span(start, end)] * len(queries), [option_order(rng) for rng in rngs])
        for example, probabilities in zip(examples, found):
            gold = example.golds[0]
            segment = np.array([gold.start, gold.end]) / reader.duration
            rows.append(np.concatenate([segment, window, [probabilities[choice] for choice in Choice]]))
    return np.array(rows)

"""`hawkeye data check`: what a data folder holds of all that the configurations speak of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from hawkeye.annotations import AnnotationError
from hawkeye.config import ConfigError, TrainSettings, load_settings
from hawkeye.data.durations import compare_durations
from hawkeye.data.locations import locate
from hawkeye.data.sources import read_source
from hawkeye.data.video import VideoError, open_video
from hawkeye.evaluation.examples import Example, read_grounding_examples, read_qa_examples
from hawkeye.evaluation.settings import AnnotationFile, EvaluationSettings
from hawkeye.tables import table

CONFIGS = Path("configs")
DEFAULT_DATA = Path("data")
"""Where the configurations look for data; the folder that is checked stands in its place."""
OPENED = 5
"""Videos of each annotation file that are opened; all are looked for."""
SHOWN = 10
"""Problems of each annotation file that are told one by one."""


AnnotatedVideo = tuple[Path, float | None]
"""A row's video, and its length in seconds where the row tells it."""


@dataclass(frozen=True)
class Expected:
    """An annotation file that a configuration speaks of."""

    configuration: str
    annotations: Path
    videos: Path | None
    fps: float | None
    where: str
    read: Callable[[], tuple[int, list[AnnotatedVideo], list[str]]]
    """How many rows it holds, the paths of their videos with the lengths that rows give them, and what is wrong with
    other rows.

    Raises:
        AnnotationError: if it cannot be used at all.
    """


@dataclass(frozen=True)
class Finding:
    """What is there of an annotation file and its videos; `problems` are what is there and wrong."""

    expected: Expected
    is_there: bool
    rows: int = 0
    videos: int = 0
    videos_there: int = 0
    problems: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing or wrong."""
        return self.is_there and self.videos_there == self.videos and not self.problems

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        expected = self.expected
        return {
            "configuration": expected.configuration,
            "annotations": str(expected.annotations),
            "is_there": self.is_there,
            "rows": self.rows,
            "video_folder": None if expected.videos is None else str(expected.videos),
            "videos": self.videos,
            "videos_there": self.videos_there,
            "problems": list(self.problems),
            "where": expected.where,
        }


def check_data(folder: Path, configs: Path = CONFIGS) -> list[Finding]:
    """Looks for every annotation file, reads those that are there, looks for their videos, and opens some of them.

    Args:
        folder: in the place of the configurations' `data`.
        configs: the folder of configurations.

    Raises:
        ConfigError: if `folder` is no folder, or there are no configurations.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of data")
    return [_look(expected) for expected in _all_expected(folder, configs)]


def findings_table(findings: Sequence[Finding], folder: Path) -> Table:
    """One row per annotation file, named from `folder` on."""
    rows = table(f"{folder}, beside what the configurations speak of", "configuration", "annotations", "rows", "videos")
    rows.columns[1].justify = "left"
    for finding in findings:
        path = finding.expected.annotations
        name = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
        bad = f", {len(finding.problems)} bad" if finding.problems else ""
        count = f"{finding.rows}{bad}" if finding.is_there else "missing"
        videos = f"{finding.videos_there} of {finding.videos}" if finding.videos else ""
        rows.add_row(finding.expected.configuration, name, count, videos)
    return rows


def what_is_wrong(findings: Sequence[Finding]) -> list[str]:
    """The first problems of each annotation file, and how many more there are."""
    lines: list[str] = []
    for finding in findings:
        lines += finding.problems[:SHOWN]
        if len(finding.problems) > SHOWN:
            lines.append(f"{finding.expected.annotations}: {len(finding.problems) - SHOWN} more")
    return lines


def sources_of_missing(findings: Sequence[Finding]) -> list[str]:
    """Where to get what is missing: a line for each origin, with what comes from there."""
    wanted: dict[str, list[str]] = {}
    for finding in findings:
        expected = finding.expected
        if not finding.is_there:
            wanted.setdefault(expected.where, []).append(expected.configuration)
        elif finding.videos_there < finding.videos:
            lacking = finding.videos - finding.videos_there
            wanted.setdefault(expected.where, []).append(f"{lacking} videos for {expected.videos}")
    return [f"{', '.join(dict.fromkeys(names))}: {where or 'not told'}" for where, names in wanted.items()]


def _all_expected(folder: Path, configs: Path) -> Iterator[Expected]:
    evaluations, trainings = (sorted((configs / kind).glob("*.yaml")) for kind in ("eval", "train"))
    if not evaluations and not trainings:
        raise ConfigError(f"{configs}: holds no configurations; run this from the project's folder or name them")
    seen: set[Path] = set()
    for path in evaluations:
        settings = load_settings(path, EvaluationSettings)
        for file, read in _files(settings):
            data = _moved(settings.data_dir, folder)
            yield _of_benchmark(path, data, file, read, settings)
    for path in trainings:
        training = load_settings(path, TrainSettings)
        data = _moved(training.data_dir, folder)
        for name, source in training.sources.items():
            annotations = data / source.annotations
            if annotations in seen:  # one file serves several sources
                continue
            seen.add(annotations)

            def videos_of_source(name=name, source=source, data=data):  # type: ignore[no-untyped-def]
                found = read_source(name, source, data, skip_bad_rows=True)
                paths = [(path, record.duration) for record in found.records if (path := found.video_path(record))]
                return len(found.records), paths, list(found.skipped)

            videos = source.videos and data / source.videos
            yield Expected(
                f"{path.name} {name}",
                annotations,
                videos,
                source.fps,
                source.where or training.source,
                videos_of_source,
            )


Reader = Callable[[Path, list[str]], Sequence[Example]]


def _files(settings: EvaluationSettings) -> Iterator[tuple[AnnotationFile, Reader]]:
    yield from ((file, read_grounding_examples) for file in settings.grounding)
    yield from ((file, read_qa_examples) for file in settings.videoqa.values())


def _of_benchmark(path: Path, data: Path, file: AnnotationFile, read: Reader, settings: EvaluationSettings) -> Expected:
    annotations, videos = data / file.annotations, data / (file.videos or settings.videos)

    def paths(read: Reader) -> tuple[int, list[AnnotatedVideo], list[str]]:
        bad_rows: list[str] = []
        examples = read(annotations, bad_rows)
        found = [(locate(videos, each.video, file.file, each.place), each.duration) for each in examples]
        return len(examples), found, bad_rows

    return Expected(path.name, annotations, videos, file.fps, settings.source, partial(paths, read))


def _moved(data_dir: Path, folder: Path) -> Path:
    return folder / data_dir.relative_to(DEFAULT_DATA) if data_dir.is_relative_to(DEFAULT_DATA) else data_dir


def _look(expected: Expected) -> Finding:
    if not expected.annotations.exists():
        return Finding(expected, is_there=False)
    try:
        rows, videos, problems = expected.read()
    except AnnotationError as error:
        return Finding(expected, is_there=True, problems=(str(error),))
    lengths = dict(videos)
    distinct = list(lengths)
    there = [path for path in distinct if path.exists()]
    rng = np.random.default_rng(0)
    for place in sorted(rng.permutation(len(there))[:OPENED]):
        try:
            with open_video(there[place], fps=expected.fps) as reader:
                compare_durations(lengths[there[place]], reader.duration, str(there[place]))
        except VideoError as error:
            problems.append(str(error))
    return Finding(expected, True, rows, len(distinct), len(there), tuple(problems))

"""Making a world on disk: plans, videos by several processes, annotation files; stops and goes on anywhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from data_preparing.shapes.encode import is_whole, write_video
from data_preparing.shapes.files import (
    describe_world,
    write_calibration_file,
    write_test_files,
    write_training_files,
)
from data_preparing.shapes.world import Plan, Split, draw_plan
from hawkeye.annotations import AnnotationError, read_json, required
from hawkeye.files import write_json
from hawkeye.pools import process_pool

WORLD_VERSION = 5
"""Raise it whenever the same settings give other videos or texts."""


class WorldError(ValueError):
    """A folder that this world cannot be written to; the message names it and says why."""


@dataclass(frozen=True)
class WorldSettings:
    """What decides every byte of a world."""

    seed: int = 0
    train_videos: int = 2000
    test_videos: int = 320
    version: int = WORLD_VERSION


@dataclass(frozen=True)
class WorldReport:
    """What was done: videos rendered now, seconds that took, and rows by annotation file."""

    rendered: int
    seconds: float
    rows: dict[str, int]


@dataclass(frozen=True)
class _Job:
    plan: Plan
    seed: int
    path: Path


def draw_plans(settings: WorldSettings) -> tuple[list[Plan], list[Plan]]:
    """The training and the test plans."""
    train = [draw_plan(settings.seed, Split.TRAIN, index) for index in range(settings.train_videos)]
    return train, [draw_plan(settings.seed, Split.TEST, index) for index in range(settings.test_videos)]


def build_world(output: Path, settings: WorldSettings, workers: int) -> WorldReport:
    """Writes videos and annotation files; whole videos that are there already stay.

    Raises:
        WorldError: if the folder holds something else, or a world of other settings.
        OSError: if it cannot be written.
    """
    check_output(output, settings)
    train, test = draw_plans(settings)
    write_json(output / "world.json", describe_world(asdict(settings), [*train, *test]))
    started = time.monotonic()
    rendered = write_videos([*train, *test], settings.seed, output / "videos", workers)
    seconds = time.monotonic() - started
    rows = dict(write_training_files(train, settings.seed, output / "train"))
    rows |= write_calibration_file(train, settings.seed, output / "calibration.json")
    rows |= write_test_files(test, settings.seed, output / "test-anno")
    return WorldReport(rendered, seconds, rows)


def check_output(output: Path, settings: WorldSettings) -> None:
    """Sees to it that a folder is new, empty, or holds a world of the same settings.

    Raises:
        WorldError: otherwise.
    """
    if output.exists() and not output.is_dir():
        raise WorldError(f"{output}: is a file, not a folder; choose another --output")
    if not output.exists() or not any(output.iterdir()):
        return
    description = output / "world.json"
    if not description.exists():
        raise WorldError(f"{output}: is not empty and holds no world (no world.json); choose another --output")
    try:
        found = required(read_json(description, dict), "settings", dict, str(description))
    except AnnotationError as error:
        raise WorldError(f"{error}: cannot be read as a world; delete {output} or choose another --output") from None
    different = [
        f"{name} is {found.get(name)} there and {wanted} here"
        for name, wanted in asdict(settings).items()
        if found.get(name) != wanted
    ]
    if different:
        raise WorldError(
            f"{output}: holds a world of other settings ({'; '.join(different)}); "
            f"delete it, choose another --output, or give the same settings to go on"
        )


def write_videos(plans: Sequence[Plan], seed: int, directory: Path, workers: int) -> int:
    """Renders the videos that are missing or broken; returns how many there were."""
    jobs = [_Job(plan, seed, directory / plan.name) for plan in plans]
    jobs = [job for job in jobs if not is_whole(job.path, job.plan)]
    for job in jobs:
        job.path.parent.mkdir(parents=True, exist_ok=True)
    if not jobs:
        return 0
    with process_pool(min(workers, len(jobs))) as pool:
        for _ in tqdm(pool.map(_run, jobs, chunksize=4), total=len(jobs), desc="rendering videos", unit="video"):
            pass
    return len(jobs)


def _run(job: _Job) -> None:
    write_video(job.plan, job.seed, job.path)

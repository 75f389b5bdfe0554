"""Runs a stage: what is done already stays done, failures are recorded, and the files are the same however it went."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from tqdm import tqdm

from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.annotations import AnnotationError
from hawkeye.config import ConfigError
from hawkeye.files import json_text, locked, remove, written_whole
from hawkeye.parsing import parse_json

Row = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One video as a stage takes it: its key, and what the stage's input files say of it, in JSON's types."""

    key: str
    content: Any = None


@dataclass(frozen=True)
class Outcome:
    """What a stage made of an item: rows for each of its output files, and how many were lost, by reason.

    `error` says why there is nothing.
    """

    key: str
    rows: list[list[Row]] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    error: str | None = None


Worker = Callable[[Item], Outcome]


class Stage(ABC):
    """A step of the chain. `worker` runs in another process, so a stage holds nothing but its settings."""

    name: ClassVar[str]
    has_model: ClassVar[bool] = False
    is_quick: ClassVar[bool] = False
    """Whether its work costs less than handing it to another process."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Modules of the extra `internvid`."""

    def __init__(self, settings: ChainSettings) -> None:
        self.settings = settings

    @property
    @abstractmethod
    def outputs(self) -> list[Path]:
        """Its output files."""

    @property
    @abstractmethod
    def depends_on(self) -> Any:
        """What its outcomes depend on beside the items, in JSON's types."""

    @abstractmethod
    def items(self) -> list[Item]:
        """What there is to do, in order.

        Raises:
            AnnotationError: if an input is missing or cannot be read.
        """

    @abstractmethod
    def worker(self) -> Worker:
        """The function that does one item; it loads the stage's model, if it has one."""


class Log:
    """The outcomes of a stage while it goes on and after: one line each, appended; the newest of an item counts.

    A line that a killed process has not finished is dropped. One process at a time may append (`run_stage` sees to it).

    Args:
        path: the file.

    Raises:
        AnnotationError: naming the line that is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, tuple[str, int, int]] = {}
        self._end = 0
        if path.exists():
            self._read()

    def _read(self) -> None:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    row = parse_json(line.decode())
                    self._places[row["key"]] = (row["digest"], self._end, len(line))
                except (ValueError, TypeError, KeyError) as error:
                    raise AnnotationError(
                        f"{self.path} line {number}: is damaged ({type(error).__name__}: {error}); delete the line "
                        "to do its video again, or the file to do all"
                    ) from None
                self._end += len(line)

    def digest(self, key: str) -> str | None:
        """Of the item that the newest outcome of this key is about; None where there is none."""
        return self._places[key][0] if key in self._places else None

    def all_keys(self) -> list[str]:
        """Of all outcomes, in the order of their first."""
        return list(self._places)

    def outcome(self, key: str) -> Outcome:
        """The newest outcome of a key.

        Raises:
            KeyError: if there is none.
        """
        _, start, length = self._places[key]
        with self.path.open("rb") as file:
            file.seek(start)
            row = parse_json(file.read(length).decode())
        return Outcome(key, row["rows"], row["lost"], row["error"])

    def append(self, outcome: Outcome, digest: str) -> None:
        """Adds an outcome that stays, whatever happens next."""
        values = {"key": outcome.key, "digest": digest, "rows": outcome.rows, "lost": outcome.lost}
        line = (json_text(values | {"error": outcome.error}) + "\n").encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            if file.tell() != self._end:
                file.truncate(self._end)  # of a process that was killed
            file.seek(self._end)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._places[outcome.key] = (digest, self._end, len(line))
        self._end += len(line)


@dataclass(frozen=True)
class StageReport:
    """What a run of a stage came to."""

    name: str
    items: int
    done_before: int
    failed: int
    rows: int
    lost: Mapping[str, int]


Engine = Callable[[Stage, Sequence[Item]], Iterator[Outcome]]
"""Does items, in any order, and yields each outcome when it is there."""


def log_folder(stage: Stage) -> Path:
    """The folder of all stages' logs."""
    return stage.settings.folder / "log"


def log_of(stage: Stage) -> Log:
    """The log of a stage's outcomes."""
    return Log(log_folder(stage) / f"{stage.name}.jsonl")


def failures_path(output: Path) -> Path:
    """Where the failures of a stage are: beside its output."""
    return output.with_name(f"{output.stem}.failures.jsonl")


def digest_of(stage: Stage, item: Item) -> str:
    """A short name for all that an item's outcome depends on."""
    text = json.dumps([stage.depends_on, item.key, item.content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_stage(stage: Stage, engine: Engine) -> StageReport:
    """Does what is left of a stage, and writes its output files whole.

    An item whose outcome is known, from the same input and settings, is not done again; one that failed only with
    `retry_failures`. The output files hold the rows of all items in their order, so they are the same however often
    the stage was stopped and whoever did the work.

    Raises:
        AnnotationError: if an input is missing or cannot be read.
        ConfigError: if a library that the stage needs is not installed.
        InUseError: if another process works on the same folder.
    """
    for module in stage.needs:
        if find_spec(module) is None:
            raise ConfigError(f"stage {stage.name} needs {module}: pip install 'hawkeye-video[internvid]'")
    items = stage.items()
    if not items:
        raise AnnotationError(f"stage {stage.name}: there is nothing to do; has the stage before it found anything?")
    digests = {item.key: digest_of(stage, item) for item in items}
    with locked(log_folder(stage)):
        log = log_of(stage)
        left = [item for item in items if _is_left(log, item.key, digests[item.key], stage.settings.retry_failures)]
        with tqdm(total=len(items), initial=len(items) - len(left), desc=stage.name, unit="video") as progress:
            if left:
                for outcome in engine(stage, left):
                    log.append(outcome, digests[outcome.key])
                    progress.update()
        return _write_outputs(stage, items, log, len(items) - len(left))


def _is_left(log: Log, key: str, digest: str, retry_failures: bool) -> bool:
    if log.digest(key) != digest:
        return True
    return retry_failures and log.outcome(key).error is not None


def _write_outputs(stage: Stage, items: Sequence[Item], log: Log, done_before: int) -> StageReport:
    counts: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    failures: list[Row] = []
    paths = [stage.settings.path(output) for output in stage.outputs]
    for number, path in enumerate(paths):
        with written_whole(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
            for item in items:
                outcome = log.outcome(item.key)
                if outcome.error is None:
                    file.writelines(json_text(row) + "\n" for row in outcome.rows[number])
                if number == 0:
                    counts["rows"] += len(outcome.rows[0]) if outcome.error is None else 0
                    lost.update(outcome.lost)
                    if outcome.error is not None:
                        failures.append({"video_fname": item.key, "error": outcome.error})
    failed = failures_path(paths[0])
    if failures:
        with written_whole(failed) as unfinished:
            unfinished.write_text("".join(json_text(row) + "\n" for row in failures), encoding="utf-8")
    else:
        remove(failed)
    return StageReport(stage.name, len(items), done_before, len(failures), counts["rows"], dict(lost))


def attempt(worker: Worker, item: Item) -> Outcome:
    """Does one item; what goes wrong, numbers that are not finite among it, becomes the outcome's error.

    One video in millions must not end the run, and what the libraries that read it raise is not known beforehand.
    """
    try:
        outcome = worker(item)
        json_text(outcome.rows)
        return outcome
    except Exception as error:
        told = " ".join(str(error).split())
        is_ours = isinstance(error, (ValueError, OSError))  # VideoError and AnnotationError among them
        return Outcome(item.key, error=told if is_ours else f"{item.key}: {type(error).__name__}: {told}")


def died(item: Item) -> Outcome:
    """The outcome of an item that brought down the process that did it."""
    return Outcome(item.key, error=f"{item.key}: the process that worked on it died")

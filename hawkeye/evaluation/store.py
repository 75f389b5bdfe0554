"""Predictions on disk while a run goes on: every process appends its own lines, and none is lost when it is killed."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hawkeye.annotations import AnnotationError, read_json
from hawkeye.config import ConfigError, differences
from hawkeye.evaluation.predictions import Row
from hawkeye.files import json_text, remove, write_text
from hawkeye.parsing import ParseError, parse_json

Key = tuple[str, str, str]
"""Task, video and id: what tells one line from all others."""


def key_of(row: Row) -> Key:
    """The example that a line is about."""
    return row["task"], row["video_fname"], row["id"]


class PredictionStore:
    """The predictions of one evaluation, which may be run in several goes and by several processes.

    `run.json` says what is evaluated; predictions of anything else are refused. Lines gather in `predictions.partial/`,
    one file per process and go, and become `predictions.jsonl`, in the annotations' order, when all are there.

    Args:
        directory: the run's output directory.
    """

    def __init__(self, directory: Path) -> None:
        self.final = directory / "predictions.jsonl"
        self.results = directory / "results.json"
        self._identity = directory / "run.json"
        self._partial = directory / "predictions.partial"
        self._own: Path | None = None

    def check(self, identity: dict[str, Any]) -> None:
        """Refuses to mix predictions of two evaluations.

        Args:
            identity: all that predictions depend on, in JSON's types.

        Raises:
            ConfigError: if the directory holds predictions of another evaluation.
        """
        way_out = "choose another output_dir, or start anew with restart=true"
        if self._identity.exists():
            try:
                known = read_json(self._identity, dict)
            except AnnotationError as error:
                raise ConfigError(f"{error}: {way_out}") from None
            if changed := differences(known, identity):
                raise ConfigError(
                    f"{self.final.parent}: holds predictions of another evaluation ({'; '.join(changed)}): {way_out}"
                )
        elif self.final.exists():
            raise ConfigError(f"{self.final}: nothing says of which evaluation these predictions are: {way_out}")

    def open(self, identity: dict[str, Any], *, restart: bool = False) -> None:
        """Begins a go of an evaluation, or forgets all earlier ones; one process calls it, before any appends."""
        if restart:
            for path in (self.results, self.final, self._partial, self._identity):
                remove(path)
        write_text(self._identity, json_text(identity, indent=2) + "\n")
        self._partial.mkdir(exist_ok=True)

    def read(self) -> dict[Key, Row]:
        """All predictions there are, without those that failed: they are tried again."""
        return {key_of(row): row for row in self._rows() if "error" not in row}

    def append(self, rows: Iterable[Row]) -> None:
        """Adds lines that stay, whatever happens next."""
        if self._own is None:
            number = 0
            while (path := self._partial / f"{platform.node()}-{os.getpid()}-{number}.jsonl").exists():
                number += 1
            self._own = path
        with self._own.open("a", encoding="utf-8") as file:
            file.write("".join(json_text(row) + "\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())

    def finish(self, order: Sequence[Key]) -> list[Row]:
        """Writes `predictions.jsonl` whole, in the given order, with the failed ones; one process calls it, last.

        Raises:
            RuntimeError: if a prediction is missing.
        """
        failed = {key_of(row): row for row in self._rows() if "error" in row}
        rows = failed | self.read()
        if missing := [key for key in order if key not in rows]:
            raise RuntimeError(f"{len(missing)} of {len(order)} predictions are missing, such as that of {missing[0]}")
        ordered = [rows[key] for key in order]
        write_text(self.final, "".join(json_text(row) + "\n" for row in ordered))
        remove(self._partial)
        return ordered

    def _rows(self) -> Iterator[Row]:
        """Every whole line; one that a killed process has not finished is none."""
        for path in (self.final, *sorted(self._partial.glob("*.jsonl"))):
            if path.exists():
                *lines, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
                for number, line in enumerate(lines, start=1):
                    yield self._row(line, f"{path} line {number}")

    def _row(self, line: str, location: str) -> Row:
        try:
            row: Row = parse_json(line)
            if not all(isinstance(part, str) for part in key_of(row)):
                raise TypeError(f"its key is {key_of(row)!r}")
        except (ParseError, KeyError, TypeError) as error:
            raise AnnotationError(f"{location}: is no prediction ({error}); start anew with restart=true") from None
        return row

"""Tables of comma-separated values, as benchmarks publish them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from hawkeye.annotations import AnnotationError


def read_csv(path: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """The rows of a table, each with its place (file and line, the header's being 1) and with all its fields.

    Args:
        columns: those that every row must fill.

    Raises:
        AnnotationError: if the file cannot be read, or the header lacks a column, or a row does.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise AnnotationError(f"{path}: has no column {missing[0]!r} (has {list(reader.fieldnames or ())})")
            rows = [(f"{path} line {reader.line_num}", row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError(f"{path}: cannot be read ({error})") from None
    return rows


def filled(row: dict[str, str], column: str, place: str) -> str:
    """A field that must not be empty.

    Raises:
        AnnotationError: if it is.
    """
    value = row.get(column)
    if value is None or not value.strip():
        raise AnnotationError(f"{place}: {column!r} is empty")
    return value

"""Tables of comma-separated values, as benchmarks publish them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from hawkeye.annotations import AnnotationError

NO_OTHER_NAMES: Mapping[str, str] = MappingProxyType({})
OTHER_NAMES: Mapping[str, str] = MappingProxyType({"video_id": "video"})
"""NExT-GQA's name of a column, and NExT-QA's."""


def read_csv(
    path: Path, columns: Sequence[str], other_names: Mapping[str, str] = NO_OTHER_NAMES
) -> list[tuple[str, dict[str, str]]]:
    """The rows of a table, each with its place (file and line, the header's being 1) and with all its fields.

    A byte-order mark and blanks around the names in the header are not part of a name.

    Args:
        columns: those that every row must fill.
        other_names: what a file may call a column in place of the name in `columns`, as {other: name}.

    Raises:
        AnnotationError: if the file cannot be read, or the header lacks a column, or a row does.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = [other_names.get(name, name) for name in header]
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

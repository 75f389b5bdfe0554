"""Reading annotation files: JSON, rows and their fields, checked; what is wrong names file, row and value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hawkeye.parsing import ParseError, check_value, parse_json, read_text
from hawkeye.temporal import Span

Parsed = TypeVar("Parsed")
WAY_OUT = "(skip_bad_rows=true leaves such rows out)"
EARLY_SECONDS = 0.5
"""A start this little before 0 is taken as 0: 36 of NExT-GQA's test questions start at -0.1 or -0.2 seconds."""


class AnnotationError(ValueError):
    """An annotation file or row that cannot be used; the message names file, row and value."""


def parse_rows(
    path: Path, rows: Sequence[Any], parse: Callable[[Any, str], Parsed], skipped: list[str] | None = None
) -> list[Parsed]:
    """What `parse` makes of each row of a file and its place.

    Args:
        skipped: where given, bad rows are left out, and what is wrong with each is added here.

    Raises:
        AnnotationError: at the first bad row, or where none is good.
    """
    if not rows:
        raise AnnotationError(f"{path}: the list is empty")
    parsed, problems = list[Parsed](), list[str]()
    for index, row in enumerate(rows):
        try:
            parsed.append(parse_row(row, f"{path} row {index}", parse))
        except AnnotationError as error:
            if skipped is None:
                raise AnnotationError(f"{error} {WAY_OUT}") from None
            problems.append(str(error))
    if not parsed:
        raise AnnotationError(f"{path}: no row is good: {problems[0]}")
    if skipped is not None:
        skipped += problems
    return parsed


def parse_row(row: Any, location: str, parse: Callable[[Any, str], Parsed]) -> Parsed:
    """What `parse` makes of a row and its location.

    Raises:
        AnnotationError: naming the row, whatever is wrong with it.
    """
    with reading(location):
        try:
            check_value(row)
        except ParseError as error:
            raise AnnotationError(f"{location}: {error}") from None
        return parse(row, location)


def read_json_list(path: Path) -> list[Any]:
    """A JSON file that holds a list.

    Raises:
        AnnotationError: as `read_json` does.
    """
    return read_json(path, list)


def read_json(path: Path, kind: type[Parsed]) -> Parsed:
    """A JSON file that holds a `kind`.

    Raises:
        AnnotationError: if the file is missing, is not JSON or holds something else.
    """
    try:
        content = parse_json(_text_of(path))
        if not isinstance(content, list):  # of a list each row is checked by itself
            check_value(content)
    except ParseError as error:
        raise AnnotationError(f"{path}: {error}") from None
    if not isinstance(content, kind):
        raise AnnotationError(f"{path}: must hold a {kind.__name__}, not a {type(content).__name__}")
    return content


def _text_of(path: Path) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such file") from None
    except ParseError as error:
        raise AnnotationError(f"{path}: {error}") from None


@contextmanager
def reading(location: str) -> Iterator[None]:
    """Whatever goes wrong in reading a row, of a type that nobody thought of too, is an error that names the row.

    Raises:
        AnnotationError: in place of what a wrong type or value raises.
    """
    try:
        yield
    except AnnotationError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise AnnotationError(f"{location}: cannot be read ({type(error).__name__}: {error})") from None


def read_json_lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a file with one a line, each with its place (file and line, from 1); empty lines are left out.

    Raises:
        AnnotationError: if the file is missing, or naming the line that holds no JSON object.
    """
    rows = []
    for number, line in enumerate(_text_of(path).split("\n"), start=1):
        place = f"{path} line {number}"
        try:
            row = parse_json(line) if line.strip() else None
            check_value(row)
        except ParseError as error:
            raise AnnotationError(f"{place}: {error}") from None
        if row is not None:
            if not isinstance(row, dict):
                raise AnnotationError(f"{place}: must be a mapping, not {row!r}")
            rows.append((place, row))
    return rows


def required(row: Mapping[str, Any], key: str, kind: type | tuple[type, ...], place: str) -> Any:
    """`row[key]`, checked.

    Raises:
        AnnotationError: if it is missing or not a `kind`.
    """
    if key not in row:
        raise AnnotationError(f"{place}: {key!r} is missing (has {sorted(row)})")
    if not isinstance(row[key], kind):
        kinds = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        raise AnnotationError(f"{place}: {key!r} must be {kinds}, not {row[key]!r}")
    return row[key]


def finite(row: Mapping[str, Any], key: str, place: str) -> float:
    """`row[key]`, a finite number.

    Raises:
        AnnotationError: if it is missing or anything else.
    """
    value = required(row, key, (int, float), place)
    if isinstance(value, bool) or not math.isfinite(value):
        raise AnnotationError(f"{place}: {key!r} must be a finite number, not {value!r}")
    return float(value)


def read_span(row: Mapping[str, Any], start_key: str, end_key: str, place: str) -> Span:
    """Two fields in seconds as a span; a start up to `EARLY_SECONDS` before 0 is taken as 0.

    Raises:
        AnnotationError: if one is missing, no number, negative or not finite, or the start lies after the end.
    """
    start = row.get(start_key)
    if isinstance(start, int | float) and -EARLY_SECONDS <= start < 0:
        row = {**row, start_key: 0.0}
    times = []
    for key in (start_key, end_key):
        value = row.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise AnnotationError(f"{place}: {key!r} must be a time in seconds, not {value!r}")
        times.append(float(value) + 0.0)  # -0.0, of which NExT-GQA's files have many, becomes 0.0
    if times[0] > times[1]:
        raise AnnotationError(f"{place}: {start_key!r} {times[0]} lies after {end_key!r} {times[1]}")
    return Span(*times)


def read_window(row: Mapping[str, Any], place: str) -> Span | None:
    """The part of the video from a row's `start` to its `end`; None where it has neither, or both are null.

    Raises:
        AnnotationError: as `read_span` does; also if one is given without the other.
    """
    if row.get("start") is None and row.get("end") is None:
        return None
    return read_span(row, "start", "end", place)


def read_duration(row: Mapping[str, Any], place: str) -> float | None:
    """A row's `duration` in seconds; None where it has none, or null.

    Raises:
        AnnotationError: if it is no positive number.
    """
    if row.get("duration") is None:
        return None
    seconds = read_span({"start": 0.0, "duration": row["duration"]}, "start", "duration", place).end
    if seconds == 0:
        raise AnnotationError(f"{place}: 'duration' must be a time in seconds, not {row['duration']!r}")
    return seconds

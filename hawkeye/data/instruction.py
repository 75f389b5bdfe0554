"""HawkEye-IT instruction files: rows, checked when read, and the questions they ask about a window."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hawkeye.prompts import Turn
from hawkeye.temporal import Choice, Span

Parsed = TypeVar("Parsed")
WAY_OUT = "(skip_bad_rows=true leaves such rows out)"


class AnnotationError(ValueError):
    """An annotation file or row that cannot be used; the message names file, row and value."""


@dataclass(frozen=True)
class Record:
    """One row of an instruction file.

    A plain row has `turns`. A row about a segment has, for each choice, the turn that is right when the window shows
    the segment in that part.
    """

    place: str
    """File and row, for messages."""
    video: str | None
    text: str | None
    """Words that stand in the visual tokens' place, for rows without a video."""
    turns: tuple[Turn, ...] = ()
    shown: Span | None = None
    """The part of the video that is shown; the whole video where None."""
    segment: Span | None = None
    context: Span | None = None
    turn_by_choice: Mapping[Choice, Turn] | None = None


def read_records(
    path: Path, check: Callable[[Record], object] = lambda _: None, skipped: list[str] | None = None
) -> list[Record]:
    """Reads and checks an instruction file.

    Args:
        check: refuses what else is wrong with a record, by an AnnotationError.
        skipped: as `parse_rows` has it.

    Raises:
        AnnotationError: naming the file, the row (from 0) and the value that is wrong.
    """

    def parse(row: Any, place: str) -> Record:
        record = _record(row, place)
        check(record)
        return record

    return parse_rows(path, read_json_list(path), parse, skipped)


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
            parsed.append(parse(row, f"{path} row {index}"))
        except AnnotationError as error:
            if skipped is None:
                raise AnnotationError(f"{error} {WAY_OUT}") from None
            problems.append(str(error))
    if not parsed:
        raise AnnotationError(f"{path}: no row is good: {problems[0]}")
    if skipped is not None:
        skipped += problems
    return parsed


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
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such annotation file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: cannot be read ({error})") from None
    except json.JSONDecodeError as error:
        raise AnnotationError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, kind):
        raise AnnotationError(f"{path}: must hold a {kind.__name__}, not a {type(content).__name__}")
    return content


def read_json_lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a file with one a line, each with its place (file and line, from 1); empty lines are left out.

    Raises:
        AnnotationError: if the file is missing, or naming the line that holds no JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise AnnotationError(f"{path}: no such annotation file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: cannot be read ({error})") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        place = f"{path} line {number}"
        try:
            row = json.loads(line) if line.strip() else None
        except json.JSONDecodeError as error:
            raise AnnotationError(f"{place}: not valid JSON ({error})") from None
        if row is not None:
            if not isinstance(row, dict):
                raise AnnotationError(f"{place}: must be a mapping, not {row!r}")
            rows.append((place, row))
    return rows


def _record(row: Any, place: str) -> Record:
    if not isinstance(row, dict):
        raise AnnotationError(f"{place}: must be a mapping, not {row!r}")
    items = required(row, "QA", list, place)
    if not items or not all(isinstance(item, dict) for item in items):
        raise AnnotationError(f"{place}: 'QA' must be a non-empty list of mappings, not {items!r}")
    if ("video" in row) == ("text" in row):
        raise AnnotationError(f"{place}: needs either 'video' or 'text'")
    video = required(row, "video", str, place) if "video" in row else None
    text = required(row, "text", str, place) if "text" in row else None
    if "start_sec" in items[0]:
        if len(items) > 1:
            raise AnnotationError(f"{place}: a row about a segment holds one question, not {len(items)}")
        return _segment_record(items[0], place, video)
    turns = tuple(_plain_turn(item, place) for item in items)
    shown = read_span(row, "start", "end", place) if "start" in row or "end" in row else None
    return Record(place, video, text, turns=turns, shown=shown)


def _plain_turn(item: dict[str, Any], place: str) -> Turn:
    question, answer = required(item, "q", str, place), required(item, "a", str, place)
    if not answer.strip():
        raise AnnotationError(f"{place}: the answer is empty")
    return Turn(question, answer, required({"i": "", **item}, "i", str, place))


def _segment_record(item: dict[str, Any], place: str, video: str | None) -> Record:
    segment = read_span(item, "start_sec", "end_sec", place)
    context = read_span(item, "neg_start_sec", "neg_end_sec", place)
    if segment.duration <= 0:
        raise AnnotationError(f"{place}: the segment [{segment.start}, {segment.end}] is empty")
    if not context.contains(segment):
        raise AnnotationError(
            f"{place}: the segment [{segment.start}, {segment.end}] reaches beyond its context "
            f"[{context.start}, {context.end}]"
        )
    instruction = required({"i": "", **item}, "i", str, place)
    questions, answers = _by_choice(item, "q", place), _by_choice(item, "a", place)
    turns = {choice: Turn(questions[choice], answers[choice], instruction) for choice in Choice}
    return Record(place, video, None, segment=segment, context=context, turn_by_choice=turns)


def _by_choice(item: dict[str, Any], key: str, place: str) -> dict[Choice, str]:
    """A text for each choice, from one text or from `[label, text]` pairs."""
    value = item.get(key)
    if isinstance(value, str):
        return dict.fromkeys(Choice, value)
    labels = sorted(choice.value for choice in Choice)
    try:
        texts = {Choice(label): str(text) for label, text in value}  # type: ignore[union-attr]  # checked below
    except (TypeError, ValueError):
        texts = {}
    if len(texts) != len(labels):
        raise AnnotationError(
            f"{place}: {key!r} must be a text or a [label, text] pair for each of {labels}: {value!r}"
        )
    return texts


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


def read_span(row: Mapping[str, Any], start_key: str, end_key: str, place: str) -> Span:
    """Two fields in seconds as a span.

    Raises:
        AnnotationError: if one is missing, no number, negative or not finite, or the start lies after the end.
    """
    times = []
    for key in (start_key, end_key):
        value = row.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise AnnotationError(f"{place}: {key!r} must be a time in seconds, not {value!r}")
        times.append(float(value))
    if times[0] > times[1]:
        raise AnnotationError(f"{place}: {start_key!r} {times[0]} lies after {end_key!r} {times[1]}")
    return Span(*times)

"""HawkEye-IT instruction files: rows, checked when read, and the questions they ask about a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawkeye.annotations import AnnotationError, parse_rows, read_json_list, read_span, required
from hawkeye.prompts import Turn
from hawkeye.temporal import Choice, Span

ROUNDING_SECONDS = 1e-6
"""So far a segment may reach beyond its context: published files have 1e-14 of it, from adding and subtracting."""


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
    segment = _without_overhang(segment, context)
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


def _without_overhang(segment: Span, context: Span) -> Span:
    """The segment, less what rounding lets it reach beyond its context."""
    start, end = max(segment.start, context.start), min(segment.end, context.end)
    if max(start - segment.start, segment.end - end) > ROUNDING_SECONDS or start > end:
        return segment
    return Span(start, end)


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

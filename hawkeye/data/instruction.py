"""HawkEye-IT instruction files: rows, checked when read, and the questions they ask about a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawkeye.annotations import (
    AnnotationError,
    parse_rows,
    read_duration,
    read_json_list,
    read_span,
    read_window,
    required,
)
from hawkeye.data.llava import from_conversations
from hawkeye.prompts import Turn
from hawkeye.temporal import Choice, Span

ROUNDING_SECONDS = 0.1
"""Published annotations round: a segment may end so much after its video, and is cut to it without a word."""
OVERHANG_SECONDS = 2.0
"""A segment may reach so far beyond its context, if more than half of it is inside, and is cut to it. Charades-STA's
end up to 1.54 s after their videos, ActivityNet-Captions' by rounding alone: neither is cut by the original's
converters."""


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
    duration: float | None = None
    """Seconds that the annotations give the whole video, to be compared with the file's; None where they do not."""


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
    if "conversations" in row and "QA" not in row:
        row = from_conversations(row, place)
    row = _given(row)
    items = required(row, "QA", list, place)
    if not items or not all(isinstance(item, dict) for item in items):
        raise AnnotationError(f"{place}: 'QA' must be a non-empty list of mappings, not {items!r}")
    items = [_given(item) for item in items]
    if ("video" in row) == ("text" in row):
        raise AnnotationError(f"{place}: needs either 'video' or 'text'")
    video = required(row, "video", str, place) if "video" in row else None
    text = required(row, "text", str, place) if "text" in row else None
    if "start_sec" in items[0]:
        if len(items) > 1:
            raise AnnotationError(f"{place}: a row about a segment holds one question, not {len(items)}")
        return _segment_record(items[0], place, video, read_duration(row, place))
    turns = tuple(_plain_turn(item, place) for item in items)
    return Record(place, video, text, turns=turns, shown=read_window(row, place), duration=read_duration(row, place))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are not null: nothing is given there."""
    return {name: value for name, value in fields.items() if value is not None}


def _plain_turn(item: dict[str, Any], place: str) -> Turn:
    question, answer = required(item, "q", str, place), required(item, "a", str, place)
    if not answer.strip():
        raise AnnotationError(f"{place}: the answer is empty")
    return Turn(question, answer, required({"i": "", **item}, "i", str, place))


def _segment_record(item: dict[str, Any], place: str, video: str | None, duration: float | None) -> Record:
    segment = read_span(item, "start_sec", "end_sec", place)
    if duration is not None and not {"neg_start_sec", "neg_end_sec"} & item.keys():
        context = Span(0.0, duration)  # all of the video
    else:
        context = read_span(item, "neg_start_sec", "neg_end_sec", place)
    segment = within(segment, context, place)
    instruction = required({"i": "", **item}, "i", str, place)
    questions, answers = _by_choice(item, "q", place), _by_choice(item, "a", place)
    turns = {choice: Turn(questions[choice], answers[choice], instruction) for choice in Choice}
    return Record(place, video, None, segment=segment, context=context, turn_by_choice=turns, duration=duration)


def within(segment: Span, context: Span, place: str) -> Span:
    """A segment cut to its context, where it reaches at most `OVERHANG_SECONDS` beyond it and lies mostly inside.

    Raises:
        AnnotationError: if it is empty, or reaches farther.
    """
    start, end = max(segment.start, context.start), min(segment.end, context.end)
    overhang = max(context.start - segment.start, segment.end - context.end)
    if overhang > OVERHANG_SECONDS or end - start <= segment.duration / 2:
        raise AnnotationError(
            f"{place}: the segment [{segment.start}, {segment.end}] is empty or reaches beyond its context "
            f"[{context.start}, {context.end}]"
        )
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

"""Rows about a segment: which window around it is shown, and what is said of the segment there."""

from __future__ import annotations

import numpy as np

from hawkeye.annotations import AnnotationError
from hawkeye.config import SourceSettings
from hawkeye.data.instruction import Record
from hawkeye.prompts import CHOICE_SENTENCES, Turn
from hawkeye.temporal import (
    Span,
    best_choice,
    frame_range,
    sample_path_window,
    sample_span_window,
    sample_window,
)


def draw_window(record: Record, settings: SourceSettings, rng: np.random.Generator, num_frames: int) -> Span | None:
    """The part of the video to show for a record, in seconds; None is the whole video."""
    segment, context = record.segment, record.context
    if segment is None or context is None:
        return record.shown
    if settings.represent == "caption":
        return segment
    if settings.represent in ("seconds", "frames"):
        return sample_span_window(segment, context, rng, num_frames=num_frames)
    if settings.windows == "path":
        return sample_path_window(segment, context, rng)[0]
    return sample_window(segment, context, rng, num_frames=num_frames)[0]


def turns_about(
    record: Record, settings: SourceSettings, window: Span, rng: np.random.Generator, num_frames: int
) -> tuple[Turn, ...]:
    """The record's questions and answers for a window that was drawn for it."""
    segment = record.segment
    if record.turn_by_choice is None or segment is None:
        return record.turns
    choice = best_choice(window, segment)
    turn = record.turn_by_choice[choice]
    match settings.represent:
        case "choice" | "caption":
            return (turn,)
        case "timed_caption":
            when, what = CHOICE_SENTENCES[choice].rstrip(".").lower(), turn.answer.lower().rstrip(".")
            return (Turn("", f"{when} {what}" if rng.random() < 0.5 else f"{what} {when}", is_plain=True),)
        case "seconds":
            length = window.end - window.start
            times = [min(max(second - window.start, 0.0), length) for second in (segment.start, segment.end)]
            return (_filled(turn, (times[0], times[1])),)
        case "frames":
            return (_filled(turn, frame_range(window, segment, num_frames)),)


def turns_in(
    record: Record, settings: SourceSettings, window: Span, duration: float, rng: np.random.Generator, num_frames: int
) -> tuple[Turn, ...] | None:
    """The same for a window drawn for another record; None where this record's answer would not be right in it.

    Plain rows must show the same part of the video; a segment must be at least half within the window.
    """
    if record.segment is None:
        return record.turns if (record.shown or Span(0.0, duration)) == window else None
    if settings.represent == "caption":
        return None  # it describes all that its own window shows
    visible = min(window.end, record.segment.end) - max(window.start, record.segment.start)
    if visible < record.segment.duration / 2:
        return None
    return turns_about(record, settings, window, rng, num_frames)


def _filled(turn: Turn, numbers: tuple[float, float]) -> Turn:
    """The turn with the numbers in its template, which is the answer or, for captions of a span, the question."""
    if _takes_two_numbers(turn.answer):
        return Turn(turn.question, turn.answer % numbers, turn.instruction)
    return Turn(turn.question % numbers, turn.answer, turn.instruction)


def check_templates(record: Record, settings: SourceSettings) -> None:
    """Refuses a row about a segment that has no place for the numbers that its source is to say.

    Raises:
        AnnotationError: naming the row.
    """
    if settings.represent not in ("seconds", "frames") or record.turn_by_choice is None:
        return
    turn = next(iter(record.turn_by_choice.values()))
    if not (_takes_two_numbers(turn.answer) or _takes_two_numbers(turn.question)):
        raise AnnotationError(
            f"{record.place}: neither answer nor question has two places for {settings.represent}, "
            f"such as 'From second %.1f to second %.1f.': {turn.answer!r}"
        )


def _takes_two_numbers(text: str) -> bool:
    try:
        return text % (1.0, 2.0) != text
    except (TypeError, ValueError):
        return False

"""Rows about a segment: which window around it is shown, and what is said of the segment there."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from hawkeye.annotations import AnnotationError
from hawkeye.config import SourceSettings
from hawkeye.data.instruction import Record
from hawkeye.prompts import CHOICE_SENTENCES, Turn
from hawkeye.temporal import (
    Choice,
    Span,
    best_choice,
    frame_range,
    sample_path_window,
    sample_span_window,
    sample_window,
)


def draw_window(
    record: Record, settings: SourceSettings, rng: np.random.Generator, num_frames: int
) -> tuple[Span | None, Choice | None]:
    """The part of the video to show for a record, in seconds, and the choice that it was drawn for.

    The part is None for the whole video; the choice is None where none was drawn, or where the source's labels are
    others than those drawn.
    """
    segment, context = record.segment, record.context
    if segment is None or context is None:
        return record.shown, None
    if settings.represent == "caption":
        return segment, None
    if settings.represent in ("seconds", "frames"):
        return sample_span_window(segment, context, rng, num_frames=num_frames), None
    if settings.windows == "path":
        return sample_path_window(segment, context, rng)
    window, choice = sample_window(segment, context, rng, num_frames=num_frames)
    return window, choice if settings.labels == "drawn" else None


def turns_about(
    record: Record,
    settings: SourceSettings,
    window: Span,
    rng: np.random.Generator,
    num_frames: int,
    drawn: Choice | None = None,
) -> tuple[Turn, ...]:
    """The record's questions and answers for a window; `drawn` is the choice that the window was drawn for, if any."""
    segment = record.segment
    if record.turn_by_choice is None or segment is None:
        return plain_turns(record, settings, rng)
    choice = drawn or best_choice(window, segment)
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


def plain_turns(record: Record, settings: SourceSettings, rng: np.random.Generator) -> tuple[Turn, ...]:
    """The turns of a row that is not about a segment; several in a random order, unless the source keeps theirs.

    Whichever comes first carries the row's instruction. Parity: the original takes the first one's own, and so loses
    the instruction where the file gives it to the row's first turn alone.
    """
    if len(record.turns) == 1 or not settings.shuffle_turns:
        return record.turns
    first, *rest = (record.turns[index] for index in rng.permutation(len(record.turns)))
    instruction = next((turn.instruction for turn in (first, *record.turns) if turn.instruction), "")
    return replace(first, instruction=instruction), *rest


def turns_in(
    record: Record, settings: SourceSettings, window: Span, duration: float, rng: np.random.Generator, num_frames: int
) -> tuple[Turn, ...] | None:
    """The same for a window drawn for another record; None where this record's answer would not be right in it.

    Plain rows must show the same part of the video; a segment must be at least half within the window.
    """
    if record.segment is None:
        return plain_turns(record, settings, rng) if (record.shown or Span(0.0, duration)) == window else None
    if settings.represent == "caption":
        return None  # it describes all that its own window shows
    visible = min(window.end, record.segment.end) - max(window.start, record.segment.start)
    if visible < record.segment.duration / 2:
        return None
    return turns_about(record, settings, window, rng, num_frames)


def _filled(turn: Turn, numbers: tuple[float, float]) -> Turn:
    """The turn with the numbers in its templates: the answer or, for captions of a span, the question, or both."""
    return replace(turn, question=_with_numbers(turn.question, numbers), answer=_with_numbers(turn.answer, numbers))


def check_templates(record: Record, settings: SourceSettings) -> None:
    """Refuses a row about a segment whose templates and whose source's `represent` do not go together.

    Numbers need a template to stand in; a template that gets none would be learned as it is written.

    Raises:
        AnnotationError: naming the row.
    """
    for turn in dict.fromkeys((record.turn_by_choice or {}).values()):
        texts = (turn.answer, turn.question)
        if settings.represent in ("seconds", "frames"):
            counts = [len(_NUMBER.findall(text)) for text in texts]
            if 2 not in counts or not {0, 2}.issuperset(counts):
                raise AnnotationError(
                    f"{record.place}: answer and question must have two places for {settings.represent} or none, one "
                    f"of them two, such as 'From second %.1f to second %.1f.': {turn.answer!r}, {turn.question!r}"
                )
            continue
        for text in texts:
            if len(_NUMBER.findall(text)) > 1:
                raise AnnotationError(
                    f"{record.place}: {text!r} is a template for two numbers, which represent "
                    f"{settings.represent!r} does not fill in: set the source's represent to seconds or frames"
                )


_NUMBER = re.compile(r"(?<![\d%])%[\d.]*[dfg]")
"""Where a number goes in a template; narrower than Python's own rule, to which "50% done" has one too."""


def _with_numbers(text: str, numbers: tuple[float, float]) -> str:
    """A template with its two numbers; any other text as it is."""
    if len(_NUMBER.findall(text)) != len(numbers):
        return text
    left = iter(numbers)
    return _NUMBER.sub(lambda match: match[0] % next(left), text).replace("%%", "%")

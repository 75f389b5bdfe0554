"""Benchmark examples: test annotations, read and checked before any model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hawkeye.annotations import AnnotationError, parse_rows, read_json_lines, read_json_list, read_span, required
from hawkeye.prompts import LETTERS
from hawkeye.temporal import Span

QVHIGHLIGHTS_NAMES = {"vid": "video", "query": "question", "relevant_windows": "answer"}
"""What QVHighlights (Lei et al., 2021) calls the fields of a row."""


@dataclass(frozen=True)
class Example:
    """A row of an annotation file."""

    place: str
    """File and row, for messages."""
    id: str
    """The row's `qid`, which one video's rows must not share; the file's name and row where there is none."""
    video: str

    @property
    def key(self) -> str:
        """Tells the example from all others of its file, wherever its row stands."""
        return f"{self.video}|{self.id}"


@dataclass(frozen=True)
class GroundingExample(Example):
    """A query to find in a video, and the spans where it happens."""

    query: str
    golds: tuple[Span, ...]
    """Empty in a test set that keeps them."""
    held_out: bool | None = None
    """Whether training never showed the combination of words, where the annotation says so."""


@dataclass(frozen=True)
class QAExample(Example):
    """A multiple-choice question; `answer` is the index of the right candidate, None in a test set that keeps it."""

    question: str
    candidates: tuple[str, ...]
    answer: int | None
    window: Span | None = None
    """The part of the video to show; all of it where None."""

    def is_right(self, index: int) -> bool | None:
        """Whether a candidate reads as the right one does, full stops aside; None where that is not told."""
        return None if self.answer is None else _bare(self.candidates[index]) == _bare(self.candidates[self.answer])


ExampleType = TypeVar("ExampleType", bound=Example)


def read_grounding_examples(path: Path, skipped: list[str] | None = None) -> list[GroundingExample]:
    """Reads a recursive-grounding annotation file: a JSON list, or with the ending .jsonl one object a line.

    A row's annotation is `answer` (or `span`): one `[start, end]` or several, in seconds; it may end after the video,
    as published ones do. Fields may have QVHighlights' names. Only rows that have them, or a file's lines, may lack
    the annotation, all or none: a server keeps those of QVHighlights' test set.

    Args:
        skipped: where given, a bad row is left out, and what is wrong with it is added here.

    Raises:
        AnnotationError: naming the file, the row (from 0) and the value that is wrong.
    """
    rows = [row for _, row in read_json_lines(path)] if path.suffix == ".jsonl" else read_json_list(path)
    renamed = [_renamed(row) for row in rows]
    may_lack = path.suffix == ".jsonl" or renamed != rows
    answered = not may_lack or any("answer" in row for row in renamed if isinstance(row, dict))
    return _read(path, renamed, partial(_grounding_example, answered=answered), skipped)


def _renamed(row: Any) -> Any:
    """A row with our names of its fields; what is no row is refused later."""
    if not isinstance(row, dict):
        return row
    ours = {name: other for name, other in QVHIGHLIGHTS_NAMES.items() if other not in row}
    return {ours.get(name, name): value for name, value in row.items()}


def read_qa_examples(path: Path, skipped: list[str] | None = None) -> list[QAExample]:
    """Reads a multiple-choice annotation file; answers are compared without full stops.

    Either all rows have an answer or none, as in test sets whose answers a server keeps. Of candidates that read the
    same, as some published rows have them, any is right where one is.

    Args, Raises: as `read_grounding_examples` has them.
    """
    examples = _read(path, read_json_list(path), _qa_example, skipped)
    for example in examples:
        if (example.answer is None) != (examples[0].answer is None):
            raise AnnotationError(f"{example.place}: 'answer' is in some rows and not in others")
    return examples


def _read(
    path: Path,
    rows: list[Any],
    parse: Callable[[dict[str, Any], str, str], ExampleType],
    skipped: list[str] | None,
) -> list[ExampleType]:
    places: dict[str, str] = {}

    def example_of(row: Any, place: str) -> ExampleType:
        if not isinstance(row, dict):
            raise AnnotationError(f"{place}: must be a mapping, not {row!r}")
        number = place.rpartition(" ")[2]
        example = parse(row, place, str(row.get("qid", f"{path.stem}-{number}")))
        if example.key in places:
            raise AnnotationError(f"{place}: 'qid' {example.id!r} is that of {places[example.key]} too")
        places[example.key] = place
        return example

    return parse_rows(path, rows, example_of, skipped)


def _text(row: dict[str, Any], key: str, place: str) -> str:
    text = str(required(row, key, str, place))
    if not text.strip():
        raise AnnotationError(f"{place}: {key!r} is empty")
    return text


def _grounding_example(row: dict[str, Any], place: str, example_id: str, *, answered: bool = True) -> GroundingExample:
    held_out = row.get("held_out")
    if not isinstance(held_out, bool | None):
        raise AnnotationError(f"{place}: 'held_out' must be true or false, not {held_out!r}")
    golds = _golds(row, place) if answered else ()
    return GroundingExample(
        place, example_id, _text(row, "video", place), _text(row, "question", place), golds, held_out
    )


def _golds(row: dict[str, Any], place: str) -> tuple[Span, ...]:
    # The published files say `answer`; the original's evaluation looks for `span`.
    key = "span" if "span" in row else "answer"
    value = required(row, key, list, place)
    several = value if value and isinstance(value[0], list) else [value]
    if not all(isinstance(span, list) and len(span) == 2 for span in several):
        raise AnnotationError(f"{place}: {key!r} must be [start, end] or a list of them, not {value!r}")
    golds = tuple(
        read_span({"start": start, "end": end}, "start", "end", f"{place}: {key!r}") for start, end in several
    )
    if "duration" in row:
        end = read_span({"start": 0.0, "duration": row["duration"]}, "start", "duration", place).end
        for gold in golds:
            if gold.start >= end:
                raise AnnotationError(f"{place}: {key!r} {value!r} begins after the video's {end} seconds")
    return golds


def _qa_example(row: dict[str, Any], place: str, example_id: str) -> QAExample:
    candidates = required(row, "candidates", list, place)
    if not all(isinstance(text, str) and text.strip() for text in candidates):
        raise AnnotationError(f"{place}: 'candidates' must be texts, none of them empty, not {candidates!r}")
    if not 2 <= len(candidates) <= len(LETTERS):
        raise AnnotationError(f"{place}: 'candidates' must be 2 to {len(LETTERS)}, not {len(candidates)}")
    answer = _answer(row, candidates, place) if "answer" in row else None
    window = read_span(row, "start", "end", place) if "start" in row or "end" in row else None
    if window is not None and window.duration == 0:
        raise AnnotationError(f"{place}: nothing is shown between 'start' {window.start} and 'end' {window.end}")
    return QAExample(
        place,
        example_id,
        _text(row, "video", place),
        _text(row, "question", place),
        tuple(candidates),
        answer,
        window,
    )


def _answer(row: dict[str, Any], candidates: list[str], place: str) -> int:
    answer = _text(row, "answer", place)
    matches = [index for index, text in enumerate(candidates) if _bare(text) == _bare(answer)]
    if not matches:
        raise AnnotationError(f"{place}: 'answer' {answer!r} is none of the candidates {candidates!r}")
    return matches[0]


def _bare(text: str) -> str:
    """As candidates and answers are compared: without full stops."""
    return text.replace(".", "").strip()

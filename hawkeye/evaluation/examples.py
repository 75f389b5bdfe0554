"""Benchmark examples: test annotations, read and checked before any model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hawkeye.annotations import (
    AnnotationError,
    parse_rows,
    read_duration,
    read_json_lines,
    read_json_list,
    read_span,
    read_window,
    required,
)
from hawkeye.prompts import LETTERS
from hawkeye.temporal import Span

QVHIGHLIGHTS_NAMES = {"vid": "video", "query": "question", "relevant_windows": "answer"}
"""What QVHighlights (Lei et al., 2021) calls the fields of a row."""
ANSWER_KEYS = ("span", "answer", "relevant_windows")
"""The published files say `answer`, or the last in QVHighlights; the original's evaluation looks for `span`."""


@dataclass(frozen=True)
class Example:
    """A row of an annotation file."""

    place: str
    """File and row, for messages."""
    id: str
    """The row's `qid`, which one video's rows must not share; the file's name and row where there is none."""
    video: str
    duration: float | None = field(default=None, kw_only=True, compare=False)
    """Seconds that the row gives the whole video, to be compared with the file's; None where it does not."""

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
    """The part of the video to show, one moment where it is empty, as two of TVQA's are; all of it where None."""

    def is_right(self, index: int) -> bool | None:
        """Whether a candidate reads as the right one does, a final full stop aside; None where that is not told."""
        return None if self.answer is None else _bare(self.candidates[index]) == _bare(self.candidates[self.answer])


ExampleType = TypeVar("ExampleType", bound=Example)


def read_grounding_examples(path: Path, skipped: list[str] | None = None) -> list[GroundingExample]:
    """Reads a recursive-grounding annotation file: a JSON list, or with the ending .jsonl one object a line.

    A row's annotation is `answer` (or `span`): one `[start, end]` or several, in seconds; it may end after the video
    and start a little before 0, as published ones do. Fields may have QVHighlights' names. Rows that have them, a
    file's lines, and rows that say null or an empty list may lack the annotation, all or none: test sets keep it.

    Args:
        skipped: where given, a bad row is left out, and what is wrong with it is added here.

    Raises:
        AnnotationError: naming the file, the row (from 0) and the value that is wrong.
    """
    raw = _raw_rows(path)
    rows = [row for row in raw if isinstance(row, dict)]
    answers = [row[key] for row in rows for key in ANSWER_KEYS if key in row]
    told = any(answer not in (None, []) for answer in answers)
    # In other files, rows without annotations are rows whose fields have other names.
    renamed = any(name in row for row in rows for name in QVHIGHLIGHTS_NAMES)
    may_lack = path.suffix == ".jsonl" or renamed or bool(answers)
    parse = partial(_grounding_example, answered=told or not may_lack)
    return _read(path, list(map(_plain, raw)), parse, skipped)


def _raw_rows(path: Path) -> list[Any]:
    return [row for _, row in read_json_lines(path)] if path.suffix == ".jsonl" else read_json_list(path)


def _plain(row: Any) -> Any:
    """A row with our names of its fields, without those that are null and empty annotations: nothing is told there.

    What is no row is refused later.
    """
    if not isinstance(row, dict):
        return row
    ours = {name: other for name, other in QVHIGHLIGHTS_NAMES.items() if other not in row}
    given = {ours.get(name, name): value for name, value in row.items() if value is not None}
    return {name: value for name, value in given.items() if name not in ANSWER_KEYS or value != []}


def read_qa_examples(path: Path, skipped: list[str] | None = None) -> list[QAExample]:
    """Reads a multiple-choice annotation file, a JSON list or (.jsonl) one row a line.

    Answers are compared without a full stop at the end.

    Either all rows have an answer or none, as in test sets whose answers a server keeps. Of candidates that read the
    same, as some published rows have them, any is right where one is.

    Args, Raises: as `read_grounding_examples` has them.
    """
    examples = _read(path, list(map(_plain, _raw_rows(path))), _qa_example, skipped)
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
    if answered and not any(key in row for key in ANSWER_KEYS):
        raise AnnotationError(f"{place}: 'answer' is missing, and other rows have it (this one has {sorted(row)})")
    golds = _golds(row, place) if answered else ()
    video, query = _text(row, "video", place), _text(row, "question", place)
    return GroundingExample(place, example_id, video, query, golds, held_out, duration=read_duration(row, place))


def _golds(row: dict[str, Any], place: str) -> tuple[Span, ...]:
    key = "span" if "span" in row else "answer"
    value = required(row, key, list, place)
    several = value if value and isinstance(value[0], list) else [value]
    if not all(isinstance(span, list) and len(span) == 2 for span in several):
        raise AnnotationError(f"{place}: {key!r} must be [start, end] or a list of them, not {value!r}")
    golds = tuple(
        read_span({"start": start, "end": end}, "start", "end", f"{place}: {key!r}") for start, end in several
    )
    end = read_duration(row, place)
    for gold in golds:
        if end is not None and gold.start >= end:
            raise AnnotationError(f"{place}: {key!r} {value!r} begins after the video's {end} seconds")
    return golds


def _qa_example(row: dict[str, Any], place: str, example_id: str) -> QAExample:
    candidates = required(row, "candidates", list, place)
    if not all(isinstance(text, str) and text.strip() for text in candidates):
        raise AnnotationError(f"{place}: 'candidates' must be texts, none of them empty, not {candidates!r}")
    if not 2 <= len(candidates) <= len(LETTERS):
        raise AnnotationError(f"{place}: 'candidates' must be 2 to {len(LETTERS)}, not {len(candidates)}")
    answer = _answer(row, candidates, place) if "answer" in row else None
    return QAExample(
        place,
        example_id,
        _text(row, "video", place),
        _text(row, "question", place),
        tuple(candidates),
        answer,
        read_window(row, place),
        duration=read_duration(row, place),
    )


def _answer(row: dict[str, Any], candidates: list[str], place: str) -> int:
    answer = _text(row, "answer", place)
    matches = [index for index, text in enumerate(candidates) if _bare(text) == _bare(answer)]
    if not matches:
        raise AnnotationError(f"{place}: 'answer' {answer!r} is none of the candidates {candidates!r}")
    return matches[0]


def _bare(text: str) -> str:
    """As candidates and answers are compared: without a full stop at the end, which some published rows lack."""
    return text.strip().removesuffix(".").rstrip()

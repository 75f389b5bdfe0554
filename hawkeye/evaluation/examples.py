"""Benchmark examples: test annotations, read and checked before any model is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawkeye.data.instruction import AnnotationError, read_json_list, read_span, required
from hawkeye.temporal import Span


@dataclass(frozen=True)
class GroundingExample:
    """A query to find in a video, and the spans where it happens."""

    id: str
    video: str
    query: str
    golds: tuple[Span, ...]
    held_out: bool | None = None
    """Whether training never showed the combination of words, where the annotation says so."""


@dataclass(frozen=True)
class QAExample:
    """A multiple-choice question; `answer` is the index of the right candidate."""

    id: str
    video: str
    question: str
    candidates: tuple[str, ...]
    answer: int
    window: Span | None = None


def read_grounding_examples(path: Path) -> list[GroundingExample]:
    """Reads a recursive-grounding annotation file.

    A row's annotation is `answer` (or `span`): one `[start, end]` or several, in seconds.

    Raises:
        AnnotationError: naming the file, the row (from 0) and the value that is wrong.
    """
    return _read(path, _grounding_example)


def read_qa_examples(path: Path) -> list[QAExample]:
    """Reads a multiple-choice annotation file; answers are compared without full stops.

    Raises:
        AnnotationError: naming the file, the row (from 0) and the value that is wrong.
    """
    return _read(path, _qa_example)


def _read(path: Path, parse: Any) -> list[Any]:
    rows = read_json_list(path)
    if not rows:
        raise AnnotationError(f"{path}: the list is empty")
    examples = []
    for index, row in enumerate(rows):
        place = f"{path} row {index}"
        if not isinstance(row, dict):
            raise AnnotationError(f"{place}: must be a mapping, not {row!r}")
        examples.append(parse(row, f"{path.stem}-{index}", place))
    repeated = [key for key, count in Counter(example.id for example in examples).items() if count > 1]
    if repeated:
        raise AnnotationError(f"{path}: id {repeated[0]!r} stands in more than one row")
    return examples


def _text(row: dict[str, Any], key: str, place: str) -> str:
    text = str(required(row, key, str, place))
    if not text.strip():
        raise AnnotationError(f"{place}: {key!r} is empty")
    return text


def _grounding_example(row: dict[str, Any], default_id: str, place: str) -> GroundingExample:
    key = "span" if "span" in row else "answer"
    spans = required(row, key, list, place)
    several = spans if spans and isinstance(spans[0], list) else [spans]
    golds = []
    for span in several:
        if not isinstance(span, list) or len(span) != 2:
            raise AnnotationError(f"{place}: {key!r} must be [start, end] or a list of them, not {spans!r}")
        golds.append(read_span({"start": span[0], "end": span[1]}, "start", "end", f"{place}: {key!r}"))
    duration = row.get("duration")
    if duration is not None:
        whole = read_span({"start": 0, "duration": duration}, "start", "duration", place)
        # Published annotations round: a tenth of a second beyond the end is no mistake.
        beyond = [gold for gold in golds if gold.end > whole.end + 0.1]
        if beyond:
            raise AnnotationError(
                f"{place}: {key!r} [{beyond[0].start}, {beyond[0].end}] reaches beyond the video's {whole.end} seconds"
            )
    return GroundingExample(
        str(row.get("qid", default_id)),
        _text(row, "video", place),
        _text(row, "question", place),
        tuple(golds),
        row.get("held_out"),
    )


def _qa_example(row: dict[str, Any], default_id: str, place: str) -> QAExample:
    candidates = required(row, "candidates", list, place)
    if len(candidates) < 2 or not all(isinstance(text, str) and text.strip() for text in candidates):
        raise AnnotationError(f"{place}: 'candidates' must be two or more texts, not {candidates!r}")
    answer = _text(row, "answer", place)
    bare = [text.replace(".", "").strip() for text in candidates]
    wanted = answer.replace(".", "").strip()
    if bare.count(wanted) != 1:
        raise AnnotationError(f"{place}: 'answer' {answer!r} must be one of the candidates {candidates!r}")
    window = read_span(row, "start", "end", place) if "start" in row or "end" in row else None
    return QAExample(
        str(row.get("qid", default_id)),
        _text(row, "video", place),
        _text(row, "question", place),
        tuple(candidates),
        bare.index(wanted),
        window,
    )


def missing_videos(names: Sequence[str], videos: Path) -> list[str]:
    """The names that are no file or folder in `videos`, each once."""
    return [name for name in dict.fromkeys(names) if not (videos / name).exists()]


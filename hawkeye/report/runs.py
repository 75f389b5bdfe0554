"""Finished runs, read again: those of `hawkeye evaluate`, and files in the original's output format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawkeye.annotations import AnnotationError, finite, read_json, read_json_lines, read_span, reading, required
from hawkeye.console import printable
from hawkeye.evaluation.settings import EvaluationSettings
from hawkeye.evaluation.tasks import Videos
from hawkeye.prompts import LETTERS, parse_letter
from hawkeye.temporal import Choice, Span, best_iou, walk, whole_window_choice

Key = tuple[str, str, int]
"""Video, text, and which of the rows with the same two: the same in every run and either format."""


@dataclass(frozen=True)
class FoundQuery:
    """One query of a run; after an error, or an answer that names no span, `span` is None and every IoU is 0."""

    key: Key
    task: str
    golds: tuple[Span, ...]
    duration: float | None
    span: Span | None
    ious: tuple[float, ...]
    """After each turn; one that stopped early keeps its span."""
    choices: tuple[Choice, ...]
    windows: tuple[Span, ...]
    """What each turn asked about."""
    confidence: float | None
    error: str | None

    @property
    def video(self) -> str:
        """The video's name in the annotations."""
        return self.key[0]

    @property
    def query(self) -> str:
        """What was looked for."""
        return self.key[1]

    @property
    def iou(self) -> float:
        """The IoU of the span that was named."""
        return self.ious[-1]

    @property
    def right_first_choice(self) -> Choice | None:
        """The right answer about the whole video; None where its length is not known."""
        return whole_window_choice(Span(0.0, self.duration), self.golds[0]) if self.duration and self.golds else None


@dataclass(frozen=True)
class AnsweredQuestion:
    """One multiple-choice question of a run: the letters chosen and right (None: failed, or not told)."""

    key: Key
    task: str
    chosen: str | None
    right: str | None
    confidence: float | None
    error: str | None

    @property
    def is_right(self) -> bool:
        """Whether the right letter was chosen."""
        return self.chosen is not None and self.chosen == self.right


@dataclass(frozen=True)
class Run:
    """A finished evaluation. `results` is its results.json, where it has one."""

    name: str
    path: Path
    queries: list[FoundQuery]
    questions: list[AnsweredQuestion]
    results: dict[str, Any] | None
    videos: dict[str, Videos]
    """Where the videos of each task of grounding are."""

    @property
    def judged(self) -> list[FoundQuery]:
        """The queries whose spans the annotations tell."""
        return [query for query in self.queries if query.golds]

    @property
    def max_turns(self) -> int:
        """The most questions asked about a query."""
        return max((len(query.ious) for query in self.queries), default=0)


def read_runs(paths: Sequence[Path], videos: Path | None = None) -> list[Run]:
    """Reads runs, each a directory that `hawkeye evaluate` wrote, or a JSONL file of either format.

    Args:
        videos: folder of the videos, where a run does not say it.

    Raises:
        AnnotationError: naming the file, and the line, that is missing or cannot be read.
    """
    names = _distinct_names(paths)
    return [_read_run(path, name, videos) for path, name in zip(paths, names)]


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """The end of each path, with as many folders above it as it takes to tell them apart.

    Names may hold what no chart or page can: bytes that are not UTF-8, control characters.
    """
    parts = [path.resolve().with_suffix("").parts for path in paths]
    depth = 1
    while len({each[-depth:] for each in parts}) < len(set(parts)):
        depth += 1
    return [printable("/".join(each[-depth:])) for each in parts]


def _read_run(path: Path, name: str, videos: Path | None) -> Run:
    results: dict[str, Any] | None = None
    settings: EvaluationSettings | None = None
    lines = path
    if path.is_dir():
        lines = path / "predictions.jsonl"
        if not lines.exists():
            raise AnnotationError(f"{path}: holds no predictions.jsonl; has 'hawkeye evaluate' come to its end there?")
        results = _read_results(path / "results.json")
        with reading(f"{path / 'results.json'}: 'settings'"):
            settings = EvaluationSettings.model_validate(results["settings"] | {"output_dir": path})
    queries: list[FoundQuery] = []
    questions: list[AnsweredQuestion] = []
    seen: Counter[tuple[str, str]] = Counter()
    in_numbers = settings is not None and settings.spans is not None
    for place, row in read_json_lines(lines):
        with reading(place):
            video = required(row, "video_fname", str, place)
            text = required({"question": "", **row}, "question", str, place)
            task = required({"task": row.get("task_type", lines.stem), **row}, "task", str, place)
            seen[video, text + task] += 1
            key = (video, text, seen[video, text + task])
            if "pred_answer_list" in row:
                queries.append(_query(row, key, task, place, in_numbers=in_numbers))
            else:
                questions.append(_question(row, key, task, place))
    turns = max((len(query.ious) for query in queries), default=1)
    queries = [_padded(query, turns) for query in queries]
    return Run(name, path, queries, questions, results, _videos(settings, queries, videos))


def _read_results(path: Path) -> dict[str, Any]:
    try:
        results: dict[str, Any] = read_json(path, dict)
        required(results, "settings", dict, str(path))
    except AnnotationError as error:
        raise AnnotationError(f"{error}; run 'hawkeye evaluate' to its end first") from None
    return results


def _videos(
    settings: EvaluationSettings | None, queries: Sequence[FoundQuery], folder: Path | None
) -> dict[str, Videos]:
    if settings is not None and folder is None:
        return {
            str(file.annotations): Videos(settings.data_dir / (file.videos or settings.videos), file.file, file.fps)
            for file in settings.grounding
        }
    return {query.task: Videos(folder) for query in queries} if folder else {}


def _query(row: dict[str, Any], key: Key, task: str, place: str, *, in_numbers: bool) -> FoundQuery:
    golds = tuple(_span(pair, "gt_span", place) for pair in row.get("gt_span") or [])
    error = _error(row, place)
    if error is not None or row.get("pred_span") is None:
        duration = _number(row.get("duration"), "duration", place)
        return FoundQuery(key, task, golds, duration, None, (0.0,), (), (), None, error)
    duration = read_span({"start": 0.0, **row}, "start", "duration", place).end
    span = _span(row["pred_span"], "pred_span", place)
    answers = required(row, "pred_answer_list", list, place)
    confidence = _number(row.get("confidence"), "confidence", place)
    if in_numbers:
        reached = best_iou(span, golds) if golds else 0.0
        return FoundQuery(key, task, golds, duration, span, (reached,), (), (), confidence, None)
    known = [choice.value for choice in Choice]
    if not answers or any(answer not in known for answer in answers):
        raise AnnotationError(f"{place}: 'pred_answer_list' must name some of {', '.join(known)}, not {answers!r}")
    choices = tuple(map(Choice, answers))
    video = Span(0.0, duration)
    if "spans" in row:  # a search by belief
        spans = [_span(pair, "spans", place) for pair in row["spans"]]
        windows = tuple(_span(pair, "windows", place) for pair in row["windows"])
    else:
        spans = walk(video, choices, len(choices))
        windows = (video, *spans[:-1])
    ious = tuple(best_iou(each, golds) if golds else 0.0 for each in (*spans[:-1], span))
    return FoundQuery(key, task, golds, duration, span, ious, choices, windows, confidence, None)


def _span(pair: Any, key: str, place: str) -> Span:
    if not isinstance(pair, list) or len(pair) != 2:
        raise AnnotationError(f"{place}: {key!r} must hold [start, end], not {pair!r}")
    return read_span({"start": pair[0], "end": pair[1]}, "start", "end", f"{place}: {key!r}")


def _padded(query: FoundQuery, turns: int) -> FoundQuery:
    values = dict(vars(query))
    return FoundQuery(**values | {"ious": query.ious + query.ious[-1:] * (turns - len(query.ious))})


def _question(row: dict[str, Any], key: Key, task: str, place: str) -> AnsweredQuestion:
    chosen, right = (_letter(row.get(name), name, place) for name in ("pred", "gt_answer"))
    probabilities = [_number(value, "probabilities", place) or 0.0 for value in row.get("probabilities") or []]
    return AnsweredQuestion(key, task, chosen, right, max(probabilities, default=None), _error(row, place))


def _number(value: Any, key: str, place: str) -> float | None:
    return None if value is None else finite({key: value}, key, place)


def _error(row: dict[str, Any], place: str) -> str | None:
    return None if row.get("error") is None else str(required(row, "error", str, place))


def _letter(text: Any, key: str, place: str) -> str | None:
    """ "A" for "(A) ..." or "A) ...", None for an answer that is none or begins otherwise."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise AnnotationError(f"{place}: {key!r} must be a text, not {text!r}")
    index = parse_letter(text)
    return None if index is None else LETTERS[index]

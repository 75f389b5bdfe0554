"""Predictions in the files that the servers of STAR and TVQA take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawkeye.annotations import AnnotationError, read_json_lines, read_json_list, required
from hawkeye.config import nearest
from hawkeye.files import json_text, write_text, written_whole
from hawkeye.prompts import parse_letter, parse_option

STAR_CATEGORIES = ("Interaction", "Sequence", "Prediction", "Feasibility")
META = {
    "model_name": "",
    "is_ensemble": False,
    "with_ts": True,
    "show_on_leaderboard": False,
    **dict.fromkeys(("author", "institution", "description", "paper_link", "code_link"), ""),
}
"""What TVQA's meta.json holds, unless told otherwise."""
TVQA_CANDIDATES = ("a0", "a1", "a2", "a3", "a4")
SHOWN = 10


class SubmissionError(ValueError):
    """Predictions that do not answer a test's questions; the message lists what is missing or cannot be read."""


def star_submission(predictions: Path, questions: Path, output: Path) -> int:
    """Writes the answers to STAR's test questions, by the category that a question's id begins with.

    Args:
        predictions: a predictions.jsonl, or a file in the original's format.
        questions: the converted test file, whose `qid` is STAR's question id.
        output: the JSON file to write.

    Returns:
        The number of answers.

    Raises:
        SubmissionError: if a question has no answer or one that names no candidate, or an answer has no question.
        AnnotationError: if a file cannot be read.
    """
    rows = read_json_list(questions)
    asked = [_asked(row, f"{questions} row {index}") for index, row in enumerate(rows)]
    answers = read_answers(predictions, asked, questions)
    found: dict[str, list[dict[str, Any]]] = {category: [] for category in STAR_CATEGORIES}
    for question in answers:
        category = question.split("_")[0]
        if category not in found:
            raise SubmissionError(f"{questions}: question id {question!r} begins with none of {STAR_CATEGORIES}")
        found[category].append({"question_id": question, "answer": answers[question]})
    write_text(output, json_text(found))
    return len(asked)


def tvqa_submission(
    test: tuple[Path, Path], validation: tuple[Path, Path], meta: dict[str, Any], output: Path
) -> tuple[int, int]:
    """Writes the directory that TVQA's server takes: the answers to two sets of questions, and who gives them.

    Args:
        test, validation: a predictions.jsonl and TVQA's own file of those questions, one JSON object a line.
        meta: fields of `META` that are to be different.
        output: the directory to make.

    Returns:
        The numbers of answers.

    Raises:
        SubmissionError: as `star_submission` does, or if `meta` has a field that meta.json has not.
        AnnotationError: if a file cannot be read.
    """
    for field in meta:
        if field not in META:
            raise SubmissionError(f"meta.json: unknown field {field!r}{nearest(field, list(META))}")
    answers = {}
    for name, (predictions, questions) in (("test_public", test), ("val", validation)):
        asked = [_asked(row, place) for place, row in read_json_lines(questions)]
        answers[f"prediction_{name}.json"] = read_answers(predictions, asked, questions)
    with written_whole(output) as folder:
        folder.mkdir()
        for name, content in {**answers, "meta.json": META | meta}.items():
            write_text(folder / name, json_text(content))
    return len(answers["prediction_test_public.json"]), len(answers["prediction_val.json"])


@dataclass(frozen=True)
class AskedQuestion:
    """A question of a test set: its id, its video's name and its candidates, as far as its file tells them."""

    id: str
    video: str | None = None
    candidates: tuple[str, ...] = ()


def read_answers(predictions: Path, asked: Sequence[AskedQuestion], questions: Path) -> dict[str, int]:
    """The index of the candidate that a file of predictions chose for each question, in the questions' order.

    Lines are matched by question id. Those of the original have none: they are matched by their order, if there are as
    many as questions and they name the questions' videos.

    Raises:
        SubmissionError: listing the questions without an answer, the answers that name no candidate, and those to no
            question; or the first line of the original's whose video is another.
    """
    rows = read_json_lines(predictions)
    if rows and all("id" not in row for _, row in rows):
        given = dict(zip((question.id for question in asked), _in_order(rows, asked, questions)))
    else:
        given = {str(_field(row, "id", place)): row.get("pred") for place, row in rows}
    found = {question.id: _index(given[question.id], question) for question in asked if given.get(question.id)}
    ids = {question.id for question in asked}
    problems = {
        "have no answer": [question.id for question in asked if given.get(question.id) is None],
        "have an answer that names no candidate": [
            question.id for question in asked if given.get(question.id) is not None and found.get(question.id) is None
        ],
        "are answered and not asked": [question for question in given if question not in ids],
    }
    if any(problems.values()):
        told = "; ".join(
            f"{len(names)} questions {problem}: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
            for problem, names in problems.items()
            if names
        )
        raise SubmissionError(f"{predictions} does not answer {questions}: {told}")
    return {question: index for question, index in found.items() if index is not None}


def _in_order(rows: Sequence[tuple[str, dict[str, Any]]], asked: Sequence[AskedQuestion], questions: Path) -> list[Any]:
    """What lines without ids answer, in the questions' order."""
    if len(rows) != len(asked):
        raise SubmissionError(
            f"{rows[0][0]}: without ids, lines answer the questions in order, but there are {len(rows)} lines and "
            f"{len(asked)} questions in {questions}"
        )
    for (place, row), question in zip(rows, asked):
        video = row.get("video_fname")
        # The original writes the whole path, and TVQA's questions name the folder of frames alone.
        if video is not None and question.video and Path(str(video)).stem != Path(question.video).stem:
            raise SubmissionError(
                f"{place}: is about video {video!r}, but question {question.id!r} is about {question.video!r}"
            )
    return [row.get("pred") for _, row in rows]


def _asked(row: Any, place: str) -> AskedQuestion:
    """A question of a converted file, or of TVQA's own."""
    name = str(_field(row, "qid", place))
    candidates = row.get("candidates") or [row[key] for key in TVQA_CANDIDATES if key in row]
    return AskedQuestion(name, row.get("video", row.get("vid_name")), tuple(map(str, candidates)))


def _index(prediction: Any, question: AskedQuestion) -> int | None:
    if not isinstance(prediction, str):
        return None
    return parse_option(prediction, question.candidates) if question.candidates else parse_letter(prediction)


def _field(row: Any, key: str, place: str) -> Any:
    if not isinstance(row, dict):
        raise AnnotationError(f"{place}: must be a mapping, not {row!r}")
    return required(row, key, (str, int), place)

"""Predictions in the files that the servers of STAR and TVQA take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hawkeye.annotations import AnnotationError, read_json_lines, read_json_list, required
from hawkeye.config import nearest
from hawkeye.files import json_text, write_text, written_whole
from hawkeye.prompts import parse_letter

STAR_CATEGORIES = ("Interaction", "Sequence", "Prediction", "Feasibility")
META = {
    "model_name": "",
    "is_ensemble": False,
    "with_ts": True,
    "show_on_leaderboard": False,
    **dict.fromkeys(("author", "institution", "description", "paper_link", "code_link"), ""),
}
"""What TVQA's meta.json holds, unless told otherwise."""
SHOWN = 10


class SubmissionError(ValueError):
    """Predictions that do not answer a test's questions; the message lists what is missing or cannot be read."""


def star_submission(predictions: Path, questions: Path, output: Path) -> int:
    """Writes the answers to STAR's test questions, by the category that a question's id begins with.

    Args:
        predictions: a predictions.jsonl.
        questions: the converted test file, whose `qid` is STAR's question id.
        output: the JSON file to write.

    Returns:
        The number of answers.

    Raises:
        SubmissionError: if a question has no answer or one that names no candidate, or an answer has no question.
        AnnotationError: if a file cannot be read.
    """
    rows = read_json_list(questions)
    ids = [str(_field(row, "qid", f"{questions} row {index}")) for index, row in enumerate(rows)]
    answers = read_answers(predictions, ids, questions)
    found: dict[str, list[dict[str, Any]]] = {category: [] for category in STAR_CATEGORIES}
    for question in ids:
        category = question.split("_")[0]
        if category not in found:
            raise SubmissionError(f"{questions}: question id {question!r} begins with none of {STAR_CATEGORIES}")
        found[category].append({"question_id": question, "answer": answers[question]})
    write_text(output, json_text(found))
    return len(ids)


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
        ids = [str(_field(row, "qid", place)) for place, row in read_json_lines(questions)]
        answers[f"prediction_{name}.json"] = read_answers(predictions, ids, questions)
    with written_whole(output) as folder:
        folder.mkdir()
        for name, content in {**answers, "meta.json": META | meta}.items():
            write_text(folder / name, json_text(content))
    return len(answers["prediction_test_public.json"]), len(answers["prediction_val.json"])


def read_answers(predictions: Path, ids: Sequence[str], questions: Path) -> dict[str, int]:
    """The index of the candidate that a predictions.jsonl chose for each question, in the questions' order.

    Raises:
        SubmissionError: listing the questions without an answer, the answers that name no candidate, and those to no
            question.
    """
    given: dict[str, Any] = {}
    for place, row in read_json_lines(predictions):
        given[str(_field(row, "id", place))] = row.get("pred")
    found = {question: _index(given[question]) for question in ids if given.get(question) is not None}
    problems = {
        "have no answer": [question for question in ids if given.get(question) is None],
        "have an answer that names no candidate": [question for question, index in found.items() if index is None],
        "are answered and not asked": [question for question in given if question not in set(ids)],
    }
    if any(problems.values()):
        told = "; ".join(
            f"{len(names)} questions {problem}: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"
            for problem, names in problems.items()
            if names
        )
        raise SubmissionError(f"{predictions} does not answer {questions}: {told}")
    return {question: index for question, index in found.items() if index is not None}


def _index(prediction: Any) -> int | None:
    return parse_letter(prediction) if isinstance(prediction, str) else None


def _field(row: Any, key: str, place: str) -> Any:
    if not isinstance(row, dict):
        raise AnnotationError(f"{place}: must be a mapping, not {row!r}")
    return required(row, key, (str, int), place)

"""Test annotations: the published formats load, and what is wrong is named by file, row and value."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hawkeye.annotations import AnnotationError
from hawkeye.evaluation.examples import (
    GroundingExample,
    QAExample,
    read_grounding_examples,
    read_qa_examples,
)
from hawkeye.temporal import Span

QUERY: dict[str, Any] = {"video": "v.mp4", "question": "it jumps", "answer": [1, 2.5]}
QUESTION: dict[str, Any] = {
    "video": "v.mp4",
    "question": "What?",
    "candidates": ["A dog.", "A cat."],
    "answer": "A cat",
}


def write(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "rows.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_grounding_rows_of_every_published_kind(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        [
            QUERY,
            {**QUERY, "answer": [[1, 2], [3, 4]], "duration": 3.95, "qid": "7"},
            {
                "video": "w.mp4",
                "question": "it spins",
                "span": [0, 1],
                "answer": "It does.",
                "qid": 7,
                "held_out": True,
            },
        ],
    )
    assert read_grounding_examples(path) == [
        GroundingExample(f"{path} row 0", "rows-0", "v.mp4", "it jumps", (Span(1, 2.5),)),
        GroundingExample(f"{path} row 1", "7", "v.mp4", "it jumps", (Span(1, 2), Span(3, 4))),
        GroundingExample(f"{path} row 2", "7", "w.mp4", "it spins", (Span(0, 1),), held_out=True),
    ]


def write_lines(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "highlight.jsonl"
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def test_qvhighlights_rows_as_published(tmp_path: Path) -> None:
    row = {
        **{"qid": 2579, "query": "A girl cleans", "duration": 150, "vid": "x_60.0_210.0"},
        **{"relevant_clip_ids": [41, 42], "saliency_scores": [[4, 1, 1], [4, 1, 1]]},
    }
    path = write_lines(tmp_path, {**row, "relevant_windows": [[82, 86], [90, 110]]})
    (example,) = read_grounding_examples(path)
    golds = (Span(82, 86), Span(90, 110))
    assert example == GroundingExample(f"{path} row 0", "2579", "x_60.0_210.0", "A girl cleans", golds)
    (example,) = read_grounding_examples(write_lines(tmp_path, row))
    assert example.golds == ()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [
                {"qid": 1, "vid": "v", "query": "a", "relevant_windows": [[0, 1]]},
                {"qid": 2, "vid": "v", "query": "b"},
            ],
            r"highlight\.jsonl row 1: 'answer' is missing",
        ),
        ([{"qid": 1, "vid": "v", "query": "a", "relevant_windows": [[5, 1]]}], r"row 0"),
        ([{"qid": 1, "vid": "v", "query": "a", "duration": 3, "relevant_windows": [[3, 9]]}], r"row 0.*begins after"),
        (["[1]\n"], r"line 1: must be a mapping"),
        (["{broken\n"], r"highlight\.jsonl line 1"),
        ([], r"empty"),
    ],
)
def test_wrong_qvhighlights_rows(rows: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_grounding_examples(write_lines(tmp_path, *rows))


def test_question_rows_of_every_published_kind(tmp_path: Path) -> None:
    path = write(tmp_path, [QUESTION, {**QUESTION, "qid": "q1", "start": 1, "end": 2, "answer": "A dog."}])
    assert read_qa_examples(path) == [
        QAExample(f"{path} row 0", "rows-0", "v.mp4", "What?", ("A dog.", "A cat."), 1),
        QAExample(f"{path} row 1", "q1", "v.mp4", "What?", ("A dog.", "A cat."), 0, Span(1, 2)),
    ]


def test_annotations_may_end_after_their_video(tmp_path: Path) -> None:
    (example,) = read_grounding_examples(write(tmp_path, [{**QUERY, "duration": 2.0}]))
    assert example.golds == (Span(1, 2.5),)


@pytest.mark.parametrize(("start", "found"), [(-0.2, 0.0), (-0.5, 0.0), (-0.51, None)])
def test_a_span_that_starts_a_little_before_the_video_starts_with_it(
    start: float, found: float | None, tmp_path: Path
) -> None:
    path = write(tmp_path, [QUERY, {**QUERY, "answer": [[start, 2.5]]}])
    if found is None:
        with pytest.raises(AnnotationError, match=r"row 1: 'answer': 'start' must be a time in seconds, not -0\.51"):
            read_grounding_examples(path)
    else:
        assert read_grounding_examples(path)[1].golds == (Span(found, 2.5),)


def test_minus_zero_is_zero(tmp_path: Path) -> None:
    (example,) = read_grounding_examples(write(tmp_path, [{**QUERY, "answer": [-0.0, 2.5]}]))
    assert math.copysign(1, example.golds[0].start) == 1


def test_null_means_not_given(tmp_path: Path) -> None:
    (query,) = read_grounding_examples(write(tmp_path, [{**QUERY, "duration": None, "held_out": None, "qid": None}]))
    assert (query.duration, query.held_out, query.id) == (None, None, "rows-0")
    (question,) = read_qa_examples(write(tmp_path, [{**QUESTION, "start": None, "end": None, "answer": None}]))
    assert (question.window, question.answer) == (None, None)


@pytest.mark.parametrize("nothing", [None, []])
@pytest.mark.parametrize("name", ["answer", "span", "relevant_windows"])
def test_spans_that_no_row_gives_are_kept_by_their_owner(name: str, nothing: object, tmp_path: Path) -> None:
    row = {"video": "v.mp4", "question": "it jumps", name: nothing}
    (query,) = read_grounding_examples(write(tmp_path, [row]))
    assert query.golds == ()


def test_either_file_type_holds_either_dataset_s_rows(tmp_path: Path) -> None:
    row = {"qid": 1, "vid": "v", "query": "a", "relevant_windows": [[0, 1]], "duration": 150}
    (listed,) = read_grounding_examples(write(tmp_path, [row]))
    (query,) = read_grounding_examples(write_lines(tmp_path, {**QUERY, "duration": 9}))
    assert (listed.video, listed.query, listed.golds, listed.duration) == ("v", "a", (Span(0, 1),), 150)
    assert (query.video, query.query, query.golds, query.duration) == ("v.mp4", "it jumps", (Span(1, 2.5),), 9)
    (question,) = read_qa_examples(write_lines(tmp_path, QUESTION))
    assert question.question == "What?"


def test_candidates_that_read_the_same_are_all_right(tmp_path: Path) -> None:
    row = {**QUESTION, "candidates": ["A dog.", "A cat", "A cat."]}
    (example,) = read_qa_examples(write(tmp_path, [row]))
    assert [example.is_right(index) for index in range(3)] == [False, True, True]


def test_bad_rows_can_be_left_out_and_are_told(tmp_path: Path) -> None:
    skipped: list[str] = []
    path = write(tmp_path, [QUERY, {**QUERY, "answer": [2, 1]}, 3, {**QUERY, "qid": "rows-0"}, QUERY])
    found = read_grounding_examples(path, skipped)
    assert [example.id for example in found] == ["rows-0", "rows-4"]  # as if all were there
    assert skipped == [
        f"{path} row 1: 'answer': 'start' 2.0 lies after 'end' 1.0",
        f"{path} row 2: must be a mapping, not 3",
        f"{path} row 3: 'qid' 'rows-0' is that of {path} row 0 too",
    ]
    with pytest.raises(AnnotationError, match=r"rows\.json: no row is good: .* row 0: must be a mapping, not 1"):
        read_qa_examples(write(tmp_path, [1]), [])


def without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (without(QUERY, "video"), r"'video' is missing \(has \['answer', 'question'\]\)"),
        (without(QUERY, "question"), "'question' is missing"),
        (without(QUERY, "answer"), "'answer' is missing"),
        ({**QUERY, "question": "  "}, "'question' is empty"),
        ({**QUERY, "video": 3}, "'video' must be str, not 3"),
        ({**QUERY, "answer": "1-2"}, "'answer' must be list, not '1-2'"),
        ({**QUERY, "answer": [[]]}, r"'answer' must be \[start, end\] or a list of them, not \[\[\]\]"),
        ({**QUERY, "answer": [1]}, r"'answer' must be \[start, end\] or a list of them, not \[1\]"),
        ({**QUERY, "answer": [[1, 2], 3]}, r"'answer' must be \[start, end\] or a list of them"),
        ({**QUERY, "answer": [2, 1]}, "'answer': 'start' 2.0 lies after 'end' 1.0"),
        ({**QUERY, "answer": [[1, 2], [4, 3]]}, "'answer': 'start' 4.0 lies after 'end' 3.0"),
        ({**QUERY, "answer": [-1, 2]}, "'answer': 'start' must be a time in seconds, not -1"),
        ({**QUERY, "answer": [1, float("nan")]}, "'answer': 'end' must be a time in seconds, not nan"),
        ({**QUERY, "answer": [1, float("inf")]}, "'answer': 'end' must be a time in seconds, not inf"),
        ({**QUERY, "answer": [1, "2"]}, "'answer': 'end' must be a time in seconds, not '2'"),
        ({**QUERY, "answer": [1, True]}, "'answer': 'end' must be a time in seconds, not True"),
        ({**QUERY, "duration": 0.9}, r"'answer' \[1, 2.5\] begins after the video's 0.9 seconds"),
        ({**QUERY, "duration": 0}, "'duration' must be a time in seconds, not 0"),
        ({**QUERY, "span": [3, 2]}, "'span': 'start' 3.0 lies after 'end' 2.0"),
        ({**QUERY, "held_out": "yes"}, "'held_out' must be true or false, not 'yes'"),
        ([1, 2], r"must be a mapping, not \[1, 2\]"),
    ],
)
def test_wrong_grounding_rows(row: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, [QUERY, row])
    with pytest.raises(AnnotationError, match=rf"^{path} row 1: {message}"):
        read_grounding_examples(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (without(QUESTION, "candidates"), "'candidates' is missing"),
        (without(QUESTION, "answer"), "'answer' is in some rows and not in others"),
        ({**QUESTION, "candidates": ["A cat."]}, "'candidates' must be 2 to 26, not 1"),
        ({**QUESTION, "candidates": [str(n) for n in range(27)]}, "'candidates' must be 2 to 26, not 27"),
        ({**QUESTION, "candidates": ["A cat.", ""]}, "'candidates' must be texts, none of them empty"),
        ({**QUESTION, "candidates": ["A cat.", 2]}, "'candidates' must be texts, none of them empty"),
        ({**QUESTION, "answer": "A bird"}, r"'answer' 'A bird' is none of the candidates \['A dog.', 'A cat.'\]"),
        ({**QUESTION, "answer": 1}, "'answer' must be str, not 1"),
        ({**QUESTION, "start": 2, "end": 1}, "'start' 2.0 lies after 'end' 1.0"),
        ({**QUESTION, "start": 2}, "'end' must be a time in seconds, not None"),
        ({**QUESTION, "question": ""}, "'question' is empty"),
    ],
)
def test_wrong_question_rows(row: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, [QUESTION, row])
    with pytest.raises(AnnotationError, match=rf"^{path} row 1: {message}"):
        read_qa_examples(path)


@pytest.mark.parametrize("read", [read_grounding_examples, read_qa_examples])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "not valid JSON"),
        ("", "not valid JSON"),
        ("{}", "must hold a list, not a dict"),
        ("[]", "the list is empty"),
    ],
)
def test_wrong_files(read: Any, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=rf"rows\.json: {message}"):
        read(write(tmp_path, content))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"none\.json: no such file"):
        read_grounding_examples(tmp_path / "none.json")


def test_two_rows_of_one_video_must_not_share_an_id(tmp_path: Path) -> None:
    path = write(tmp_path, [{**QUERY, "qid": 1}, {**QUERY, "video": "w.mp4", "qid": 1}, {**QUERY, "qid": "1"}])
    with pytest.raises(AnnotationError, match=rf"^{path} row 2: 'qid' '1' is that of {path} row 0 too"):
        read_grounding_examples(path)


def test_qvhighlights_names_are_read_in_a_json_list_too(tmp_path: Path) -> None:
    path = tmp_path / "highlight.json"
    rows = [
        {"qid": 1, "vid": "a", "query": "it jumps", "relevant_windows": [[1, 2]]},
        {"qid": 2, "video": "b", "question": "it spins", "answer": [0, 1]},
    ]
    path.write_text(json.dumps(rows))
    first, second = read_grounding_examples(path)
    assert (first.video, first.query, first.golds) == ("a", "it jumps", (Span(1, 2),))
    assert (second.video, second.query, second.golds) == ("b", "it spins", (Span(0, 1),))
    path.write_text(json.dumps([{"qid": 1, "vid": "a", "query": "it jumps"}]))
    assert read_grounding_examples(path)[0].golds == ()


def test_full_stops_within_candidates_tell_them_apart(tmp_path: Path) -> None:
    row = {**QUESTION, "candidates": ["1.5", "15", "15."], "answer": "15"}
    (example,) = read_qa_examples(write(tmp_path, [row]))
    assert example.answer == 1
    assert [example.is_right(index) for index in range(3)] == [False, True, True]


@pytest.mark.parametrize("nothing", [None, []])
def test_a_row_without_annotation_among_others_is_a_bad_row(nothing: Any, tmp_path: Path) -> None:
    rows = [{"qid": i, "vid": "v", "query": "a", "relevant_windows": x} for i, x in enumerate([[[0, 1]], nothing])]
    with pytest.raises(AnnotationError, match="row 1: 'answer' is missing, and other rows have it"):
        read_grounding_examples(write(tmp_path, rows))
    skipped: list[str] = []
    assert [example.id for example in read_grounding_examples(write(tmp_path, rows), skipped)] == ["0"]
    assert len(skipped) == 1

"""Runs read again, in either format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hawkeye.annotations import AnnotationError
from hawkeye.evaluation.original import write_original
from hawkeye.report.runs import read_runs
from hawkeye.temporal import Choice, Span

ROW = {
    "video_fname": "a.mp4",
    "duration": 16.0,
    "question": "one",
    "pred_span": [4.0, 8.0],
    "gt_span": [[5.0, 8.0], [12.0, 14.0]],
    "pred_answer_list": ["beginning", "end", "throughout"],
    "iou": 0.75,
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_of_the_original_is_replayed_turn_by_turn(tmp_path: Path) -> None:
    other = {**ROW, "pred_span": [0.0, 16.0], "gt_span": [[0.0, 8.0]], "pred_answer_list": ["throughout"]}
    (run,) = read_runs([write(tmp_path / "old.jsonl", ROW, other)])
    first, second = run.queries
    assert run.name == "old"
    assert first.choices == (Choice.BEGINNING, Choice.END, Choice.THROUGHOUT)
    assert first.windows == (Span(0, 16), Span(0, 8), Span(4, 8))
    assert first.ious == (3 / 8, 3 / 4, 3 / 4)
    assert second.ious == (1 / 2, 1 / 2, 1 / 2)  # it stopped at once, and keeps its span
    assert (first.key, second.key) == (("a.mp4", "one", 1), ("a.mp4", "one", 2))
    assert first.confidence is None


def test_the_original_s_test_sets_without_spans_are_read(tmp_path: Path) -> None:
    (run,) = read_runs([write(tmp_path / "old.jsonl", {**ROW, "gt_span": None})])
    assert run.judged == []
    assert run.queries[0].span == Span(4, 8)


def test_both_formats_of_one_run_tell_the_same(runs: dict[str, Path]) -> None:
    ours, original = read_runs([runs["first"], runs["original"]])
    kept = [query for query in ours.queries if query.error is None]
    assert [replace(query, task="", confidence=None) for query in kept] == [
        replace(query, task="") for query in original.queries
    ]
    assert [query.confidence for query in kept] == pytest.approx([0.49] * 3)


def test_failed_examples_count_as_wrong(runs: dict[str, Path]) -> None:
    (run,) = read_runs([runs["first"]])
    failed = run.queries[3]
    assert (failed.video, failed.span, failed.ious) == ("gone.mp4", None, (0.0, 0.0))
    assert "gone.mp4" in str(failed.error)


def test_questions_of_the_original_are_read(runs: dict[str, Path]) -> None:
    ours, original = read_runs([runs["first"], runs["first"] / "original-videoqa.jsonl"])
    assert [(question.task, question.chosen, question.right) for question in original.questions] == [
        ("what", "A", "A"),
        ("what", "A", "B"),
    ]
    assert [question.is_right for question in ours.questions] == [True, False]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({**ROW, "pred_answer_list": ["sometimes"]}, "line 1: 'pred_answer_list' must name some of beginning"),
        ({**ROW, "pred_answer_list": []}, "line 1: 'pred_answer_list' must name some of beginning"),
        ({**ROW, "duration": float("nan")}, "line 1: 'duration' must be a time in seconds"),
        ({**ROW, "pred_span": [4.0]}, r"line 1: 'pred_span' must hold \[start, end\]"),
        ({**ROW, "gt_span": [[5.0, 2.0]]}, "line 1: 'gt_span': 'start' 5.0 lies after 'end' 2.0"),
        ({"duration": 3}, "line 1: 'video_fname' is missing"),
        ([1], "line 1: must be a mapping"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, row: object, told: str) -> None:
    with pytest.raises(AnnotationError, match=told):
        read_runs([write(tmp_path / "old.jsonl", row)])


def test_a_run_that_has_not_ended_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"holds no predictions.jsonl; has 'hawkeye evaluate' come to its end"):
        read_runs([tmp_path])
    write(tmp_path / "predictions.jsonl", ROW)
    with pytest.raises(AnnotationError, match=r"results.json: no such file; run"):
        read_runs([tmp_path])


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    files = [write(tmp_path / folder / "out.jsonl", ROW) for folder in ("x", "y")]
    assert [run.name for run in read_runs(files)] == ["x/out", "y/out"]


def test_a_search_by_belief_has_no_original_format(tmp_path: Path) -> None:
    write(tmp_path / "predictions.jsonl", {**ROW, "windows": [[0.0, 16.0]], "spans": [[4.0, 8.0]]})
    with pytest.raises(AnnotationError, match="line 1: found by belief"):
        write_original(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("confidence", float("nan")),
        ("confidence", "high"),
        ("duration", 10**400),
        ("duration", float("inf")),
        ("gt_span", 5),
        ("gt_span", [[1]]),
        ("pred_answer_list", [["beginning"]]),
        ("pred_answer_list", 7),
        ("spans", [[0, 1]]),
        ("error", {"a": 1}),
        ("question", None),
    ],
)
def test_a_row_with_a_wrong_value_is_named(field: str, value: object, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", ROW, {**ROW, field: value})
    with pytest.raises(AnnotationError, match=r"x\.jsonl line 2: "):
        read_runs([path])

"""Instruction files: what a row says in a window, and which row is refused for what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hawkeye.data.instruction import AnnotationError, draw_window, read_records, turns_in
from hawkeye.prompts import CHOICE_SENTENCES, Turn
from hawkeye.temporal import Choice, Span

PAIRS = [[choice.value, f"({letter}) {CHOICE_SENTENCES[choice]}"] for letter, choice in zip("ABCD", Choice)]
SEGMENT = {
    "i": "Watch.",
    "start_sec": 2.0,
    "end_sec": 4.0,
    "neg_start_sec": 0.0,
    "neg_end_sec": 20.0,
    "q": "When?",
    "a": PAIRS,
}


def read(tmp_path: Path, *rows: Any) -> list[Any]:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    return read_records(path)


def test_a_plain_row_keeps_its_turns_and_its_part_of_the_video(tmp_path: Path) -> None:
    (record,) = read(
        tmp_path,
        {
            "video": "v.mp4",
            "start": 1,
            "end": 3.5,
            "QA": [{"i": "Look.", "q": "What?", "a": "A dog."}, {"q": "", "a": "It runs."}],
        },
    )
    assert record.turns == (Turn("What?", "A dog.", "Look."), Turn("", "It runs."))
    assert record.shown == Span(1.0, 3.5)
    assert draw_window(record, "crop", np.random.default_rng(0), 12) == Span(1.0, 3.5)
    assert turns_in(record, Span(1.0, 3.5), 20.0) == record.turns
    assert turns_in(record, None, 20.0) is None


@pytest.mark.parametrize(
    ("window", "choice"),
    [
        (Span(0.0, 20.0), Choice.BEGINNING),
        (Span(0.0, 6.0), Choice.MIDDLE),
        (Span(0.0, 4.5), Choice.END),
        (Span(2.0, 4.0), Choice.THROUGHOUT),
    ],
)
def test_a_segment_row_answers_for_the_window_shown(window: Span, choice: Choice, tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [SEGMENT]})
    assert turns_in(record, window, 20.0) == (Turn("When?", dict(PAIRS)[choice.value], "Watch."),)


def test_a_segment_that_the_window_cuts_off_is_not_asked_about(tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [SEGMENT]})
    assert turns_in(record, Span(3.5, 10.0), 20.0) is None


def test_a_caption_row_has_a_question_for_each_part(tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [{**SEGMENT, "q": PAIRS, "a": "a dog runs"}]})
    assert turns_in(record, None, 20.0) == (Turn(dict(PAIRS)["beginning"], "a dog runs", "Watch."),)


@pytest.mark.parametrize("windows", ["crop", "path"])
def test_windows_depend_on_the_rng_alone(windows: str, tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [SEGMENT]})
    drawn = [draw_window(record, windows, np.random.default_rng(seed), 12) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("text", "must be a mapping, not 'text'"),
        ({"video": "v.mp4"}, "'QA' is missing"),
        ({"video": "v.mp4", "QA": []}, "'QA' must be a non-empty list"),
        ({"video": "v.mp4", "QA": ["q"]}, "'QA' must be a non-empty list of mappings"),
        ({"QA": [{"q": "x", "a": "y"}]}, "needs either 'video' or 'text'"),
        ({"video": 7, "QA": [{"q": "x", "a": "y"}]}, "'video' must be str, not 7"),
        ({"video": "v.mp4", "QA": [{"q": "x"}]}, "'a' is missing"),
        ({"video": "v.mp4", "QA": [{"q": "x", "a": " "}]}, "the answer is empty"),
        ({"video": "v.mp4", "QA": [{"q": None, "a": "y"}]}, "'q' must be str, not None"),
        ({"video": "v.mp4", "start": 3, "end": 1, "QA": [{"q": "x", "a": "y"}]}, "'start' 3.0 lies after 'end' 1.0"),
        (
            {"video": "v.mp4", "start": -3, "end": 1, "QA": [{"q": "x", "a": "y"}]},
            "'start' must be a time in seconds, not -3",
        ),
        ({"video": "v.mp4", "start": 3, "QA": [{"q": "x", "a": "y"}]}, "'end' must be a time in seconds, not None"),
        ({"video": "v.mp4", "QA": [{**SEGMENT, "start_sec": "2"}]}, "'start_sec' must be a time in seconds, not '2'"),
        ({"video": "v.mp4", "QA": [{**SEGMENT, "start_sec": True}]}, "'start_sec' must be a time in seconds, not True"),
        ({"video": "v.mp4", "QA": [{**SEGMENT, "start_sec": 4.0}]}, r"the segment \[4.0, 4.0\] is empty"),
        ({"video": "v.mp4", "QA": [{**SEGMENT, "neg_end_sec": 3.0}]}, "reaches beyond its context"),
        ({"video": "v.mp4", "QA": [{**SEGMENT, "a": PAIRS[:3]}]}, "'a' must be a text or a"),
        ({"video": "v.mp4", "QA": [{**SEGMENT, "a": [*PAIRS[:3], ["finish", "x"]]}]}, "'a' must be a text or a"),
        ({"video": "v.mp4", "QA": [SEGMENT, SEGMENT]}, "holds one question, not 2"),
    ],
)
def test_a_wrong_row_is_named(row: Any, message: str, tmp_path: Path) -> None:
    good = {"video": "v.mp4", "QA": [{"q": "x", "a": "y"}]}
    with pytest.raises(AnnotationError, match=rf"rows\.json row 1: .*{message}"):
        read(tmp_path, good, row)


def test_a_time_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"video": "v.mp4", "QA": [SEGMENT]}]).replace("20.0", "Infinity"))
    with pytest.raises(AnnotationError, match="'neg_end_sec' must be a time in seconds, not inf"):
        read_records(path)


@pytest.mark.parametrize(
    ("text", "message"), [("{}", "must hold a list"), ("[1,", "not valid JSON"), ("[]", "the list is empty")]
)
def test_a_file_that_is_no_list_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_records(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"none\.json: no such annotation file"):
        read_records(tmp_path / "none.json")

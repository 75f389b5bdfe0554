"""Instruction files: what a row says in a window, and which row is refused for what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hawkeye.annotations import AnnotationError
from hawkeye.config import SourceSettings
from hawkeye.data.instruction import read_records
from hawkeye.data.segments import check_templates, draw_window, turns_about, turns_in
from hawkeye.prompts import CHOICE_SENTENCES, Turn
from hawkeye.temporal import Choice, Span, best_choice, sample_window

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


WHOLE = Span(0.0, 20.0)


def source(**settings: Any) -> SourceSettings:
    return SourceSettings(annotations="rows.json", videos=".", **settings)


def said(record: Any, window: Span) -> Any:
    return turns_in(record, source(), window, WHOLE.end, np.random.default_rng(0), 12)


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
    assert draw_window(record, source(), np.random.default_rng(0), 12) == (Span(1.0, 3.5), None)
    kept = turns_in(record, source(shuffle_turns=False), Span(1.0, 3.5), WHOLE.end, np.random.default_rng(0), 12)
    assert kept == record.turns
    assert said(record, WHOLE) is None


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
    assert said(record, window) == (Turn("When?", dict(PAIRS)[choice.value], "Watch."),)


def test_a_segment_that_the_window_cuts_off_is_not_asked_about(tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [SEGMENT]})
    assert said(record, Span(3.5, 10.0)) is None


def test_a_caption_row_has_a_question_for_each_part(tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [{**SEGMENT, "q": PAIRS, "a": "a dog runs"}]})
    assert said(record, WHOLE) == (Turn(dict(PAIRS)["beginning"], "a dog runs", "Watch."),)


@pytest.mark.parametrize("windows", ["crop", "path"])
def test_windows_depend_on_the_rng_alone(windows: str, tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [SEGMENT]})
    drawn = [draw_window(record, source(windows=windows), np.random.default_rng(seed), 12) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


SECONDS = {**SEGMENT, "a": "From second %.1f to second %.1f."}
FRAMES = {**SEGMENT, "a": "From frame %d to frame %d."}
TOKENS = {**SEGMENT, "a": "<loc> <frame%d> </loc> <loc> <frame%d> </loc>"}
CAPTION = {**SEGMENT, "q": "From second %.1f to second %.1f.", "a": "100% of it burns"}


@pytest.mark.parametrize(
    ("item", "represent", "expected"),
    [
        (SECONDS, "seconds", ("When?", "From second 1.0 to second 3.0.")),
        (FRAMES, "frames", ("When?", "From frame 1 to frame 4.")),
        (TOKENS, "frames", ("When?", "<loc> <frame1> </loc> <loc> <frame4> </loc>")),
        (CAPTION, "seconds", ("From second 1.0 to second 3.0.", "100% of it burns")),
    ],
)
def test_numbers_go_into_the_templates(
    item: dict[str, Any], represent: Any, expected: tuple[str, str], tmp_path: Path
) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [item]})
    check_templates(record, source(represent=represent))
    (turn,) = turns_about(record, source(represent=represent), Span(1.0, 9.0), np.random.default_rng(0), 12)
    assert (turn.question, turn.answer) == expected


def test_rows_without_a_place_for_numbers_are_refused(tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [SEGMENT]})
    check_templates(record, source())
    with pytest.raises(AnnotationError, match=r"rows\.json row 0: answer and question must have two places"):
        check_templates(record, source(represent="seconds"))


def test_windows_of_numbers_hold_the_segment_and_leave_it_room(tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [SECONDS]})
    rng = np.random.default_rng(0)
    for _ in range(200):
        window, _ = draw_window(record, source(represent="seconds"), rng, 12)
        assert window is not None
        assert window.contains(Span(2.0, 4.0))
        assert WHOLE.contains(window)
        assert 2 * 2.0 - 1e-9 <= window.end - window.start <= 20.0


def test_captions_describe_their_own_window_alone(tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [{**SEGMENT, "q": "", "a": "A dog runs."}]})
    settings, rng = source(represent="caption"), np.random.default_rng(0)
    assert draw_window(record, settings, rng, 12) == (Span(2.0, 4.0), None)
    assert turns_about(record, settings, Span(2.0, 4.0), rng, 12) == (Turn("", "A dog runs.", "Watch."),)
    assert turns_in(record, settings, WHOLE, 20.0, rng, 12) is None


def test_timed_captions_are_plain_text_with_the_part_before_or_after(tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [{**SEGMENT, "q": "", "a": "A dog runs."}]})
    rng = np.random.default_rng(0)
    turns = [turns_about(record, source(represent="timed_caption"), WHOLE, rng, 12)[0] for _ in range(30)]
    assert all(turn.is_plain for turn in turns)
    assert {turn.answer for turn in turns} == {
        "at the beginning of the video a dog runs",
        "a dog runs at the beginning of the video",
    }


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
        ({"video": "v.mp4", "QA": [{"q": None, "a": "y"}]}, "'q' is missing"),
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
    with pytest.raises(AnnotationError, match=r"none\.json: no such file"):
        read_records(tmp_path / "none.json")


def test_turns_come_in_every_order_and_the_first_carries_the_rows_instruction(tmp_path: Path) -> None:
    items = [{"i": "Look.", "q": "What?", "a": "A dog."}, {"q": "Where?", "a": "Here."}, {"q": "When?", "a": "Now."}]
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": items})
    rng = np.random.default_rng(0)
    orders = [turns_about(record, source(), WHOLE, rng, 12) for _ in range(60)]
    assert len({tuple(turn.question for turn in turns) for turns in orders}) == 6
    assert {turns[0].instruction for turns in orders} == {"Look."}
    assert all(
        {(turn.question, turn.answer) for turn in turns} == {(i["q"], i["a"]) for i in items} for turns in orders
    )
    assert turns_about(record, source(shuffle_turns=False), WHOLE, rng, 12) == record.turns


def test_a_crop_is_labelled_by_the_choice_that_it_was_drawn_for(tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [SEGMENT]})
    differences = 0
    for seed in range(400):
        # The first number that is drawn decides the choice.
        window, choice = sample_window(Span(2.0, 4.0), WHOLE, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        shown, drawn = draw_window(record, source(), rng, 12)
        assert (shown, drawn) == (window, choice)
        (turn,) = turns_about(record, source(), window, rng, 12, drawn)
        assert turn.answer == dict(PAIRS)[choice.value]
        best = draw_window(record, source(labels="best"), np.random.default_rng(seed), 12)
        assert best == (window, None)
        (turn,) = turns_about(record, source(labels="best"), window, rng, 12, best[1])
        assert turn.answer == dict(PAIRS)[best_choice(window, Span(2.0, 4.0)).value]
        differences += choice is not best_choice(window, Span(2.0, 4.0))
    assert differences > 0


@pytest.mark.parametrize("item", [SECONDS, FRAMES, TOKENS, CAPTION])
@pytest.mark.parametrize("represent", ["choice", "caption", "timed_caption"])
def test_templates_that_nothing_fills_in_are_refused(item: dict[str, Any], represent: Any, tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [item]})
    with pytest.raises(AnnotationError, match=r"row 0: '.*%.*' is a template .* set the source's represent to seconds"):
        check_templates(record, source(represent=represent))


def test_per_cent_signs_are_no_template(tmp_path: Path) -> None:
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [{**SEGMENT, "a": "It is 50% done, 20% for sale, 30 %."}]})
    check_templates(record, source(represent="caption"))


@pytest.mark.parametrize(
    ("beyond", "segment"),
    [
        ({"end_sec": 20 + 1e-14}, Span(2.0, 20.0)),  # rounding, as in ActivityNet-Captions
        ({"end_sec": 21.5}, Span(2.0, 20.0)),  # as in Charades-STA
        ({"end_sec": 22.5}, None),
        ({"neg_start_sec": 2.01}, Span(2.01, 4.0)),
        ({"neg_start_sec": 3.0}, None),  # half of it
        ({"start_sec": -0.2}, Span(0.0, 4.0)),
    ],
)
def test_a_segment_that_reaches_a_little_beyond_its_context_is_cut_to_it(
    beyond: dict[str, float], segment: Span | None, tmp_path: Path
) -> None:
    row = {"video": "v.mp4", "QA": [{**SEGMENT, "neg_end_sec": 20.0, **beyond}]}
    if segment is None:
        with pytest.raises(AnnotationError, match="reaches beyond its context"):
            read(tmp_path, row)
    else:
        assert read(tmp_path, row)[0].segment == segment


def test_rows_of_llava_are_read(tmp_path: Path) -> None:
    messages = [
        {"from": "human", "value": "<video>\nWhat is it?"},
        {"from": "gpt", "value": "A dog."},
        {"from": "human", "value": "And then?"},
        {"from": "gpt", "value": "It runs."},
    ]
    chat = [{"role": "system", "content": "Watch."}, {"role": "user", "content": "What?\n<video>"}]
    first, second = read(
        tmp_path,
        {"id": "1", "video": "v.mp4", "conversations": messages, "start": 1, "end": 2},
        {"video": "w.mp4", "conversations": [*chat, {"role": "assistant", "content": "A cat."}]},
    )
    assert first.turns == (Turn("What is it?", "A dog."), Turn("And then?", "It runs."))
    assert (first.video, first.shown) == ("v.mp4", Span(1.0, 2.0))
    assert second.turns == (Turn("What?", "A cat.", "Watch."),)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "must hold questions and answers in turn"),
        ([{"from": "human", "value": "What?"}], "must hold questions and answers in turn"),
        ([{"from": "gpt", "value": "A."}, {"from": "human", "value": "B?"}], "from 'human' and 'gpt' in turn"),
        (["What?", "A dog."], "must hold mappings, not 'What\\?'"),
        ([{"from": "human", "value": 3}, {"from": "gpt", "value": "A."}], "'value' must be str, not 3"),
        ([{"from": "human", "value": "What?"}, {"from": "gpt", "value": " "}], "the answer is empty"),
        ("What?", "'conversations' must be list"),
    ],
)
def test_bad_rows_of_llava_are_refused(messages: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=rf"rows\.json row 0: .*{message}"):
        read(tmp_path, {"video": "v.mp4", "conversations": messages})


def test_numbers_stand_in_every_template_and_nowhere_else(tmp_path: Path) -> None:
    item = {**SEGMENT, "q": "Is it 50% done or 20% done?", "a": "From %.1f to %.1f, 100%%."}
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [item]})
    check_templates(record, source(represent="seconds"))
    (turn,) = turns_about(record, source(represent="seconds"), WHOLE, np.random.default_rng(0), 12)
    assert (turn.question, turn.answer) == (item["q"], "From 2.0 to 4.0, 100%.")
    (record,) = read(tmp_path, {"video": "v.mp4", "QA": [{**item, "q": "Is it in %d to %d?"}]})
    (turn,) = turns_about(record, source(represent="seconds"), WHOLE, np.random.default_rng(0), 12)
    assert (turn.question, turn.answer) == ("Is it in 2 to 4?", "From 2.0 to 4.0, 100%.")
    for wrong in ({"a": "It is 50% done or 20% done."}, {"q": "After %d?"}, {"q": "Of %d, %d and %d?"}):
        (record,) = read(tmp_path, {"video": "v.mp4", "QA": [{**item, **wrong}]})
        with pytest.raises(AnnotationError, match=r"rows\.json row 0: answer and question must have two places"):
            check_templates(record, source(represent="seconds"))


def test_fields_that_are_null_are_not_given(tmp_path: Path) -> None:
    plain = {"i": None, "q": "What?", "a": "A dog.", "start_sec": None, "end_sec": None}
    shown = {"video": "v.mp4", "text": None, "start": None, "end": None, "duration": None, "QA": [plain]}
    words = {"video": None, "text": "a dog", "QA": [plain]}
    segment = {"video": "v.mp4", "duration": 8, "QA": [{**SEGMENT, "neg_start_sec": None, "neg_end_sec": None}]}
    first, second, third = read(tmp_path, shown, words, segment)
    assert first.turns == second.turns == (Turn("What?", "A dog."),)
    assert (first.video, second.text) == ("v.mp4", "a dog")
    assert third.context == Span(0.0, 8.0)  # the whole video
    with pytest.raises(AnnotationError, match="'neg_start_sec' must be a time"):
        read(tmp_path, {**segment, "duration": None})

"""What the files of a small world say, against the events of its videos."""

from __future__ import annotations

import re
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from data_preparing.shapes.build import draw_plans
from data_preparing.shapes.language import VERBS
from data_preparing.shapes.world import HELD_OUT, Colour, Combination, Shape, Split, draw_plan
from hawkeye.data.instruction import read_records
from hawkeye.prompts import CHOICE_SENTENCES, GROUNDING_INSTRUCTION, QA_INSTRUCTION
from hawkeye.temporal import Choice, Span, best_choice
from tests.data_preparing.small_world import QA_KINDS, SETTINGS, TRAIN_FILES, events_of, read, understand

GROUNDING_QUESTION = re.compile(r"During which part of the video does '(.+)' occur\?")


def answer(question: str, events: list[Combination]) -> Combination:
    """Answers questions of order and of the end, by the words of the question."""
    if question == "What happens at the end of the video?":
        return events[-1]
    (known,) = re.findall(r"What happens right (?:after|before) (.+)\?", question)
    return events[events.index(understand(known)) + (1 if " right after " in question else -1)]


def shown_events(world: Path, row: dict[str, Any]) -> list[Combination]:
    """The events that a row's window shows; none is shown in part."""
    window = Span(row.get("start", 0.0), row.get("end", 100.0))
    events = events_of(world, row["video"])
    shown = [what for what, (start, end) in events.items() if window.start <= start and end <= window.end]
    assert all(end <= window.start or start >= window.end for what, (start, end) in events.items() if what not in shown)
    return shown


def test_training_files_are_read_as_instruction_files(world: Path) -> None:
    counts = {name: len(read_records(world / "train" / f"{name}.json")) for name in TRAIN_FILES}
    events = sum(len(plan.events) for plan in draw_plans(SETTINGS)[0])
    assert 0 < counts.pop("grounding_pairs") < 2 * events  # neighbours of one colour make none
    assert counts == {
        "grounding": 3 * events,
        "grounding_open": 2 * events,
        "choice_caption": events,
        "event_caption": events,
        "event_query": 2 * events,
        "event_list": 3 * 3,
        "event_choice": events,
        "qa": 3 * 8,
        "qa_open": 3 * 7,
        "qa_parts": 4 * (2 * events - 3 * 3),
        "qa_order": 3 * 12 + 2 * (2 * events - 3 * 3),
        "letters": 2 * events,
        "text": 3 * events,
    }
    assert sorted(path.stem for path in (world / "train").iterdir()) == sorted(TRAIN_FILES)


@pytest.mark.parametrize("name", ["grounding", "grounding_open"])
def test_a_query_names_one_event_of_its_video_and_its_span(name: str, world: Path) -> None:
    for row in read(world, f"train/{name}.json"):
        (item,) = row["QA"]
        (wanted,) = GROUNDING_QUESTION.findall(item["q"])
        entry = events_of(world, row["video"])
        assert (item["start_sec"], item["end_sec"]) == entry[understand(wanted)]
        duration = draw_plan(1, Split.TRAIN, int(row["video"][6:11])).duration
        assert (item["neg_start_sec"], item["neg_end_sec"]) == (0.0, pytest.approx(duration, abs=1e-3))
        assert {label for label, _ in item["a"]} == {choice.value for choice in Choice}
        for label, answer in item["a"]:
            sentence = CHOICE_SENTENCES[Choice(label)]
            letter = re.search(rf"\((.)\) {re.escape(sentence)}", item["q"])
            assert answer == (f"Best option: ({letter[1]}) {sentence}" if letter else sentence)
            assert (letter is None) == (name == "grounding_open")


def test_a_lettered_question_reads_as_in_evaluation(world: Path) -> None:
    item = read(world, "train/grounding.json")[0]["QA"][0]
    assert item["i"] == GROUNDING_INSTRUCTION
    system, question, options, *lettered, last = item["q"].split("\n")
    assert (system, options, last) == (GROUNDING_INSTRUCTION, "Options:", "Only give the best option.")
    assert question.startswith("Question: During which part of the video does '")
    assert [line[:4] for line in lettered] == ["(A) ", "(B) ", "(C) ", "(D) "]
    orders = {tuple(label for label, _ in row["QA"][0]["a"]) for row in read(world, "train/grounding.json")}
    assert len(orders) > 12


def test_captions_and_lists_tell_the_events(world: Path) -> None:
    for row in read(world, "train/event_caption.json"):
        assert (row["start"], row["end"]) == events_of(world, row["video"])[understand(row["QA"][0]["a"])]
    for row in read(world, "train/choice_caption.json"):
        item = row["QA"][0]
        assert (item["start_sec"], item["end_sec"]) == events_of(world, row["video"])[understand(item["a"])]
        assert dict(item["q"])["middle"] == "What happens in the middle of the video?"
    for row in read(world, "train/event_list.json"):
        told = [understand(caption) for caption in row["QA"][0]["a"].split(", then ")]
        assert told == shown_events(world, row)


def test_a_pair_is_two_neighbours_of_different_colours(world: Path) -> None:
    rows = read(world, "train/grounding_pairs.json")
    answers = set()
    for row in rows:
        (item,) = row["QA"]
        (wanted,) = GROUNDING_QUESTION.findall(item["q"])
        window = Span(row["start"], row["end"])
        shown = {
            what: Span(start, end)
            for what, (start, end) in events_of(world, row["video"]).items()
            if min(end, window.end) > max(start, window.start)
        }
        assert (
            len({what.colour for what in shown if window.start <= shown[what].start and shown[what].end <= window.end})
            == 2
        )
        assert item["a"] == CHOICE_SENTENCES[best_choice(window, shown[understand(wanted)])]
        answers.add(item["a"])
    assert answers == {CHOICE_SENTENCES[Choice.BEGINNING], CHOICE_SENTENCES[Choice.END]}


def test_captions_in_the_words_of_queries_name_their_event(world: Path) -> None:
    for row in read(world, "train/event_query.json"):
        assert (row["start"], row["end"]) == events_of(world, row["video"])[understand(row["QA"][0]["a"])]


def test_a_text_row_holds_its_answer(world: Path) -> None:
    kinds = set()
    for row in read(world, "train/letters.json"):
        (item,) = row["QA"]
        assert item["i"] == GROUNDING_INSTRUCTION
        (wanted,) = GROUNDING_QUESTION.findall(item["q"])
        option = item["a"].removeprefix("Best option: ")
        assert option in item["q"].split("\n")
        sentence = option[4:]
        alone = row["text"] == sentence
        kinds.add(alone)
        named = row["text"].split(", ")
        assert alone or next(part for part in named if understand(part) == understand(wanted)).endswith(f" {sentence}")
    assert kinds == {True, False}
    kinds = set()
    for row in read(world, "train/text.json"):
        (item,) = row["QA"]
        assert item["i"] == QA_INSTRUCTION
        option = item["a"].removeprefix("Best option:")
        assert option in item["q"].split("\n")
        kinds.add(row["text"] == option[4:])
    assert kinds == {True, False}


def test_training_questions_have_their_answer_among_four_options(world: Path) -> None:
    rows = [row for name in ("qa", "qa_parts", "qa_order", "event_choice") for row in read(world, f"train/{name}.json")]
    for item in [item for row in rows for item in row["QA"] if "\nOptions:\n" in item["q"]]:
        options = [line for line in item["q"].split("\n") if re.match(r"\([A-D]\) ", line)]
        assert len(set(options)) == 4
        assert item["a"].removeprefix("Best option:") in options


def test_questions_about_parts_are_answered_by_what_the_part_shows(world: Path) -> None:
    seen = set()
    for name in ("qa_open", "qa_parts", "qa_order"):
        for row in read(world, f"train/{name}.json"):
            (item,) = row["QA"]
            events = shown_events(world, row)
            text = re.sub(r"(?s).*\nQuestion: (.+?)\n.*", r"\1", item["q"])
            said = re.sub(r"Best option:\(.\) ", "", item["a"])
            assert understand(said) == answer(text, events)
            seen.add((name, min(len(events), 4), text == item["q"]))
    both = (True, False)
    assert seen == {
        ("qa_open", 4, True),
        *(("qa_parts", shown, is_open) for shown in (2, 3) for is_open in both),
        *(("qa_order", shown, is_open) for shown in (2, 3, 4) for is_open in both),
    }


def test_the_only_event_of_a_window_is_one_of_four(world: Path) -> None:
    for row in read(world, "train/event_choice.json"):
        (item,) = row["QA"]
        assert "Question: What happens in the video?\n" in item["q"]
        assert [understand(item["a"].removeprefix("Best option:"))] == shown_events(world, row)


def test_held_out_combinations_are_in_no_training_text(world: Path) -> None:
    captions = {f"{what.colour.value} {what.shape.value} {what.action.value}" for what in HELD_OUT}
    assert {entry["caption"] for entry in read(world, "world.json")["held_out"]} == captions
    said = []
    for name in TRAIN_FILES:
        text = (world / "train" / f"{name}.json").read_text()
        assert not [caption for caption in captions if caption in text]
        said += GROUNDING_QUESTION.findall(text)
    assert len(said) > 100
    assert not [text for text in said if understand(text) in HELD_OUT]


def test_test_queries_have_their_span(world: Path) -> None:
    rows = read(world, "test-anno/shapes-recursive_grounding.json")
    assert len(rows) == 3 * 4
    for row in rows:
        what = understand(row["question"])
        assert tuple(row["answer"]) == events_of(world, row["video"])[what]
        assert row["held_out"] == (what in HELD_OUT)
    assert len({(row["video"], understand(row["question"])) for row in rows}) == 12


def count(question: str, events: list[Combination]) -> int:
    """Answers "How many events are there?" and the questions about one word."""
    words = f" {question.removesuffix('?')} "
    names: list[tuple[Enum, str]] = [(value, value.value) for kind in (Colour, Shape) for value in kind]
    names += [(action, verb.base) for action, verb in VERBS.items()]
    values = [value for value, name in names if f" {name} " in words]
    return sum(all(value in (what.colour, what.shape, what.action) for value in values) for what in events)


def test_test_questions_are_answered_by_the_events(world: Path) -> None:
    for kind in QA_KINDS:
        rows = read(world, f"test-anno/shapes-{kind}.json")
        assert [row["qid"] for row in rows] == [f"{kind}-0000{index}" for index in range(3)]
        for row in rows:
            assert len(set(row["candidates"])) == 4
            assert row["answer"] in row["candidates"]
            order = list(events_of(world, row["video"]))
            if kind in ("end", "order"):
                assert understand(row["answer"]) == answer(row["question"], order)
            elif kind == "first":
                assert understand(row["answer"]) == min(map(understand, row["candidates"]), key=order.index)
            else:
                assert int(row["answer"]) == count(row["question"], order)


def test_the_vocabulary_is_small(world: Path) -> None:
    files = chain((world / "train").iterdir(), (world / "test-anno").iterdir())
    texts = (path.read_text() for path in files)
    assert len({word for text in texts for word in re.findall(r"[a-z]+", text.lower())}) < 200

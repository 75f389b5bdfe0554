"""The recursion: which windows are asked about, with which prompts, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hawkeye.data.video import open_video
from hawkeye.evaluation import grounding
from hawkeye.evaluation.answering import Answerer, Glimpse, Question, View
from hawkeye.evaluation.grounding import (
    AnswerError,
    Grounding,
    GroundingTurn,
    Query,
    ask_once,
    check_grounding,
    ground,
    option_rng,
)
from hawkeye.models import HawkEye, HawkEyeProcessor
from hawkeye.prompts import CHOICE_SENTENCES, GROUNDING_INSTRUCTION, grounding_prompt
from hawkeye.temporal import Choice, Span, best_path
from tests.evaluation.fakes import MemoryReader, ScriptedAnswerer, saying
from tests.small_model import make_small_answerer

BEGINNING, MIDDLE, END, THROUGHOUT = Choice


@pytest.fixture
def reader(tmp_path: Path) -> MemoryReader:
    path = tmp_path / "v.mp4"
    path.touch()
    return MemoryReader(path)  # 16 seconds


def probabilities(choice: Choice) -> dict[Choice, float]:
    """What the scripted answerer says."""
    return {other: 0.7 if other is choice else pytest.approx(0.1) for other in Choice}


def test_the_answers_narrow_the_window(reader: MemoryReader) -> None:
    (found,) = ground(ScriptedAnswerer(saying(END, MIDDLE, BEGINNING, END)), [Query(reader, "it jumps", "a")])
    assert found == Grounding(
        "it jumps",
        Span(11, 12),
        16.0,
        (
            GroundingTurn(Span(0, 16), END, probabilities(END)),
            GroundingTurn(Span(8, 16), MIDDLE, probabilities(MIDDLE)),
            GroundingTurn(Span(10, 14), BEGINNING, probabilities(BEGINNING)),
            GroundingTurn(Span(10, 12), END, probabilities(END)),
        ),
    )
    assert found.choices == [END, MIDDLE, BEGINNING, END]
    assert found.confidence == pytest.approx(0.7**4)


def test_grounding_stops_at_throughout(reader: MemoryReader) -> None:
    answerer = ScriptedAnswerer(saying(END, THROUGHOUT))
    (found,) = ground(answerer, [Query(reader, "it jumps", "a")])
    assert found.span == Span(8, 16)
    assert found.choices == [END, THROUGHOUT]
    assert found.confidence == pytest.approx(0.49)
    assert answerer.looks == [[("v.mp4", None)], [("v.mp4", Span(8, 16))]]


def test_grounding_stops_after_max_turns(reader: MemoryReader) -> None:
    (found,) = ground(ScriptedAnswerer(saying(END, END)), [Query(reader, "it jumps", "a")], max_turns=2)
    assert found.span == Span(12, 16)
    with pytest.raises(ValueError, match="max_turns must be at least 1, not 0"):
        ground(ScriptedAnswerer(saying()), [Query(reader, "it jumps", "a")], max_turns=0)


def test_all_queries_advance_together(tmp_path: Path) -> None:
    readers = [MemoryReader(tmp_path / f"{name}.mp4") for name in "ab"]
    targets = {"one": Span(0, 4), "two": Span(0, 16), "three": Span(10, 12)}

    def say(query: str, window: Span) -> str:
        return CHOICE_SENTENCES[best_path(window, targets[query])[0][0]]

    answerer = ScriptedAnswerer(say)
    queries = [Query(readers[0], "one", "1"), Query(readers[1], "two", "2"), Query(readers[0], "three", "3")]
    found = ground(answerer, queries)
    assert [each.span for each in found] == list(targets.values())
    assert [each.query for each in found] == ["one", "two", "three"]
    assert answerer.looks == [
        [("a.mp4", None), ("b.mp4", None), ("a.mp4", None)],
        [("a.mp4", Span(0, 8)), ("a.mp4", Span(4, 12))],
        [("a.mp4", Span(0, 4)), ("a.mp4", Span(8, 12))],
        [("a.mp4", Span(10, 12))],
    ]


def test_windows_that_queries_share_are_decoded_once(tmp_path: Path, reader: MemoryReader) -> None:
    answerer = make_small_answerer(tmp_path)
    found = ground(answerer, [Query(reader, f"the red circle {word}", word) for word in ("jumps", "spins", "first")])
    by_turn = [{turn.window for turn in turns} for turns in zip(*(each.turns for each in found))]
    assert len(reader.decoded) == len(by_turn)  # one pass for all windows of a turn
    assert sum(map(len, by_turn)) < sum(len(each.turns) for each in found)
    for indices, windows in zip(reader.decoded, by_turn):
        assert len(indices) == len(set(indices)) <= answerer.num_frames * len(windows)


def test_no_queries_need_no_model() -> None:
    answerer = ScriptedAnswerer(saying())
    assert ground(answerer, []) == []
    assert ask_once(answerer, [], []) == []


def test_one_frame_is_enough(tmp_path: Path) -> None:
    reader = MemoryReader(tmp_path / "v.mp4", num_frames=1)
    (found,) = ground(ScriptedAnswerer(saying(END, END, END, END)), [Query(reader, "it jumps", "a")])
    assert found.span == Span(0.09375, 0.1)


def orders(answerer: ScriptedAnswerer) -> list[list[str]]:
    """The options of each prompt, in order."""
    return [[line[4:] for line in prompt.split("Options:\n")[1].split("\n")[:4]] for prompt in answerer.prompts]


def test_the_order_of_the_options_follows_from_seed_and_key_alone(reader: MemoryReader) -> None:
    def asked(seed: int, *keys: str) -> dict[str, list[list[str]]]:
        answerer = ScriptedAnswerer(lambda *_: CHOICE_SENTENCES[MIDDLE])
        ground(answerer, [Query(reader, key, key) for key in keys], seed=seed)
        found = orders(answerer)
        return {key: found[place :: len(keys)] for place, key in enumerate(keys)}

    both, swapped = asked(0, "a", "b"), asked(0, "b", "a")
    assert both == swapped
    assert both["a"] == asked(0, "a")["a"]
    assert both["a"] != both["b"]
    assert both["a"] != asked(1, "a")["a"]
    assert len({tuple(order) for order in both["a"]}) > 1, "every turn shuffles anew"
    assert all(sorted(order) == sorted(CHOICE_SENTENCES.values()) for order in both["a"])


def test_every_order_of_the_options_is_drawn() -> None:
    drawn = [tuple(grounding.option_order(option_rng(0, str(key)))) for key in range(2400)]
    assert len(set(drawn)) == 24
    assert min(drawn.count(order) for order in set(drawn)) > 60


def test_one_turn_asks_about_the_windows_given(reader: MemoryReader) -> None:
    answerer = ScriptedAnswerer(saying(END, MIDDLE))
    windows = [Span(0, 16), Span(3, 5)]
    turns = ask_once(answerer, [Query(reader, "it jumps", "a"), Query(reader, "it spins", "b")], windows)
    assert turns == [
        GroundingTurn(Span(0, 16), END, probabilities(END)),
        GroundingTurn(Span(3, 5), MIDDLE, probabilities(MIDDLE)),
    ]
    assert answerer.looks == [[("v.mp4", None), ("v.mp4", Span(3, 5))]]


@pytest.mark.parametrize(
    ("query", "message"), [(" ", "the query is empty"), ("far " * 51, r"the prompt has \d+ words")]
)
def test_queries_that_cannot_be_asked_are_refused_before_anything_is_read(
    query: str, message: str, reader: MemoryReader
) -> None:
    answerer = ScriptedAnswerer(saying())
    with pytest.raises(ValueError, match=message):
        ground(answerer, [Query(reader, "it jumps", "a"), Query(reader, query, "b")])
    assert answerer.looks == []


def test_a_query_that_just_fits_is_grounded(tmp_path: Path, reader: MemoryReader) -> None:
    answerer = make_small_answerer(tmp_path)
    empty = len(answerer.processor.encode_prompt(grounding_prompt("", list(Choice), [0.0] * 12)))
    longest, longer = "jumps " * (199 - empty), "jumps " * (200 - empty)
    check_grounding(answerer, longest)
    ground(answerer, [Query(reader, longest, "a")])
    with pytest.raises(ValueError, match="the prompt has 200 tokens, but this model reads at most 199"):
        check_grounding(answerer, longer)


class GoldenAnswerer(Answerer):
    """The golden model, whose probabilities are compared with the walk's; the walk's own answers are given back."""

    def __init__(self, model: HawkEye, processor: HawkEyeProcessor, walk: dict[str, Any]) -> None:
        super().__init__(model, processor)
        self.walk = walk
        self.turn = 0

    def look(self, views: Sequence[View]) -> list[Glimpse]:
        (view,) = views
        bound = self.walk["turns"][self.turn]["bound"]
        assert view.window == (Span(*bound) if bound else None)
        assert view.instruction == GROUNDING_INSTRUCTION
        return super().look(views)

    def probabilities(self, questions: Sequence[Question]) -> list[list[float]]:
        turn = self.walk["turns"][self.turn]
        ((question,), (found,)) = questions, super().probabilities(questions)
        assert question.prompt == turn["prompt"]
        logits = np.array(list(turn["letter_logits"].values()))
        np.testing.assert_allclose(found, np.exp(logits) / np.exp(logits).sum(), rtol=1e-5)
        answer = self.walk["answers"][self.turn]
        self.turn += 1
        return [[float(option == answer) for option in turn["options"]]]


@pytest.mark.parametrize("index", range(6))
def test_every_turn_of_the_golden_walks(
    index: int,
    golden: dict[str, Any],
    golden_dir: Path,
    golden_model: HawkEye,
    golden_processor: HawkEyeProcessor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walk = [*golden["grounding"]["examples"], *golden["grounding_dictated"]][index]
    given = iter([[Choice(label) for label in turn["options"]] for turn in walk["turns"]])
    monkeypatch.setattr(grounding, "option_order", lambda _: next(given))
    answerer = GoldenAnswerer(golden_model, golden_processor, walk)
    with open_video(golden_dir / walk["video"]) as reader:
        (found,) = ground(answerer, [Query(reader, walk["query"], "any")])
    assert answerer.turn == len(walk["turns"])
    assert [found.span.start, found.span.end] == walk["span"]
    assert [choice.value for choice in found.choices] == walk["answers"]
    assert found.duration == walk["duration"]


@pytest.mark.parametrize(("text", "choice"), [("A) At the end.", 0), ("D", 3), ("C) Throughout", 2), ("b) it", 1)])
def test_a_generated_answer_is_the_option_whose_letter_it_begins_with(
    text: str, choice: int, reader: MemoryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    answerer = ScriptedAnswerer(saying())
    monkeypatch.setattr(ScriptedAnswerer, "generate", lambda _, questions: [text for _ in questions], raising=False)
    (found,) = ground(answerer, [Query(reader, "it jumps", "a")], max_turns=1, decoding="generate")
    order = [list(Choice)[place] for place in option_rng(0, "a").permutation(4)]
    assert found.choices == [order[choice]]
    assert found.confidence == 1.0


@pytest.mark.parametrize("text", ["", "E) at the end", "At the end", "the end", ") A", "A dog"])
def test_a_generated_answer_without_an_option_is_an_error(
    text: str, reader: MemoryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedAnswerer, "generate", lambda _, questions: [text for _ in questions], raising=False)
    with pytest.raises(AnswerError, match="begins with none of the letters of its 4 options"):
        ground(ScriptedAnswerer(saying()), [Query(reader, "it jumps", "a")], decoding="generate")

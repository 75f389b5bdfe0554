"""Multiple-choice questions."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawkeye.evaluation.videoqa import ChoiceAnswer, ChoiceQuestion, answer, check_choice
from hawkeye.prompts import qa_prompt
from hawkeye.temporal import Span
from tests.evaluation.fakes import MemoryReader, ScriptedAnswerer

ANIMALS = ("a dog", "a cat", "a bird")


def test_each_question_is_asked_about_its_part_of_the_video(tmp_path: Path) -> None:
    reader = MemoryReader(tmp_path / "v.mp4")
    answerer = ScriptedAnswerer(lambda _, window: "a cat" if window.start else "a bird")
    questions = [ChoiceQuestion(reader, "What?", ANIMALS, Span(8, 16)), ChoiceQuestion(reader, "Which?", ANIMALS[1:])]
    found = answer(answerer, questions)
    assert found == [
        ChoiceAnswer(1, (pytest.approx(0.15), 0.7, pytest.approx(0.15))),
        ChoiceAnswer(1, (pytest.approx(0.3), 0.7)),
    ]
    assert answerer.looks == [[("v.mp4", Span(8, 16)), ("v.mp4", None)]]
    seconds = [0.3, 1.0, 1.6, 2.3, 2.9, 3.6, 4.3, 4.9, 5.6, 6.2, 6.9, 7.5]
    assert answerer.prompts[0] == qa_prompt("What?", ANIMALS, seconds)


@pytest.mark.parametrize(
    ("question", "candidates", "message"),
    [
        (" ", ANIMALS, "the question is empty"),
        ("What?", ("a dog",), r"a choice needs two options or more, none of them empty, not \['a dog'\]"),
        ("What?", ("a dog", " "), "none of them empty"),
        ("far " * 51, ANIMALS, "the prompt has 51 words"),
    ],
)
def test_questions_that_cannot_be_asked(question: str, candidates: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_choice(ScriptedAnswerer(lambda *_: ""), question, candidates)

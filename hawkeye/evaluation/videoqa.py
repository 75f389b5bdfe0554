"""Multiple-choice questions about videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hawkeye.data.video import VideoReader
from hawkeye.evaluation.answering import LONGEST_TIME, Answerer, Question, View
from hawkeye.prompts import QA_WORDING, Wording, qa_prompt, qa_question
from hawkeye.temporal import Span


@dataclass(frozen=True)
class ChoiceQuestion:
    """A question with its candidates; `window` is the part of the video to show (None: all of it)."""

    reader: VideoReader
    text: str
    candidates: tuple[str, ...]
    window: Span | None = None
    wording: Wording = QA_WORDING


@dataclass(frozen=True)
class ChoiceAnswer:
    """The chosen candidate and how probable each is, in the order of the candidates."""

    index: int
    probabilities: tuple[float, ...]


def check_choice(answerer: Answerer, question: str, candidates: Sequence[str], wording: Wording = QA_WORDING) -> None:
    """Refuses a question before any video is opened.

    Raises:
        ValueError: if the question or a candidate is empty, there are fewer than two candidates or more than the model
            has letters for, or the prompt is longer than the model reads.
    """
    if not question.strip():
        raise ValueError("the question is empty")
    if len(candidates) < 2 or not all(text.strip() for text in candidates):
        raise ValueError(f"a choice needs two options or more, none of them empty, not {list(candidates)!r}")
    answerer.check(qa_prompt(question, candidates, [LONGEST_TIME] * answerer.num_frames, wording), len(candidates))


def answer(answerer: Answerer, questions: Sequence[ChoiceQuestion]) -> list[ChoiceAnswer]:
    """Answers all questions; those about one window of one video share what the model sees of it.

    Raises:
        ValueError: as `check_choice` does.
        VideoError: if frames cannot be read.
    """
    for question in questions:
        check_choice(answerer, question.text, question.candidates, question.wording)
    glimpses = answerer.look(
        [
            View(
                question.reader,
                question.window,
                question.wording.instruction,
                qa_question(question.text, question.candidates, question.wording),
            )
            for question in questions
        ]
    )
    prompts = [
        Question(
            qa_prompt(question.text, question.candidates, list(glimpse.seconds), question.wording),
            glimpse,
            len(question.candidates),
        )
        for question, glimpse in zip(questions, glimpses)
    ]
    found = answerer.probabilities(prompts)
    return [ChoiceAnswer(max(range(len(row)), key=row.__getitem__), tuple(row)) for row in found]

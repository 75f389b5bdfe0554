"""Multiple-choice questions about videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hawkeye.data.video import VideoReader
from hawkeye.evaluation.answering import Answerer, Question
from hawkeye.prompts import QA_INSTRUCTION, qa_prompt
from hawkeye.temporal import Span


@dataclass(frozen=True)
class ChoiceQuestion:
    """A question with its candidates; `window` is the part of the video to show (None: all of it)."""

    reader: VideoReader
    text: str
    candidates: tuple[str, ...]
    window: Span | None = None


@dataclass(frozen=True)
class ChoiceAnswer:
    """The chosen candidate and how probable each is, in the order of the candidates."""

    index: int
    probabilities: tuple[float, ...]


def answer(answerer: Answerer, questions: Sequence[ChoiceQuestion]) -> list[ChoiceAnswer]:
    """Answers all questions; those about one window of one video share what the model sees of it.

    Raises:
        ValueError: if a question is empty, has fewer than two candidates or is too long for the model.
        VideoError: if frames cannot be read.
    """
    for question in questions:
        if not question.text.strip():
            raise ValueError("the question is empty")
        if len(question.candidates) < 2:
            raise ValueError(f"a choice needs two candidates or more, not {list(question.candidates)!r}")
    glimpses = answerer.look([(question.reader, question.window) for question in questions], QA_INSTRUCTION)
    prompts = [
        Question(
            qa_prompt(question.text, question.candidates, list(glimpse.seconds)), glimpse, len(question.candidates)
        )
        for question, glimpse in zip(questions, glimpses)
    ]
    found = answerer.probabilities(prompts)
    return [ChoiceAnswer(max(range(len(row)), key=row.__getitem__), tuple(row)) for row in found]

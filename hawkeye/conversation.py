"""Questions that are answered freely: alone, or one after the other in a conversation about a video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawkeye.data.video import open_video
from hawkeye.evaluation.answering import LONGEST_TIME, Glimpse, Question, View
from hawkeye.inputs import text_of, whole_number
from hawkeye.prompts import Turn, chat_prompt
from hawkeye.temporal import Span

if TYPE_CHECKING:
    from hawkeye.asking import Pipeline

MAX_NEW_TOKENS = 60
"""Longest free answer, in tokens."""


@dataclass(frozen=True)
class Answer:
    """An answer to a question: its text, and with options how probable each is."""

    text: str
    probabilities: dict[str, float] | None = None

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON; probabilities to a ten-thousandth."""
        found: dict[str, Any] = {"answer": self.text}
        if self.probabilities is not None:
            found["probabilities"] = {option: round(value, 4) for option, value in self.probabilities.items()}
        return found


class Conversation:
    """Questions about a video, each answered with those before it, and their answers, in the prompt.

    The model looks at the video once, when the first question comes, as in the original's demonstration.

    Attributes:
        video: the file or folder of frames.
        window: the part of it that is shown; None is all of it.
        turns: what was asked and answered so far.
    """

    def __init__(
        self, pipeline: Pipeline, video: Path, instruction: str, *, window: Span | None = None, fps: float | None = None
    ) -> None:
        self.video = video
        self.window = window
        self.turns: list[Turn] = []
        self._pipeline = pipeline
        self._instruction = instruction
        self._fps = fps
        self._glimpse: Glimpse | None = None

    def __repr__(self) -> str:
        return f"Conversation({str(self.video)!r}, {len(self.turns)} turns)"

    def ask(self, question: str, *, max_new_tokens: int = MAX_NEW_TOKENS) -> Answer:
        """Answers a question, which may refer to earlier ones; after an error the conversation is as it was.

        Args:
            question: in words.
            max_new_tokens: longest answer.

        Raises:
            VideoError: if the video cannot be read.
            ValueError: if the question is empty, or the conversation has become longer than the model reads.
        """
        question = text_of(question, "question")
        max_new_tokens = whole_number(max_new_tokens, "max_new_tokens", least=1)
        answerer = self._pipeline.answerer
        try:
            answerer.check(self._prompt(question, [LONGEST_TIME] * answerer.num_frames), 0)
        except ValueError as error:
            if self.turns:
                raise ValueError(f"{error}, or begin a new conversation: this has {len(self.turns)} turns") from None
            raise
        self._pipeline.warn_of_unknown_words(question)
        glimpse = self._look(question)
        (text,) = answerer.generate(
            [Question(self._prompt(question, list(glimpse.seconds)), glimpse, 0)], max_new_tokens=max_new_tokens
        )
        self.turns.append(Turn(question, text, self._instruction))
        return Answer(text)

    def _prompt(self, question: str, seconds: list[float]) -> str:
        return chat_prompt([(turn.question, turn.answer) for turn in self.turns], question, seconds, self._instruction)

    def _look(self, question: str) -> Glimpse:
        if self._glimpse is None:
            with open_video(self.video, fps=self._fps) as reader:
                self._pipeline.warn_of_video(reader, self.window)
                (self._glimpse,) = self._pipeline.answerer.look(
                    [View(reader, self.window, self._instruction, question)]
                )
        return self._glimpse

"""Stand-ins that evaluation is tested with: videos in memory, and answerers that say what a test wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hawkeye.data.video import VideoReader, read_window
from hawkeye.evaluation.answering import Answerer, Glimpse, Question, View
from hawkeye.prompts import CHOICE_SENTENCES
from hawkeye.temporal import Choice, Span


class MemoryReader(VideoReader):
    """A video whose frame i is filled with i; remembers what was decoded."""

    def __init__(self, path: Path, num_frames: int = 160, fps: float = 10.0) -> None:
        super().__init__(path, np.arange(num_frames) / fps, fps)
        self.decoded: list[list[int]] = []

    def _decode(self, indices: list[int]) -> np.ndarray:
        self.decoded.append(indices)
        return np.stack([np.full((16, 16, 3), index % 256, dtype=np.uint8) for index in indices])


@dataclass(frozen=True)
class SeenWindow(Glimpse):
    """A glimpse that knows of which window it is."""

    window: Span


Say = Callable[[str, Span], str]
"""From a query or question and the window shown to the words of the option to choose."""


class ScriptedAnswerer(Answerer):
    """Chooses the option whose words `say` returns, with probability 0.7; remembers prompts and windows."""

    def __init__(self, say: Say, max_query_words: int = 50) -> None:
        self.say = say
        self.responses = None
        self.max_query_words = max_query_words
        self.prompts: list[str] = []
        self.looks: list[list[tuple[str, Span | None]]] = []

    @property
    def num_frames(self) -> int:
        return 12

    def forget(self) -> None:
        """There is nothing that it keeps."""

    def check(self, prompt: str, num_options: int) -> None:  # noqa: ARG002  # the model's signature
        words = len(prompt.split("Question: ")[1].split("\nOptions:")[0].split())
        if words > self.max_query_words:
            raise ValueError(f"the prompt has {words} words, but this model reads at most {self.max_query_words}")

    def look(
        self,
        views: Sequence[View],
    ) -> list[Glimpse]:
        self.looks.append([(view.reader.path.name, view.window) for view in views])
        glimpses = []
        for view in views:
            _, seconds = read_window(view.reader, view.window, self.num_frames)
            shown = view.window or Span(0, view.reader.duration)
            glimpses.append(SeenWindow(torch.zeros(1, 1), seconds, shown))
        return glimpses

    def probabilities(self, questions: Sequence[Question]) -> list[list[float]]:
        answers = []
        for question in questions:
            self.prompts.append(question.prompt)
            assert isinstance(question.glimpse, SeenWindow)
            asked, _, rest = question.prompt.split("Question: ")[1].partition("\nOptions:\n")
            query = asked.split("'")[1] if "'" in asked else asked
            options = [line[4:] for line in rest.split("\n")[: question.num_options]]
            wanted = options.index(self.say(query, question.glimpse.window))
            others = 0.3 / (len(options) - 1)
            answers.append([0.7 if place == wanted else others for place in range(len(options))])
        return answers


def saying(*choices: Choice) -> Say:
    """Says one sentence after another, whatever is asked."""
    remaining = iter(choices)
    return lambda *_: CHOICE_SENTENCES[next(remaining)]


def always(choice: Choice) -> Say:
    """Says one sentence, whatever is asked."""
    return lambda *_: CHOICE_SENTENCES[choice]

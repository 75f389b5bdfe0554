"""What an evaluation asks: each task has examples, answers some of them at a time, and reads its own lines again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hawkeye.data.locations import locate
from hawkeye.data.video import VideoReader
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.examples import Example, ExampleType, GroundingExample, QAExample
from hawkeye.evaluation.grounding import Query, ask_once, check_grounding, option_rng
from hawkeye.evaluation.predictions import Crop, GroundingPrediction, Prediction, QAPrediction, Row, SpanPrediction
from hawkeye.evaluation.search import find
from hawkeye.evaluation.settings import Decoding, Shown, SpanSettings, Strategy
from hawkeye.evaluation.spans import ask_spans, check_span
from hawkeye.evaluation.videoqa import ChoiceQuestion, answer, check_choice
from hawkeye.prompts import GROUNDING_WORDING, QA_WORDING, Wording
from hawkeye.temporal import Span, sample_window, whole_window_choice


@dataclass(frozen=True)
class Videos:
    """Where a task's videos are, and the frames per second of those that are folders of frames."""

    folder: Path
    file: str = "{name}"
    fps: float | None = None

    def path(self, example: Example) -> Path:
        """The file, or the folder of frames, of an example.

        Raises:
            AnnotationError: if its video's name does not fit the pattern `file`.
        """
        return locate(self.folder, example.video, self.file, example.place)


Asked = Sequence[tuple[VideoReader, ExampleType]]
"""Examples with their open videos."""


class Task(Protocol[ExampleType]):
    """One annotation file and how it is asked."""

    @property
    def name(self) -> str:
        """What its lines are told apart by."""

    @property
    def examples(self) -> list[ExampleType]:
        """What it asks, in the file's order."""

    @property
    def videos(self) -> Videos:
        """Where their videos are."""

    def check(self, answerer: Answerer, example: ExampleType) -> None:
        """Refuses what the model cannot read, before any video is opened.

        Raises:
            ValueError: saying why.
        """

    def predict(self, answerer: Answerer, asked: Asked[ExampleType]) -> Sequence[Prediction]:
        """One prediction for each example, in order.

        Raises:
            AnswerError: if an answer that the model generates names no option.
            VideoError: if frames cannot be read.
        """

    def failed(self, example: ExampleType, error: str) -> Prediction:
        """The prediction for an example whose video could not be read."""

    def read(self, example: ExampleType, row: Row) -> Prediction:
        """The prediction that a line of predictions.jsonl tells."""


@dataclass(frozen=True)
class TurnByTurn:
    """Queries found turn by turn, and the single question of training about a window around each."""

    name: str
    examples: list[GroundingExample]
    videos: Videos
    strategy: Strategy | None
    max_turns: int
    seed: int
    decoding: Decoding
    wording: Wording = GROUNDING_WORDING

    def check(self, answerer: Answerer, example: GroundingExample) -> None:
        """See `Task`."""
        check_grounding(answerer, example.query, self.wording)

    def predict(self, answerer: Answerer, asked: Asked[GroundingExample]) -> list[GroundingPrediction]:
        """See `Task`."""
        queries = [Query(reader, example.query, example.key, wording=self.wording) for reader, example in asked]
        found = find(
            answerer,
            queries,
            strategy=self.strategy,
            max_turns=self.max_turns,
            seed=self.seed,
            decoding=self.decoding,
        )
        golds_told = all(example.golds for _, example in asked)
        crops: Sequence[Crop | None] = [None] * len(asked)
        if golds_told:
            crops = self._crops(answerer, queries, [example for _, example in asked])
        return [
            GroundingPrediction(self.name, example, grounding, crop)
            for (_, example), grounding, crop in zip(asked, found, crops)
        ]

    def _crops(self, answerer: Answerer, queries: Sequence[Query], examples: Sequence[GroundingExample]) -> list[Crop]:
        """A random window around each segment, as in training, with the answer and the right one."""
        windows, golds = [], []
        for query, example in zip(queries, examples):
            video, gold = Span(0.0, query.reader.duration), example.golds[0]
            segment = Span(min(gold.start, video.end), min(gold.end, video.end))
            window, choice = video, whole_window_choice(video, segment)
            if segment.duration > 0:
                rng = option_rng(self.seed, f"crop {query.key}")
                window, choice = sample_window(segment, video, rng, num_frames=answerer.num_frames)
            windows.append(window)
            golds.append(choice)
        turns = ask_once(answerer, queries, windows, seed=self.seed)
        return [Crop(turn, gold) for turn, gold in zip(turns, golds)]

    def failed(self, example: GroundingExample, error: str) -> GroundingPrediction:
        """See `Task`."""
        return GroundingPrediction(self.name, example, error=error)

    def read(self, example: GroundingExample, row: Row) -> GroundingPrediction:
        """See `Task`."""
        return GroundingPrediction.from_row(example, row)


@dataclass(frozen=True)
class SpansInNumbers:
    """Queries answered once, by two numbers."""

    name: str
    examples: list[GroundingExample]
    videos: Videos
    settings: SpanSettings

    def check(self, answerer: Answerer, example: GroundingExample) -> None:
        """See `Task`."""
        check_span(answerer, example.query, self.settings)

    def predict(self, answerer: Answerer, asked: Asked[GroundingExample]) -> list[SpanPrediction]:
        """See `Task`."""
        queries = [Query(reader, example.query, example.key) for reader, example in asked]
        return [
            SpanPrediction(self.name, example, found, reader.duration)
            for (reader, example), found in zip(asked, ask_spans(answerer, queries, self.settings))
        ]

    def failed(self, example: GroundingExample, error: str) -> SpanPrediction:
        """See `Task`."""
        return SpanPrediction(self.name, example, error=error)

    def read(self, example: GroundingExample, row: Row) -> SpanPrediction:
        """See `Task`."""
        return SpanPrediction.from_row(example, row)


@dataclass(frozen=True)
class MultipleChoice:
    """Questions with candidates."""

    name: str
    examples: list[QAExample]
    videos: Videos
    shown: Shown = "annotated"
    wording: Wording = QA_WORDING

    def check(self, answerer: Answerer, example: QAExample) -> None:
        """See `Task`."""
        check_choice(answerer, example.question, example.candidates, self.wording)

    def predict(self, answerer: Answerer, asked: Asked[QAExample]) -> list[QAPrediction]:
        """See `Task`."""
        questions = [
            ChoiceQuestion(
                reader,
                example.question,
                example.candidates,
                example.window if self.shown == "annotated" else None,
                self.wording,
            )
            for reader, example in asked
        ]
        return [
            QAPrediction(self.name, example, found, reader.duration)
            for (reader, example), found in zip(asked, answer(answerer, questions))
        ]

    def failed(self, example: QAExample, error: str) -> QAPrediction:
        """See `Task`."""
        return QAPrediction(self.name, example, error=error)

    def read(self, example: QAExample, row: Row) -> QAPrediction:
        """See `Task`."""
        return QAPrediction.from_row(example, row)

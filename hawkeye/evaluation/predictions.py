"""What a model answered to an example, and the line of predictions.jsonl that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hawkeye.annotations import AnnotationError
from hawkeye.evaluation.examples import GroundingExample, QAExample
from hawkeye.evaluation.grounding import Candidate, Grounding, GroundingTurn
from hawkeye.evaluation.metrics import Target
from hawkeye.evaluation.spans import SpanAnswer
from hawkeye.evaluation.videoqa import ChoiceAnswer
from hawkeye.prompts import lettered, parse_option
from hawkeye.temporal import Choice, Span, best_iou, whole_window_choice

Row = dict[str, Any]
"""One line of predictions.jsonl."""


@dataclass(frozen=True)
class Crop:
    """A single question about a window drawn around the segment: the model's turn, and the right answer."""

    turn: GroundingTurn
    gold: Choice


@dataclass(frozen=True)
class GroundingPrediction:
    """Where a query was found; `error` in place of the rest where its video could not be read."""

    task: str
    example: GroundingExample
    found: Grounding | None = None
    crop: Crop | None = None
    error: str | None = None

    @property
    def span(self) -> Span | None:
        """Where the query was found; None after an error."""
        return self.found.span if self.found else None

    @property
    def target(self) -> Target | None:
        """What the walk is judged by; None after an error, as the video's length is not known, or without a gold."""
        if self.found is None or not self.example.golds:
            return None
        return Target(Span(0.0, self.found.duration), self.example.golds)

    @property
    def ranked(self) -> list[Span]:
        """The spans named, the best first; a recursion names one."""
        if self.found is None:
            return []
        return [candidate.span for candidate in self.found.candidates] or [self.found.span]

    def ious(self, max_turns: int) -> list[float]:
        """The IoU after each turn; 0 after an error, or without a gold."""
        if self.found is None or not self.example.golds:
            return [0.0] * max_turns
        reached = [best_iou(turn.span, self.example.golds) for turn in self.found.turns]
        return reached + reached[-1:] * (max_turns - len(reached))

    def first_answer(self) -> tuple[Choice | None, Choice | None]:
        """The answer about the whole video, and the right one; None after an error."""
        if self.found is None or self.target is None:
            return None, None
        return self.found.choices[0], whole_window_choice(self.target.video, self.example.golds[0])

    def crop_answer(self) -> tuple[Choice | None, Choice | None]:
        """The answer about the window drawn around the segment, and the right one; None after an error."""
        return (self.crop.turn.choice, self.crop.gold) if self.crop else (None, None)

    @classmethod
    def from_row(cls, example: GroundingExample, row: Row) -> GroundingPrediction:
        """Reads a line that `as_row` made."""
        if "error" in row:
            return cls(row["task"], example, error=row["error"])
        window, turns = Span(0.0, row["duration"]), list[GroundingTurn]()
        choices = map(Choice, row["pred_answer_list"])
        answers = [{Choice(name): p for name, p in answer.items()} for answer in row["probabilities"]]
        if "windows" in row:
            windows, spans = ([Span(*span) for span in row[name]] for name in ("windows", "spans"))
            turns = list(map(GroundingTurn, windows, choices, answers, spans))
        else:
            for choice, answer in zip(choices, answers):
                turns.append(GroundingTurn(window, choice, answer))
                window = turns[-1].span
        candidates = tuple(Candidate(Span(*span), score) for span, score in row.get("candidates", []))
        found = Grounding(example.query, turns[-1].span, row["duration"], tuple(turns), candidates, row.get("absence"))
        crop = None
        if "crop" in row:
            crop = Crop(GroundingTurn(Span(*row["crop"]), Choice(row["crop_pred"]), {}), Choice(row["crop_answer"]))
        return cls(row["task"], example, found, crop)

    def as_row(self) -> Row:
        """The line's fields: those of the original, and ours."""
        row = _grounding_row(self.task, self.example)
        if self.found is not None:
            turns = self.found.turns
            row |= {
                "duration": self.found.duration,
                "pred_span": [self.found.span.start, self.found.span.end],
                "pred_answer_list": [choice.value for choice in self.found.choices],
                "iou": self.ious(len(turns))[-1],
                "confidence": round(self.found.confidence, 6),
                "probabilities": [
                    {choice.value: round(turn.probabilities[choice], 6) for choice in Choice} for turn in turns
                ],
            }
            if self.found.candidates:
                row |= {
                    "windows": [[turn.window.start, turn.window.end] for turn in turns],
                    "spans": [[turn.span.start, turn.span.end] for turn in turns],
                    "candidates": [
                        [[candidate.span.start, candidate.span.end], round(candidate.expected_iou, 6)]
                        for candidate in self.found.candidates
                    ],
                    "absence": self.found.absence,
                }
        if self.crop is not None:
            window = self.crop.turn.window
            row |= {
                "crop": [window.start, window.end],
                "crop_pred": self.crop.turn.choice.value,
                "crop_answer": self.crop.gold.value,
            }
        return row | ({"error": self.error} if self.error else {})


@dataclass(frozen=True)
class SpanPrediction:
    """The span that was named in a video of `duration` seconds; `error` in their place if it cannot be read."""

    task: str
    example: GroundingExample
    answer: SpanAnswer | None = None
    duration: float | None = None
    error: str | None = None

    @property
    def span(self) -> Span | None:
        """The span that was named; None where none was."""
        return self.answer.span if self.answer else None

    @property
    def is_unparsable(self) -> bool:
        """Whether the model gave an answer that names no span."""
        return self.answer is not None and self.answer.span is None

    @property
    def iou(self) -> float:
        """The IoU with the nearest annotated span; 0 where there is no span."""
        return best_iou(self.span, self.example.golds) if self.span and self.example.golds else 0.0

    @classmethod
    def from_row(cls, example: GroundingExample, row: Row) -> SpanPrediction:
        """Reads a line that `as_row` made."""
        if "error" in row:
            return cls(row["task"], example, error=row["error"])
        span = row["pred_span"]
        answer = SpanAnswer(row["pred_answer_list"][0], Span(*span) if span else None)
        return cls(row["task"], example, answer, row["duration"])

    def as_row(self) -> Row:
        """The line's fields: those of the original, and ours."""
        span = self.span
        row = _grounding_row(self.task, self.example) | {
            "duration": self.duration,
            "pred_span": [span.start, span.end] if span else None,
            "pred_answer_list": [self.answer.text] if self.answer else [],
            "iou": self.iou,
        }
        return row | ({"error": self.error} if self.error else {})


@dataclass(frozen=True)
class QAPrediction:
    """The candidate that was chosen in a video of `duration` seconds; `error` in their place if it cannot be read."""

    task: str
    example: QAExample
    answer: ChoiceAnswer | None = None
    duration: float | None = None
    error: str | None = None

    @property
    def is_right(self) -> bool | None:
        """Whether the right candidate was chosen; None where the annotation does not tell it."""
        if self.answer is None:
            return None if self.example.answer is None else False
        return self.example.is_right(self.answer.index)

    @classmethod
    def from_row(cls, example: QAExample, row: Row) -> QAPrediction:
        """Reads a line that `as_row` made."""
        if "error" in row:
            return cls(row["task"], example, error=row["error"])
        index = parse_option(row["pred"], example.candidates)
        if index is None:
            raise AnnotationError(f"{example.place}: the prediction {row['pred']!r} names none of its candidates")
        answer = ChoiceAnswer(index, tuple(row["probabilities"]))
        return cls(row["task"], example, answer, row["video_secs"])

    def as_row(self) -> Row:
        """The line's fields: those of the original, and ours."""
        options, window = lettered(self.example.candidates), self.example.window
        right = self.example.answer
        if self.is_right and self.answer:
            right = self.answer.index  # of candidates that read the same, the one that was chosen
        row: Row = {
            "task": self.task,
            "id": self.example.id,
            "task_type": self.task,
            "video_fname": self.example.video,
            "video_secs": self.duration,
            "question": self.example.question,
            "pred": options[self.answer.index] if self.answer else None,
            "gt_answer": None if right is None else options[right],
            "gt_span": [window.start, window.end] if window else None,
            "res": self.is_right,
        }
        if self.answer is not None:
            row["probabilities"] = [round(value, 6) for value in self.answer.probabilities]
        return row | ({"error": self.error} if self.error else {})


Prediction = GroundingPrediction | SpanPrediction | QAPrediction
"""Any line of predictions.jsonl."""


def _grounding_row(task: str, example: GroundingExample) -> Row:
    """What a line says of a query for which nothing is predicted."""
    return {
        "task": task,
        "id": example.id,
        "video_fname": example.video,
        "duration": None,
        "question": example.query,
        "pred_span": None,
        "gt_span": [[gold.start, gold.end] for gold in example.golds],
        "pred_answer_list": [],
        "iou": 0.0,
        "held_out": example.held_out,
    }

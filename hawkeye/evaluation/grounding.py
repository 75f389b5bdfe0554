"""Recursive grounding: ask in which part of a window something happens, narrow the window, ask again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from hawkeye.data.clock import check_window
from hawkeye.data.video import VideoReader
from hawkeye.evaluation.answering import LONGEST_TIME, Answerer, Question, View
from hawkeye.evaluation.settings import Decoding
from hawkeye.prompts import (
    CHOICE_SENTENCES,
    GROUNDING_WORDING,
    Wording,
    grounding_prompt,
    grounding_question,
    parse_option,
)
from hawkeye.temporal import MAX_TURNS, Choice, Span, narrow


class AnswerError(ValueError):
    """A generated answer that begins with no option's letter; the message quotes it."""


@dataclass(frozen=True)
class Query:
    """Something to find in a video; `key` and the seed decide the order of the options."""

    reader: VideoReader
    text: str
    key: str
    window: Span | None = None
    """The part of the video to search; all of it where None. It may end after the video."""
    wording: Wording = GROUNDING_WORDING

    @property
    def searched(self) -> Span:
        """What the first question is about.

        Raises:
            VideoError: if the window begins where the video has ended.
        """
        end = self.reader.duration
        if self.window is None:
            return Span(0.0, end)
        check_window(self.reader, self.window)
        return Span(self.window.start, min(self.window.end, end))


@dataclass(frozen=True)
class GroundingTurn:
    """One question: the window it was asked about, the answer, and how probable each answer was (1 if generated);
    `best` is the span to name after it, where that is not the part of the window that the answer names."""

    window: Span
    choice: Choice
    probabilities: dict[Choice, float]
    best: Span | None = None

    @property
    def span(self) -> Span:
        """The span to name after this question."""
        return self.best or narrow(self.window, self.choice)

    def to_dict(self) -> dict[str, Any]:
        """As plain values: seconds to a thousandth, probabilities to a ten-thousandth."""
        return {
            "window": [round(self.window.start, 3), round(self.window.end, 3)],
            "answer": self.choice.value,
            "probabilities": {choice.value: round(value, 4) for choice, value in self.probabilities.items()},
        }


@dataclass(frozen=True)
class Candidate:
    """A span, and the IoU with the right one that is expected of it."""

    span: Span
    expected_iou: float

    def to_dict(self) -> dict[str, Any]:
        """As plain values: seconds to a thousandth, the IoU to a ten-thousandth."""
        return {**_bounds(self.span), "expected_iou": round(self.expected_iou, 4)}


@dataclass(frozen=True, repr=False)
class Grounding:
    """Where a query happens in a video of `duration` seconds, and the turns that led there.

    A search by belief also ranks several `candidates`, the span the first, and says how probable it is that the query
    is not in the video at all (`absence`, at even odds before the first question).
    """

    query: str
    span: Span
    duration: float
    turns: tuple[GroundingTurn, ...]
    candidates: tuple[Candidate, ...] = ()
    absence: float | None = None

    @property
    def confidence(self) -> float:
        """In [0, 1]: the expected IoU of the span, or in recursion the product of the chosen answers' probabilities."""
        if self.candidates:
            return self.candidates[0].expected_iou
        return prod(turn.probabilities[turn.choice] for turn in self.turns)

    @property
    def choices(self) -> list[Choice]:
        """The answers in order."""
        return [turn.choice for turn in self.turns]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON: seconds to a thousandth, probabilities to a ten-thousandth."""
        return {
            "query": self.query,
            **_bounds(self.span),
            "confidence": round(self.confidence, 4),
            "duration": round(self.duration, 3),
            **({} if self.absence is None else {"absence": round(self.absence, 4)}),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "turns": [turn.to_dict() for turn in self.turns],
        }

    def __repr__(self) -> str:
        return (
            f"Grounding({self.query!r}: {self.span.start:.1f} to {self.span.end:.1f} of {self.duration:.1f} s, "
            f"confidence {self.confidence:.2f}, {len(self.turns)} turns)"
        )

    def __str__(self) -> str:
        """For people: the span, the turns that led there, and what else it may be."""
        span = self.span
        lines = [f"{self.query}: {span.start:.1f} to {span.end:.1f} s (confidence {self.confidence:.2f})"]
        for number, turn in enumerate(self.turns, start=1):
            window = f"{turn.window.start:.1f}-{turn.window.end:.1f} s"
            lines.append(f"  turn {number}: {window:>14} {turn.choice.value:<10} {turn.probabilities[turn.choice]:.2f}")
        for candidate in self.candidates[1:]:
            span = candidate.span
            lines.append(f"  or {span.start:.1f} to {span.end:.1f} s (expected IoU {candidate.expected_iou:.2f})")
        if self.absence is not None:
            lines.append(f"  not in this video: {self.absence:.2f}")
        return "\n".join(lines)


def _bounds(span: Span) -> dict[str, float]:
    return {"start": round(span.start, 3), "end": round(span.end, 3)}


def check_query(query: str) -> None:
    """Refuses what cannot be looked for.

    Raises:
        ValueError: if the query is empty.
    """
    if not query.strip():
        raise ValueError("the query is empty: say what to look for")


def check_grounding(answerer: Answerer, query: str, wording: Wording = GROUNDING_WORDING) -> None:
    """Refuses a query before any video is opened.

    Raises:
        ValueError: if the query is empty, or longer than the model's prompt allows.
    """
    check_query(query)
    prompt = grounding_prompt(query, list(Choice), [LONGEST_TIME] * answerer.num_frames, wording)
    answerer.check(prompt, len(Choice))


def option_rng(seed: int, key: str) -> np.random.Generator:
    """The generator for one example: its id and the seed decide it, on every machine and in every process."""
    digest = hashlib.sha256(f"{seed}|{key}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def ground(
    answerer: Answerer,
    queries: Sequence[Query],
    *,
    max_turns: int = MAX_TURNS,
    seed: int = 0,
    decoding: Decoding = "probabilities",
) -> list[Grounding]:
    """Finds all queries together, turn by turn; queries of one video share the windows that they have in common.

    Args:
        max_turns: at most so many questions a query; "throughout" ends its search earlier.
        seed: with each query's key, decides the order of the options.
        decoding: how answers are read.

    Returns:
        One grounding for each query, in order.

    Raises:
        ValueError: if a query is empty or too long for the model, or `max_turns` is not positive.
        AnswerError: if a generated answer names no option.
        VideoError: if frames cannot be read.
    """
    if max_turns < 1:
        raise ValueError(f"max_turns must be at least 1, not {max_turns}")
    for query in queries:
        check_grounding(answerer, query.text, query.wording)
    rngs = [option_rng(seed, query.key) for query in queries]
    windows = [query.searched for query in queries]
    turns: list[list[GroundingTurn]] = [[] for _ in queries]
    active = list(range(len(queries)))
    while active and len(turns[active[0]]) < max_turns:
        orders = [option_order(rngs[place]) for place in active]
        asked, asked_windows = [queries[place] for place in active], [windows[place] for place in active]
        found = ask_windows(answerer, asked, asked_windows, orders, decoding)
        for place, probabilities in zip(active, found):
            choice = max(probabilities, key=probabilities.__getitem__)
            turns[place].append(GroundingTurn(windows[place], choice, probabilities))
            windows[place] = narrow(windows[place], choice)
        active = [place for place in active if turns[place][-1].choice is not Choice.THROUGHOUT]
    return [
        Grounding(query.text, window, query.reader.duration, tuple(steps))
        for query, window, steps in zip(queries, windows, turns)
    ]


def ask_once(
    answerer: Answerer, queries: Sequence[Query], windows: Sequence[Span], *, seed: int = 0
) -> list[GroundingTurn]:
    """One turn: each query asked about its window.

    Raises:
        VideoError: if frames cannot be read.
    """
    orders = [option_order(option_rng(seed, query.key)) for query in queries]
    found = ask_windows(answerer, queries, windows, orders)
    return [
        GroundingTurn(window, max(probabilities, key=probabilities.__getitem__), probabilities)
        for window, probabilities in zip(windows, found)
    ]


def option_order(rng: np.random.Generator) -> list[Choice]:
    """The options in a random order."""
    return [list(Choice)[place] for place in rng.permutation(len(Choice))]


def ask_windows(
    answerer: Answerer,
    queries: Sequence[Query],
    windows: Sequence[Span],
    orders: Sequence[list[Choice]],
    decoding: Decoding = "probabilities",
) -> list[dict[Choice, float]]:
    """How probable each answer is about each query's window, the options shown in the order given.

    Raises:
        AnswerError: if a generated answer names no option.
        VideoError: if frames cannot be read.
    """
    # Parity: the whole video is shown without bounds; bounds at its ends could choose other frames.
    shown = [None if window == Span(0.0, query.reader.duration) else window for query, window in zip(queries, windows)]
    glimpses = answerer.look(
        [
            View(query.reader, window, query.wording.instruction, grounding_question(query.text, order, query.wording))
            for query, window, order in zip(queries, shown, orders)
        ]
    )
    questions = [
        Question(grounding_prompt(query.text, order, list(glimpse.seconds), query.wording), glimpse, len(order))
        for query, order, glimpse in zip(queries, orders, glimpses)
    ]
    if decoding == "generate":
        named = [named_choice(text, order) for text, order in zip(answerer.generate(questions), orders)]
        return [{choice: float(choice is name) for choice in order} for name, order in zip(named, orders)]
    answers = answerer.probabilities(questions)
    return [dict(zip(order, answer)) for order, answer in zip(orders, answers)]


def named_choice(text: str, order: Sequence[Choice]) -> Choice:
    """The option that a generated answer names.

    Raises:
        AnswerError: if it names none.
    """
    index = parse_option(text, [CHOICE_SENTENCES[choice] for choice in order])
    if index is None:
        raise AnswerError(f"the model's answer {text!r} begins with none of the letters of its {len(order)} options")
    return order[index]

"""Spans in numbers: a model that was trained to say seconds or frames is asked once, about the whole video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hawkeye.evaluation.answering import LONGEST_TIME, Answerer, Question, View
from hawkeye.evaluation.grounding import Query, check_query
from hawkeye.evaluation.settings import SpanSettings
from hawkeye.prompts import open_prompt, parse_two_numbers
from hawkeye.temporal import Span, frames_span


@dataclass(frozen=True)
class SpanAnswer:
    """What the model said, and the span that it means; None where it means none."""

    text: str
    span: Span | None


def check_span(answerer: Answerer, query: str, settings: SpanSettings) -> None:
    """Refuses a query before any video is opened.

    Raises:
        ValueError: if the query is empty, or longer than the model's prompt allows.
    """
    check_query(query)
    times = [LONGEST_TIME] * answerer.num_frames
    answerer.check(open_prompt(settings.question % query, times, settings.instruction), 0)


def ask_spans(answerer: Answerer, queries: Sequence[Query], settings: SpanSettings) -> list[SpanAnswer]:
    """One answer for each query, in order.

    Raises:
        VideoError: if frames cannot be read.
    """
    texts = [settings.question % query.text for query in queries]
    glimpses = answerer.look(
        [View(query.reader, None, settings.instruction, text) for query, text in zip(queries, texts)]
    )
    questions = [
        Question(open_prompt(text, list(glimpse.seconds), settings.instruction), glimpse, 0)
        for text, glimpse in zip(texts, glimpses)
    ]
    answers = answerer.generate(questions, max_new_tokens=settings.max_new_tokens)
    return [
        SpanAnswer(answer, read_span(answer, Span(0.0, query.reader.duration), settings, answerer.num_frames))
        for answer, query in zip(answers, queries)
    ]


def read_span(answer: str, video: Span, settings: SpanSettings, num_frames: int) -> Span | None:
    """The span that an answer names, cut to the video.

    None where the answer has not two numbers, the second is before the first, or nothing of the span is in the video.
    """
    numbers = parse_two_numbers(answer)
    if numbers is None or numbers[0] > numbers[1]:
        return None
    span = Span(*numbers) if settings.represent == "seconds" else frames_span(video, *numbers, num_frames)
    start, end = max(span.start, video.start), min(span.end, video.end)
    return Span(start, end) if start <= end else None

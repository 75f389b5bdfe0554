"""Training rows of a world, in the HawkEye-IT format: what each file says about a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from zlib import crc32

import numpy as np

from data_preparing.shapes.language import canonical, query
from data_preparing.shapes.questions import Kind, Question, ask, ask_about
from data_preparing.shapes.world import MAX_EVENTS, Combination, Event, Plan, Stream, draw_combinations, video_rng
from hawkeye.prompts import (
    CHOICE_SENTENCES,
    GROUNDING_ANSWER_PREFIX,
    GROUNDING_INSTRUCTION,
    GROUNDING_QUESTION,
    LETTERS,
    QA_ANSWER_PREFIX,
    QA_INSTRUCTION,
    grounding_question,
    qa_question,
)
from hawkeye.temporal import Choice, Span, best_choice

Row = dict[str, Any]
"""One JSON object, as it is written."""

CAPTION_INSTRUCTION = "Watch the video and say what happens in it."
EVENT_QUESTION = "What happens in the video?"
LIST_QUESTION = "List the events of the video in order."
THEN = ", then "

PARAPHRASES = {"event_query": 2, "grounding": 3, "grounding_open": 2}
"""Rows per event of the files about segments."""
QUESTIONS = {Kind.ORDER: 3, Kind.END: 1, Kind.FIRST: 2, Kind.COUNT: 2}
"""Training questions per video."""
OPEN_QUESTIONS = {Kind.ORDER: 6, Kind.END: 1}
"""The same without options."""
ORDER_QUESTIONS = 6
"""Questions about order alone, with options and as many without."""
LISTED_PARTS = 2
"""Parts of each video whose events are listed, beside the whole."""
PART_LENGTHS = (2, 3)
"""Events in the parts of a video that are asked about: the fewer, the easier."""
PAIR_MARGIN = 0.5
"""Seconds at most that a window of two events shows before and after them."""
ALONE_RATIO = 0.4
"""Share of the text-only grounding rows whose text is the part alone, without an event: the easiest, learned first."""


def round_seconds(seconds: float) -> float:
    """To milliseconds, as annotations have them."""
    return round(seconds, 3)


def _row(plan: Plan, item: Row, **more: float) -> Row:
    return {"video": plan.name, "QA": [item], **more}


def _segment(plan: Plan, event: Event) -> Row:
    """The times of an item about a segment; nothing else in the video looks like it, so its context is all of it."""
    start, end = round_seconds(event.span.start), round_seconds(event.span.end)
    return {"start_sec": start, "end_sec": end, "neg_start_sec": 0.0, "neg_end_sec": round_seconds(plan.duration)}


def _choice_order(rng: np.random.Generator) -> list[Choice]:
    return [list(Choice)[place] for place in rng.permutation(len(Choice))]


def _best_option(order: Sequence[Choice], choice: Choice) -> str:
    return f"{GROUNDING_ANSWER_PREFIX}{LETTERS[order.index(choice)]}) {CHOICE_SENTENCES[choice]}"


def _grounding(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    for event in plan.events:
        for _ in range(PARAPHRASES["grounding"]):
            order = _choice_order(rng)
            question = grounding_question(query(event.what, rng), order)
            answers = [[choice.value, _best_option(order, choice)] for choice in order]
            yield _row(plan, {"i": GROUNDING_INSTRUCTION, **_segment(plan, event), "q": question, "a": answers})


def _grounding_open(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    answers = [[choice.value, CHOICE_SENTENCES[choice]] for choice in Choice]
    for event in plan.events:
        for _ in range(PARAPHRASES["grounding_open"]):
            question = GROUNDING_QUESTION % query(event.what, rng)
            yield _row(plan, {"i": GROUNDING_INSTRUCTION, **_segment(plan, event), "q": question, "a": answers})


def _grounding_pairs(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """Windows of two neighbours that differ in colour, and a query for each: the easiest rows in which the answer needs
    both what the query says and when it is seen."""
    for pair in zip(plan.events, plan.events[1:]):
        if pair[0].what.colour is pair[1].what.colour:
            continue
        start = round_seconds(max(0.0, pair[0].span.start - rng.uniform(0, PAIR_MARGIN)))
        end = round_seconds(min(plan.duration, pair[1].span.end + rng.uniform(0, PAIR_MARGIN)))
        for event in pair:
            choice = best_choice(Span(start, end), event.span)
            if choice in (Choice.BEGINNING, Choice.END):
                item = {"i": GROUNDING_INSTRUCTION, "q": GROUNDING_QUESTION % query(event.what, rng)}
                yield _row(plan, item | {"a": CHOICE_SENTENCES[choice]}, start=start, end=end)


def _choice_caption(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:  # noqa: ARG001 - one signature for all
    sentences = {choice: CHOICE_SENTENCES[choice].rstrip(".") for choice in Choice}
    questions = [[choice.value, f"What happens {text[0].lower()}{text[1:]}?"] for choice, text in sentences.items()]
    for event in plan.events:
        item = {"i": GROUNDING_INSTRUCTION, **_segment(plan, event), "q": questions, "a": canonical(event.what)}
        yield _row(plan, item)


def _event_caption(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:  # noqa: ARG001 - one signature for all
    for event in plan.events:
        item = {"i": CAPTION_INSTRUCTION, "q": EVENT_QUESTION, "a": canonical(event.what)}
        yield _row(plan, item, start=round_seconds(event.span.start), end=round_seconds(event.span.end))


def _event_query(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """Captions in all the words that queries use."""
    for event in plan.events:
        for _ in range(PARAPHRASES["event_query"]):
            item = {"i": CAPTION_INSTRUCTION, "q": EVENT_QUESTION, "a": query(event.what, rng)}
            yield _row(plan, item, start=round_seconds(event.span.start), end=round_seconds(event.span.end))


def _event_list(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """The whole video, and parts of it that begin and end in the gaps between events."""
    item = {"i": QA_INSTRUCTION, "q": LIST_QUESTION}
    yield _row(plan, item | {"a": THEN.join(canonical(event.what) for event in plan.events)})
    for _ in range(LISTED_PARTS):
        first, last = sorted(rng.integers(len(plan.events), size=2))
        window = _part(plan, first, last, rng)
        answer = THEN.join(canonical(event.what) for event in plan.events[first : last + 1])
        yield _row(plan, item | {"a": answer}, **window)


def _part(plan: Plan, first: int, last: int, rng: np.random.Generator) -> dict[str, float]:
    """A window of some neighbours, that begins and ends in the gaps around them."""
    before = plan.events[first - 1].span.end if first else 0.0
    after = plan.events[last + 1].span.start if last + 1 < len(plan.events) else plan.duration
    start = rng.uniform(before, plan.events[first].span.start)
    end = rng.uniform(plan.events[last].span.end, after)
    return {"start": round_seconds(start), "end": round_seconds(end)}


def _question_item(question: Question) -> Row:
    letter = LETTERS[question.candidates.index(question.answer)]
    return {
        "i": QA_INSTRUCTION,
        "q": qa_question(question.text, question.candidates),
        "a": f"{QA_ANSWER_PREFIX}{letter}) {question.answer}",
    }


def _open_item(question: Question) -> Row:
    return {"i": QA_INSTRUCTION, "q": question.text, "a": question.answer}


def _qa(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    events = [event.what for event in plan.events]
    for kind, times in QUESTIONS.items():
        for _ in range(times):
            yield _row(plan, _question_item(ask(kind, events, rng)))


def _qa_parts(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """Questions about parts with few events, in words and with options: what comes after what is learned there, and
    then in whole videos."""
    yield from _about_parts(plan, list(OPEN_QUESTIONS), rng)


def _qa_order(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """Questions about order alone, in words and with options, about the whole video and parts: the kind that is learned
    last."""
    events = [event.what for event in plan.events]
    for _ in range(ORDER_QUESTIONS):
        yield _row(plan, _open_item(ask(Kind.ORDER, events, rng)))
        yield _row(plan, _question_item(ask(Kind.ORDER, events, rng)))
    yield from _about_parts(plan, [Kind.ORDER], rng)


def _about_parts(plan: Plan, kinds: Sequence[Kind], rng: np.random.Generator) -> Iterator[Row]:
    for length in PART_LENGTHS:
        for first in range(len(plan.events) - length + 1):
            events = [event.what for event in plan.events[first : first + length]]
            window = _part(plan, first, first + length - 1, rng)
            for kind in kinds:
                yield _row(plan, _open_item(ask(kind, events, rng)), **window)
                yield _row(plan, _question_item(ask(kind, events, rng)), **window)


def _event_choice(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """Windows of one event, and which of four events it is: from words in place of visual tokens to visual tokens."""
    events = [event.what for event in plan.events]
    for event in plan.events:
        question = ask_about(event.what, events, EVENT_QUESTION, rng)
        yield _row(
            plan, _question_item(question), start=round_seconds(event.span.start), end=round_seconds(event.span.end)
        )


def _qa_open(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """Questions that need no options, answered in words: each word of the answer teaches, and not a letter alone."""
    events = [event.what for event in plan.events]
    for kind, times in OPEN_QUESTIONS.items():
        for _ in range(times):
            yield _row(plan, _open_item(ask(kind, events, rng)))


def _letters(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """Rows without a video, two for each event that the plan has: events with the part that they happen in, or a part
    alone, and a question about one of them. They teach which letter an option has."""
    for _ in range(2 * len(plan.events)):
        events = draw_combinations(int(rng.integers(1, 4)), rng)
        parts = [list(Choice)[rng.integers(len(Choice))] for _ in events]
        asked = int(rng.integers(len(events)))
        text = CHOICE_SENTENCES[parts[asked]] if rng.uniform() < ALONE_RATIO else _timed(events, parts)
        order = _choice_order(rng)
        question = grounding_question(query(events[asked], rng), order)
        item = {"i": GROUNDING_INSTRUCTION, "q": question, "a": _best_option(order, parts[asked])}
        yield {"text": text, "QA": [item]}


def _text(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """Rows without a video, three questions for each event that the plan has: words that say the answer, or in every
    third row the events in order, stand in the place of the visual tokens."""
    for _ in plan.events:
        for alone in (True, True, False):
            events = draw_combinations(int(rng.integers(2, MAX_EVENTS + 1)), rng)
            question = ask(list(Kind)[rng.integers(len(Kind))], events, rng)
            text = question.answer if alone else THEN.join(map(canonical, events))
            yield {"text": text, "QA": [_question_item(question)]}


def _timed(events: Sequence[Combination], parts: Sequence[Choice]) -> str:
    return ", ".join(f"{canonical(what)} {CHOICE_SENTENCES[part]}" for what, part in zip(events, parts))


TRAINING_ROWS: dict[str, Callable[[Plan, np.random.Generator], Iterator[Row]]] = {
    "grounding": _grounding,
    "grounding_open": _grounding_open,
    "grounding_pairs": _grounding_pairs,
    "choice_caption": _choice_caption,
    "event_caption": _event_caption,
    "event_query": _event_query,
    "event_list": _event_list,
    "event_choice": _event_choice,
    "qa": _qa,
    "qa_open": _qa_open,
    "qa_parts": _qa_parts,
    "qa_order": _qa_order,
    "letters": _letters,
    "text": _text,
}
"""Training files and what makes their rows from a plan."""


def training_rows(plan: Plan, seed: int) -> dict[str, list[Row]]:
    """The rows about one video of each training file; no file's rows depend on another's."""
    rngs = {name: video_rng(seed, plan.split, plan.index, Stream.WORDS, crc32(name.encode())) for name in TRAINING_ROWS}
    return {name: list(make(plan, rngs[name])) for name, make in TRAINING_ROWS.items()}

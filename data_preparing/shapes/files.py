"""Annotation files of a world: HawkEye-IT rows for training, and test annotations."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_preparing.shapes.language import canonical, query
from data_preparing.shapes.questions import Kind, Question, ask
from data_preparing.shapes.world import (
    HELD_OUT,
    HELD_OUT_TEST_RATIO,
    MAX_EVENTS,
    Combination,
    Event,
    Plan,
    Split,
    Stream,
    draw_combinations,
    is_held_out,
    video_rng,
)
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
from hawkeye.temporal import DEFAULT_NUM_FRAMES, Choice, Span, best_choice, sample_path_window, sample_window

Row = dict[str, Any]
"""One JSON object, as it is written."""

CAPTION_INSTRUCTION = "Watch the video and say what happens in it."
EVENT_QUESTION = "What happens in the video?"
LIST_QUESTION = "List the events of the video in order."
# Lists and captions come with the instructions of the tasks that they prepare: what the Q-Former reads is the same.
TIMES_QUESTION = "What happens in which part of the video?"
FRAMES_QUESTION = "Which frames show which shape?"
SHOWN_QUESTION = "Which frames show it?"
NOTHING, SHOWN = ".", "it"
THEN = ", then "

PARAPHRASES = {"event_query": 2, "grounding": 3, "grounding_open": 2, "grounding_shown": 2, "choice_caption": 1}
"""Rows per event of the files about segments."""
QUESTIONS = {Kind.ORDER: 3, Kind.END: 1, Kind.FIRST: 2, Kind.COUNT: 2}
"""Training questions per video."""
LISTED_PARTS = 2
"""Parts of each video whose events are listed, beside the whole."""
TIMED_WINDOWS = 6
"""Windows of each video whose events are listed with the part that they happen in."""
FRAME_WINDOWS = 4
"""Windows of each video whose frames are listed; the first is the whole."""
ALONE_RATIO = 0.4
"""Share of the text-only grounding rows whose text is the part alone, without an event: the easiest, learned first."""
SHORTEST_LISTED = 3.0
"""Seconds that a window whose frames are listed has at least, away from the video's end."""
TEST_QUERIES = 4
"""Grounding queries per test video."""


def write_training_files(plans: Sequence[Plan], seed: int, directory: Path) -> Mapping[str, int]:
    """Writes `train/*.json`; returns the number of rows of each."""
    rows: dict[str, list[Row]] = {name: [] for name in TRAINING_ROWS}
    for plan in plans:
        rng = video_rng(seed, plan.split, plan.index, Stream.WORDS)
        for name, make in TRAINING_ROWS.items():
            rows[name] += make(plan, rng)
    for name, content in rows.items():
        write_json(directory / f"{name}.json", content)
    return {f"{directory.name}/{name}.json": len(content) for name, content in rows.items()}


def write_test_files(plans: Sequence[Plan], seed: int, directory: Path) -> Mapping[str, int]:
    """Writes `test-anno/*.json`; returns the number of rows of each."""
    rows: dict[str, list[Row]] = {name: [] for name in ("recursive_grounding", *(kind.value for kind in Kind))}
    for plan in plans:
        rng = video_rng(seed, plan.split, plan.index, Stream.WORDS)
        rows["recursive_grounding"] += _test_queries(plan, rng)
        for kind in Kind:
            rows[kind.value].append(_test_question(plan, kind, rng))
    for name, content in rows.items():
        write_json(directory / f"shapes-{name}.json", content)
    return {f"{directory.name}/shapes-{name}.json": len(content) for name, content in rows.items()}


def describe_world(settings: Mapping[str, int], plans: Sequence[Plan]) -> Row:
    """What `world.json` holds: settings, held-out combinations, and every video's format and events."""
    videos = [
        {
            "video": plan.name,
            "width": plan.width,
            "height": plan.height,
            "fps": float(plan.fps),
            "num_frames": plan.num_frames,
            "duration": _round(plan.duration),
            "events": [
                _words(event.what)
                | {
                    "start": _round(event.span.start),
                    "end": _round(event.span.end),
                    "held_out": is_held_out(event.what),
                }
                for event in plan.events
            ],
        }
        for plan in plans
    ]
    return {"settings": dict(settings), "held_out": [_words(what) for what in HELD_OUT], "videos": videos}


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, lists one row a line; it appears under its name when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    if isinstance(content, list):
        text = "[\n" + ",\n".join(json.dumps(row) for row in content) + "\n]\n"
    else:
        text = json.dumps(content, indent=1) + "\n"
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _words(what: Combination) -> Row:
    return {
        "caption": canonical(what),
        "colour": what.colour.value,
        "shape": what.shape.value,
        "action": what.action.value,
    }


def _round(seconds: float) -> float:
    return round(seconds, 3)


def _row(plan: Plan, item: Row, **more: float) -> Row:
    return {"video": plan.name, "QA": [item], **more}


def _segment(plan: Plan, event: Event) -> Row:
    """The times of an item about a segment; nothing else in the video looks like it, so its context is all of it."""
    start, end = _round(event.span.start), _round(event.span.end)
    return {"start_sec": start, "end_sec": end, "neg_start_sec": 0.0, "neg_end_sec": _round(plan.duration)}


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


def _choice_caption(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:  # noqa: ARG001 - one signature for all
    sentences = {choice: CHOICE_SENTENCES[choice].rstrip(".") for choice in Choice}
    questions = [[choice.value, f"What happens {text[0].lower()}{text[1:]}?"] for choice, text in sentences.items()]
    for event in plan.events:
        item = {"i": GROUNDING_INSTRUCTION, **_segment(plan, event), "q": questions, "a": canonical(event.what)}
        yield _row(plan, item)


def _event_caption(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:  # noqa: ARG001 - one signature for all
    for event in plan.events:
        item = {"i": CAPTION_INSTRUCTION, "q": EVENT_QUESTION, "a": canonical(event.what)}
        yield _row(plan, item, start=_round(event.span.start), end=_round(event.span.end))


def _event_list(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """The whole video, and parts of it that begin and end in the gaps between events."""
    item = {"i": QA_INSTRUCTION, "q": LIST_QUESTION}
    yield _row(plan, item | {"a": THEN.join(canonical(event.what) for event in plan.events)})
    for _ in range(LISTED_PARTS):
        first, last = sorted(rng.integers(len(plan.events), size=2))
        before = plan.events[first - 1].span.end if first else 0.0
        after = plan.events[last + 1].span.start if last + 1 < len(plan.events) else plan.duration
        start = rng.uniform(before, plan.events[first].span.start)
        end = rng.uniform(plan.events[last].span.end, after)
        answer = THEN.join(canonical(event.what) for event in plan.events[first : last + 1])
        yield _row(plan, item | {"a": answer}, start=_round(start), end=_round(end))


def _question_item(question: Question) -> Row:
    letter = LETTERS[question.candidates.index(question.answer)]
    return {
        "i": QA_INSTRUCTION,
        "q": qa_question(question.text, question.candidates),
        "a": f"{QA_ANSWER_PREFIX}{letter}) {question.answer}",
    }


def _qa(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    events = [event.what for event in plan.events]
    for kind, times in QUESTIONS.items():
        for _ in range(times):
            yield _row(plan, _question_item(ask(kind, events, rng)))


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


def _event_times(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """Windows that recursion might ask about, and in which part of them each of their events happens: what the text of
    the `_letters` rows says in words. An event counts when half of it is in the window."""
    whole = Span(0.0, plan.duration)
    for _ in range(TIMED_WINDOWS):
        around = plan.events[rng.integers(len(plan.events))].span
        window, _ = (sample_path_window if rng.uniform() < 0.5 else sample_window)(around, whole, rng)
        window = Span(_round(window.start), _round(window.end))
        shown = [
            event
            for event in plan.events
            if min(event.span.end, window.end) - max(event.span.start, window.start) >= event.span.duration / 2
        ]
        if not shown:  # the window cuts off more than half of all that is in it
            continue
        # In any order: in that of time, the part of an event would follow from its place in the list.
        shown = [shown[place] for place in rng.permutation(len(shown))]
        answer = _timed([event.what for event in shown], [best_choice(window, event.span) for event in shown])
        yield _row(
            plan, {"i": GROUNDING_INSTRUCTION, "q": TIMES_QUESTION, "a": answer}, start=window.start, end=window.end
        )


def _event_frames(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """What each frame of a window shows: colour and shape of the event in the middle of its twelfth, or nothing."""
    for number in range(FRAME_WINDOWS):
        start, end = (0.0, plan.duration) if number == 0 else sorted(rng.uniform(0, plan.duration, size=2))
        start, end = _round(start), _round(max(end, min(start + SHORTEST_LISTED, plan.duration)))
        middles = _frame_middles(Span(start, end))
        seen = [next((e.what for e in plan.events if e.span.start <= m <= e.span.end), None) for m in middles]
        answer = ", ".join(f"{what.colour.value} {what.shape.value}" if what else NOTHING for what in seen)
        yield _row(plan, {"i": GROUNDING_INSTRUCTION, "q": FRAMES_QUESTION, "a": answer}, start=start, end=end)


def _grounding_shown(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """Queries answered by the part of a window, and then frame by frame: twelve answers in place of one."""
    whole = Span(0.0, plan.duration)
    for event in plan.events:
        for _ in range(PARAPHRASES["grounding_shown"]):
            window, _ = (sample_path_window if rng.uniform() < 0.5 else sample_window)(event.span, whole, rng)
            window = Span(_round(window.start), _round(window.end))
            part = CHOICE_SENTENCES[best_choice(window, event.span)]
            frames = [event.span.start <= middle <= event.span.end for middle in _frame_middles(window)]
            first = {"i": GROUNDING_INSTRUCTION, "q": GROUNDING_QUESTION % query(event.what, rng), "a": part}
            then = {"i": "", "q": SHOWN_QUESTION, "a": ", ".join(SHOWN if shown else NOTHING for shown in frames)}
            yield {"video": plan.name, "QA": [first, then], "start": window.start, "end": window.end}


def _frame_middles(window: Span) -> list[float]:
    """The middles of the parts of a window that its frames are taken from, in seconds."""
    part = (window.end - window.start) / DEFAULT_NUM_FRAMES
    return [window.start + (place + 0.5) * part for place in range(DEFAULT_NUM_FRAMES)]


def _event_query(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    """Captions in all the words that queries use."""
    for event in plan.events:
        for _ in range(PARAPHRASES["event_query"]):
            item = {"i": CAPTION_INSTRUCTION, "q": EVENT_QUESTION, "a": query(event.what, rng)}
            yield _row(plan, item, start=_round(event.span.start), end=_round(event.span.end))


TRAINING_ROWS = {
    "grounding": _grounding,
    "grounding_open": _grounding_open,
    "choice_caption": _choice_caption,
    "event_caption": _event_caption,
    "event_list": _event_list,
    "qa": _qa,
    "letters": _letters,
    "text": _text,
    "event_times": _event_times,
    "event_frames": _event_frames,
    "grounding_shown": _grounding_shown,
    "event_query": _event_query,
}
"""Training files and what makes their rows from a plan."""


def _test_queries(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    assert plan.split is Split.TEST
    for place in sorted(rng.permutation(len(plan.events))[:TEST_QUERIES]):
        event = plan.events[place]
        yield {
            "video": plan.name,
            "question": query(event.what, rng),
            "answer": [_round(event.span.start), _round(event.span.end)],
            "duration": _round(plan.duration),
            "held_out": is_held_out(event.what),
        }


def _test_question(plan: Plan, kind: Kind, rng: np.random.Generator) -> Row:
    question = ask(kind, [event.what for event in plan.events], rng, held_out_ratio=HELD_OUT_TEST_RATIO)
    return {
        "video": plan.name,
        "question": question.text,
        "candidates": list(question.candidates),
        "answer": question.answer,
        "qid": f"{kind.value}-{plan.index:05d}",
    }

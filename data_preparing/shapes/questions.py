"""Multiple-choice questions about the events of a video: order, end, first, count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from data_preparing.shapes.language import NOUNS, VERBS, canonical, clause
from data_preparing.shapes.world import Action, Colour, Combination, Shape, draw_combinations

NUM_OPTIONS = 4


class Kind(str, Enum):
    """Kinds of questions."""

    ORDER = "order"
    COUNT = "count"
    END = "end"
    FIRST = "first"


@dataclass(frozen=True)
class Question:
    """A question with its candidates in the order shown; `answer` is one of them."""

    text: str
    candidates: tuple[str, ...]
    answer: str


def ask(
    kind: Kind, events: Sequence[Combination], rng: np.random.Generator, *, held_out_ratio: float = 0.0
) -> Question:
    """A random question of a kind about at least two events, given in order of time.

    Wrong candidates are other events of the video while there are enough of them, and then events that do not occur;
    those are drawn from the held-out combinations with `held_out_ratio`.
    """
    return ASKERS[kind](events, rng, held_out_ratio)


def _order(events: Sequence[Combination], rng: np.random.Generator, held_out_ratio: float) -> Question:
    place = int(rng.integers(len(events) - 1))
    if rng.uniform() < 0.5:
        known, answer, word = events[place], events[place + 1], "after"
    else:
        known, answer, word = events[place + 1], events[place], "before"
    text = f"What happens right {word} {clause(known, rng)}?"
    return _with_events(text, answer, [known], events, rng, held_out_ratio)


def _end(events: Sequence[Combination], rng: np.random.Generator, held_out_ratio: float) -> Question:
    return _with_events("What happens at the end of the video?", events[-1], [], events, rng, held_out_ratio)


def ask_about(event: Combination, events: Sequence[Combination], text: str, rng: np.random.Generator) -> Question:
    """A question whose answer is one event; wrong candidates are the others of its video, then events not in it."""
    return _with_events(text, event, [], events, rng, 0.0)


def _first(events: Sequence[Combination], rng: np.random.Generator, held_out_ratio: float) -> Question:
    places = sorted(rng.permutation(len(events))[:NUM_OPTIONS])
    shown = [events[place] for place in places]
    return _with_events("Which of these happens first?", shown[0], [], shown, rng, held_out_ratio)


def _count(events: Sequence[Combination], rng: np.random.Generator, held_out_ratio: float) -> Question:  # noqa: ARG001 - one signature for all kinds
    texts = {"How many events are there?": len(events)}
    for colour in Colour:
        texts[f"How many events show a shape that is {colour.value}?"] = sum(what.colour is colour for what in events)
    for shape in Shape:
        texts[f"How many events show a {NOUNS[shape][0]}?"] = sum(what.shape is shape for what in events)
    for action in Action:
        texts[f"In how many events does a shape {VERBS[action].base}?"] = sum(what.action is action for what in events)
    # The number is drawn first: drawn by the words, most answers would be 0 or 1.
    numbers = sorted({number for number in texts.values() if number > 0})
    number = numbers[rng.integers(len(numbers))]
    asked = [text for text, times in texts.items() if times == number]
    lowest = number - int(rng.integers(min(NUM_OPTIONS, number + 1)))
    options = [str(lowest + step) for step in range(NUM_OPTIONS)]
    return Question(asked[rng.integers(len(asked))], _shuffled(options, rng), str(number))


ASKERS: dict[Kind, Callable[[Sequence[Combination], np.random.Generator, float], Question]] = {
    Kind.ORDER: _order,
    Kind.COUNT: _count,
    Kind.END: _end,
    Kind.FIRST: _first,
}


def _with_events(
    text: str,
    answer: Combination,
    excluded: Sequence[Combination],
    events: Sequence[Combination],
    rng: np.random.Generator,
    held_out_ratio: float,
) -> Question:
    others = [what for what in events if what is not answer and what not in excluded]
    wrong = [others[place] for place in rng.permutation(len(others))[: NUM_OPTIONS - 1]]
    missing = NUM_OPTIONS - 1 - len(wrong)
    wrong += draw_combinations(missing, rng, held_out_ratio=held_out_ratio, known=events)
    return Question(text, _shuffled([canonical(what) for what in (answer, *wrong)], rng), canonical(answer))


def _shuffled(options: Iterable[str], rng: np.random.Generator) -> tuple[str, ...]:
    options = list(options)
    return tuple(options[place] for place in rng.permutation(len(options)))

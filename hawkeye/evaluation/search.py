"""Finding queries, by either strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import get_args

import numpy as np

from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.belief import NUM_CANDIDATES, SpanSpace, absence
from hawkeye.evaluation.grounding import (
    Candidate,
    Grounding,
    GroundingTurn,
    Query,
    ask_windows,
    check_grounding,
    ground,
    option_order,
    option_rng,
)
from hawkeye.evaluation.responses import Responses
from hawkeye.evaluation.settings import Decoding, Strategy
from hawkeye.inputs import one_of
from hawkeye.temporal import MAX_TURNS, Choice, Span


def find(
    answerer: Answerer,
    queries: Sequence[Query],
    *,
    strategy: Strategy | None = None,
    max_turns: int = MAX_TURNS,
    seed: int = 0,
    decoding: Decoding = "probabilities",
) -> list[Grounding]:
    """Finds all queries together, one question each a turn.

    Args:
        strategy: "recursive" narrows a window turn by turn (`ground`), "belief" keeps a belief over all spans; by
            default the belief if it was measured how the model answers (`hawkeye calibrate`), else recursion.
        max_turns: maximum number of questions per query; a search by belief ends when it has asked about each of its
            129 windows (`hawkeye.evaluation.belief.search_windows`).
        seed: with each query's key, decides the order of the options.
        decoding: how answers are read.

    Raises:
        ValueError: if a query is empty or too long for the model, `max_turns` is not positive, or the strategy is
            unknown.
        AnswerError: if a generated answer names no option.
        VideoError: if frames cannot be read.
    """
    if strategy is not None:
        one_of(strategy, "strategy", get_args(Strategy))
    if (strategy or default_strategy(answerer)) == "recursive":
        return ground(answerer, queries, max_turns=max_turns, seed=seed, decoding=decoding)
    return _find_by_belief(answerer, queries, max_turns, seed, decoding)


def default_strategy(answerer: Answerer) -> Strategy:
    """The better strategy for a model."""
    return "recursive" if answerer.responses is None else "belief"


def _find_by_belief(
    answerer: Answerer, queries: Sequence[Query], max_turns: int, seed: int, decoding: Decoding
) -> list[Grounding]:
    if max_turns < 1:
        raise ValueError(f"max_turns must be at least 1, not {max_turns}")
    for query in queries:
        check_grounding(answerer, query.text, query.wording)
    if not queries:
        return []
    space = _space(answerer.responses)
    rngs = [option_rng(seed, query.key) for query in queries]
    searched = [query.searched for query in queries]
    everyone = np.arange(len(queries))
    beliefs = np.tile(space.prior, (len(queries), 1))
    asked = np.zeros((len(queries), len(space.windows)), dtype=bool)
    places = np.zeros(len(queries), dtype=int)  # the first question is about the whole video
    turns: list[list[GroundingTurn]] = [[] for _ in queries]
    present, absent = np.zeros((2, len(queries)))
    # A window asked again would count the same answer twice, and be believed too much.
    for turn in range(min(max_turns, len(space.windows))):
        if turn:
            places = space.most_telling(beliefs, asked)
        asked[everyone, places] = True
        windows = [_within(space.window(place, part.duration), part) for place, part in zip(places, searched)]
        orders = [option_order(rng) for rng in rngs]
        found = ask_windows(answerer, queries, windows, orders, decoding)
        answers = np.array([[probabilities[choice] for choice in Choice] for probabilities in found])
        beliefs, evidence = space.update(beliefs, places, answers)
        present += np.log(evidence)
        absent += np.log(answers @ space.absent)
        for place, (window, probabilities) in enumerate(zip(windows, found)):
            best = _candidates(space, beliefs[place], searched[place], 1)[0].span
            choice = max(probabilities, key=probabilities.__getitem__)
            turns[place].append(GroundingTurn(window, choice, probabilities, best))
    return [
        Grounding(
            query.text,
            turns[place][-1].span,
            query.reader.duration,
            tuple(turns[place]),
            tuple(_candidates(space, beliefs[place], searched[place], NUM_CANDIDATES)),
            absence(present[place], absent[place]),
        )
        for place, query in enumerate(queries)
    ]


def _candidates(space: SpanSpace, belief: np.ndarray, part: Span, count: int) -> list[Candidate]:
    """The best spans in a part of a video, best first."""
    found = space.candidates(belief, part.duration, count)
    return [replace(candidate, span=_within(candidate.span, part)) for candidate in found]


def _within(span: Span, part: Span) -> Span:
    """A span that counts from the start of `part`, in the video's seconds."""
    return Span(part.start + span.start, part.start + span.end)


@lru_cache(maxsize=2)
def _space(responses: Responses | None) -> SpanSpace:
    return SpanSpace(responses or Responses.of_rule())

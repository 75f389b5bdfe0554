"""The world of shapes before anything is drawn: what happens when, in which words, and what is asked about it."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest

from data_preparing.shapes.language import canonical, clause, query
from data_preparing.shapes.questions import Kind, ask
from data_preparing.shapes.world import (
    ALL_COMBINATIONS,
    HELD_OUT,
    MAX_EVENT_RATIO,
    SEEN,
    Action,
    Colour,
    Combination,
    Plan,
    Shape,
    Split,
    draw_combinations,
    draw_plan,
)

RED_CIRCLE_JUMPS = Combination(Colour.RED, Shape.CIRCLE, Action.JUMPS)
RED_STAR_JUMPS = Combination(Colour.RED, Shape.STAR, Action.JUMPS)
BLUE_STAR_SPINS = Combination(Colour.BLUE, Shape.STAR, Action.SPINS)
BLUE_STAR_GROWS = Combination(Colour.BLUE, Shape.STAR, Action.GROWS)
WHITE_HEART_GROWS = Combination(Colour.WHITE, Shape.HEART, Action.GROWS)
STORY = (RED_CIRCLE_JUMPS, BLUE_STAR_SPINS, RED_STAR_JUMPS, BLUE_STAR_GROWS, WHITE_HEART_GROWS)


@pytest.fixture(scope="module", params=list(Split))
def plans(request: pytest.FixtureRequest) -> list[Plan]:
    return [draw_plan(0, request.param, index) for index in range(120)]


def test_an_eighth_is_held_out_and_every_pair_of_words_stays_in_training() -> None:
    assert (len(ALL_COMBINATIONS), len(HELD_OUT), len(SEEN)) == (288, 36, 252)
    for first, second, all_pairs in (("colour", "shape", 48), ("colour", "action", 48), ("shape", "action", 36)):
        pairs = Counter((getattr(what, first), getattr(what, second)) for what in SEEN)
        assert len(pairs) == all_pairs
        assert min(pairs.values()) >= 4


def test_events_follow_one_another_and_twelve_frames_show_each(plans: list[Plan]) -> None:
    for plan in plans:
        assert 4 <= len(plan.events) <= 7
        assert plan.events[0].span.start >= 0
        assert plan.events[-1].span.end <= plan.duration + 1e-9
        for before, after in pairwise(plan.events):
            assert before.span.end <= after.span.start
        frames = (np.arange(12) + 0.5) * plan.duration / 12
        for event in plan.events:
            assert event.span.duration <= MAX_EVENT_RATIO * plan.duration + 1 / plan.fps
            assert ((frames >= event.span.start) & (frames < event.span.end)).any()


def test_formats_vary(plans: list[Plan]) -> None:
    for plan in plans:
        assert 19.8 <= plan.duration <= 90.2
        assert plan.width % 2 == plan.height % 2 == 0
    assert len({plan.fps for plan in plans}) == 7
    assert len({(plan.width, plan.height) for plan in plans}) == 8


def test_each_word_of_a_query_matters(plans: list[Plan]) -> None:
    """An event without another that differs in one word only is the exception, and no two are the same."""
    alone = []
    for plan in plans:
        whats = [event.what for event in plan.events]
        assert len(set(whats)) == len(whats)
        alone += [max(what.shared(other) for other in whats if other != what) < 2 for what in whats]
    assert np.mean(alone) < 0.3


def test_held_out_combinations_are_a_third_of_the_test_and_none_of_the_training_events() -> None:
    held_out = {}
    for split in Split:
        events = [event for index in range(120) for event in draw_plan(0, split, index).events]
        held_out[split] = np.mean([event.what in HELD_OUT for event in events])
    assert held_out[Split.TRAIN] == 0
    assert 0.27 < held_out[Split.TEST] < 0.4


def test_a_plan_depends_on_seed_split_and_index() -> None:
    assert draw_plan(3, Split.TRAIN, 5) == draw_plan(3, Split.TRAIN, 5)
    others = [draw_plan(4, Split.TRAIN, 5), draw_plan(3, Split.TEST, 5), draw_plan(3, Split.TRAIN, 6)]
    assert len({plan.events for plan in (*others, draw_plan(3, Split.TRAIN, 5))}) == 4


def test_drawn_combinations_are_new() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        drawn = draw_combinations(6, rng, known=STORY)
        assert len({*drawn, *STORY}) == 11
        assert not set(drawn) & set(HELD_OUT)


def test_captions_are_short() -> None:
    assert canonical(RED_CIRCLE_JUMPS) == "red circle jumps"
    assert canonical(Combination(Colour.WHITE, Shape.CROSS, Action.SPLITS)) == "white cross splits in two"


def test_no_paraphrase_fits_two_combinations() -> None:
    rng = np.random.default_rng(0)
    said = {what: {query(what, rng) for _ in range(30)} for what in ALL_COMBINATIONS}
    for one, other in combinations(said.values(), 2):
        assert not one & other
    for texts in said.values():
        assert len(texts) > 8
        for text in texts:
            assert text == text.lower().strip().rstrip(".")


def test_a_clause_has_a_finite_verb() -> None:
    rng = np.random.default_rng(1)
    said = {clause(RED_CIRCLE_JUMPS, rng) for _ in range(300)}
    assert {"the red circle jumps", "a disc that is red is hopping up and down"} <= said
    assert "the red circle jumping" not in said


def draws(kind: Kind, times: int = 200) -> list[tuple[str, tuple[str, ...], str]]:
    rng = np.random.default_rng(0)
    questions = [ask(kind, STORY, rng) for _ in range(times)]
    for question in questions:
        assert len(set(question.candidates)) == 4
        assert question.answer in question.candidates
    places = Counter(question.candidates.index(question.answer) for question in questions)
    assert min(places.values()) > times / 8
    return [(question.text, question.candidates, question.answer) for question in questions]


def test_the_end_is_the_last_event_among_others_of_the_video() -> None:
    captions = {canonical(what) for what in STORY}
    for text, candidates, answer in draws(Kind.END):
        assert (text, answer) == ("What happens at the end of the video?", "white heart grows")
        assert set(candidates) <= captions


def test_first_is_the_earliest_of_the_candidates() -> None:
    captions = [canonical(what) for what in STORY]
    for text, candidates, answer in draws(Kind.FIRST):
        assert text == "Which of these happens first?"
        assert answer == min(candidates, key=captions.index)


def test_order_asks_for_the_neighbour_of_a_named_event() -> None:
    rng = np.random.default_rng(5)
    clauses = {what: {clause(what, rng) for _ in range(1500)} for what in STORY}
    asked = set()
    for text, candidates, answer in draws(Kind.ORDER):
        _, _, _, word, named = text.removesuffix("?").split(" ", 4)
        (place,) = (place for place, what in enumerate(STORY) if named in clauses[what])
        step = {"after": 1, "before": -1}[word]
        assert answer == canonical(STORY[place + step])
        assert canonical(STORY[place]) not in candidates
        asked.add((place, step))
    assert asked == {(place, 1) for place in range(4)} | {(place, -1) for place in range(1, 5)}


def test_counts_are_right() -> None:
    expected = {
        "How many events are there?": "5",
        "How many events show a shape that is red?": "2",
        "How many events show a shape that is blue?": "2",
        "How many events show a shape that is white?": "1",
        "How many events show a circle?": "1",
        "How many events show a star?": "3",
        "How many events show a heart?": "1",
        "In how many events does a shape jump?": "2",
        "In how many events does a shape spin?": "1",
        "In how many events does a shape grow?": "2",
    }
    assert {text: answer for text, _, answer in draws(Kind.COUNT, 400)} == expected


def test_where_a_story_is_short_events_that_do_not_happen_fill_the_options() -> None:
    rng = np.random.default_rng(0)
    for kind in (Kind.ORDER, Kind.END, Kind.FIRST):
        question = ask(kind, STORY[:2], rng)
        assert len(set(question.candidates)) == 4
        assert question.answer in [canonical(what) for what in STORY[:2]]

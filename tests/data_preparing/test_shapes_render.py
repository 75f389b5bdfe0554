"""Drawn frames: an event is seen in its span, in its colour, inside the central square, and its action shows."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from data_preparing.shapes.render import RGB, blend, render
from data_preparing.shapes.world import Action, Colour, Combination, Event, Plan, Shape, Split
from hawkeye.temporal import Span

WIDTH, HEIGHT = 160, 120


def plan_of(*events: Event) -> Plan:
    return Plan("test/00000.mp4", Split.TEST, 0, WIDTH, HEIGHT, Fraction(5), 60, events)


def frames_of(what: Combination, seed: int = 0) -> np.ndarray:
    """Twelve seconds in which `what` happens from 4 to 8 s."""
    return np.stack(list(render(plan_of(Event(what, Span(4.0, 8.0))), np.random.default_rng(seed))))


def painted(frames: np.ndarray, colour: Colour) -> np.ndarray:
    """Where the solid parts of a shape are: pixels close to its colour."""
    return np.abs(frames.astype(float) - RGB[colour]).max(axis=-1) < 30


@pytest.mark.parametrize("colour", list(Colour))
def test_a_colour_is_seen_during_its_event_alone(colour: Colour) -> None:
    shown = painted(frames_of(Combination(colour, Shape.CIRCLE, Action.SPINS)), colour).sum(axis=(1, 2))
    assert (shown[:20] == 0).all()
    assert (shown[20:40] > 300).all()
    assert (shown[40:] == 0).all()


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_action_stays_in_the_central_square(action: Action, seed: int) -> None:
    solid = painted(frames_of(Combination(Colour.RED, Shape.SQUARE, action), seed), Colour.RED)[20:40]
    margin = (WIDTH - HEIGHT) // 2
    assert solid[:, :, margin:-margin].sum() == solid.sum()
    assert solid.any(axis=(1, 2)).all()


@pytest.mark.parametrize("shape", list(Shape))
def test_every_frame_tells_left_from_right(shape: Shape) -> None:
    for action, direction in ((Action.MOVES_LEFT, -1), (Action.MOVES_RIGHT, 1)):
        frames = frames_of(Combination(Colour.RED, shape, action))
        for frame in frames[20:40].astype(float):
            reddish = frame[..., 0] - frame[..., 1] > 60
            solid, anything = (np.nonzero(mask)[1].mean() for mask in (painted(frame, Colour.RED), reddish))
            assert direction * (solid - anything) > 3


def test_events_of_two_shapes_or_actions_look_different() -> None:
    looks = {
        what: painted(frames_of(what), Colour.RED)[25]
        for what in (Combination(Colour.RED, shape, action) for shape in Shape for action in Action)
    }
    for one, mask in looks.items():
        for other, other_mask in looks.items():
            if one != other:
                union, common = (mask | other_mask).sum(), (mask & other_mask).sum()
                assert common / union < 0.93, (one, other)


def test_backgrounds_and_distractors_are_never_colourful() -> None:
    for seed in range(6):
        frames = np.stack(list(render(plan_of(), np.random.default_rng(seed)))).astype(int)
        assert (frames.max(axis=-1) - frames.min(axis=-1)).max() < 70
        assert frames.max() < 165


def test_the_look_depends_on_the_rng_alone() -> None:
    what = Combination(Colour.CYAN, Shape.HEART, Action.GROWS)
    first, again, other = frames_of(what, 0), frames_of(what, 0), frames_of(what, 1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_lies_outside_the_frame_is_cut_off() -> None:
    frame = np.zeros((4, 6, 3), np.uint8)
    rgb = np.array([200, 100, 0], np.float32)
    blend(frame, np.ones((2, 2), np.float32), rgb, 0, 0, 0.5)
    expected = np.zeros((4, 6, 3), np.uint8)
    expected[0, 0] = (100, 50, 0)
    assert np.array_equal(frame, expected)
    blend(frame, np.ones((2, 2), np.float32), rgb, -5, 20, 1)
    assert np.array_equal(frame, expected)

"""What happens in the world of shapes: events, videos as plans, and the combinations kept for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from itertools import product

import numpy as np

from hawkeye.temporal import Span

MIN_EVENTS, MAX_EVENTS = 4, 7
MIN_SECONDS, MAX_SECONDS = 20.0, 90.0
MIN_EVENT_RATIO, MAX_EVENT_RATIO = 0.095, 0.3
"""An event's share of its video. Above 1/12, so that twelve evenly spaced frames show every event."""

FRAME_RATES = {
    Fraction(5): 0.28,
    Fraction(6): 0.22,
    Fraction(15, 2): 0.16,
    Fraction(8): 0.14,
    Fraction(10): 0.1,
    Fraction(12): 0.06,
    Fraction(15000, 1001): 0.04,
}
"""Frames per second and how often they are drawn; mostly low ones, which cost less to render and to decode."""

FRAME_SIZES = ((160, 120), (120, 160), (192, 108), (128, 128), (176, 144), (144, 112), (118, 150), (200, 120))
"""Width and height in pixels; even, because 4:2:0 video needs that."""

HELD_OUT_TEST_RATIO = 1 / 3
"""Share of test events whose combination never occurs in training."""


class Colour(str, Enum):
    """Colours of the shapes."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    CYAN = "cyan"
    BLUE = "blue"
    PURPLE = "purple"
    WHITE = "white"


class Shape(str, Enum):
    """Shapes."""

    CIRCLE = "circle"
    SQUARE = "square"
    TRIANGLE = "triangle"
    STAR = "star"
    CROSS = "cross"
    HEART = "heart"


class Action(str, Enum):
    """What a shape does."""

    MOVES_LEFT = "moves left"
    MOVES_RIGHT = "moves right"
    JUMPS = "jumps"
    SPINS = "spins"
    GROWS = "grows"
    SPLITS = "splits in two"


class Split(Enum):
    """Training and test videos; the values enter the seeds."""

    TRAIN = 0
    TEST = 1

    @property
    def folder(self) -> str:
        """Name of the split's folder."""
        return self.name.lower()


class Stream(Enum):
    """Independent random streams of one video; the values enter the seeds."""

    PLAN = 0
    LOOK = 1
    WORDS = 2


@dataclass(frozen=True)
class Combination:
    """Which shape does what."""

    colour: Colour
    shape: Shape
    action: Action

    def shared(self, other: Combination) -> int:
        """How many of colour, shape and action the two have in common."""
        return (self.colour is other.colour) + (self.shape is other.shape) + (self.action is other.action)


@dataclass(frozen=True)
class Event:
    """A combination and when it is seen."""

    what: Combination
    span: Span


@dataclass(frozen=True)
class Plan:
    """A video before it is rendered: its format and its events in order of time, no two at once."""

    name: str
    split: Split
    index: int
    width: int
    height: int
    fps: Fraction
    num_frames: int
    events: tuple[Event, ...]

    @property
    def duration(self) -> float:
        """Seconds."""
        return float(self.num_frames / self.fps)


ALL_COMBINATIONS = tuple(Combination(*parts) for parts in product(Colour, Shape, Action))


def is_held_out(what: Combination) -> bool:
    """Whether a combination is kept for tests: one colour for each shape and action, an eighth of all.

    A fixed rule, so that worlds of different seeds keep the same ones.
    """
    colour, shape, action = (list(kind).index(part) for kind, part in
                             ((Colour, what.colour), (Shape, what.shape), (Action, what.action)))  # fmt: skip
    return (colour + 2 * shape + 3 * action) % len(Colour) == 0


HELD_OUT = tuple(what for what in ALL_COMBINATIONS if is_held_out(what))
SEEN = tuple(what for what in ALL_COMBINATIONS if not is_held_out(what))


def video_rng(seed: int, split: Split, index: int, stream: Stream, *purpose: int) -> np.random.Generator:
    """The generator for one purpose of one video, independent of all others."""
    return np.random.default_rng([seed, split.value, index, stream.value, *purpose])


def draw_combinations(
    count: int, rng: np.random.Generator, *, held_out_ratio: float = 0.0, known: Sequence[Combination] = ()
) -> list[Combination]:
    """Distinct combinations, none of them in `known`, that tend to differ from others in one or two words only.

    So a query can hardly be answered from its colour, its shape or its action alone.
    """
    drawn: list[Combination] = []
    for _ in range(count):
        pool = HELD_OUT if rng.uniform() < held_out_ratio else SEEN
        others = [*known, *drawn]
        candidates = [what for what in pool if what not in others]
        closeness = [max((what.shared(other) for other in others), default=0) for what in candidates]
        # About half of the mass goes to the 17 combinations that share two words with a given one.
        weights = np.array([(0.3, 1.0, 14.0)[shared] for shared in closeness])
        drawn.append(candidates[rng.choice(len(candidates), p=weights / weights.sum())])
    return drawn


def draw_plan(seed: int, split: Split, index: int) -> Plan:
    """The plan of video `index` of a split."""
    rng = video_rng(seed, split, index, Stream.PLAN)
    width, height = FRAME_SIZES[rng.integers(len(FRAME_SIZES))]
    fps = list(FRAME_RATES)[rng.choice(len(FRAME_RATES), p=list(FRAME_RATES.values()))]
    num_frames = round(rng.uniform(MIN_SECONDS, MAX_SECONDS) * fps)
    count = int(rng.integers(MIN_EVENTS, MAX_EVENTS + 1))
    held_out_ratio = HELD_OUT_TEST_RATIO if split is Split.TEST else 0.0
    combinations = draw_combinations(count, rng, held_out_ratio=held_out_ratio)
    # Spans begin and end at frames, so that the annotation says exactly what the frames show.
    times = [Span(float(start / fps), float(end / fps)) for start, end in _draw_frames(count, num_frames, rng)]
    events = tuple(Event(what, span) for what, span in zip(combinations, times))
    return Plan(f"{split.folder}/{index:05d}.mp4", split, index, width, height, fps, num_frames, events)


def _draw_frames(count: int, num_frames: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """First frame of each event and the one after its last: lengths skewed to short ones, some gaps next to none."""
    extra = rng.beta(0.8, 1.4, size=count) * (MAX_EVENT_RATIO - MIN_EVENT_RATIO)
    room = rng.uniform(0.72, 0.97) - count * MIN_EVENT_RATIO
    lengths = MIN_EVENT_RATIO + extra * min(1.0, room / extra.sum())
    gaps = rng.dirichlet(np.full(count + 1, 0.7)) * (1.0 - lengths.sum())
    starts = np.cumsum(gaps[:-1]) + np.cumsum(lengths) - lengths
    bounds = np.stack([starts, starts + lengths], axis=1) * num_frames
    return [(int(start), int(end)) for start, end in np.round(bounds)]

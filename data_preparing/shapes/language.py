"""Combinations in words: one canonical phrase each, and paraphrases that keep colour, shape and action."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_preparing.shapes.world import Action, Combination, Shape


@dataclass(frozen=True)
class Verb:
    """Ways to name an action: "jumps", "jumping", and "jump" as in "does something jump"."""

    finite: tuple[str, ...]
    participle: tuple[str, ...]
    base: str


NOUNS: dict[Shape, tuple[str, ...]] = {
    Shape.CIRCLE: ("circle", "disc"),
    Shape.SQUARE: ("square", "box"),
    Shape.TRIANGLE: ("triangle",),
    Shape.STAR: ("star",),
    Shape.CROSS: ("cross", "plus sign"),
    Shape.HEART: ("heart",),
}
"""Names of the shapes, the canonical one first."""

VERBS: dict[Action, Verb] = {
    Action.MOVES_LEFT: Verb(
        ("moves left", "slides to the left", "goes left", "travels to the left"),
        ("moving left", "sliding to the left", "going left", "travelling to the left"),
        "move left",
    ),
    Action.MOVES_RIGHT: Verb(
        ("moves right", "slides to the right", "goes right", "travels to the right"),
        ("moving right", "sliding to the right", "going right", "travelling to the right"),
        "move right",
    ),
    Action.JUMPS: Verb(
        ("jumps", "hops up and down", "leaps", "bounces"),
        ("jumping", "hopping up and down", "leaping", "bouncing"),
        "jump",
    ),
    Action.SPINS: Verb(
        ("spins", "rotates", "turns around", "twirls"),
        ("spinning", "rotating", "turning around", "twirling"),
        "spin",
    ),
    Action.GROWS: Verb(
        ("grows", "gets bigger", "expands", "swells"),
        ("growing", "getting bigger", "expanding", "swelling"),
        "grow",
    ),
    Action.SPLITS: Verb(
        ("splits in two", "divides", "breaks apart", "comes apart"),
        ("splitting in two", "dividing", "breaking apart", "coming apart"),
        "split in two",
    ),
}
"""Words for the actions, the canonical ones first."""


def canonical(what: Combination) -> str:
    """The short phrase of captions and answers, such as "red circle jumps"."""
    return f"{what.colour.value} {NOUNS[what.shape][0]} {VERBS[what.action].finite[0]}"


def clause(what: Combination, rng: np.random.Generator) -> str:
    """A random way to say it with a finite verb: "the red disc is hopping up and down"."""
    thing = _thing(what, rng)
    verb = VERBS[what.action]
    return f"{thing} is {_pick(verb.participle, rng)}" if rng.uniform() < 0.3 else f"{thing} {_pick(verb.finite, rng)}"


def query(what: Combination, rng: np.random.Generator) -> str:
    """A random sentence or phrase to look for: lower-case, no full stop."""
    kind = rng.uniform()
    if kind < 0.2:
        return canonical(what)
    if kind < 0.35:
        return f"{_thing(what, rng)} {_pick(VERBS[what.action].participle, rng)}"
    if kind < 0.5:
        thing = f"{what.colour.value} {_pick(NOUNS[what.shape], rng)}"
        return f"there is {_article(thing)} {thing} that {_pick(VERBS[what.action].finite, rng)}"
    return clause(what, rng)


def _thing(what: Combination, rng: np.random.Generator) -> str:
    colour, noun = what.colour.value, _pick(NOUNS[what.shape], rng)
    kind = rng.uniform()
    if kind < 0.45:
        return f"the {colour} {noun}"
    if kind < 0.85:
        return f"{_article(colour)} {colour} {noun}"
    return f"{_pick(('the', 'a'), rng)} {noun} that is {colour}"


def _article(following: str) -> str:
    return "an" if following[0] in "aeiou" else "a"


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[rng.integers(len(options))]

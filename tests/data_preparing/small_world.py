"""A small world on disk, and what its texts say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data_preparing.shapes.build import WorldSettings
from data_preparing.shapes.language import NOUNS, VERBS
from data_preparing.shapes.world import Colour, Combination

SETTINGS = WorldSettings(seed=1, train_videos=3, test_videos=3)
TRAIN_FILES = (
    *("grounding", "grounding_open", "grounding_pairs", "choice_caption", "event_caption", "event_query"),
    *("event_list", "event_choice", "qa", "qa_open", "qa_parts", "qa_order", "letters", "text"),
)
QA_KINDS = ("order", "count", "end", "first")


def read(world: Path, name: str) -> Any:
    return json.loads((world / name).read_text())


def understand(text: str) -> Combination:
    """The combination that a phrase speaks of, by looking for its words."""

    def only(found: list[Any]) -> Any:
        assert len(found) == 1, (text, found)
        return found[0]

    words = f" {text} "
    colour = only([colour for colour in Colour if f" {colour.value} " in words])
    shape = only([shape for shape, nouns in NOUNS.items() if any(f" {noun} " in words for noun in nouns)])
    verbs = {action: (*verb.finite, *verb.participle) for action, verb in VERBS.items()}
    action = only([action for action, said in verbs.items() if any(f" {verb} " in words for verb in said)])
    return Combination(colour, shape, action)


def events_of(world: Path, video: str) -> dict[Combination, tuple[float, float]]:
    (found,) = (entry for entry in read(world, "world.json")["videos"] if entry["video"] == video)
    return {understand(event["caption"]): (event["start"], event["end"]) for event in found["events"]}

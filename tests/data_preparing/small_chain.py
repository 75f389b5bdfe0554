"""A chain of InternVid-G small enough for a test: videos with hard cuts, a configuration, what it wrote."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data_preparing.internvid_g.runner import Item, Outcome, Stage, Worker
from tests.data.video_files import write_video

ROOT = Path(__file__).parents[2]
FPS, SCENE_FRAMES = 10, 30
COLOURS = [(230, 30, 30), (60, 200, 60), (30, 30, 120), (240, 240, 240), (12, 12, 12)]
OUTPUTS = (
    *("downloaded", "scenes", "scenes_similarity", "scenes_merged", "scenes_merged_similarity"),
    *("captions", "captions_scored", "captions_filtered", "final_dataset"),
)


def write_scenes(path: Path, seed: int) -> None:
    """A video of five or six scenes of three seconds, each of one colour with a little noise."""
    rng = np.random.default_rng(seed)
    order = [int(rng.integers(len(COLOURS) - 1))]  # the detector needs a first picture with some light
    while len(order) < 5 + seed % 2:
        order.append(int(rng.choice([place for place in range(len(COLOURS)) if place != order[-1]])))
    scenes = [np.array(COLOURS[place]) + rng.integers(-10, 10, (SCENE_FRAMES, 48, 64, 3)) for place in order]
    write_video(path, np.concatenate(scenes).clip(0, 255).astype(np.uint8), fps=FPS)


def write_config(folder: Path, shared: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "extends": str(ROOT / "configs" / "internvid_g.yaml"),
        "folder": str(folder),
        "workers": 2,
        "clip": {"model": str(shared / "clip")},
        "merge": {"threshold": 0.999},  # random weights tell colours apart by little
        "caption": {"model": str(shared / "blip2"), "max_new_tokens": 8},
        "score": {"model": str(shared / "clip")},
        "negative": {"same_threshold": 0.999, "same_caption_ratio": 1.1},
    }
    (folder / "chain.yaml").write_text(yaml.safe_dump(values | changes))
    return folder / "chain.yaml"


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def outputs(folder: Path, names: Sequence[str] = OUTPUTS) -> dict[str, str]:
    return {name: (folder / f"{name}.jsonl").read_text() for name in names}


class Letters(Stage):
    """Counts the letters of words; some words are too much for it."""

    name = "letters"

    @property
    def outputs(self) -> list[Path]:
        return [Path("letters.jsonl")]

    @property
    def depends_on(self) -> Any:
        return "letters"

    def items(self) -> list[Item]:
        return [Item(name) for name in ("a", "bb", "ccc", "dies", "eeeee", "odd")]

    def worker(self) -> Worker:
        def count(item: Item) -> Outcome:
            if item.key == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if item.key == "bb":
                raise ValueError("no bees")
            if item.key == "odd":
                raise ZeroDivisionError("what no reader of videos should raise")
            return Outcome(item.key, [[{"name": item.key, "letters": len(item.key)}]], {"vowel": item.key.count("e")})

        return count

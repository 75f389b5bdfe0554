"""Finished evaluations of scripted answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hawkeye.config import load_settings
from hawkeye.evaluation.original import write_original
from hawkeye.evaluation.run import evaluate
from hawkeye.evaluation.settings import EvaluationSettings
from hawkeye.prompts import CHOICE_SENTENCES
from hawkeye.temporal import Choice, Span
from tests.data.video_files import write_video
from tests.evaluation.fakes import ScriptedAnswerer

# In eight seconds: beginning, middle and end of the video by the rule of the whole window.
QUERIES: list[dict[str, Any]] = [
    {"video": "a.mp4", "question": "one", "answer": [0, 2]},
    {"video": "b.mp4", "question": "two", "answer": [3, 5]},
    {"video": "b.mp4", "question": "three", "answer": [6, 8]},
    {"video": "gone.mp4", "question": "four", "answer": [6, 8]},
]
QUESTIONS: list[dict[str, Any]] = [
    {"video": "a.mp4", "question": "What jumps", "candidates": ["red", "blue"], "answer": "red"},
    {"video": "b.mp4", "question": "What jumps", "candidates": ["red", "blue"], "answer": "blue"},
]


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """Two runs by recursion, of one who says "beginning" twice and one who says "end", the first in both formats."""
    rng = np.random.default_rng(0)
    (tmp_path / "videos").mkdir()
    for name in "ab":
        write_video(tmp_path / "videos" / f"{name}.mp4", rng.integers(0, 256, (32, 16, 16, 3), np.uint8), fps=4)
    for name, rows in (("grounding", QUERIES), ("what", QUESTIONS)):
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    (tmp_path / "run.yaml").write_text(
        f"name: test\ndata_dir: {tmp_path}\noutput_dir: {tmp_path}/out\ngrounding: [grounding.json]\n"
        "videoqa: {what: what.json}\nallow_missing_videos: true\nstrategy: recursive\nmax_turns: 2\n"
    )

    def answering(choice: Choice) -> ScriptedAnswerer:
        def say(query: str, _: Span) -> str:
            return "red" if query == "What jumps" else CHOICE_SENTENCES[choice]

        return ScriptedAnswerer(say)

    found = {}
    for name, choice in (("first", Choice.BEGINNING), ("second", Choice.END)):
        overrides = [f"output_dir={tmp_path}/{name}"]
        evaluate(load_settings(tmp_path / "run.yaml", EvaluationSettings, overrides), answering(choice))
        found[name] = tmp_path / name
    written = write_original(found["first"])
    assert written == {
        found["first"] / "original-grounding.jsonl": (3, 1),
        found["first"] / "original-videoqa.jsonl": (2, 0),
    }
    found["original"] = found["first"] / "original-grounding.jsonl"
    return found

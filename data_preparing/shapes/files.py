"""Annotation files of a world: HawkEye-IT rows for training, and test annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_preparing.shapes.language import canonical, query
from data_preparing.shapes.questions import Kind, ask
from data_preparing.shapes.training_rows import Row, round_seconds, training_rows
from data_preparing.shapes.world import (
    HELD_OUT,
    HELD_OUT_TEST_RATIO,
    Combination,
    Plan,
    Stream,
    is_held_out,
    video_rng,
)
from hawkeye.files import write_json

TEST_QUERIES = 4
"""Grounding queries per test video."""
CALIBRATION_VIDEOS = 100
"""Training videos with queries for `hawkeye calibrate`."""


def write_training_files(plans: Sequence[Plan], seed: int, directory: Path) -> Mapping[str, int]:
    """Writes `train/*.json`; returns the number of rows of each."""
    rows: dict[str, list[Row]] = {}
    for plan in plans:
        for name, some in training_rows(plan, seed).items():
            rows.setdefault(name, []).extend(some)
    for name, content in rows.items():
        write_json(directory / f"{name}.json", content)
    return {f"{directory.name}/{name}.json": len(content) for name, content in rows.items()}


def write_test_files(plans: Sequence[Plan], seed: int, directory: Path) -> Mapping[str, int]:
    """Writes `test-anno/*.json`; returns the number of rows of each."""
    rows: dict[str, list[Row]] = {name: [] for name in ("recursive_grounding", *(kind.value for kind in Kind))}
    for plan in plans:
        rng = video_rng(seed, plan.split, plan.index, Stream.WORDS)
        rows["recursive_grounding"] += _queries(plan, rng)
        for kind in Kind:
            rows[kind.value].append(_test_question(plan, kind, rng))
    for name, content in rows.items():
        write_json(directory / f"shapes-{name}.json", content)
    return {f"{directory.name}/shapes-{name}.json": len(content) for name, content in rows.items()}


def write_calibration_file(plans: Sequence[Plan], seed: int, path: Path) -> Mapping[str, int]:
    """Writes queries about the first training videos as a test has them: they tell how a model answers."""
    rows = [
        row
        for plan in plans[:CALIBRATION_VIDEOS]
        for row in _queries(plan, video_rng(seed, plan.split, plan.index, Stream.WORDS))
    ]
    write_json(path, rows)
    return {path.name: len(rows)}


def describe_world(settings: Mapping[str, int], plans: Sequence[Plan]) -> Row:
    """What `world.json` holds: settings, held-out combinations, and every video's format and events."""
    videos = [
        {
            "video": plan.name,
            "width": plan.width,
            "height": plan.height,
            "fps": float(plan.fps),
            "num_frames": plan.num_frames,
            "duration": round_seconds(plan.duration),
            "events": [
                _words(event.what)
                | {
                    "start": round_seconds(event.span.start),
                    "end": round_seconds(event.span.end),
                    "held_out": is_held_out(event.what),
                }
                for event in plan.events
            ],
        }
        for plan in plans
    ]
    return {"settings": dict(settings), "held_out": [_words(what) for what in HELD_OUT], "videos": videos}


def _words(what: Combination) -> Row:
    return {
        "caption": canonical(what),
        "colour": what.colour.value,
        "shape": what.shape.value,
        "action": what.action.value,
    }


def _queries(plan: Plan, rng: np.random.Generator) -> Iterator[Row]:
    for place in sorted(rng.permutation(len(plan.events))[:TEST_QUERIES]):
        event = plan.events[place]
        yield {
            "video": plan.name,
            "question": query(event.what, rng),
            "answer": [round_seconds(event.span.start), round_seconds(event.span.end)],
            "duration": round_seconds(plan.duration),
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

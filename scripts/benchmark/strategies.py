"""Compares the two ways to search on a model and the held-out videos of shapes, by the number of questions asked.

    python scripts/benchmark/strategies.py --plot docs/questions.png

Also asks for what is not in the videos: events of other videos, and events that share two of three words with one that
is there. How well `absence` tells them from what is there is told as the area under the ROC curve.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from tqdm import tqdm

from hawkeye.config import load_settings
from hawkeye.data.video import open_video
from hawkeye.evaluation.grounding import Query
from hawkeye.evaluation.run import evaluate
from hawkeye.evaluation.search import find
from hawkeye.evaluation.settings import EvaluationSettings
from hawkeye.files import written_whole
from hawkeye.pipeline import load_model
from hawkeye.tables import table

QUESTIONS = {"belief": 12, "recursive": 4}
ABSENT_QUESTIONS = 8
WORDS = ("colour", "shape", "action")


def main() -> None:
    """Evaluates twice (a run that was stopped goes on), and prints tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--data", type=Path, default=Path("data/shapes"))
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmark/strategies"))
    parser.add_argument("--videos", type=int, default=80, help="videos that are asked for what they do not show")
    parser.add_argument("--plot", type=Path, help="draw a picture")
    options = parser.parse_args()
    found = {name: measure(name, options) for name in QUESTIONS}
    oracle = found["belief"]["baselines_by_turn"]["oracle"]
    curves = {"belief": found["belief"]["by_turn"], "recursion": found["recursive"]["by_turn"], "oracle": oracle}
    rows = table("mIoU / R1@0.7 in percent, by questions", "questions", *curves)
    for place in range(max(map(len, curves.values()))):
        cells = [figures(curve[place]) if place < len(curve) else "" for curve in curves.values()]
        rows.add_row(str(place + 1), *cells)
    Console().print(rows)
    print(f"recursion asks {found['recursive']['questions_per_query']:.2f} questions a query in four turns")
    print_absence(options)
    if options.plot is not None:
        draw(curves, options.plot)


def measure(strategy: str, options: argparse.Namespace) -> dict[str, Any]:
    """The grounding figures of one strategy on all held-out queries."""
    changes = [
        f"model={options.model}",
        f"data_dir={options.data}",
        f"output_dir={options.output / strategy}",
        f"strategy={strategy}",
        f"max_turns={QUESTIONS[strategy]}",
        "videoqa={}",
    ]
    summary = evaluate(load_settings(Path("configs/eval/shapes.yaml"), EvaluationSettings, changes))
    grounding: dict[str, Any] = summary["grounding"]
    return grounding


def figures(turn: dict[str, float]) -> str:
    """One cell of the table."""
    return f"{100 * turn['miou']:.1f} / {100 * turn['r1@0.7']:.1f}"


def print_absence(options: argparse.Namespace) -> None:
    """Asks the first videos for their own queries and as many others."""
    world = json.loads((options.data / "world.json").read_text(encoding="utf-8"))
    videos = [video for video in world["videos"] if video["video"].startswith("test/")][: options.videos]
    model = load_model(options.model)
    absences: dict[str, list[float]] = {"there": [], "elsewhere": [], "one word differs": []}
    for video in tqdm(videos, desc="asking for what is absent", unit="video"):
        queries = dict(queries_of(video, videos))
        with open_video(options.data / "videos" / video["video"]) as reader:
            asked = [(kind, text) for kind, texts in queries.items() for text in texts]
            found = find(
                model.answerer,
                [Query(reader, text, f"{video['video']} {text}") for _, text in asked],
                strategy="belief",
                max_turns=ABSENT_QUESTIONS,
            )
        for (kind, _), grounding in zip(asked, found):
            absences[kind].append(float(grounding.absence or 0.0))
    there = absences.pop("there")
    rows = table(
        f"What is not in the video, after {ABSENT_QUESTIONS} questions", "asked for", "queries", "area under ROC"
    )
    for kind, values in absences.items():
        rows.add_row(kind, str(len(values)), f"{area_under_roc(there, values):.3f}")
    Console().print(rows)


def queries_of(video: dict[str, Any], videos: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Captions of events in a video; of events elsewhere; and of such that share two words with one in it."""
    own = video["events"]
    yield "there", [event["caption"] for event in own[:4]]
    others = [event for other in videos if other is not video for event in other["events"]]
    rng = np.random.default_rng(video["num_frames"])
    rng.shuffle(others)  # type: ignore[arg-type]
    shared = [max(sum(event[word] == one[word] for word in WORDS) for one in own) for event in others]
    for kind, share in (("elsewhere", (0, 1)), ("one word differs", (2,))):
        yield kind, [event["caption"] for event, same in zip(others, shared) if same in share][:4]


def area_under_roc(low: Sequence[float], high: Sequence[float]) -> float:
    """The probability that a value of `high` is above one of `low`; ties count half (Mann and Whitney, 1947)."""
    above = np.asarray(high)[:, None] - np.asarray(low)
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def draw(curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Mean IoU and recall at 0.7 against the number of questions."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    styles = {"belief": "o-", "recursion": "s-", "oracle": ":"}
    names = {"belief": "belief", "recursion": "recursion", "oracle": "recursion, every answer right"}
    for axes, key, label in zip(figure.subplots(1, 2), ("miou", "r1@0.7"), ("mIoU", "R1@0.7")):
        for name, curve in curves.items():
            axes.plot(range(1, len(curve) + 1), [100 * turn[key] for turn in curve], styles[name], label=names[name])
        axes.set(xlabel="questions", ylabel=f"{label}, %", ylim=(0, 100))
        axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with written_whole(path) as unfinished:
        figure.savefig(unfinished, dpi=110)


if __name__ == "__main__":
    main()

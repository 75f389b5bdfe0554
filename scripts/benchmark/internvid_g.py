"""Measures the stages of InternVid-G that need no model, on one core: rows a second.

    python scripts/benchmark/internvid_g.py --videos data/shapes/videos/test

Scenes are cut in the first videos of a folder; the other stages run on made-up rows, scenes and similarities of the
sizes that real videos have.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from data_preparing.internvid_g.merging import Merge
from data_preparing.internvid_g.negative_spans import NegativeSpans
from data_preparing.internvid_g.runner import Row, Stage
from data_preparing.internvid_g.scenes import Scenes
from data_preparing.internvid_g.scoring import Filter
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.data.video import open_video
from hawkeye.tables import table

MADE_UP_VIDEOS = 300
SCENES = 60
"""In each of them: about five minutes of a cut video."""


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, default=Path("data/shapes/videos/test"))
    parser.add_argument("--count", type=int, default=24, help="videos to cut")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = table("One core", "stage", "videos/s", "rows/s", "hours of video an hour")
    rows.add_row("scenes", *scenes(options.videos, options.count))
    with tempfile.TemporaryDirectory() as folder:
        settings = ChainSettings(folder=Path(folder))
        make_up(settings)
        for kind in (Merge, Filter, NegativeSpans):
            rows.add_row(kind.name, *measured(kind(settings)), "")
    Console().print(rows)


def scenes(folder: Path, count: int) -> tuple[str, str, str]:
    """Videos and scenes a second, and hours of video that an hour suffices for."""
    names = sorted(path.name for path in folder.iterdir())[:count]
    stage = Scenes(ChainSettings(folder=folder.parent, videos=Path(folder.name)))
    worker = stage.worker()
    items = [item for item in stage.items() if item.key in names]
    seconds = 0.0
    for name in names:
        with open_video(folder / name) as reader:
            seconds += reader.duration
    began = time.perf_counter()
    found = [worker(item) for item in items]
    taken = time.perf_counter() - began
    cut = sum(len(outcome.rows[0][0]["scenes"]) for outcome in found)
    return f"{len(items) / taken:.2f}", f"{cut / taken:.1f}", f"{seconds / taken:.0f}"


def measured(stage: Stage) -> tuple[str, str]:
    """Videos and written rows a second."""
    items, worker = stage.items(), stage.worker()
    began = time.perf_counter()
    found = [worker(item) for item in items]
    taken = time.perf_counter() - began
    written = sum(len(outcome.rows[0]) for outcome in found)
    return f"{len(items) / taken:.0f}", f"{written / taken:.0f}"


def make_up(settings: ChainSettings) -> None:
    """Writes scenes, similarities and captions."""
    rng = np.random.default_rng(0)
    files: dict[Path, list[Row]] = {
        path: []
        for path in (
            *(settings.scenes, settings.similarity, settings.merged_scenes, settings.merged_similarity),
            *(settings.scores, settings.filtered),
        )
    }
    for number in range(MADE_UP_VIDEOS):
        name = f"{number:06d}.mp4"
        ends = np.cumsum(rng.uniform(1, 9, SCENES)).round(3)
        spans = [[float(start), float(end)] for start, end in zip([0.0, *ends[:-1]], ends)]
        half = rng.beta(4, 3, (SCENES, SCENES)).round(3)
        matrix = np.maximum(half, half.T)
        np.fill_diagonal(matrix, 1)
        scene_row = {"video_fname": name, "duration": float(ends[-1]), "scenes": spans}
        matrix_row = {"video_fname": name, "similarity_matrix": matrix.tolist()}
        for path in (settings.scenes, settings.merged_scenes):
            files[path].append(scene_row)
        for path in (settings.similarity, settings.merged_similarity):
            files[path].append(matrix_row)
        for place, (start, end) in enumerate(spans):
            row = {"video_fname": name, "start_sec": start, "end_sec": end}
            words = " ".join(rng.choice(["a", "man", "dog", "sea", "runs", "red", "two", "cups"], 6))
            files[settings.scores].append({**row, "caption": f"{words} {place}", "clip_sim": float(rng.random())})
            files[settings.filtered].append({**row, "captions": [f"{words} {place}"]})
    for path, rows in files.items():
        settings.path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()

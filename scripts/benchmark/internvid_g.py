"""Measures the stages of InternVid-G that need no model, on one core: rows a second.

    python scripts/benchmark/internvid_g.py

Scenes are cut in a made-up video of the size that is downloaded; the other stages run on made-up rows, of as many
scenes as real videos have.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image
from rich.console import Console

from data_preparing.internvid_g.merging import Merge
from data_preparing.internvid_g.negative_spans import NegativeSpans
from data_preparing.internvid_g.runner import Row, Stage
from data_preparing.internvid_g.scenes import Scenes
from data_preparing.internvid_g.scoring import Filter
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.tables import table

MADE_UP_VIDEOS = 300
SCENES = 60
"""In each of them: about five minutes of a cut video."""


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="length of the video that is cut")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = table("One core", "stage", "videos/s", "rows/s", "hours of video an hour")
    with tempfile.TemporaryDirectory() as folder:
        settings = ChainSettings(folder=Path(folder))
        rows.add_row("scenes, 1280 x 720 at 30 per second", *scenes(settings, options.seconds))
        make_up(settings)
        for kind in (Merge, Filter, NegativeSpans):
            rows.add_row(kind.name, *measured(kind(settings)), "")
    Console().print(rows)


def scenes(settings: ChainSettings, seconds: int) -> tuple[str, str, str]:
    """Videos and scenes a second, and hours of video that an hour suffices for."""
    folder = settings.path(settings.videos)
    folder.mkdir()
    write_cut_video(folder / "cut.mp4", seconds)
    stage = Scenes(settings)
    (item,), worker = stage.items(), stage.worker()
    began = time.perf_counter()
    outcome = worker(item)
    taken = time.perf_counter() - began
    return f"{1 / taken:.2f}", f"{len(outcome.rows[0][0]['scenes']) / taken:.1f}", f"{seconds / taken:.0f}"


def write_cut_video(path: Path, seconds: int) -> None:
    """H.264 of 1280 x 720 at 30 frames a second: a picture that drifts, another one every five seconds."""
    rng = np.random.default_rng(0)
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=30, width=1280, height=720, pix_fmt="yuv420p")
        for number in range(30 * seconds):
            if number % 150 == 0:
                coarse = Image.fromarray(rng.integers(0, 256, (24, 48, 3), np.uint8))
                picture = np.asarray(coarse.resize((1920, 720), Image.Resampling.BICUBIC))
            left = 2 * (number % 150)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:, left : left + 1280]))
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


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

"""Measures what it takes to open a video and to read twelve frames of each of its windows, by either decoder.

python scripts/benchmark/decoding.py VIDEO [VIDEO ...]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from hawkeye.data.video import BACKENDS, open_video, read_window
from hawkeye.tables import table
from hawkeye.temporal import Choice, Span, narrow

NUM_FRAMES = 12


def main() -> None:
    """Prints the fastest of three times for every video; checks that the frames are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    rows = table("Milliseconds to open, and for a window", "video", *BACKENDS, "times as fast")
    for path in parser.parse_args().videos:
        measured = [measure(path, backend) for backend in BACKENDS]
        (first, frames), (second, others) = measured
        assert all(np.array_equal(a, b) for a, b in zip(frames, others)), f"{path}: the decoders give other frames"
        times = [f"{1000 * opening:.0f} + {1000 * reading:.0f}" for opening, reading in (first, second)]
        rows.add_row(path.name, *times, f"{second[1] / first[1]:.1f}")
    Console().print(rows)


def measure(path: Path, backend: str) -> tuple[tuple[float, float], list[np.ndarray]]:
    """Seconds to open and to read a window, and the frames of the windows of a walk to the middle."""
    best = (float("inf"), float("inf"))
    for _ in range(3):
        started = time.perf_counter()
        with open_video(path, backend=backend) as reader:
            read_window(reader, None, 1)  # decord is opened with the first frame
            opened = time.perf_counter()
            windows = [Span(0.0, reader.duration)]
            for _ in range(3):
                windows.append(narrow(windows[-1], Choice.MIDDLE))
            frames = [read_window(reader, window, NUM_FRAMES)[0] for window in windows]
            read = time.perf_counter()
        best = min(best[0], opened - started), min(best[1], (read - opened) / len(windows))
    return best, frames


if __name__ == "__main__":
    main()

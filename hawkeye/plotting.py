"""Pictures of groundings: frames along the video, and the windows that the turns narrowed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from hawkeye.data.video import VideoReader, open_video
from hawkeye.evaluation.grounding import Grounding

FORMATS = (".png", ".pdf", ".svg", ".jpg")
NUM_FRAMES = 12
"""Frames drawn along the whole video, and inside the span that was found."""

WINDOW_COLOUR, SPAN_COLOUR = "#9db8d9", "#e4572e"


def check_picture(path: Path) -> None:
    """Refuses a picture that could not be written, before any work is done.

    Raises:
        ValueError: if the format is unknown or the folder does not exist.
    """
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: pictures end in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist")


def draw_timeline(video: str | Path, groundings: Sequence[Grounding], path: Path, *, fps: float | None = None) -> None:
    """Draws, for each query, frames of the whole video, a bar for each turn's window, and frames of the span found.

    Args:
        groundings: of this video; one row of the picture each.
        path: where the picture goes.
        fps: frames per second of a folder of frames.

    Raises:
        VideoError: if the video cannot be read.
    """
    figure = Figure(figsize=(13, 4.6 * len(groundings)), layout="constrained")
    with open_video(video, fps=fps) as reader:
        rows = figure.subplots(3 * len(groundings), 1, squeeze=False, height_ratios=[1.1, 1.5, 1.1] * len(groundings))
        for place, grounding in enumerate(groundings):
            top, middle, bottom = (axes for (axes,) in rows[3 * place : 3 * place + 3])
            span = grounding.span
            _draw_frames(top, reader, 0.0, reader.duration)
            top.set_title(
                f"“{grounding.query}” in {reader.path.name}: {span.start:.1f} to {span.end:.1f} s "
                f"(confidence {grounding.confidence:.2f})",
                fontsize=12,
            )
            _draw_turns(middle, grounding)
            _draw_frames(bottom, reader, span.start, span.end)
            bottom.set_xlabel("seconds: the frames inside the span", color=SPAN_COLOUR)
    figure.savefig(path, dpi=110)


def _draw_frames(axes: Any, reader: VideoReader, start: float, end: float) -> None:
    """Evenly spaced frames of [start, end] above an axis in seconds."""
    edges = np.linspace(start, end, NUM_FRAMES + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    indices = np.clip(np.searchsorted(reader.seconds, centres, side="right") - 1, 0, reader.num_frames - 1)
    axes.set(xlim=(start, max(end, start + 1e-3)), ylim=(0, 1), yticks=[])
    for frame, centre in zip(reader.frames(list(indices)), centres):
        zoom = min(95 / frame.shape[1], 80 / frame.shape[0])
        axes.add_artist(AnnotationBbox(OffsetImage(frame, zoom=zoom), (centre, 0.5), frameon=False, pad=0))


def _draw_turns(axes: Any, grounding: Grounding) -> None:
    bars = [*((turn.window, f"turn {n}") for n, turn in enumerate(grounding.turns, start=1)), (grounding.span, "found")]
    for row, (window, name) in enumerate(bars):
        colour = SPAN_COLOUR if name == "found" else WINDOW_COLOUR
        axes.barh(row, window.duration, left=window.start, color=colour, height=0.7)
        if name == "found":
            text = f"{window.start:.1f}-{window.end:.1f} s"
        else:
            turn = grounding.turns[row]
            text = f"{turn.choice.value} {turn.probabilities[turn.choice]:.2f}"
        axes.text(window.middle, row, text, ha="center", va="center", fontsize=9, clip_on=True)
    axes.axvspan(grounding.span.start, grounding.span.end, color=SPAN_COLOUR, alpha=0.12)
    axes.set(xlim=(0, grounding.duration), yticks=range(len(bars)), yticklabels=[name for _, name in bars])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")

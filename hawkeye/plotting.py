"""Pictures of groundings: frames along the video, and the windows that the turns narrowed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from hawkeye.console import one_line, printable
from hawkeye.data.thumbnails import thumbnails
from hawkeye.data.video import VideoReader, open_video
from hawkeye.evaluation.grounding import Grounding
from hawkeye.files import check_writable, written_whole
from hawkeye.inputs import path_of, rate_of
from hawkeye.temporal import Span

FORMATS = (".png", ".pdf", ".svg", ".jpg")
NUM_FRAMES = 12
"""Frames drawn along the whole video, and inside the span that was found."""

FRAME_POINTS = 64
"""Longer side of a frame in the picture: a twelfth of its width, less a gap."""

TITLE_WIDTH = 140
"""Characters of a line of a title that fit over the picture."""

WINDOW_COLOUR, SPAN_COLOUR = "#9db8d9", "#e4572e"


def check_picture(path: Path) -> None:
    """Refuses a picture that could not be written, before any work is done.

    Raises:
        ValueError: if the format is unknown or the folder does not exist.
        OSError: if the folder cannot be written to.
    """
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: pictures end in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist")
    check_writable(path.parent)


def draw_timeline(
    video: str | Path, groundings: Grounding | Sequence[Grounding], path: str | Path, *, fps: float | None = None
) -> None:
    """Writes the picture that `timeline` makes.

    Args:
        video: as `timeline` has it.
        groundings: of this video, one or several.
        path: where the picture goes; it appears whole.
        fps: as `timeline` has it.

    Raises:
        VideoError: if the video cannot be read.
        ValueError: if the picture's format is unknown or its folder does not exist.
    """
    path = path_of(path, "picture")
    check_picture(path)
    figure = timeline(video, groundings, fps=fps)
    with written_whole(path) as unfinished:
        figure.savefig(unfinished, dpi=110)


def timeline(video: str | Path, groundings: Grounding | Sequence[Grounding], *, fps: float | None = None) -> Figure:
    """For each query: frames of the whole video, a bar for each turn's window, and frames of the span found.

    Args:
        video: a video file, a GIF or a folder of frames.
        groundings: of this video, one or several.
        fps: frames per second of a folder of frames.

    Raises:
        VideoError: if the video cannot be read.
        ValueError: if there are no groundings.
    """
    groundings = [groundings] if isinstance(groundings, Grounding) else groundings
    if not isinstance(groundings, list | tuple) or not groundings or not isinstance(groundings[0], Grounding):
        raise ValueError(f"a timeline shows groundings, one or several, not {groundings!r}")
    video, fps = path_of(video), rate_of(fps)
    figure = Figure(figsize=(13, 4.6 * len(groundings)), layout="constrained")
    with open_video(video, fps=fps) as reader:
        rows = figure.subplots(3 * len(groundings), 1, squeeze=False, height_ratios=[1.1, 1.5, 1.1] * len(groundings))
        for place, grounding in enumerate(groundings):
            top, middle, bottom = (axes for (axes,) in rows[3 * place : 3 * place + 3])
            span = grounding.span
            _draw_frames(top, reader, Span(0.0, reader.duration))
            top.axvspan(span.start, span.end, color=SPAN_COLOUR, alpha=0.4, zorder=0)
            title = (
                f"“{one_line(grounding.query)}” in {printable(reader.path.name)}: {span.start:.1f} to {span.end:.1f} s "
                f"(confidence {grounding.confidence:.2f})"
            )
            top.set_title(fill(title, TITLE_WIDTH), fontsize=12, parse_math=False)  # "$" is no formula
            _draw_turns(middle, grounding)
            _draw_frames(bottom, reader, span)
            bottom.set_facecolor(SPAN_COLOUR)
            bottom.set_xlabel("seconds: frames inside the span", color=SPAN_COLOUR)
    return figure


def _draw_frames(axes: Axes, reader: VideoReader, span: Span) -> None:
    """Evenly spaced frames of `span`, each with its time below."""
    edges = np.linspace(span.start, span.end, NUM_FRAMES + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    end = max(span.end, span.start + 1e-3)  # an axis needs some length
    axes.set(xlim=(span.start, end), ylim=(0, 1), yticks=[], xticks=centres)
    axes.set_xticklabels([f"{centre:.1f}" for centre in centres], fontsize=9)
    for frame, centre in zip(thumbnails(reader, NUM_FRAMES, 2 * FRAME_POINTS, span), centres):
        zoom = min(FRAME_POINTS / frame.shape[1], FRAME_POINTS / frame.shape[0])
        axes.add_artist(AnnotationBbox(OffsetImage(frame, zoom=zoom), (centre, 0.5), frameon=False, pad=0))


def _draw_turns(axes: Axes, grounding: Grounding) -> None:
    """A bar for each turn's window with the answer in it, and one for the span that was found."""
    for row, turn in enumerate(grounding.turns):
        answer = f"{turn.choice.value} {turn.probabilities[turn.choice]:.2f}"
        _draw_bar(axes, row, turn.window, WINDOW_COLOUR, answer)
    span, last = grounding.span, len(grounding.turns)
    _draw_bar(axes, last, span, SPAN_COLOUR, f"{span.start:.1f}-{span.end:.1f} s")
    axes.axvspan(span.start, span.end, color=SPAN_COLOUR, alpha=0.12)
    names = [*(f"turn {number}" for number in range(1, last + 1)), "found"]
    axes.set(xlim=(0, grounding.duration), yticks=range(last + 1), yticklabels=names, xlabel="seconds")
    axes.invert_yaxis()


def _draw_bar(axes: Axes, row: int, window: Span, colour: str, text: str) -> None:
    axes.barh(row, window.duration, left=window.start, color=colour, height=0.7)
    axes.text(window.middle, row, text, ha="center", va="center", fontsize=9, clip_on=True)

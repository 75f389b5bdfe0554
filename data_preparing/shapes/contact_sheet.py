"""A picture of what a model gets to see of some videos, with the truth beneath, for people to check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_preparing.shapes.language import canonical
from data_preparing.shapes.render import RGB
from data_preparing.shapes.world import Plan
from hawkeye.data.video import open_video, read_window

NUM_FRAMES = 12
MODEL_SIDE = 64
"""Side in pixels of the square that the tiny model sees: short side resized, centre cut out."""
ZOOM = 2
TEXT_HEIGHT = 16


def write_contact_sheet(plans: Sequence[Plan], videos: Path, path: Path) -> None:
    """Twelve evenly spaced frames a video, reduced to what a model sees and enlarged again, above its events.

    Raises:
        VideoError: if a video is missing or cannot be read.
        OSError: if the picture's folder is missing.
    """
    rows = [_row(plan, videos / plan.name) for plan in plans]
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)))
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    sheet.save(path)


def _row(plan: Plan, path: Path) -> Image.Image:
    side = MODEL_SIDE * ZOOM
    lines = [f"{plan.name}  {plan.width}x{plan.height}  {float(plan.fps):.2f} fps  {plan.duration:.1f} s"]
    lines += [f"{event.span.start:5.1f} - {event.span.end:5.1f}  {canonical(event.what)}" for event in plan.events]
    row = Image.new("RGB", (side * NUM_FRAMES, side + 14 + TEXT_HEIGHT * ((len(lines) + 3) // 4) + 6))
    for index, frame in enumerate(_model_frames(path)):
        row.paste(frame.resize((side - 2, side - 2), Image.Resampling.NEAREST), (index * side, 0))
    pen = ImageDraw.Draw(row)
    for event in plan.events:
        left, right = (round(time / plan.duration * row.width) for time in (event.span.start, event.span.end))
        pen.rectangle((left, side + 2, right, side + 10), fill=RGB[event.what.colour])
    font = ImageFont.load_default(13)
    for index, line in enumerate(lines):
        place = (index % 4 * row.width // 4 + 4, side + 12 + TEXT_HEIGHT * (index // 4))
        pen.text(place, line, fill=(230, 230, 230), font=font)
    return row


def _model_frames(path: Path) -> list[Image.Image]:
    """The frames in the middles of twelve equal parts, as squares of MODEL_SIDE."""
    with open_video(path) as reader:
        frames, _ = read_window(reader, None, NUM_FRAMES, transform=_centre_square)
    return [Image.fromarray(frame) for frame in frames]


def _centre_square(picture: np.ndarray) -> np.ndarray:
    frame = Image.fromarray(picture)
    scale = MODEL_SIDE / min(frame.size)
    width, height = np.round(np.array(frame.size) * scale).astype(int)
    left, top = (width - MODEL_SIDE) // 2, (height - MODEL_SIDE) // 2
    square = frame.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(square.crop((left, top, left + MODEL_SIDE, top + MODEL_SIDE)))

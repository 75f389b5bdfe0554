"""Pictures that an HTML page holds in itself."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure
from PIL import Image


def embedded_frame(frame: np.ndarray, height: int) -> str:
    """A frame, uint8 `[H, W, 3]`, as the address of a JPEG of so many pixels' height."""
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    file = BytesIO()
    Image.fromarray(frame).resize((width, height)).save(file, "JPEG", quality=80)
    return _address("image/jpeg", file.getvalue())


def embedded_figure(figure: Figure) -> str:
    """A figure as the address of an SVG."""
    return _address("image/svg+xml", figure_svg(figure).encode())


def figure_svg(figure: Figure) -> str:
    """A figure as an SVG document."""
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue().decode()


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

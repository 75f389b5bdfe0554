"""What training does to frames: a random crop and flip, the same for all frames of a window."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

CROP_SCALE = (0.5, 1.0)
"""Share of the frame's area that a crop covers (the original's training)."""

CROP_RATIO = (3 / 4, 4 / 3)
"""Width by height of a crop (torchvision's default for random crops)."""


def random_crop_and_flip(frames: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Cuts the same random rectangle out of all frames, resizes it to a square, and mirrors half of the windows.

    Args:
        frames: uint8 `[T, H, W, 3]`.
        size: side of the square, in pixels.
        rng: draws rectangle and flip.

    Returns:
        uint8 `[T, size, size, 3]`.
    """
    top, left, height, width = _rectangle(frames.shape[1], frames.shape[2], rng)
    cut = torch.from_numpy(np.ascontiguousarray(frames[:, top : top + height, left : left + width])).movedim(-1, 1)
    resized = F.interpolate(cut.float(), size=(size, size), mode="bicubic", antialias=True)
    if rng.random() < 0.5:
        resized = resized.flip(-1)
    return resized.round().clamp(0, 255).to(torch.uint8).movedim(1, -1).contiguous().numpy()


def _rectangle(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random crop; the largest centred one where ten draws do not fit."""
    for _ in range(10):
        area = height * width * rng.uniform(*CROP_SCALE)
        ratio = math.exp(rng.uniform(*np.log(CROP_RATIO)))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            return int(rng.integers(height - down + 1)), int(rng.integers(width - across + 1)), down, across
    across, down = min(width, round(height * CROP_RATIO[1])), min(height, round(width / CROP_RATIO[0]))
    return (height - down) // 2, (width - across) // 2, down, across

"""Turning pictures upright, as a video's display matrix says."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: first the diagonal swaps its sides, then it is mirrored."""

    transposed: bool = False
    left_right: bool = False
    up_down: bool = False

    def upright(self, picture: np.ndarray) -> np.ndarray:
        """A stored picture `[H, W, 3]` as it is to be shown."""
        if self.transposed:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.up_down else 1, :: -1 if self.left_right else 1]


def orientation(matrix: bytes) -> Orientation:
    """Of a display matrix: nine 32-bit integers `a b u c d v x y w` in the machine's byte order.

    A point goes to `(a * column + c * row, b * column + d * row)`. Of other turns than quarter ones and of scales the
    nearest of the eight orientations is taken, as browsers do; a matrix of zeros, which some writers leave, is none.
    """
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def turned(degrees: int) -> Orientation:
    """Of a pure counterclockwise turn, as `frame.rotation` has it."""
    cos, sin = (round(part(math.radians(degrees)) * 2**16) for part in (math.cos, math.sin))
    return orientation(struct.pack("=5i", cos, -sin, 0, sin, cos))

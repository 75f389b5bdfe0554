"""The times of a video's frames, out of timestamps as files have them: missing, equal, or starting anew."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

UNTIMED_RATE = 25.0
"""Frames per second of a file that names neither times nor a rate (what FFmpeg assumes of raw streams)."""

_JUMP_SECONDS = 10
"""Jump of the clock that is none of the video's: the ffmpeg command's `-dts_delta_threshold`."""

_BACK_SECONDS = Fraction(1, 10)
"""How far the ffmpeg command lets decoding times go back before it takes that for a jump."""

_RATE_TOLERANCE = 0.02
"""Relative difference up to which a declared rate is taken for the measured one."""


class ContinuousClock:
    """Takes jumps out of timestamps in the order of decoding, as the ffmpeg command does.

    Joined recordings (MPEG-TS, DVD) start their clocks anew inside the file. At such a place the packet is moved to
    where the packet before it ends, and all later ones with it.
    """

    def __init__(self, time_base: Fraction, rate: float, *, is_discontinuous: bool) -> None:
        """
        Args:
            time_base: seconds of a unit of the timestamps.
            rate: frames per second, for packets that do not tell their length.
            is_discontinuous: whether the format's clock may jump ahead, too (FFmpeg's AVFMT_TS_DISCONT).
        """
        self._frame = max(1, round(1 / (rate * time_base)))
        self._back = _BACK_SECONDS / time_base
        self._ahead = _JUMP_SECONDS / time_base if is_discontinuous else float("inf")
        self._offset = 0
        self.has_jumped = False
        self._last: int | None = None
        self._next = 0

    def shift(self, dts: int | None, length: int) -> int:
        """What to add to the timestamps of the packet that is decoded next.

        Args:
            dts: its decoding time, if it tells it.
            length: its length, 0 where it is unknown.
        """
        if dts is None:
            return self._offset
        moved = dts + self._offset
        if self._last is not None and (abs(moved - self._next) > self._ahead or moved + self._back < self._last):
            self._offset += self._next - moved
            self.has_jumped = True
            moved = self._next
        self._last, self._next = moved, moved + (length or self._frame)
        return self._offset


def rising(stamps: Sequence[int | None], step: float) -> np.ndarray:
    """Times of frames in the order they are shown: rising, and as told wherever possible.

    Frames without a timestamp, frames with that of the frame before (a millisecond clock knows no shorter ones), and
    frames whose timestamp is not between its neighbours' are spread evenly between the frames around them.

    Args:
        stamps: what the file says of each frame.
        step: distance of two frames where all else is missing.
    """
    told = np.array([np.nan if stamp is None else stamp for stamp in stamps], dtype=np.float64)
    if (np.diff(told) > 0).all() and not np.isnan(told).any():
        return told
    kept = _longest_rising(stamps)
    if not kept:
        return np.arange(len(stamps)) * step
    known = told[kept]
    places = np.arange(len(stamps))
    times = np.interp(places, kept, known)
    if len(kept) > 1:
        step = (known[-1] - known[0]) / (kept[-1] - kept[0])
    after, before = places > kept[-1], places < kept[0]
    times[after] = known[-1] + step * (places[after] - kept[-1])
    times[before] = known[0] + step * (places[before] - kept[0])
    return times


def _longest_rising(stamps: Sequence[int | None]) -> list[int]:
    """Indices of the longest strictly rising subsequence; of equally long ones, that of the earliest stamps."""
    # From the end on: `starts[n]` is the highest stamp, negated, with which a subsequence of n + 1 begins, at `at[n]`.
    starts: list[int] = []
    at: list[int] = []
    after: dict[int, int] = {}
    for index in range(len(stamps) - 1, -1, -1):
        stamp = stamps[index]
        if stamp is None:
            continue
        length = bisect_left(starts, -stamp)
        starts[length : length + 1], at[length : length + 1] = [-stamp], [index]
        if length:
            after[index] = at[length - 1]
    kept = at[-1:]
    while kept and kept[-1] in after:
        kept.append(after[kept[-1]])
    return kept


def average_rate(seconds: np.ndarray, declared: Sequence[float]) -> float:
    """Frames per second: the nearest declared rate where the frames' times agree with it, else what the times say."""
    known = [rate for rate in declared if rate]
    if len(seconds) < 2:
        return known[0] if known else UNTIMED_RATE
    measured = (len(seconds) - 1) / float(seconds[-1] - seconds[0])
    nearest = min(known, key=lambda rate: abs(rate - measured), default=0.0)
    return nearest if abs(nearest - measured) <= _RATE_TOLERANCE * measured else measured

"""Times of frames out of timestamps as files have them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawkeye.data.video_clock import ContinuousClock, average_rate, rising

TICK = Fraction(1, 1000)


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([0, 40, 80], [0, 40, 80]),
        ([0, 40, 40, 100], [0, 40, 70, 100]),
        ([0, 30, 30, 30, 90], [0, 30, 50, 70, 90]),
        ([0, 0, 10, 10], [0, 5, 10, 15]),
        ([0, 100, 100], [0, 100, 200]),
        ([0, None, None, 30], [0, 10, 20, 30]),
        ([None, 10, 20, None], [0, 10, 20, 30]),
        ([0, 40, 20_000, 120, 160], [0, 40, 80, 120, 160]),
        ([0, 40, 5, 120, 160], [0, 40, 80, 120, 160]),
        ([0, 40, 60_000], [0, 40, 60_000]),
        ([None, None, None], [0, 25, 50]),
        ([7], [7]),
    ],
)
def test_times_are_kept_wherever_they_rise(stamps: list[int | None], expected: list[float]) -> None:
    assert rising(stamps, 25.0).tolist() == pytest.approx(expected)


@given(stamps=st.lists(st.none() | st.integers(-(2**40), 2**40), min_size=1, max_size=50))
def test_times_always_rise(stamps: list[int | None]) -> None:
    times = rising(stamps, 25.0)
    assert len(times) == len(stamps)
    assert (np.diff(times) > 0).all()


def shifted(stamps: list[int], *, is_discontinuous: bool = True) -> list[int]:
    clock = ContinuousClock(TICK, 25.0, is_discontinuous=is_discontinuous)
    return [stamp + clock.shift(stamp, 40) for stamp in stamps]


def test_jumps_are_taken_out_as_ffmpeg_does() -> None:
    assert shifted([0, 40, 1_000_000, 1_000_040, 0, 40]) == [0, 40, 80, 120, 160, 200]
    assert shifted([0, 40, 9_000, 9_040]) == [0, 40, 9_000, 9_040]  # up to ten seconds are a pause
    assert shifted([0, 200, 120, 240]) == [0, 200, 120, 240]  # and up to a tenth back is disorder
    assert shifted([0, 40, 1_000_000], is_discontinuous=False) == [0, 40, 1_000_000]
    assert shifted([0, 400, 0, 40], is_discontinuous=False) == [0, 400, 440, 480]


def test_packets_without_a_time_move_with_those_before_them() -> None:
    clock = ContinuousClock(TICK, 25.0, is_discontinuous=True)
    assert [clock.shift(stamp, 0) for stamp in (5_000_000, None, 0, None)] == [0, 0, 5_000_040, 5_000_040]


def test_the_nearest_declared_rate_is_taken() -> None:
    seconds = np.arange(100) / 25
    assert average_rate(seconds, [24.78, 25.0]) == 25.0
    assert average_rate(seconds, [50.0]) == pytest.approx(25.0)
    assert average_rate(seconds[:1], []) == 25.0

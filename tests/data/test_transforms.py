"""What training does to frames: which part of them is cut out, and what it looks like."""

from __future__ import annotations

import numpy as np
import pytest

from hawkeye.data.transforms import random_crop_and_flip

HEIGHT, WIDTH, SIZE = 120, 160, 24


def coordinates(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A frame `[1, H, W, 3]` whose red tells the column and whose green tells the row."""
    frame = np.zeros((1, height, width, 3), dtype=np.uint8)
    frame[0, :, :, 0] = np.arange(width)
    frame[0, :, :, 1] = np.arange(height)[:, None]
    return frame


def crops(count: int) -> list[np.ndarray]:
    """The crops `[S, S, 3]` that that many seeds make of `coordinates`."""
    return [random_crop_and_flip(coordinates(), SIZE, np.random.default_rng(seed))[0] for seed in range(count)]


def is_mirrored(crop: np.ndarray) -> bool:
    return int(crop[0, 0, 0]) > int(crop[0, -1, 0])


def test_half_of_the_windows_are_mirrored_left_to_right_and_none_upside_down() -> None:
    drawn = crops(200)
    assert np.mean([is_mirrored(crop) for crop in drawn]) == pytest.approx(0.5, abs=0.08)
    for crop in drawn:
        steps = np.diff(crop[:, :, 0].astype(int), axis=1)
        assert (steps <= 0).all() if is_mirrored(crop) else (steps >= 0).all()
        assert (np.diff(crop[:, :, 1].astype(int), axis=0) >= 0).all()


def test_a_crop_covers_half_to_all_of_the_frame_at_3_to_4_up_to_4_to_3() -> None:
    def side(values: np.ndarray) -> float:
        """Pixels cut out along an axis, from pixels of the result that lie away from its ends."""
        return abs(int(values[-3]) - int(values[2])) * SIZE / (SIZE - 5)

    drawn = crops(300)
    cut = np.array([(side(crop[0, :, 0]), side(crop[:, 0, 1])) for crop in drawn])
    areas, ratios = cut.prod(axis=1) / (HEIGHT * WIDTH), cut[:, 0] / cut[:, 1]
    # Sides are measured to a pixel or two.
    assert 0.47 < areas.min() < 0.53
    assert 0.97 < areas.max() < 1.03
    assert 0.72 < ratios.min() < 0.80
    assert 1.29 < ratios.max() < 1.38
    lefts, tops = ([int(crop[:, :, axis].min()) for crop in drawn] for axis in (0, 1))
    assert min(lefts) < 3
    assert max(lefts) > 40
    assert min(tops) < 3
    assert max(tops) > 25


def test_where_no_draw_fits_the_largest_centred_crop_is_taken() -> None:
    # A third of a frame of 4 to 1 is the most that 4 to 3 has room for: columns 80 to 159 of 240.
    crop = random_crop_and_flip(coordinates(60, 240), 20, np.random.default_rng(0))[0].astype(int)
    columns, rows = np.sort(crop[0, :, 0]), crop[:, 0, 1]
    assert columns[2:-2] == pytest.approx(81.5 + 4 * np.arange(2, 18), abs=1)
    assert rows[2:-2] == pytest.approx(1 + 3 * np.arange(2, 18), abs=1)


def test_all_frames_of_a_window_are_cut_and_mirrored_alike() -> None:
    one = coordinates()
    window = np.concatenate([one, 255 - one, one])
    for seed in range(20):
        first, negative, third = random_crop_and_flip(window, SIZE, np.random.default_rng(seed)).astype(int)
        np.testing.assert_array_equal(first, third)
        assert abs(first + negative - 255).max() <= 1  # rounding


def test_shrinking_averages_what_is_finer_than_a_pixel() -> None:
    # Columns of black and white, one pixel wide; about ten make one of the result: grey. Picking would leave stripes.
    stripes = np.zeros((1, HEIGHT, WIDTH, 3), dtype=np.uint8)
    stripes[:, :, ::2] = 255
    for seed in range(10):
        shrunk = random_crop_and_flip(stripes, 12, np.random.default_rng(seed))
        assert shrunk.shape == (1, 12, 12, 3)
        assert abs(shrunk.astype(float) - 127.5).max() < 20


def test_the_generator_decides_the_crop() -> None:
    assert all((one == other).all() for one, other in zip(crops(5), crops(5)))
    assert len({crop.tobytes() for crop in crops(20)}) > 15

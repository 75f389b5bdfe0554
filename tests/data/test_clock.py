"""One clock: training, evaluation and the frame cache show the same parts of a video, whatever its rate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hawkeye.config import SourceSettings, StageSettings
from hawkeye.data.clock import Clock, choose_frames, thinned
from hawkeye.data.frame_cache import FrameCache
from hawkeye.data.frames import FrameFiles, FrameStore
from hawkeye.data.sources import Sample, TrainingSet, read_source
from hawkeye.data.video import open_video, read_window
from hawkeye.data.video_reader import VideoError
from hawkeye.temporal import Span
from tests.data.video_files import numbered_frames, numbers_of, write_video

UNEVEN = [*range(0, 2000, 40), *range(2000, 31000, 1800)]
"""Milliseconds of a file with 50 pictures in its first 2 s and then one every 1.8 s."""


@dataclass(frozen=True)
class Times:
    """A timeline without pictures."""

    seconds: np.ndarray
    duration: float
    fps: float
    path: Path = Path("times")


def even(count: int, fps: float, start: float = 0.0) -> Times:
    return Times(start + np.arange(count) / fps, start + count / fps, fps)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("uneven") / "v.mp4", numbered_frames(len(UNEVEN)), pts=UNEVEN)


def keep(frames: np.ndarray) -> np.ndarray:
    return frames


def stores(folder: Path) -> dict[str, FrameStore]:
    return {
        "files": FrameFiles(lambda frames, _: frames),
        "cache": FrameCache(folder / "cache", keep, "all", max_fps=5.0),
    }


def sample_of(video: Path, store: FrameStore, window: Span, num_frames: int = 12) -> Sample:
    row = {"video": video.name, "start": window.start, "end": window.end, "QA": [{"q": "What?", "a": "This."}]}
    (video.parent / "rows.json").write_text(json.dumps([row]))
    source = read_source("s", SourceSettings(annotations=Path("rows.json"), videos=Path()), video.parent)
    stage = StageSettings(name="s", steps=5, windows_per_step=1, learning_rate=1.0, num_frames=num_frames)
    sample = TrainingSet({"s": source}, stage, store, num_positions=num_frames, seed=1)[3]
    assert isinstance(sample, Sample)
    return sample


@pytest.mark.parametrize("kind", ["files", "cache"])
def test_training_shows_the_seconds_that_evaluation_shows(kind: str, uneven: Path) -> None:
    window = Span(10.0, 15.0)
    with open_video(uneven) as reader:
        frames, seconds = read_window(reader, window, 12)
    assert sorted({round(10 + second, 2) for second in seconds}) == [11.0, 12.8, 14.6]
    sample = sample_of(uneven, stores(uneven.parent)[kind], window)
    assert sample.frames is not None
    assert set(numbers_of(sample.frames)) == set(numbers_of(frames))
    shown = np.array(UNEVEN)[numbers_of(sample.frames)] / 1000
    np.testing.assert_allclose(shown - window.start, sample.seconds, atol=1e-6)


def test_parts_of_a_dense_stretch_each_give_a_frame(uneven: Path) -> None:
    for store in (None, *stores(uneven.parent).values()):
        if store is None:
            with open_video(uneven) as reader:
                seconds = read_window(reader, Span(0.0, 2.0), 4)[1]
        else:
            seconds = sample_of(uneven, store, Span(0.0, 2.0), 4).seconds
        into = seconds - np.array([0.0, 0.5, 1.0, 1.5])  # the cache keeps a frame every 0.2 s
        assert into.min() >= -0.2 - 1e-6
        assert into.max() <= 0.5


def test_frames_are_counted_from_the_first_one_s_time() -> None:
    late = even(80, 10.0, start=2.0)
    assert choose_frames(late, Span(4.0, 6.0), 4).tolist() == choose_frames(even(80, 10.0), Span(2.0, 4.0), 4).tolist()
    assert choose_frames(late, Span(0.0, 1.0), 2).tolist() == [0, 0]  # nothing is shown yet: the first frame stands in
    drawn = choose_frames(late, Span(4.0, 6.0), 4, np.random.default_rng(0))
    assert [int(index) // 5 for index in drawn - 20] == [0, 1, 2, 3]


def test_a_last_picture_that_stays_is_shown_for_as_long() -> None:
    screen = Times(np.arange(60) / 30, 30.0, 30.0)
    assert choose_frames(screen, Span(10.0, 20.0), 3).tolist() == [59, 59, 59]
    assert choose_frames(screen, None, 4).tolist() == [59, 59, 59, 59]
    assert choose_frames(screen, None, 15, np.random.default_rng(0)).tolist()[1:] == [59] * 14


def test_a_video_with_fewer_frames_repeats_them_evenly_in_training_too() -> None:
    few = even(4, 2.0)
    evaluation, training = choose_frames(few, None, 12), choose_frames(few, None, 12, np.random.default_rng(0))
    assert np.abs(evaluation - training).max() <= 1
    assert np.bincount(training).tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize("rng", [None, np.random.default_rng(0)])
def test_a_window_after_the_end_is_refused(rng: np.random.Generator | None) -> None:
    with pytest.raises(VideoError, match="times: the window begins at second 8, the video ends at 8"):
        choose_frames(even(80, 10.0), Span(8.0, 9.0), 4, rng)


def test_a_rate_is_constant_only_where_times_and_length_agree() -> None:
    assert Clock(even(100, 29.97)).is_constant
    assert Clock(even(100, 29.97, start=2.0)).is_constant
    assert Clock(Times(np.round(np.arange(100) / 29.97, 3), 100 / 29.97, 29.97)).is_constant
    assert not Clock(Times(np.arange(100) / 29.97, 100 / 29.97, 30.1)).is_constant
    assert not Clock(Times(np.arange(60) / 30, 30.0, 30.0)).is_constant


def test_thinning_keeps_every_nth_frame_of_a_constant_rate() -> None:
    kept, fps = thinned(even(100, 29.97), 5.0)
    assert kept.tolist() == list(range(0, 100, 6))
    assert fps == pytest.approx(4.995)
    assert thinned(even(10, 3.0), 5.0)[0].tolist() == list(range(10))


def test_thinning_keeps_what_is_shown_for_long() -> None:
    # The picture of second 2.05 stays for 8 seconds, though it comes close behind another.
    times = Times(np.array([0.0, 1.0, 2.0, 2.05, 10.0, 10.01, 10.02]), 10.5, 0.67)
    kept, fps = thinned(times, 5.0)
    assert kept.tolist() == [0, 1, 2, 3, 4, 6]
    assert fps == pytest.approx(6 / 10.5)

"""Which frames the chain looks at: of their own scene, whatever the video's rate, and numbers that are finite."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_preparing.internvid_g import scenes as stage_scenes
from data_preparing.internvid_g.clip import cosine
from data_preparing.internvid_g.rules import NegativeRules, NegativeSpan, negative_span
from data_preparing.internvid_g.runner import Item, Outcome, attempt
from data_preparing.internvid_g.scene_frames import each_frame, inner_frames, scene_frames, scored_frames
from data_preparing.internvid_g.scenes import Scenes
from data_preparing.internvid_g.scoring import Filter
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.annotations import AnnotationError
from hawkeye.data.video import VideoReader, open_video
from hawkeye.temporal import Span
from tests.data.test_clock import UNEVEN, even
from tests.data.video_files import numbered_frames, numbers_of, write_video

COLOURS = np.array([(230, 30, 30), (60, 200, 60), (30, 30, 120), (240, 240, 240)], dtype=np.uint8)
CUTS = [0.0, 7.4, 16.4, 27.2]
"""Seconds at which `uneven` takes another colour; the last picture is of second 30.8."""


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 pictures in its first 2 s, then one every 1.8 s; in four scenes."""
    colours = COLOURS[np.searchsorted(CUTS, np.array(UNEVEN) / 1000, side="right") - 1]
    path = tmp_path_factory.mktemp("uneven") / "videos" / "v.mp4"
    path.parent.mkdir()
    return write_video(path, np.broadcast_to(colours[:, None, None], (len(UNEVEN), 48, 64, 3)), pts=UNEVEN)


@pytest.mark.parametrize("rule", [inner_frames, scored_frames])
def test_frames_of_a_scene_of_a_variable_rate_are_its_own(rule: Any, uneven: Path) -> None:
    with open_video(uneven) as reader:
        indices = scene_frames(reader, Span(6.0, 26.0), partial(rule, count=3))
        seconds = reader.seconds[indices]
    np.testing.assert_allclose(seconds, [11.0, 14.6, 20.0])  # shown at seconds 11, 16 and 21


def test_frames_at_a_constant_rate_are_the_original_s_but_never_of_the_next_scene() -> None:
    video = even(200, 10.0)
    assert scene_frames(video, Span(2.0, 4.0), partial(inner_frames, count=3)) == [26, 32, 38]
    assert scene_frames(video, Span(2.0, 2.4), partial(inner_frames, count=3)) == [22, 23, 23]  # not 24 and 26
    # Scenes are rounded to milliseconds: frame 100 is the next one's first.
    assert scene_frames(even(200, 29.97), Span(3.203, 3.337), partial(inner_frames, count=3)) == [97, 99, 99]
    assert scene_frames(video, Span(19.5, 30.0), partial(scored_frames, count=1)) == [199]


def test_a_scene_between_two_frames_is_the_one_that_is_shown(uneven: Path) -> None:
    with open_video(uneven) as reader:
        (index,) = scene_frames(reader, Span(5.7, 7.2), partial(scored_frames, count=1))
        assert reader.seconds[index] == pytest.approx(5.6)


def test_frames_are_read_one_by_one(tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "v.mp4", numbered_frames(30))) as reader:
        frames = each_frame(reader, [3, 4, 20])
        assert numbers_of(next(frames)[None]) == [3]
        assert [numbers_of(frame[None]) for frame in frames] == [[4], [20]]


def test_scenes_of_a_variable_rate_end_where_the_next_begins(uneven: Path) -> None:
    pytest.importorskip("scenedetect")
    with open_video(uneven) as reader:
        duration = round(reader.duration, 3)
    outcome = Scenes(ChainSettings(folder=uneven.parents[1])).worker()(Item("v.mp4"))
    assert outcome.rows[0][0]["scenes"] == [[a, b] for a, b in zip(CUTS, [*CUTS[1:], duration])]


def test_scenes_are_told_by_the_clock_of_our_readers(uneven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scenedetect")

    def late(path: Path) -> VideoReader:
        reader = open_video(path)
        reader.seconds = reader.seconds + 2.0  # its pictures begin after its sound
        return reader

    monkeypatch.setattr(stage_scenes, "open_video", late)
    outcome = Scenes(ChainSettings(folder=uneven.parents[1])).worker()(Item("v.mp4"))
    assert [start for start, _ in outcome.rows[0][0]["scenes"]] == [round(cut + 2, 3) for cut in CUTS]


def test_similarities_that_are_not_finite_are_an_error() -> None:
    assert cosine(torch.ones(1, 2), torch.zeros(1, 2)).tolist() == [[0.0]]
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="similarities that are not finite"):
            cosine(torch.ones(1, 2), torch.tensor([[value, 1.0]]))


def test_an_outcome_that_is_not_finite_is_a_recorded_failure() -> None:
    outcome = attempt(lambda item: Outcome(item.key, [[{"x": float("nan")}]]), Item("v.mp4"))
    assert outcome.rows == []
    assert outcome.error is not None
    assert outcome.error == "a number is not finite: 0.0.x is nan"


@pytest.mark.parametrize("score", ["NaN", "Infinity", "true", '"0.2"'])
def test_a_score_that_is_not_finite_stops_the_filter(score: str, tmp_path: Path) -> None:
    row = '{"video_fname": "v.mp4", "start_sec": 1.5, "end_sec": 2.0, "caption": "x", "clip_sim": %s}\n'
    (tmp_path / "captions_scored.jsonl").write_text(row % "0.3" + row % score)
    with pytest.raises(AnnotationError, match=r"captions_scored\.jsonl.*clip_sim"):
        Filter(ChainSettings(folder=tmp_path)).items()


def test_a_side_that_all_looks_alike_has_no_bounding_scene() -> None:
    scenes = [Span(3.0 * place, 3.0 * place + 3) for place in range(4)]
    similarity = np.eye(4)
    similarity[0, 1] = similarity[1, 0] = 0.8  # as alike as the threshold: it does not grow
    found = negative_span(scenes[1], scenes, similarity, 12.0, NegativeRules())
    assert found == NegativeSpan(Span(3, 6), Span(3, 12), (1, 1), (None, None))
    similarity[2, 1] = similarity[1, 2] = similarity[3, 1] = similarity[1, 3] = 0.8
    similarity[0, 1] = similarity[1, 0] = 0.1
    found = negative_span(scenes[1], scenes, similarity, 12.0, NegativeRules())
    assert found == NegativeSpan(Span(3, 6), Span(0, 6), (1, 1), (None, None))

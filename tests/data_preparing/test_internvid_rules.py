"""InternVid-G's rules: the golden files of the original, examples worked out by hand, and random matrices."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_preparing.internvid_g.files import read_matrix, read_scenes
from data_preparing.internvid_g.merging import Merge
from data_preparing.internvid_g.negative_spans import NegativeSpans
from data_preparing.internvid_g.rules import (
    NO_ROOM,
    NO_SCENE,
    TOO_LONG,
    TOO_LONG_EXTENDED,
    TOO_SHORT,
    NegativeRules,
    NegativeSpan,
    merge_groups,
    merge_similarity,
    near_duplicates,
    negative_span,
    shared_words,
)
from data_preparing.internvid_g.runner import Item
from data_preparing.internvid_g.scene_frames import inner_frames, middle_frame, scored_frames
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.temporal import Span

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "data_a.json").read_text())["internvid_g"]
CHAIN = np.array(
    [
        [1, 0.9, 0.5, 0.9, 0.2],
        [0.9, 1, 0.6, 0.4, 0.3],
        [0.5, 0.6, 1, 0.88, 0.2],
        [0.9, 0.4, 0.88, 1, 0.3],
        [0.2, 0.3, 0.2, 0.3, 1],
    ]
)
FORK = np.array([[1, 0.9, 0.9, 0.2], [0.9, 1, 0.5, 0.3], [0.9, 0.5, 1, 0.9], [0.2, 0.3, 0.9, 1]])


def by_video(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["video_fname"]: row for row in rows}


@pytest.mark.parametrize("method", ["last", "union"])
def test_merged_scenes_are_the_original_s(method: str) -> None:
    settings = ChainSettings(folder=Path("x"), merge={"threshold": 0.85, "method": method})  # type: ignore[arg-type]
    worker, similarities = Merge(settings).worker(), by_video(GOLDEN["similarities"])
    scenes, matrices = [], []
    for row in GOLDEN["scenes"]:
        outcome = worker(Item(row["video_fname"], [row, similarities[row["video_fname"]]]))
        scenes += outcome.rows[0]
        matrices += outcome.rows[1]
    assert scenes == GOLDEN[f"merged_{method}"]["scenes"]
    assert matrices == GOLDEN[f"merged_{method}"]["similarities"]


def test_negative_spans_are_the_original_s_but_for_those_without_room() -> None:
    worker = NegativeSpans(ChainSettings(folder=Path("x"))).worker()
    scenes, similarities = (by_video(GOLDEN["merged_last"][name]) for name in ("scenes", "similarities"))
    found = []
    for video, scene_row in scenes.items():
        captions = [row for row in GOLDEN["captions"] if row["video_fname"] == video]
        content = [captions, {**scene_row, "duration": GOLDEN["durations"][video]}, similarities[video]]
        found += worker(Item(video, content)).rows[0]

    def has_room(row: dict[str, Any]) -> bool:
        return [row["neg_start_sec"], row["neg_end_sec"]] != [row["start_sec"], row["end_sec"]]

    assert found == [row for row in GOLDEN["negative_spans"] if has_room(row)]
    assert len(found) > 20


@pytest.mark.parametrize(
    ("similarity", "method", "groups"),
    [
        (CHAIN, "last", [(0, 1), (2, 3), (4, 4)]),
        (CHAIN, "union", [(0, 1), (2, 3), (4, 4)]),
        (FORK, "last", [(0, 1), (2, 3)]),
        (FORK, "union", [(0, 3)]),
        (np.empty((0, 0)), "last", []),
        (np.ones((1, 1)), "union", [(0, 0)]),
    ],
)
def test_groups_worked_out_by_hand(similarity: np.ndarray, method: Any, groups: list[tuple[int, int]]) -> None:
    assert merge_groups(similarity, 0.85, method) == groups


SCENES = [Span(0, 4), Span(4, 7), Span(7, 12), Span(12, 15), Span(15, 20)]
SIMILARITY = np.array(
    [
        [1, 0.5, 0.85, 0.4, 0.3],
        [0.5, 1, 0.6, 0.5, 0.4],
        [0.85, 0.6, 1, 0.55, 0.5],
        [0.4, 0.5, 0.55, 1, 0.9],
        [0.3, 0.4, 0.5, 0.9, 1],
    ]
)


@pytest.mark.parametrize(
    ("segment", "found"),
    [
        (Span(0, 4), NegativeSpan(Span(0, 4), Span(0, 7), (0, 0), (None, 2))),
        (Span(4, 7), NegativeSpan(Span(4, 7), Span(0, 22), (1, 1), (None, None))),
        (Span(7, 12), NegativeSpan(Span(7, 12), Span(4, 22), (2, 2), (0, None))),
        (Span(12, 15), NegativeSpan(Span(12, 20), Span(0, 22), (3, 4), (None, None))),
        (Span(15, 20), NegativeSpan(Span(12, 20), Span(0, 22), (3, 4), (None, None))),
        (Span(4.2, 6.8), NegativeSpan(Span(4.2, 6.8), Span(0, 22), (1, 1), (None, None))),
        (Span(5, 6.9), NO_SCENE),  # the original takes the first or the last scene where it finds none
        (Span(21, 22), NO_SCENE),
        (Span(4, 4.4), TOO_SHORT),
        (Span(0, 12), TOO_LONG),
    ],
)
def test_spans_worked_out_by_hand(segment: Span, found: NegativeSpan | str) -> None:
    assert negative_span(segment, SCENES, SIMILARITY, 22.0, NegativeRules()) == found


def test_a_segment_that_everything_looks_like_has_no_room() -> None:
    alike = np.full((2, 2), 0.8)  # as similar as the threshold, but not more: it does not grow
    assert negative_span(Span(0, 4), [Span(0, 4), Span(4, 8)], alike, 4.0, NegativeRules()) == NO_ROOM
    assert negative_span(Span(4, 8), [Span(0, 4), Span(4, 8)], alike, 8.0, NegativeRules()) == NO_ROOM


def test_a_segment_grows_by_scenes_that_look_like_itself_not_like_its_neighbours() -> None:
    # Scenes of 1 s. Those beside the segment, scene 3, look like it; the ones further on only look like those.
    scenes = [Span(second, second + 1) for second in range(7)]
    chain = np.eye(7)
    for one in range(6):
        chain[one, one + 1] = chain[one + 1, one] = 0.9
    # It grows to scenes 2 to 4, whose likes are scenes 1 and 5.
    assert negative_span(Span(3, 4), scenes, chain, 7.0, NegativeRules()) == NO_ROOM
    chain[0, 1] = chain[1, 0] = chain[5, 6] = chain[6, 5] = 0.0
    chain[1, 2] = chain[2, 1] = 0.0
    # On the left nothing else looks alike; on the right scene 5 does.
    assert negative_span(Span(3, 4), scenes, chain, 7.0, NegativeRules()) == NegativeSpan(
        segment=Span(2, 5), context=Span(0, 5), scenes=(2, 4), bounds=(None, 5)
    )
    mirrored = chain[::-1, ::-1]
    assert negative_span(Span(3, 4), scenes, mirrored, 7.0, NegativeRules()) == NegativeSpan(
        segment=Span(2, 5), context=Span(2, 7), scenes=(2, 4), bounds=(1, None)
    )
    # Two scenes: each end grows by what looks like that end.
    ends = np.eye(7)
    ends[1, 2] = ends[2, 1] = ends[4, 3] = ends[3, 4] = 0.9  # before its first, after its last
    ends[5, 2] = ends[2, 5] = 0.9  # looks like its first, behind its last: it bounds the context
    assert negative_span(Span(2, 4), scenes, ends, 7.0, NegativeRules()) == NegativeSpan(
        segment=Span(1, 5), context=Span(0, 5), scenes=(1, 4), bounds=(None, 5)
    )


def test_a_segment_that_grows_too_long_is_left_out() -> None:
    alike = np.full((3, 3), 0.9)
    scenes = [Span(0, 4), Span(4, 8), Span(8, 12)]
    assert negative_span(Span(4, 8), scenes, alike, 20.0, NegativeRules()) == TOO_LONG_EXTENDED


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Span], np.ndarray, float, Span]:
    count = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ends = np.cumsum(rng.uniform(0.6, 5, count)).round(3)
    scenes = [Span(float(start), float(end)) for start, end in zip([0.0, *ends[:-1]], ends)]
    half = rng.uniform(0, 1, (count, count)).round(2)
    matrix = np.maximum(half, half.T)
    np.fill_diagonal(matrix, 1.0)
    first, last = sorted(rng.integers(0, count, 2))
    shift = rng.uniform(-0.3, 0.3, 2)
    start = max(0.0, scenes[first].start + float(shift[0]))
    segment = Span(start, max(start, scenes[last].end + float(shift[1])))
    return scenes, matrix, float(ends[-1] + rng.uniform(0, 2)), segment


@given(cases())
def test_rules_hold_for_random_matrices(case: tuple[list[Span], np.ndarray, float, Span]) -> None:
    scenes, similarity, duration, segment = case
    rules = NegativeRules()
    found = negative_span(segment, scenes, similarity, duration, rules)
    if isinstance(found, str):
        return
    first, last = found.scenes
    assert found.context.contains(found.segment)
    assert found.context != found.segment
    assert rules.min_seconds <= found.segment.duration <= rules.max_seconds
    assert found.context.start >= 0
    for place, scene in enumerate(scenes):
        inside = scene.start >= found.context.start and scene.end <= found.context.end
        if inside and not first <= place <= last:
            assert similarity[first : last + 1, place].max() < rules.same_threshold


@given(cases(), st.floats(0.3, 0.95), st.sampled_from(["last", "union"]))
def test_groups_are_a_partition_and_their_similarity_the_highest(
    case: tuple[list[Span], np.ndarray, float, Span], threshold: float, method: Any
) -> None:
    _, similarity, _, _ = case
    groups = merge_groups(similarity, threshold, method)
    covered = [scene for first, last in groups for scene in range(first, last + 1)]
    assert covered == list(range(len(similarity)))
    merged = merge_similarity(similarity, groups)
    for row, (a, b) in enumerate(groups):
        for column, (c, d) in enumerate(groups):
            assert merged[row, column] == similarity[a : b + 1, c : d + 1].max()
    for before, after in pairwise(groups):
        assert similarity[before[1], after[0]] <= threshold


def test_captions_that_come_again_in_their_own_context() -> None:
    def spans(segment: Span, context: Span) -> NegativeSpan:
        return NegativeSpan(segment, context, (0, 0), (None, None))

    captioned = [
        ("A dog runs on the grass", spans(Span(0, 4), Span(0, 20))),
        ("the dog runs on a grass.", spans(Span(10, 12), Span(8, 20))),
        ("a cat sleeps", spans(Span(4, 8), Span(0, 20))),
        ("a cat sleeps", spans(Span(4, 8), Span(0, 20))),  # of the same segment: no harm
        ("a cat sleeps", spans(Span(14, 18), Span(13, 20))),
    ]
    assert near_duplicates(captioned, 0.8) == {0, 2, 3}
    assert near_duplicates(captioned, 1.1) == set()


def test_shared_words() -> None:
    assert shared_words("A dog runs", "the dog, runs!") == 2 / 4
    assert shared_words("", "...") == 0


def test_frames_are_the_original_s() -> None:
    scene = Span(2.0, 4.0)  # frames 20 to 40 at 10 per second
    assert inner_frames(scene, 10.0, 3) == [26, 32, 38]
    assert scored_frames(scene, 10.0, 3) == [25, 30, 35]
    assert middle_frame(scene, 10.0) == 30
    assert middle_frame(Span(2.0, 2.1), 10.0) is None
    assert middle_frame(Span(2.0, 2.0), 10.0) is None


def test_scenes_and_matrices_are_checked() -> None:
    assert read_scenes({"scenes": [[0, 1.5]]}, "x") == [Span(0, 1.5)]
    assert read_matrix({"similarity_matrix": []}, "x").shape == (0, 0)
    for row in ({"scenes": 3}, {"scenes": [[1]]}, {"scenes": [[2, 1]]}):
        with pytest.raises(ValueError, match=r"^x: "):
            read_scenes(row, "x")
    for matrix in ([[1, 0.5]], [["a"]], [[float("nan")]]):
        with pytest.raises(ValueError, match=r"^x: 'similarity_matrix' must be a square of numbers"):
            read_matrix({"similarity_matrix": matrix}, "x")

"""The rules of the chain on plain numbers: which scenes are one, and how far around a segment nothing looks like it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hawkeye.temporal import Span


def merge_groups(similarity: np.ndarray, threshold: float, method: Literal["last", "union"]) -> list[tuple[int, int]]:
    """Which scenes are joined: `(first, last)` of each group, in order.

    Args:
        similarity: `[n, n]`, of the scenes of one video.
        threshold: a scene is similar to those of more than this similarity.
        method: a scene joins the open group if it is similar to its last scene, or to any of its scenes.
    """
    groups: list[tuple[int, int]] = []
    similar: set[int] = set()
    first = 0
    for scene in range(len(similarity)):
        if scene > 0 and scene not in similar:
            groups.append((first, scene - 1))
            first, similar = scene, set()
        later = {other for other in range(scene + 1, len(similarity)) if similarity[scene, other] > threshold}
        similar = later if method == "last" else similar | later
    return [*groups, (first, len(similarity) - 1)] if len(similarity) else []


def merge_similarity(similarity: np.ndarray, groups: Sequence[tuple[int, int]]) -> np.ndarray:
    """The similarity of groups, `[g, g]`: the highest of any of their scenes."""
    starts = [first for first, _ in groups]
    if not starts:
        return np.empty((0, 0))
    return np.maximum.reduceat(np.maximum.reduceat(similarity, starts, axis=0), starts, axis=1)


@dataclass(frozen=True)
class NegativeRules:
    """When a segment is left out, and what looks like it."""

    boundary_shift: float = 0.25
    same_threshold: float = 0.8
    min_seconds: float = 0.5
    max_seconds: float = 10.0


@dataclass(frozen=True)
class NegativeSpan:
    """A segment of whole scenes, and the context around it that shows nothing alike; times in seconds.

    The scenes are those of the segment, first and last, and those that bound the context: None at the video's ends, and
    where the whole side looks like the segment, so that the context has no room on it.
    """

    segment: Span
    context: Span
    scenes: tuple[int, int]
    bounds: tuple[int | None, int | None]


TOO_SHORT = "segment too short"
TOO_LONG = "segment too long"
NO_SCENE = "no scene within the segment"
TOO_LONG_EXTENDED = "segment too long with the scenes that look like it"
NO_ROOM = "no room around the segment"


def negative_span(
    segment: Span, scenes: Sequence[Span], similarity: np.ndarray, duration: float, rules: NegativeRules
) -> NegativeSpan | str:
    """How far around a segment nothing looks like it, or why the segment is left out.

    The segment is taken to be the scenes within it, and grows by neighbours that look like its first or its last one.
    The context reaches on either side to the nearest scene that looks like any of its scenes.

    Args:
        segment: of a caption, in seconds.
        scenes: of the video, in order.
        similarity: `[n, n]`, of those scenes.
        duration: of the video, in seconds.
    """
    if segment.duration < rules.min_seconds:
        return TOO_SHORT
    if segment.duration > rules.max_seconds:
        return TOO_LONG
    within = [
        place
        for place, scene in enumerate(scenes)
        if scene.start >= segment.start - rules.boundary_shift and scene.end <= segment.end + rules.boundary_shift
    ]
    if not within:
        return NO_SCENE
    first, last = _extended(within[0], within[-1], similarity, rules.same_threshold)
    start = segment.start if first == within[0] else scenes[first].start
    end = segment.end if last == within[-1] else scenes[last].end
    alike = similarity[first : last + 1].max(axis=0) >= rules.same_threshold
    before = next((place for place in range(first - 1, -1, -1) if alike[place]), None)
    after = next((place for place in range(last + 1, len(scenes)) if alike[place]), None)
    # Scenes may end a little inside the segment.
    left = 0.0 if before is None else min(start, scenes[before].end)
    right = duration if after is None else max(end, scenes[after].start)
    # Where a whole side looks alike there is no room on it, and no scene that bounds the context.
    if before is not None and alike[:first].all():
        left, before = start, None
    if after is not None and alike[last + 1 :].all():
        right, after = end, None
    left, right = min(left, start), max(right, end)
    if end - start > rules.max_seconds:
        return TOO_LONG_EXTENDED
    if left == start and right == end:
        return NO_ROOM
    return NegativeSpan(Span(start, end), Span(left, right), (first, last), (before, after))


def _extended(first: int, last: int, similarity: np.ndarray, threshold: float) -> tuple[int, int]:
    """The scenes with neighbours that look like the first or the last of them."""
    low, high = first, last
    while low > 0 and similarity[low - 1, first] > threshold:
        low -= 1
    while high + 1 < len(similarity) and similarity[high + 1, last] > threshold:
        high += 1
    return low, high


def shared_words(first: str, second: str) -> float:
    """The share of two captions' different words that both have, in [0, 1] (Jaccard, 1912); 0 where neither has any."""
    words = [set(re.findall(r"\w+", caption.lower())) for caption in (first, second)]
    union = words[0] | words[1]
    return len(words[0] & words[1]) / len(union) if union else 0.0


def near_duplicates(captioned: Sequence[tuple[str, NegativeSpan]], ratio: float) -> set[int]:
    """Which of a video's captions stand again, in nearly the same words, in their own context.

    Args:
        captioned: captions with their spans; several may be about one segment.
        ratio: of shared words from which on captions are near duplicates.

    Returns:
        Places in `captioned`.
    """
    found = set()
    for place, (caption, span) in enumerate(captioned):
        for other, there in captioned:
            segment = there.segment
            elsewhere = segment.end <= span.segment.start or segment.start >= span.segment.end
            inside = segment.end > span.context.start and segment.start < span.context.end
            if elsewhere and inside and shared_words(caption, other) >= ratio:
                found.add(place)
    return found

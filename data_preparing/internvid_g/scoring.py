"""Stages score and filter: how well captions fit their scenes by CLIP, and the better half of them."""

from __future__ import annotations

from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_preparing.internvid_g.clip import Clip, cosine
from data_preparing.internvid_g.files import rows_by_video
from data_preparing.internvid_g.runner import Item, Outcome, Row, Stage, Worker
from data_preparing.internvid_g.scene_frames import each_frame, scene_frames, scored_frames
from hawkeye.annotations import AnnotationError, read_span, required
from hawkeye.data.clock import CLOCK_VERSION
from hawkeye.data.video import open_video
from hawkeye.temporal import Span

LONG = "scene too long for a score"
EMPTY = "caption without words"
BELOW_MEDIAN = "caption that fits worse than the median"


class Score(Stage):
    """One row per caption that is not empty, with `clip_sim`."""

    name = "score"
    has_model = True

    @property
    def outputs(self) -> list[Path]:
        """See `Stage`."""
        return [self.settings.scores]

    @property
    def depends_on(self) -> Any:
        """See `Stage`."""
        return [self.settings.score.model_dump(), self.settings.dtype, CLOCK_VERSION]

    def items(self) -> list[Item]:
        """See `Stage`."""
        rows = rows_by_video(self.settings.path(self.settings.captions), "caption")
        return [Item(video, of_video) for video, of_video in rows.items()]

    def worker(self) -> Worker:
        """See `Stage`."""
        settings, folder = self.settings.score, self.settings.path(self.settings.videos)
        clip = Clip(settings.model, self.settings)

        def score(item: Item) -> Outcome:
            lost = {LONG: 0, EMPTY: 0}
            captioned: list[tuple[Span, str]] = []
            for row in item.content:
                scene = read_span(row, "start_sec", "end_sec", item.key)
                texts = captions_of(row, item.key)
                if settings.max_seconds is not None and scene.duration > settings.max_seconds:
                    lost[LONG] += len(texts)
                    continue
                words = [text.strip() for text in texts if text.strip()]
                lost[EMPTY] += len(texts) - len(words)
                captioned += [(scene, text) for text in words]
            lost = {reason: count for reason, count in lost.items() if count}
            if not captioned:
                return Outcome(item.key, [[]], lost)
            scenes = list(dict.fromkeys(scene for scene, _ in captioned))
            rule = partial(scored_frames, count=settings.num_frames)
            with open_video(folder / item.key) as reader:
                indices = np.array([scene_frames(reader, scene, rule) for scene in scenes])
                distinct, places = np.unique(indices, return_inverse=True)
                embeddings = clip.images(each_frame(reader, distinct.tolist()))
            images = embeddings[torch.from_numpy(places).flatten()]
            fits = cosine(clip.texts([text for _, text in captioned]), images).numpy()
            fits = fits.reshape(len(captioned), len(scenes), settings.num_frames)
            merged = fits.max(axis=2) if settings.merge_method == "max" else fits.mean(axis=2)
            rows: list[Row] = [
                {
                    "video_fname": item.key,
                    "start_sec": scene.start,
                    "end_sec": scene.end,
                    "caption": text,
                    "clip_sim": round(float(merged[place, scenes.index(scene)]), 6),
                }
                for place, (scene, text) in enumerate(captioned)
            ]
            return Outcome(item.key, [rows], lost)

        return score


def captions_of(row: Row, place: str) -> list[str]:
    """The captions of a row: `captions`, or the only one in `summary` or `caption`.

    Raises:
        AnnotationError: if there is none of them, or one is no text.
    """
    for key in ("summary", "caption"):
        if key in row:
            return [required(row, key, str, place)]
    texts = required(row, "captions", list, place)
    if not all(isinstance(text, str) for text in texts):
        raise AnnotationError(f"{place}: 'captions' must be texts, not {texts!r}")
    return texts


def _score(row: Row, path: Path) -> float:
    """A caption's `clip_sim`.

    Raises:
        AnnotationError: if it is missing or not finite; the median of all would be neither.
    """
    score = required(row, "clip_sim", (int, float), str(path))
    if isinstance(score, bool) or not isfinite(score):
        raise AnnotationError(
            f"{path}: 'clip_sim' of {row['video_fname']} from {row.get('start_sec')} s on must be finite, not {score}"
        )
    return float(score)


class Filter(Stage):
    """The captions that fit at least as well as the median of all; those of one scene together again."""

    name = "filter"
    is_quick = True

    @property
    def outputs(self) -> list[Path]:
        """See `Stage`."""
        return [self.settings.filtered]

    @property
    def depends_on(self) -> Any:
        """See `Stage`."""
        return self._median

    def items(self) -> list[Item]:
        """See `Stage`."""
        path = self.settings.path(self.settings.scores)
        rows = rows_by_video(path, "score")
        scores = [_score(row, path) for of_video in rows.values() for row in of_video]
        if not scores:
            raise AnnotationError(f"{path}: holds no scores; has every caption been lost?")
        self._median = float(np.median(scores))
        return [Item(video, of_video) for video, of_video in rows.items()]

    def worker(self) -> Worker:
        """See `Stage`."""
        median = self._median

        def keep(item: Item) -> Outcome:
            found: dict[tuple[float, float], list[str]] = {}
            kept = [row for row in item.content if row["clip_sim"] >= median]
            for row in kept:
                captions = found.setdefault((row["start_sec"], row["end_sec"]), [])
                if row["caption"] not in captions:
                    captions.append(row["caption"])
            rows: list[Row] = [
                {"video_fname": item.key, "start_sec": start, "end_sec": end, "captions": captions}
                for (start, end), captions in found.items()
            ]
            lost = len(item.content) - len(kept)
            return Outcome(item.key, [rows], {BELOW_MEDIAN: lost} if lost else {})

        return keep

"""Stage negative_spans: how far around each captioned segment nothing looks like it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from data_preparing.internvid_g.files import one_row, read_matrix, read_scenes, rows_by_video
from data_preparing.internvid_g.rules import NegativeRules, NegativeSpan, near_duplicates, negative_span
from data_preparing.internvid_g.runner import Item, Outcome, Row, Stage, Worker
from data_preparing.internvid_g.scoring import captions_of
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.annotations import AnnotationError, read_json_lines, read_span, required
from hawkeye.data.video import open_video
from hawkeye.temporal import Span

DUPLICATE = "nearly the same caption within the negative span"
CLOCK = re.compile(r"(\d+):([0-5]?\d):([0-5]?\d(?:\.\d+)?)")


class NegativeSpans(Stage):
    """One row per caption: the segment, its negative span, and the scenes that they come from."""

    name = "negative_spans"
    is_quick = True

    @property
    def outputs(self) -> list[Path]:
        """See `Stage`."""
        return [self.settings.dataset]

    @property
    def depends_on(self) -> Any:
        """See `Stage`."""
        return self.settings.negative.model_dump()

    def items(self) -> list[Item]:
        """See `Stage`."""
        settings = self.settings
        scene_path, similarity_path = map(settings.path, (settings.merged_scenes, settings.merged_similarity))
        scenes = {Path(video).stem: rows for video, rows in rows_by_video(scene_path, "merge").items()}
        similarities = {Path(video).stem: rows for video, rows in rows_by_video(similarity_path, "merge").items()}
        items = []
        for stem, rows in captions_by_stem(settings.path(settings.filtered)).items():
            if stem in scenes and stem in similarities:
                scene_row = one_row(scenes[stem], scene_path, stem)
                content = [rows, scene_row, one_row(similarities[stem], similarity_path, stem)]
                items.append(Item(scene_row["video_fname"], content))
        return items

    def worker(self) -> Worker:
        """See `Stage`."""
        settings = self.settings.negative
        rules = NegativeRules(
            settings.boundary_shift, settings.same_threshold, settings.min_seconds, settings.max_seconds
        )

        def bound(item: Item) -> Outcome:
            captions, scene_row, similarity_row = item.content
            scenes = read_scenes(scene_row, item.key)
            similarity = read_matrix(similarity_row, item.key)
            if len(scenes) != len(similarity):
                raise AnnotationError(f"{item.key}: has {len(scenes)} scenes, but similarities of {len(similarity)}")
            duration = duration_of(scene_row, self.settings)
            lost: Counter[str] = Counter()
            found: list[tuple[str, NegativeSpan]] = []
            for row in captions:
                segment = read_span(row, "start_sec", "end_sec", item.key)
                span = negative_span(segment, scenes, similarity, duration, rules)
                texts = captions_of(row, item.key)
                if isinstance(span, str):
                    lost[span] += len(texts)
                else:
                    found += [(text, span) for text in texts]
            again = near_duplicates(found, settings.same_caption_ratio)
            if again:
                lost[DUPLICATE] = len(again)
            rows = [
                _row(item.key, duration, caption, span)
                for place, (caption, span) in enumerate(found)
                if place not in again
            ]
            return Outcome(item.key, [rows], dict(lost))

        return bound


def duration_of(scene_row: Row, settings: ChainSettings) -> float:
    """A video's length in seconds: as the stage scenes wrote it, or read from the video.

    Raises:
        AnnotationError: if it is no time.
        VideoError: if the video cannot be read.
    """
    video = scene_row["video_fname"]
    if "duration" in scene_row:
        return read_span({"start": 0.0, **scene_row}, "start", "duration", video).end
    with open_video(settings.path(settings.videos) / video) as reader:
        return round(reader.duration, 3)


def captions_by_stem(path: Path) -> dict[str, list[Row]]:
    """The captions of each video, by its name without ending; InternVid's own rows are renamed to the chain's.

    Raises:
        AnnotationError: naming the file, and the line, that is missing or wrong.
    """
    if not path.exists():
        raise AnnotationError(f"{path}: no such file; the stage filter writes it")
    found: dict[str, list[Row]] = {}
    for place, row in read_json_lines(path):
        if "YoutubeID" in row:
            row = {
                "video_fname": required(row, "YoutubeID", str, place),
                "start_sec": _seconds(row, "Start_timestamp", place),
                "end_sec": _seconds(row, "End_timestamp", place),
                "caption": required(row, "Caption", str, place),
            }
        found.setdefault(Path(required(row, "video_fname", str, place)).stem, []).append(row)
    return found


def _seconds(row: Row, key: str, place: str) -> float:
    """A time of InternVid, "HH:MM:SS.mmm", in seconds."""
    text = required(row, key, str, place)
    match = CLOCK.fullmatch(text)
    if match is None:
        raise AnnotationError(f"{place}: {key!r} must be HH:MM:SS.mmm, not {text!r}")
    hours, minutes, seconds = match.groups()
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def _row(video: str, duration: float, caption: str, found: NegativeSpan) -> Row:
    segment: Span = found.segment
    return {
        "video": video,
        "duration": duration,
        "start_sec": segment.start,
        "end_sec": segment.end,
        "neg_start_sec": found.context.start,
        "neg_end_sec": found.context.end,
        "caption": caption,
        "start_scene": found.scenes[0],
        "end_scene": found.scenes[1],
        "neg_start_scene": found.bounds[0],
        "neg_end_scene": found.bounds[1],
    }

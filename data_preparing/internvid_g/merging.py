"""Stage merge: neighbouring scenes that look alike become one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_preparing.internvid_g.files import one_row, read_matrix, read_scenes, rows_by_video
from data_preparing.internvid_g.rules import merge_groups, merge_similarity
from data_preparing.internvid_g.runner import Item, Outcome, Row, Stage, Worker
from hawkeye.annotations import AnnotationError

MERGED = "scene merged into the one before"


class Merge(Stage):
    """The merged scenes, and their similarity: the highest of their scenes'. A video without scenes is left out."""

    name = "merge"
    is_quick = True

    @property
    def outputs(self) -> list[Path]:
        """See `Stage`."""
        return [self.settings.merged_scenes, self.settings.merged_similarity]

    @property
    def depends_on(self) -> Any:
        """See `Stage`."""
        return self.settings.merge.model_dump()

    def items(self) -> list[Item]:
        """See `Stage`."""
        scenes_path, similarity_path = map(self.settings.path, (self.settings.scenes, self.settings.similarity))
        scenes = rows_by_video(scenes_path, "scenes")
        return [
            Item(video, [one_row(scenes[video], scenes_path, video), one_row(rows, similarity_path, video)])
            for video, rows in rows_by_video(similarity_path, "similarity").items()
            if video in scenes
        ]

    def worker(self) -> Worker:
        """See `Stage`."""
        settings = self.settings.merge

        def merge(item: Item) -> Outcome:
            scene_row, similarity_row = item.content
            similarity = read_matrix(similarity_row, item.key)
            scenes = read_scenes(scene_row, item.key)[: len(similarity)]
            if len(scenes) < len(similarity):
                raise AnnotationError(f"{item.key}: has {len(scenes)} scenes, but similarities of {len(similarity)}")
            if not scenes:
                return Outcome(item.key, [[], []])
            groups = merge_groups(similarity, settings.threshold, settings.method)
            merged: Row = {"video_fname": item.key}
            if "duration" in scene_row:
                merged["duration"] = scene_row["duration"]
            merged["scenes"] = [[scenes[first].start, scenes[last].end] for first, last in groups]
            matrix = {"video_fname": item.key, "similarity_matrix": merge_similarity(similarity, groups).tolist()}
            lost = {MERGED: len(scenes) - len(groups)} if len(groups) < len(scenes) else {}
            return Outcome(item.key, [[merged], [matrix]], lost)

        return merge

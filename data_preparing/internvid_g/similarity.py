"""Stage similarity: how alike the scenes of a video are, by CLIP."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_preparing.internvid_g.clip import Clip, cosine
from data_preparing.internvid_g.files import one_row, read_scenes, rows_by_video
from data_preparing.internvid_g.runner import Item, Outcome, Row, Stage, Worker
from data_preparing.internvid_g.scene_frames import each_frame, inner_frames, scene_frames
from hawkeye.data.clock import CLOCK_VERSION
from hawkeye.data.video import open_video

TOO_MANY = "scene beyond the first of its video that are compared"


class Similarity(Stage):
    """Cosines of the scenes' mean embeddings, rounded to three decimals."""

    name = "similarity"
    has_model = True

    @property
    def outputs(self) -> list[Path]:
        """See `Stage`."""
        return [self.settings.similarity]

    @property
    def depends_on(self) -> Any:
        """See `Stage`."""
        return [self.settings.clip.model_dump(), self.settings.dtype, CLOCK_VERSION]

    def items(self) -> list[Item]:
        """See `Stage`."""
        path = self.settings.path(self.settings.scenes)
        rows = rows_by_video(path, "scenes")
        return [Item(video, one_row(of_video, path, video)) for video, of_video in rows.items()]

    def worker(self) -> Worker:
        """See `Stage`."""
        settings, folder = self.settings.clip, self.settings.path(self.settings.videos)
        clip = Clip(settings.model, self.settings)

        def compare(item: Item) -> Outcome:
            scenes = read_scenes(item.content, item.key)
            compared = scenes[: settings.max_scenes]
            row: Row = {"video_fname": item.key, "similarity_matrix": []}
            if compared:
                rule = partial(inner_frames, count=settings.frames_per_scene)
                with open_video(folder / item.key) as reader:
                    indices = np.array([scene_frames(reader, scene, rule) for scene in compared])
                    distinct, places = np.unique(indices, return_inverse=True)
                    embeddings = clip.images(each_frame(reader, distinct.tolist()))
                means = embeddings[torch.from_numpy(places).view(indices.shape)].mean(dim=1)
                row["similarity_matrix"] = [
                    [round(value, 3) for value in line] for line in cosine(means, means).cpu().double().tolist()
                ]
            lost = {TOO_MANY: len(scenes) - len(compared)} if len(scenes) > len(compared) else {}
            return Outcome(item.key, [[row]], lost)

        return compare

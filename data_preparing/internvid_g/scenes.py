"""Stage scenes: where the picture cuts, through PySceneDetect."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from data_preparing.internvid_g.files import video_items
from data_preparing.internvid_g.runner import Item, Outcome, Stage, Worker
from hawkeye.data.clock import CLOCK_VERSION
from hawkeye.data.video import open_video

NO_CUT = "video without a cut"
SHORT = "scene too short"


class Scenes(Stage):
    """Cuts each video of the folder. One without a cut has no scenes; a scene's bounds are in seconds."""

    name = "scenes"
    needs = ("scenedetect",)

    @property
    def outputs(self) -> list[Path]:
        """See `Stage`."""
        return [self.settings.scenes]

    @property
    def depends_on(self) -> Any:
        """See `Stage`."""
        return [self.settings.scene.model_dump(), CLOCK_VERSION]

    def items(self) -> list[Item]:
        """See `Stage`."""
        return video_items(self.settings)

    def worker(self) -> Worker:
        """See `Stage`."""
        from scenedetect import ContentDetector, SceneManager

        from data_preparing.internvid_g.scene_stream import ReaderStream

        settings, folder = self.settings.scene, self.settings.path(self.settings.videos)
        logging.getLogger("pyscenedetect").disabled = True  # what it says comes as exceptions too

        def cut(item: Item) -> Outcome:
            manager = SceneManager()
            manager.add_detector(ContentDetector(threshold=settings.threshold))
            with open_video(folder / item.key) as reader:
                manager.detect_scenes(ReaderStream(reader))
                first, duration = float(reader.seconds[0]), round(reader.duration, 3)
            starts = [round(first + start.seconds, 3) for start, _ in manager.get_scene_list()]
            # The last scene ends with the video: the detector takes its average rate for that.
            scenes = [[start, end] for start, end in zip(starts, [*starts[1:], duration])]
            kept = [[start, end] for start, end in scenes if end - start >= settings.min_seconds]
            lost = {} if scenes else {NO_CUT: 1}
            if len(kept) < len(scenes):
                lost[SHORT] = len(scenes) - len(kept)
            return Outcome(item.key, [[{"video_fname": item.key, "duration": duration, "scenes": kept}]], lost)

        return cut

"""Stage scenes: where the picture cuts, through PySceneDetect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_preparing.internvid_g.files import video_items
from data_preparing.internvid_g.runner import Item, Outcome, Stage, Worker
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
        return self.settings.scene.model_dump()

    def items(self) -> list[Item]:
        """See `Stage`."""
        return video_items(self.settings)

    def worker(self) -> Worker:
        """See `Stage`."""
        from scenedetect import ContentDetector, detect
        from scenedetect.video_stream import VideoOpenFailure

        settings, folder = self.settings.scene, self.settings.path(self.settings.videos)

        def cut(item: Item) -> Outcome:
            path = folder / item.key
            with open_video(path) as reader:  # says clearly what is wrong with a file; the detector does not
                duration = round(reader.duration, 3)
            try:
                found = detect(str(path), ContentDetector(threshold=settings.threshold))
            except VideoOpenFailure as error:
                raise OSError(f"{path}: {error}") from None
            scenes = [[round(start.seconds, 3), round(end.seconds, 3)] for start, end in found]
            kept = [[start, end] for start, end in scenes if end - start >= settings.min_seconds]
            lost = {} if scenes else {NO_CUT: 1}
            if len(kept) < len(scenes):
                lost[SHORT] = len(scenes) - len(kept)
            return Outcome(item.key, [[{"video_fname": item.key, "duration": duration, "scenes": kept}]], lost)

        return cut

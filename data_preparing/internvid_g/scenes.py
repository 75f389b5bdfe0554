"""Stage scenes: where the picture cuts, through PySceneDetect."""

from __future__ import annotations

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
        from scenedetect import ContentDetector, detect
        from scenedetect.video_stream import VideoOpenFailure

        settings, folder = self.settings.scene, self.settings.path(self.settings.videos)

        def cut(item: Item) -> Outcome:
            path = folder / item.key
            with open_video(path) as reader:  # says clearly what is wrong with a file; the detector does not
                first, duration = reader.seconds[0], round(reader.duration, 3)
            try:
                found = detect(str(path), ContentDetector(threshold=settings.threshold))
            except VideoOpenFailure as error:
                raise OSError(f"{path}: {error}") from None
            # The detector counts from the first frame, and takes the average rate for the end of the last scene.
            cuts = [round(float(first + start.seconds), 3) for start, _ in found]
            scenes = [[start, end] for start, end in zip(cuts, [*cuts[1:], duration])]
            kept = [[start, end] for start, end in scenes if end - start >= settings.min_seconds]
            lost = {} if scenes else {NO_CUT: 1}
            if len(kept) < len(scenes):
                lost[SHORT] = len(scenes) - len(kept)
            return Outcome(item.key, [[{"video_fname": item.key, "duration": duration, "scenes": kept}]], lost)

        return cut

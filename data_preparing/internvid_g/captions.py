"""Stage caption: what the middle frame of each merged scene shows, in a model's words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature

from data_preparing.internvid_g.clip import dtype_of
from data_preparing.internvid_g.files import one_row, read_scenes, rows_by_video
from data_preparing.internvid_g.runner import Item, Outcome, Row, Stage, Worker
from data_preparing.internvid_g.scene_frames import each_frame, middle_frame, scene_frames
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.data.clock import CLOCK_VERSION
from hawkeye.data.video import VideoReader, open_video
from hawkeye.devices import find_device
from hawkeye.models.foreign import load
from hawkeye.temporal import Span

SHORT = "scene too short for a caption"
NO_FRAME = "scene without a middle frame"
NO_WORDS = "caption without words"


class Caption(Stage):
    """One caption of each merged scene, in `captions`; an empty list where there is none."""

    name = "caption"
    has_model = True

    @property
    def outputs(self) -> list[Path]:
        """See `Stage`."""
        return [self.settings.captions]

    @property
    def depends_on(self) -> Any:
        """See `Stage`."""
        return [self.settings.caption.model_dump(), self.settings.dtype, CLOCK_VERSION]

    def items(self) -> list[Item]:
        """See `Stage`."""
        path = self.settings.path(self.settings.merged_scenes)
        rows = rows_by_video(path, "merge")
        return [Item(video, one_row(of_video, path, video)) for video, of_video in rows.items()]

    def worker(self) -> Worker:
        """See `Stage`."""
        settings, folder = self.settings.caption, self.settings.path(self.settings.videos)
        captioner = Captioner(self.settings)

        def caption(item: Item) -> Outcome:
            scenes = read_scenes(item.content, item.key)
            long = [scene for scene in scenes if scene.duration >= settings.min_seconds]
            lost = {SHORT: len(scenes) - len(long)}
            with open_video(folder / item.key) as reader:
                middles = [_middle(reader, scene) for scene in long]
                shown = sorted({index for index in middles if index is not None})
                texts = dict(zip(shown, captioner(each_frame(reader, shown))))
            rows: list[Row] = []
            for scene, index in zip(long, middles):
                found = [] if index is None or not texts[index] else [texts[index]]
                times = {"start_sec": scene.start, "end_sec": scene.end}
                rows.append({"video_fname": item.key, **times, "captions": found})
            lost[NO_FRAME] = middles.count(None)
            lost[NO_WORDS] = sum(not text for text in texts.values())
            return Outcome(item.key, [rows], {reason: count for reason, count in lost.items() if count})

        return caption


def _middle(reader: VideoReader, scene: Span) -> int | None:
    def rule(scene: Span, rate: float) -> list[int]:
        tick = middle_frame(scene, rate)
        return [] if tick is None else [tick]

    return next(iter(scene_frames(reader, scene, rule)), None)


class Captioner:
    """An image-to-text model of transformers with its processor.

    Raises:
        ConfigError: if it cannot be loaded.
    """

    def __init__(self, settings: ChainSettings) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.settings = settings
        self.device = find_device(settings.device)
        name = settings.caption.model
        self._processor: Any = load(AutoProcessor, name, "the processor")
        model: Any = load(AutoModelForImageTextToText, name, "the model", dtype=dtype_of(settings, self.device))
        self._model: Any = model.eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, frames: Iterable[np.ndarray]) -> list[str]:
        """A caption of each frame, uint8 `[H, W, 3]`; an empty one where the model says nothing."""
        captions: list[str] = []
        caption = self.settings.caption
        limit = {} if caption.max_new_tokens is None else {"max_new_tokens": caption.max_new_tokens}
        # The prompt is the same for all, so that what the processor makes of each has one length.
        prompted = (self._processor(images=[frame], text=[caption.prompt], return_tensors="pt") for frame in frames)
        while parts := list(islice(prompted, self.settings.batch_size)):
            values = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
            batch = BatchFeature(values).to(self.device, self._model.dtype)
            written = self._model.generate(**batch, **limit)
            if not self._model.config.is_encoder_decoder and written.shape[1] > batch["input_ids"].shape[1]:
                prompt = batch["input_ids"]
                if torch.equal(written[:, : prompt.shape[1]], prompt):  # some models repeat the prompt
                    written = written[:, prompt.shape[1] :]
            texts = self._processor.batch_decode(written, skip_special_tokens=True)
            captions += [" ".join(text.split()) for text in texts]
        return captions

"""Stage caption: what the middle frame of each merged scene shows, in a model's words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_preparing.internvid_g.clip import device_of, dtype_of
from data_preparing.internvid_g.files import one_row, read_scenes, rows_by_video
from data_preparing.internvid_g.runner import Item, Outcome, Row, Stage, Worker
from data_preparing.internvid_g.scene_frames import middle_frame, read_frames
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.config import ConfigError
from hawkeye.data.video import open_video

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
        return [self.settings.caption.model_dump(), self.settings.dtype]

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
                middles = [middle_frame(scene, reader.fps) for scene in long]
                frames = read_frames(reader, [index for index in middles if index is not None])
            shown = [index for index in middles if index is not None]
            texts = dict(zip(shown, captioner([frames[index] for index in shown])))
            rows: list[Row] = []
            for scene, index in zip(long, middles):
                found = [] if index is None or not texts[index] else [texts[index]]
                times = {"start_sec": scene.start, "end_sec": scene.end}
                rows.append({"video_fname": item.key, **times, "captions": found})
            lost[NO_FRAME] = middles.count(None)
            lost[NO_WORDS] = sum(not text for text in texts.values())
            return Outcome(item.key, [rows], {reason: count for reason, count in lost.items() if count})

        return caption


class Captioner:
    """An image-to-text model of transformers with its processor.

    Raises:
        ConfigError: if it cannot be loaded.
    """

    def __init__(self, settings: ChainSettings) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.settings = settings
        self.device = device_of(settings)
        name = settings.caption.model
        try:
            self._processor: Any = AutoProcessor.from_pretrained(name)
            model = AutoModelForImageTextToText.from_pretrained(name, dtype=dtype_of(settings, self.device))
        except (OSError, ValueError) as error:
            raise ConfigError(f"model {name!r} cannot be loaded: {' '.join(str(error).split())}") from None
        self._model: Any = model.eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, frames: Sequence[np.ndarray]) -> list[str]:
        """A caption of each frame, uint8 `[H, W, 3]`; an empty one where the model says nothing."""
        captions: list[str] = []
        size, caption = self.settings.batch_size, self.settings.caption
        limit = {} if caption.max_new_tokens is None else {"max_new_tokens": caption.max_new_tokens}
        for start in range(0, len(frames), size):
            images = list(frames[start : start + size])
            batch = self._processor(images=images, text=[caption.prompt] * len(images), return_tensors="pt")
            batch = batch.to(self.device, self._model.dtype)
            written = self._model.generate(**batch, **limit)
            if not self._model.config.is_encoder_decoder and written.shape[1] > batch["input_ids"].shape[1]:
                prompt = batch["input_ids"]
                if torch.equal(written[:, : prompt.shape[1]], prompt):  # some models repeat the prompt
                    written = written[:, prompt.shape[1] :]
            texts = self._processor.batch_decode(written, skip_special_tokens=True)
            captions += [" ".join(text.split()) for text in texts]
        return captions

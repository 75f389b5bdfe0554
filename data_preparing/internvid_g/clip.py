"""CLIP, as the stages use it: embeddings of frames and of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.devices import find_device
from hawkeye.models.foreign import load


def dtype_of(settings: ChainSettings, device: torch.device) -> torch.dtype:
    """The type of a model's weights."""
    if settings.dtype != "auto":
        return getattr(torch, settings.dtype)
    return torch.float32 if device.type == "cpu" else torch.float16


class Clip:
    """A CLIP model with its processor.

    Args:
        name: of the model, or its directory.

    Raises:
        ConfigError: if it cannot be loaded.
    """

    def __init__(self, name: str, settings: ChainSettings) -> None:
        from transformers import CLIPModel, CLIPProcessor

        self.device = find_device(settings.device)
        self.batch_size = settings.batch_size
        self._processor: Any = load(CLIPProcessor, name, "the processor")
        model: Any = load(CLIPModel, name, "the model", dtype=dtype_of(settings, self.device))
        self._model: Any = model.eval().to(self.device)

    @torch.inference_mode()
    def images(self, frames: Iterable[np.ndarray]) -> Tensor:
        """Embeddings of frames, uint8 `[H, W, 3]`: float32 `[N, C]` on the CPU, not normalised."""
        shrunk = (self._processor(images=[frame], return_tensors="pt")["pixel_values"] for frame in frames)
        parts = []
        while batch := list(islice(shrunk, self.batch_size)):
            pixels = torch.cat(batch).to(self.device, self._model.dtype)
            hidden = self._model.vision_model(pixel_values=pixels).pooler_output
            parts.append(self._model.visual_projection(hidden).float().cpu())
        return torch.cat(parts)

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts, cut to what CLIP reads: float32 `[N, C]` on the CPU, not normalised."""
        parts = []
        for start in range(0, len(texts), self.batch_size):
            batch = self._processor(
                text=list(texts[start : start + self.batch_size]), padding=True, truncation=True, return_tensors="pt"
            ).to(self.device)
            hidden = self._model.text_model(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
            ).pooler_output
            parts.append(self._model.text_projection(hidden).float().cpu())
        return torch.cat(parts)


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Cosines of rows `[N, C]` with rows `[M, C]`: `[N, M]`.

    Raises:
        ValueError: if one is not finite: what is compared with it later would be lost.
    """
    found = torch.nn.functional.normalize(first, dim=1) @ torch.nn.functional.normalize(second, dim=1).T
    if not found.isfinite().all():
        raise ValueError(
            "CLIP gives similarities that are not finite; are its weights damaged, or is 'dtype' too narrow?"
        )
    return found

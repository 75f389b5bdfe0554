"""Pretraining of the video encoder alone: which words of the answers do its frames show, and which frames are they?

The full model starts from an encoder that has seen millions of videos. One that starts from random weights learns what
things look like ten times faster this way than through the language model (classification with the words of captions
as classes: Huang et al., "Classification Done Right for Vision-Language Pre-Training", 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hawkeye.config import ConfigError, StageSettings
from hawkeye.data.collate import report_of, shown_frames
from hawkeye.data.sources import Sample, Source, Unreadable, stage_sources
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor


class WordClassifier(nn.Module):
    """A model's video encoder under two linear layers.

    One guesses the window's words. Its weights are the Q-Former's word embeddings, which so come to point where the
    encoder's features do: a question's words then match what they name. The other, thrown away afterwards, guesses
    from each patch alone the place of its frame among the model's frames; words alone would teach the encoder to forget
    when it saw something, because its position embeddings are small.
    """

    def __init__(self, model: HawkEye) -> None:
        super().__init__()
        widths = model.config.vision_config.hidden_size, model.config.qformer_config.hidden_size
        if widths[0] != widths[1]:
            raise ConfigError(
                f"objective 'words' ties the Q-Former's word embeddings to the encoder's features, but they are "
                f"{widths[1]} and {widths[0]} wide"
            )
        self.vision_encoder = model.vision_encoder
        self.vision_layernorm = model.vision_layernorm
        self.word_embeddings = model.qformer.embeddings.word_embeddings
        self.word_bias = nn.Parameter(torch.zeros(self.word_embeddings.num_embeddings))
        self.place_head = nn.Linear(model.config.vision_config.hidden_size, model.config.num_frames)

    def forward(self, pixel_values: Tensor, frame_positions: Tensor, words: Tensor) -> dict[str, Tensor]:
        """The loss: cross-entropy of the words, guessed from each frame's mean feature, and of the places.

        Args:
            pixel_values: `[V, T, 3, H, W]`.
            frame_positions: `[V, T]`, see `UMTVideoEncoder.forward`.
            words: `[V, T, vocabulary]`, 1 for the words of each frame and 0 for all others.
        """
        features = self.vision_layernorm(self.vision_encoder(pixel_values, frame_positions))  # [V, T * P, C]
        features = features.unflatten(1, (frame_positions.shape[1], -1))  # [V, T, P, C]
        logits = F.linear(features.mean(2), self.word_embeddings.weight, self.word_bias)
        of_words = -(logits.float().log_softmax(-1) * words / words.sum(-1, keepdim=True).clamp(min=1)).sum(-1).mean()
        places = self.place_head(features).float()  # [V, T, P, num_frames]
        targets = frame_positions[..., None].expand(places.shape[:-1])
        loss = of_words + F.cross_entropy(places.flatten(0, 2), targets.flatten())
        return {"loss": loss * words.any()}  # nothing is learned of a blank window


@dataclass(frozen=True)
class WordCollator:
    """Makes `WordClassifier`'s batch of samples that show one frame each.

    Frames of different videos stand together as if they were one window's, in its places: so each patch learns to keep
    what its own frame shows apart from what its neighbours' do.
    """

    processor: HawkEyeProcessor
    num_frames: int
    """Frames of a window; samples that do not fill one are left out of the batch."""

    def __call__(self, samples: Sequence[Sample | Unreadable]) -> dict[str, Any]:
        shown = [sample for sample in samples if isinstance(sample, Sample)]
        shown = shown[: len(shown) // self.num_frames * self.num_frames]
        report = report_of(samples)
        if not shown:
            return self._blank() | {"report": report}
        tokenizer = self.processor.tokenizer
        words = torch.zeros(len(shown), len(tokenizer))
        for row, sample in enumerate(shown):
            answers = [turn.answer for turns in sample.conversations for turn in turns]
            words[row, tokenizer(" ".join(answers), add_special_tokens=False).input_ids] = 1
        windows = len(shown) // self.num_frames
        pixel_values = shown_frames(shown, self.processor)["pixel_values"]
        return {
            "pixel_values": pixel_values.flatten(0, 1).unflatten(0, (windows, self.num_frames)),
            "frame_positions": torch.arange(self.num_frames).expand(windows, -1),
            "words": words.unflatten(0, (windows, self.num_frames)),
            "report": report,
        }

    def _blank(self) -> dict[str, Tensor]:
        """A window without words, of which nothing is learned."""
        size = self.processor.image_size
        return {
            "pixel_values": torch.zeros(1, self.num_frames, 3, size, size),
            "frame_positions": torch.arange(self.num_frames).expand(1, -1),
            "words": torch.zeros(1, self.num_frames, len(self.processor.tokenizer)),
        }


def check_word_stage(stage: StageSettings, sources: dict[str, Source]) -> None:
    """Refuses a stage that pretrains the encoder on rows without frames, or on several frames a row.

    Raises:
        ConfigError: naming the stage, and the source.
    """
    if stage.num_frames != 1:
        raise ConfigError(f"stage {stage.name!r}: objective 'words' shows one frame a row: set num_frames to 1")
    for source in stage_sources(sources, stage):
        if source.videos is None:
            raise ConfigError(
                f"stage {stage.name!r}: objective 'words' needs videos, but source {source.name!r} has none"
            )

"""What stands between people and the model's tensors: frames to pixel values, text to ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedTokenizerBase, ProcessorMixin
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)

from hawkeye.config import ModelSettings
from hawkeye.prompts import LETTERS, VISUAL_MARKER

Offsets = tuple[int, int]

STATISTICS = {
    "clip": (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD),
    "imagenet": (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD),
}
"""Mean and standard deviation of the channels R, G, B, by the names that configurations use."""

LONGEST_SIDE = 16
"""Times the short side: of pictures that are longer, the middle alone is resized, as the rest takes much memory."""


def normalisation(settings: ModelSettings) -> dict[str, Any]:
    """The arguments of `HawkEyeProcessor` that say how frames are normalised."""
    (train_mean, train_std), (eval_mean, eval_std) = (
        STATISTICS[settings.train_statistics],
        STATISTICS[settings.eval_statistics],
    )
    return {"train_mean": train_mean, "train_std": train_std, "eval_mean": eval_mean, "eval_std": eval_std}


QFORMER_TOKENIZER = "qformer_tokenizer"
"""The folder of a model's directory that holds the Q-Former's tokenizer; the language model's lies beside it."""


def _check_statistics(name: str, values: Any) -> None:
    are_numbers = isinstance(values, Sequence) and all(isinstance(value, (int, float)) for value in values)
    if not are_numbers or len(values) != 3 or not np.isfinite(values).all() or (name == "std" and min(values) <= 0):
        raise ValueError(f"the {name} of the channels must be three numbers, of a std above 0, not {values!r}")


class HawkEyeProcessor(ProcessorMixin):
    """Tokenizers and image settings of a model; saved beside it.

    Args:
        tokenizer: the language model's.
        qformer_tokenizer: the Q-Former's.
        num_visual_tokens: placeholders that a prompt gets for a window (`HawkEyeConfig.num_visual_tokens`).
        visual_token_id: the placeholder (`HawkEyeConfig.visual_token_id`).
        image_size: side of the square frames, in pixels.
        train_mean, train_std, eval_mean, eval_std: channel statistics that frames are normalised with in training and
            in evaluation, for values in [0, 1]. CLIP's by default.
        qformer_max_tokens: longest text of the Q-Former; what comes before is cut off (paper: 512).
    """

    tokenizer: PreTrainedTokenizerBase
    qformer_tokenizer: PreTrainedTokenizerBase

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        qformer_tokenizer: PreTrainedTokenizerBase,
        num_visual_tokens: int,
        visual_token_id: int,
        image_size: int = 224,
        train_mean: Sequence[float] = OPENAI_CLIP_MEAN,
        train_std: Sequence[float] = OPENAI_CLIP_STD,
        eval_mean: Sequence[float] = OPENAI_CLIP_MEAN,
        eval_std: Sequence[float] = OPENAI_CLIP_STD,
        qformer_max_tokens: int = 512,
    ) -> None:
        super().__init__(tokenizer, qformer_tokenizer)
        counts = {"num_visual_tokens": num_visual_tokens, "image_size": image_size}
        for name, value in (counts | {"qformer_max_tokens": qformer_max_tokens}).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number above 0, not {value!r}")
        if not isinstance(visual_token_id, int) or visual_token_id < 0:
            raise ValueError(f"visual_token_id must be the id of a token, not {visual_token_id!r}")
        for name, three in (("mean", train_mean), ("std", train_std), ("mean", eval_mean), ("std", eval_std)):
            _check_statistics(name, three)
        qformer_tokenizer.truncation_side = "left"
        self.num_visual_tokens = num_visual_tokens
        self.visual_token_id = visual_token_id
        self.image_size = image_size
        self.train_mean, self.train_std = tuple(train_mean), tuple(train_std)
        self.eval_mean, self.eval_std = tuple(eval_mean), tuple(eval_std)
        self.qformer_max_tokens = qformer_max_tokens

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> HawkEyeProcessor:
        """transformers' `from_pretrained`, which would take the language model's tokenizer for a missing Q-Former's.

        Raises:
            ValueError: if a directory has no tokenizer of the Q-Former.
        """
        directory = Path(pretrained_model_name_or_path)
        if directory.is_dir() and not (directory / QFORMER_TOKENIZER).is_dir():
            raise ValueError(f"{directory} has no folder {QFORMER_TOKENIZER!r}, the tokenizer of the Q-Former")
        kwargs = {"trust_remote_code": False} | kwargs  # the library asks on the terminal otherwise
        processor: HawkEyeProcessor = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        return processor

    def pixel_values(self, frames: np.ndarray) -> Tensor:
        """Frames as evaluation shows them: short side resized (PIL, bicubic), centre cut out, normalised.

        Args:
            frames: uint8 `[T, H, W, 3]`, RGB.

        Returns:
            float32 `[T, 3, image_size, image_size]`.

        Raises:
            ValueError: if the frames have another shape or type.
        """
        return self.normalize_for_evaluation(self.resize_frames(frames))

    def normalize_for_evaluation(self, frames: np.ndarray) -> Tensor:
        """The second half of `pixel_values`: of frames as `resize_frames` leaves them."""
        return self.normalize(torch.from_numpy(frames), self.eval_mean, self.eval_std)

    def resize_frames(self, frames: np.ndarray) -> np.ndarray:
        """The first half of `pixel_values`: uint8 `[T, image_size, image_size, 3]` of uint8 `[T, H, W, 3]`.

        Raises:
            ValueError: if the frames have another shape or type.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise ValueError(f"frames must be uint8 [T, H, W, 3], not {frames.dtype} {list(frames.shape)}")
        return np.stack([self.resize_frame(frame) for frame in frames])

    def resize_frame(self, frame: np.ndarray) -> np.ndarray:
        """`resize_frames` of one uint8 frame `[H, W, 3]`: a `transform` of `VideoReader.frames`."""
        cut = _without_ends(frame)
        return self._centre_square(Image.fromarray(np.ascontiguousarray(cut)))

    def normalize(self, frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        """float32 `[..., 3, S, S]` of uint8 `[..., S, S, 3]`: values in [0, 1], less `mean`, divided by `std`."""
        pixels = frames.movedim(-1, -3).float().div(255)
        return ((pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]).contiguous()

    def _centre_square(self, image: Image.Image) -> np.ndarray:
        size, short = self.image_size, min(image.size)
        width, height = (int(size * side / short) for side in image.size)
        resized = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = round((width - size) / 2), round((height - size) / 2)
        return np.asarray(resized.crop((left, top, left + size, top + size)))

    def qformer_inputs(self, texts: list[str]) -> dict[str, Tensor]:
        """The Q-Former's texts as `qformer_input_ids` and `qformer_attention_mask`, both `[V, Lq]`."""
        encoded = self.qformer_tokenizer(
            texts, padding=True, truncation=True, max_length=self.qformer_max_tokens, return_tensors="pt"
        )
        return {"qformer_input_ids": encoded.input_ids, "qformer_attention_mask": encoded.attention_mask}

    def encode_prompt(self, text: str) -> list[int]:
        """The ids of a prompt or conversation: BOS where the language model has one, then the text, placeholders where
        it says `VISUAL_MARKER`.

        Raises:
            ValueError: if the marker stands in the text more than once.
        """
        return self.encode_with_offsets(text)[0]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[Offsets]]:
        """`encode_prompt`, and for each id the half-open range of characters of `text` that it stands for.

        The ranges of BOS and of placeholders are empty.

        Raises:
            ValueError: if the marker stands in the text more than once.
        """
        before, *rest = text.split(VISUAL_MARKER)
        if len(rest) > 1:
            raise ValueError(f"{VISUAL_MARKER} stands {len(rest)} times in the prompt {text!r}; one is the limit")
        ids, offsets = self._encode_part(before, 0)
        if self.tokenizer.bos_token_id is not None:  # some language models begin without (Qwen's)
            ids, offsets = [self.tokenizer.bos_token_id, *ids], [(0, 0), *offsets]
        if rest:
            start = len(before) + len(VISUAL_MARKER)
            ids += [self.visual_token_id] * self.num_visual_tokens
            offsets += [(start, start)] * self.num_visual_tokens
            after_ids, after_offsets = self._encode_part(rest[0], start)
            ids, offsets = ids + after_ids, offsets + after_offsets
        return ids, offsets

    def letter_ids(self, line: str) -> list[int]:
        """Ids of the letters from "A" on, after `line`, that the tokenizer knows and does not join to what precedes."""
        before = self.encode_prompt(line)
        ids: list[int] = []
        for letter in LETTERS:
            *first, last = self.encode_prompt(line + letter)
            if first != before or last == self.tokenizer.unk_token_id:
                break
            ids.append(last)
        return ids

    def _encode_part(self, text: str, start: int) -> tuple[list[int], list[Offsets]]:
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return encoded.input_ids, [(start + first, start + last) for first, last in encoded.offset_mapping]


def _without_ends(frame: np.ndarray) -> np.ndarray:
    """The middle of a picture `[H, W, 3]` whose long side is more than `LONGEST_SIDE` times the short one."""
    longest = LONGEST_SIDE * min(frame.shape[:2])
    top, left = (max(0, side - longest) // 2 for side in frame.shape[:2])
    return frame[top : frame.shape[0] - top, left : frame.shape[1] - left]

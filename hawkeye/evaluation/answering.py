"""Asking a model about windows of videos: visual tokens once per window, the options' probabilities in one pass."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hawkeye.data.video import VideoReader, read_window
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.prompts import LETTERS
from hawkeye.temporal import Span


@dataclass(frozen=True)
class Glimpse:
    """What the model sees of a window: visual tokens `[Q, C]`, and the frames' times `[T]` relative to its start."""

    visual: Tensor
    seconds: np.ndarray


@dataclass(frozen=True)
class Question:
    """A prompt about a window; `options` letters may follow it."""

    prompt: str
    glimpse: Glimpse
    options: int


class Answerer:
    """A model with what it needs to answer questions about videos.

    Visual tokens depend on the window and the instruction alone (the Q-Former reads no question at evaluation), so all
    questions about a window share them; the last `cache_size` are kept.
    """

    def __init__(
        self, model: HawkEye, processor: HawkEyeProcessor, *, batch_size: int = 16, cache_size: int = 256
    ) -> None:
        self.model = model.eval()
        self.processor = processor
        self.batch_size = batch_size
        self.cache_size = cache_size
        self._cache: OrderedDict[tuple[str, Span | None, str], Glimpse] = OrderedDict()
        self._letters: dict[str, list[int]] = {}

    @property
    def num_frames(self) -> int:
        """Frames that the model is shown of a window."""
        return int(self.model.config.num_frames)

    @property
    def max_prompt_tokens(self) -> int:
        """Positions of the language model, which prompt and answer share."""
        return int(self.model.config.text_config.max_position_embeddings)

    @torch.inference_mode()
    def look(self, windows: Sequence[tuple[VideoReader, Span | None]], instruction: str) -> list[Glimpse]:
        """What the model sees of each window; equal windows are read and encoded once.

        Args:
            windows: open videos, and the part of each to show in seconds (None: all of it).
            instruction: the Q-Former's text.

        Raises:
            VideoError: if frames cannot be read.
        """
        keys = [(str(reader.path), window, instruction) for reader, window in windows]
        new = {key: place for place, key in enumerate(keys) if key not in self._cache}
        found = {key: self._cache[key] for key in keys if key in self._cache}
        order = list(new)
        for start in range(0, len(order), self.batch_size):
            part = order[start : start + self.batch_size]
            shown = [read_window(*windows[new[key]], self.num_frames) for key in part]
            pixels = torch.stack([self.processor.pixel_values(frames) for frames, _ in shown])
            text = self.processor.qformer_inputs([instruction] * len(part))
            visual = self.model.visual_tokens(
                self.model.encode_frames(pixels.to(self.model.device, self.model.dtype)),
                **{name: ids.to(self.model.device) for name, ids in text.items()},
            )
            found |= {key: Glimpse(tokens, times) for key, tokens, (_, times) in zip(part, visual, shown)}
        for key in keys:
            self._cache[key] = found[key]
            self._cache.move_to_end(key)
        while len(self._cache) > self.cache_size:
            self._cache.popitem(last=False)
        return [found[key] for key in keys]

    @torch.inference_mode()
    def probabilities(self, questions: Sequence[Question]) -> list[list[float]]:
        """How probable each option's letter is as the next token, among the letters of that question's options.

        Raises:
            ValueError: if a prompt is longer than the language model's context, or its letters are not single tokens.
        """
        answers: list[list[float]] = []
        for start in range(0, len(questions), self.batch_size):
            part = questions[start : start + self.batch_size]
            logits = self._next_logits(part)
            for question, row in zip(part, logits):
                letters = self._letter_ids(question.prompt)[: question.options]
                answers.append(torch.softmax(row[letters].double(), dim=0).tolist())
        return answers

    def _next_logits(self, questions: Sequence[Question]) -> Tensor:
        embeds, mask = self.embed(questions)
        return self.model.next_token_logits(embeds, mask).float().cpu()

    def embed(self, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
        """Input embeddings `[B, L, C]` and attention mask `[B, L]` of prompts, padded on the right.

        Raises:
            ValueError: if a prompt is longer than the language model's context.
        """
        rows = [self.encode(question.prompt) for question in questions]
        length = max(map(len, rows))
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        mask = torch.zeros(len(rows), length, dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        device = self.model.device
        visual = torch.stack([question.glimpse.visual for question in questions])
        return self.model.embed(ids.to(device), visual), mask.to(device)

    def encode(self, prompt: str) -> list[int]:
        """A prompt's token ids.

        Raises:
            ValueError: if they are more than the language model's context.
        """
        ids = self.processor.encode_prompt(prompt)
        if len(ids) >= self.max_prompt_tokens:
            raise ValueError(
                f"the prompt has {len(ids)} tokens, but the model reads {self.max_prompt_tokens - 1} before an "
                "answer: shorten the query"
            )
        return ids

    def _letter_ids(self, prompt: str) -> list[int]:
        """Ids of "A", "B", ... as they are tokenised after a prompt; only the prompt's last line matters."""
        line = prompt.rsplit("\n", 1)[-1]
        if line not in self._letters:
            before = self.processor.encode_prompt(line)
            ids = []
            for letter in LETTERS:
                after = self.processor.encode_prompt(line + letter)
                # Letters that the tokenizer does not know, or joins to the text before them, end the list.
                if after[:-1] != before or after[-1] == self.processor.tokenizer.unk_token_id:
                    break
                ids.append(after[-1])
            if len(ids) < 2:
                raise ValueError(f"this tokenizer does not make single tokens of the letters after {line!r}")
            self._letters[line] = ids
        return self._letters[line]

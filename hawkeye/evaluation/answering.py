"""Asking a model about windows of videos: visual tokens once per window, the options' probabilities in one pass."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase, StoppingCriteria

from hawkeye.config import ConfigError
from hawkeye.data.video import VideoReader, read_windows
from hawkeye.evaluation.responses import Responses
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.pools import available_cores
from hawkeye.prompts import STOP, Turn, qformer_text
from hawkeye.temporal import Span

LONGEST_TIME = 99999.9
"""Seconds, a day and more: frame times with as many digits as any that a prompt will hold."""

VideoKey = tuple[str, int, float]
"""A file, when it was last changed, and its frame rate: other frames under the same name are another video."""


WindowKey = tuple[VideoKey, Span | None]


@dataclass(frozen=True)
class View:
    """A window to look at (None: all of the video), and what the Q-Former may read about it."""

    reader: VideoReader
    window: Span | None
    instruction: str
    question: str

    @cached_property
    def key(self) -> WindowKey:
        """What the frames depend on."""
        reader = self.reader
        return (str(reader.path.resolve()), reader.path.stat().st_mtime_ns, reader.fps), self.window


@dataclass(frozen=True)
class Glimpse:
    """What the model sees of a window: visual tokens `[Q, C]`, and the frames' times `[T]` relative to its start."""

    visual: Tensor
    seconds: np.ndarray


@dataclass(frozen=True)
class Question:
    """A prompt about a window, after which the letter of one of `num_options` options comes."""

    prompt: str
    glimpse: Glimpse
    num_options: int


class Answerer:
    """A model with what it needs to answer questions about videos.

    All questions about a window share its frames' features; those of the last `cache_size` windows are kept. What the
    Q-Former reads with them is the model's choice (`HawkEyeConfig.qformer_text_at_evaluation`).

    Args:
        batch_size: windows, or prompts, that go through the model together.
        responses: how the model was measured to answer; None if it was not.
    """

    def __init__(
        self,
        model: HawkEye,
        processor: HawkEyeProcessor,
        *,
        batch_size: int = 16,
        cache_size: int = 128,
        responses: Responses | None = None,
    ) -> None:
        self.model = model.eval()
        self.responses = responses
        self.processor = processor
        self.batch_size = batch_size
        self.cache_size = cache_size
        self._features: OrderedDict[WindowKey, tuple[Tensor, np.ndarray]] = OrderedDict()
        self._letters: dict[str, list[int]] = {}

    @property
    def num_frames(self) -> int:
        """Frames that the model is shown of a window."""
        return int(self.model.config.num_frames)

    @property
    def max_prompt_tokens(self) -> int:
        """Positions of the language model, which prompt and answer share."""
        return int(self.model.config.text_config.max_position_embeddings)

    def forget(self) -> None:
        """Drops the frames' features that are kept."""
        self._features.clear()

    @torch.inference_mode()
    def look(self, views: Sequence[View]) -> list[Glimpse]:
        """What the model sees of each window; equal windows are read and encoded once.

        Raises:
            VideoError: if frames cannot be read.
        """
        with_question = self.model.config.qformer_text_at_evaluation == "instruction_and_question"
        turns = [Turn(view.question, "", view.instruction) for view in views]
        texts = [qformer_text([turn], with_question=with_question) for turn in turns]
        pairs = [(view.key, text) for view, text in zip(views, texts)]
        places = {pair: place for place, pair in enumerate(pairs)}
        found: dict[tuple[WindowKey, str], Glimpse] = {}
        new = list(places)
        for start in range(0, len(new), self.batch_size):
            part = new[start : start + self.batch_size]
            glimpses = self._glimpses([views[places[pair]] for pair in part], [text for _, text in part])
            found |= dict(zip(part, glimpses))
        return [found[pair] for pair in pairs]

    def _glimpses(self, views: Sequence[View], texts: list[str]) -> list[Glimpse]:
        windows = {view.key: view for view in views}
        missing = [view for key, view in windows.items() if key not in self._features]
        if missing:
            self._features |= dict(zip([view.key for view in missing], self._encode(missing)))
        for key in windows:
            self._features.move_to_end(key)
        features = torch.stack([self._features[key][0] for key in windows])
        while len(self._features) > max(self.cache_size, len(windows)):
            self._features.popitem(last=False)
        places = {key: place for place, key in enumerate(windows)}
        index = torch.tensor([places[view.key] for view in views])
        inputs = self.processor.qformer_inputs(texts) | {"window_index": index}
        device = self.model.device
        visual = self.model.visual_tokens(features, **{name: value.to(device) for name, value in inputs.items()})
        # Clones, because one kept view would keep the whole batch.
        return [Glimpse(tokens.clone(), self._features[view.key][1]) for tokens, view in zip(visual, views)]

    def _encode(self, views: Sequence[View]) -> list[tuple[Tensor, np.ndarray]]:
        """Features `[N, C]` of each window, and its frames' times `[T]`."""
        by_reader: dict[int, list[View]] = {}
        for view in views:
            by_reader.setdefault(id(view.reader), []).append(view)
        # Videos are decoded side by side; one reader serves one thread at a time.
        with ThreadPoolExecutor(max_workers=min(len(by_reader), available_cores())) as pool:
            parts = list(pool.map(self._read, by_reader.values()))
        shown = {view.key: window for part, read in zip(by_reader.values(), parts) for view, window in zip(part, read)}
        pixels = torch.stack([shown[view.key][0] for view in views])
        features = self.model.encode_frames(pixels.to(self.model.device, self.model.dtype))
        return [(window.clone(), shown[view.key][1]) for window, view in zip(features, views)]

    def _read(self, views: Sequence[View]) -> list[tuple[Tensor, np.ndarray]]:
        """Pixels `[T, 3, H, W]` of each window of one video, and the frames' times `[T]`."""
        processor = self.processor
        windows = [view.window for view in views]
        read = read_windows(views[0].reader, windows, self.num_frames, transform=processor.resize_frame)
        return [(processor.normalize_for_evaluation(frames), seconds) for frames, seconds in read]

    @torch.inference_mode()
    def probabilities(self, questions: Sequence[Question]) -> list[list[float]]:
        """How probable each option's letter is as the next token, among the letters of that question's options.

        Raises:
            ValueError: as `check` does.
        """
        answers: list[list[float]] = []
        for start in range(0, len(questions), self.batch_size):
            part = questions[start : start + self.batch_size]
            logits = self.model.next_token_logits(*self.embed(part)).cpu().double()
            check_finite(logits, self.model)
            for question, row in zip(part, logits):
                letters = self._letter_ids(question.prompt, question.num_options)
                answers.append(torch.softmax(row[letters], dim=0).tolist())
        return answers

    @torch.inference_mode()
    def generate(self, questions: Sequence[Question], *, max_new_tokens: int = 20) -> list[str]:
        """What the model says after each prompt, greedily, up to `STOP`.

        Raises:
            ValueError: if a prompt is longer than the language model's context.
        """
        tokenizer, answers = self.processor.tokenizer, list[str]()
        for start in range(0, len(questions), self.batch_size):
            embeds, mask = self.embed(questions[start : start + self.batch_size])
            room = self.max_prompt_tokens - mask.shape[1]
            ids = self.model.generate(
                embeds,
                mask,
                max_new_tokens=min(max_new_tokens, room),
                stopping_criteria=[_AtSeparator(tokenizer)],
                logits_processor=[_Finite(self.model)],
            )
            texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
            answers += [text.split(STOP)[0].strip() for text in texts]
        return answers

    def check(self, prompt: str, num_options: int) -> None:
        """Refuses a question that this model cannot read or answer, before anything is computed.

        Raises:
            ValueError: if the prompt is longer than the language model's context, or the tokenizer does not make
                single tokens of the options' letters.
        """
        self._prompt_ids(prompt)
        if num_options:
            self._letter_ids(prompt, num_options)

    def embed(self, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
        """Input embeddings `[B, L, C]` and attention mask `[B, L]` of prompts, padded on the right.

        Raises:
            ValueError: if a prompt is longer than the language model's context.
        """
        rows = [self._prompt_ids(question.prompt) for question in questions]
        length = max(map(len, rows))
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        mask = torch.zeros(len(rows), length, dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        visual = torch.stack([question.glimpse.visual for question in questions])
        return self.model.embed(ids.to(visual.device), visual), mask.to(visual.device)

    def _prompt_ids(self, prompt: str) -> list[int]:
        ids = self.processor.encode_prompt(prompt)
        if len(ids) >= self.max_prompt_tokens:
            raise ValueError(
                f"the prompt has {len(ids)} tokens, but this model reads at most {self.max_prompt_tokens - 1} before "
                "an answer: shorten the query, the question or its options"
            )
        return ids

    def _letter_ids(self, prompt: str, num_options: int) -> list[int]:
        """Ids of "A", "B", ... as they are tokenised after a prompt; only the prompt's last line matters."""
        line = prompt.rsplit("\n", 1)[-1]
        if line not in self._letters:
            self._letters[line] = self.processor.letter_ids(line)
        letters = self._letters[line]
        if num_options > len(letters):
            raise ValueError(
                f"{num_options} options, but after {line!r} this model's tokenizer makes single tokens of only the "
                f"first {len(letters)} letters"
            )
        return letters[:num_options]


def check_finite(logits: Tensor, model: HawkEye) -> None:
    """Refuses logits that are no numbers: probabilities made of them would pass as answers.

    Raises:
        ConfigError: it says what to do.
    """
    if not logits.isfinite().all():
        dtype = str(model.dtype).removeprefix("torch.")
        raise ConfigError(
            f"model {model.name_or_path or type(model).__name__}: its answers are not finite numbers in {dtype}: "
            "its weights are damaged, or too large for this type; try --dtype float32, or convert or train it again"
        )


class _Finite(LogitsProcessor):
    """`check_finite` at each generated token."""

    def __init__(self, model: HawkEye) -> None:
        self.model = model

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:  # noqa: ARG002
        check_finite(scores.masked_fill(scores == -torch.inf, 0.0), self.model)  # what other processors have excluded
        return scores


class _AtSeparator(StoppingCriteria):
    """Ends generation at `STOP`; the library's own criterion cannot read every tokenizer's vocabulary."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        # Separators are at most as many tokens as signs, and the text before them does not matter.
        ended = [STOP in text for text in self.tokenizer.batch_decode(input_ids[:, -len(STOP) :])]
        return torch.tensor(ended, device=input_ids.device)

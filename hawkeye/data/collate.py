"""Samples to batches: token ids, labels, loss weights and normalised frames. The model sees nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hawkeye.config import AnswerWeights
from hawkeye.data.sources import Sample, Unreadable
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.prompts import (
    ASSISTANT,
    CHOICE_SENTENCES,
    VISUAL_MARKER,
    Turn,
    conversation,
    frames_message,
    qformer_text,
    trained_parts,
)
from hawkeye.temporal import DEFAULT_NUM_FRAMES

IGNORED = -100
"""Label of a token that the loss does not count (torch's and transformers' convention)."""

_LETTER = re.compile(r"\(([A-Z])\)")


@dataclass(frozen=True)
class EncodedText:
    """Token ids [L], labels [L] and loss weights [L] of one conversation."""

    input_ids: list[int]
    labels: list[int]
    weights: list[float]
    answer_start: int
    """Index of the first token of the first answer."""

    def first(self, count: int) -> EncodedText:
        """Its first `count` tokens."""
        return EncodedText(self.input_ids[:count], self.labels[:count], self.weights[:count], self.answer_start)


def encode_conversation(text: str, processor: HawkEyeProcessor, weights: Sequence[float] | None = None) -> EncodedText:
    """Tokenises a conversation (`prompts.conversation`) and labels what the loss counts.

    The text before the visual tokens and the text after them are tokenised apart, as in the original; only the first
    gets the beginning-of-sequence token.

    Args:
        weights: a loss weight for every character of `text`; 1 where None. A token takes its last character's.
    """
    labelled = np.zeros(len(text) + 1, dtype=bool)
    parts = trained_parts(text)
    for start, end in parts:
        labelled[start:end] = True
    answers = [start + len(ASSISTANT) + 1 for start, _ in parts if text.startswith(ASSISTANT, start)]
    first = min(answers or [start for start, _ in parts], default=len(text))
    ids, offsets = processor.encode_with_offsets(text)
    # A token's last character tells where it belongs: "▁###" begins with the space before it.
    counts = [end > start and bool(labelled[end - 1]) for start, end in offsets]
    return EncodedText(
        ids,
        [token if counted else IGNORED for token, counted in zip(ids, counts)],
        [
            (1.0 if weights is None else weights[end - 1]) if counted else 0.0
            for (_, end), counted in zip(offsets, counts)
        ],
        next((index for index, (_, end) in enumerate(offsets) if end > first), len(ids)),
    )


def answer_weights(turns: Sequence[Turn], text: str, settings: AnswerWeights) -> list[float]:
    """A loss weight for every character of a conversation.

    In the answer to a multiple choice the letter decides and the other words follow from it; in other answers, whose
    words weigh 1, one of the four sentences decides wherever it stands. Separators weigh as the words that follow.
    """
    weights = [settings.rest] * len(text)
    position = 0
    for turn in turns:
        start = text.index(turn.answer, text.index(turn.question, position) + len(turn.question))
        position = end = start + len(turn.answer)
        letter = _LETTER.search(turn.answer) if "\n(A) " in turn.question else None
        if letter:
            weights[start + letter.start(1)] = settings.letter
        else:
            weights[start:end] = [1.0] * len(turn.answer)
            for sentence in CHOICE_SENTENCES.values():
                for match in re.finditer(re.escape(sentence), turn.answer):
                    weights[start + match.start() : start + match.end()] = [settings.letter] * len(sentence)
    return weights


@dataclass(frozen=True)
class BatchReport:
    """What a batch was made of, for messages: the places of its samples, what could not be read, and what was odd."""

    places: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    warnings: tuple[str, ...] = ()
    cut: int = 0
    """Conversations that were longer than they may be."""


def report_of(samples: Sequence[Sample | Unreadable]) -> BatchReport:
    """What became of a batch's samples."""
    return BatchReport(
        tuple(sample.place for sample in samples if isinstance(sample, Sample)),
        tuple(sample for sample in samples if isinstance(sample, Unreadable)),
        tuple(sample.warning for sample in samples if isinstance(sample, Sample) and sample.warning),
    )


@dataclass(frozen=True)
class Collator:
    """Makes the model's batch of samples (windows) that each hold one or more conversations.

    The batch has `pixel_values [V, T, 3, S, S]` and `frame_positions [V, T]` for the windows; `qformer_input_ids`,
    `qformer_attention_mask [K, L']` and `window_index [K]` for the different texts that the Q-Former reads about them;
    `input_ids`, `attention_mask`, `labels`, `loss_weights [B, L]` for the conversations, and `visual_index [B]`, which
    of the K each conversation shows. Text rows have no placeholders of visual tokens: nothing reads their index.
    `report` says what it was made of; it is not the model's.
    """

    processor: HawkEyeProcessor
    weights: AnswerWeights
    with_question: bool
    """Whether the Q-Former reads the question after the instruction (`HawkEyeConfig.qformer_text`)."""
    num_frames: int = DEFAULT_NUM_FRAMES
    """Frames of a blank window, which the loss does not count: all that a batch holds whose samples are unreadable."""
    max_text_tokens: int | None = None
    """Tokens of a conversation beside its visual ones (`TrainSettings.max_text_tokens`)."""
    context: int | None = None
    """Positions of the language model. A longer conversation is cut too; one whose answer is cut away is left out."""
    always_shows: bool = False
    """Adds a blank window to every batch without any: for runs in which all processes must go through the same
    modules."""

    def __call__(self, samples: Sequence[Sample | Unreadable]) -> dict[str, Any]:
        encoded, report = self._encode_all(samples)
        readable = [sample for sample, _ in encoded]
        shown = [sample for sample in readable if sample.frames is not None]
        if not readable or (self.always_shows and not shown):
            blank = self._blank()
            shown = [blank]
            encoded.append((blank, [(turns, self._encode(blank, turns)) for turns in blank.conversations]))
        place = {id(sample): index for index, sample in enumerate(shown)}
        rows: list[EncodedText] = []
        looks: dict[tuple[int, str], int] = {}
        visual_index: list[int] = []
        for sample, conversations in encoded:
            for turns, row in conversations:
                rows.append(row)
                if sample.frames is None:
                    visual_index.append(0)
                    continue
                look = (place[id(sample)], qformer_text(turns, with_question=self.with_question))
                visual_index.append(looks.setdefault(look, len(looks)))
        batch: dict[str, Any] = pad(rows, self.processor.tokenizer.pad_token_id or 0) | {"report": report}
        if not shown:
            return batch
        return (
            batch
            | shown_frames(shown, self.processor)
            | self.processor.qformer_inputs([text for _, text in looks])
            | {
                "window_index": torch.tensor([window for window, _ in looks]),
                "visual_index": torch.tensor(visual_index),
            }
        )

    def _encode_all(
        self, samples: Sequence[Sample | Unreadable]
    ) -> tuple[list[tuple[Sample, list[tuple[tuple[Turn, ...], EncodedText]]]], BatchReport]:
        """The samples with their conversations, as far as they can be shown, and what became of all."""
        kept: list[tuple[Sample, list[tuple[tuple[Turn, ...], EncodedText]]]] = []
        unreadable: list[Unreadable] = []
        cut = 0
        for sample in samples:
            if isinstance(sample, Unreadable):
                unreadable.append(sample)
                continue
            limit = self._limit(sample)
            whole = [(turns, self._encode(sample, turns)) for turns in sample.conversations]
            conversations = [(turns, row.first(limit)) for turns, row in whole if row.answer_start < limit]
            cut += sum(len(row.input_ids) > limit for _, row in whole)
            if conversations:
                kept.append((sample, conversations))
            else:
                reason = f"its answer begins after {whole[0][1].answer_start} tokens, {limit} are read"
                unreadable.append(Unreadable(sample.place, sample.source, reason))
        return kept, replace(report_of([*(sample for sample, _ in kept), *unreadable]), cut=cut)

    def _limit(self, sample: Sample) -> int:
        """The most tokens that a conversation of a sample may have."""
        limits = [self.context] if self.context is not None else []
        if self.max_text_tokens is not None:
            limits.append(self.max_text_tokens + (0 if sample.frames is None else self.processor.num_visual_tokens))
        return min(limits, default=sys.maxsize)

    def _blank(self) -> Sample:
        size = self.processor.image_size
        frames = np.zeros((self.num_frames, size, size, 3), dtype=np.uint8)
        turns = (Turn("", "-"),)
        return Sample(frames, np.zeros(0), np.arange(self.num_frames), None, (turns,), "", is_blank=True)

    def _encode(self, sample: Sample, turns: tuple[Turn, ...]) -> EncodedText:
        message = frames_message(list(sample.seconds)) if sample.text is None and len(sample.seconds) else ""
        text = conversation(turns, message)
        if sample.text is not None:
            text = text.replace(VISUAL_MARKER, f" {sample.text} ")
        if sample.is_blank:
            return encode_conversation(text, self.processor, [0.0] * len(text))
        return encode_conversation(text, self.processor, answer_weights(turns, text, self.weights))


def shown_frames(samples: Sequence[Sample], processor: HawkEyeProcessor) -> dict[str, Tensor]:
    """Normalised `pixel_values [V, T, 3, S, S]` and `frame_positions [V, T]` of samples that have frames."""
    frames = torch.from_numpy(np.stack([sample.frames for sample in samples if sample.frames is not None]))
    return {
        "pixel_values": processor.normalize(frames, processor.train_mean, processor.train_std),
        "frame_positions": torch.from_numpy(np.stack([sample.positions for sample in samples])),
    }


def pad(rows: Sequence[EncodedText], pad_token_id: int) -> dict[str, Tensor]:
    """Pads conversations on the right: `input_ids`, `attention_mask`, `labels` and `loss_weights`, all `[B, L]`."""
    length = max(len(row.input_ids) for row in rows)
    ids = torch.full((len(rows), length), pad_token_id)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    labels = torch.full((len(rows), length), IGNORED)
    weights = torch.zeros(len(rows), length)
    for index, row in enumerate(rows):
        size = len(row.input_ids)
        ids[index, :size] = torch.tensor(row.input_ids)
        mask[index, :size] = 1
        labels[index, :size] = torch.tensor(row.labels)
        weights[index, :size] = torch.tensor(row.weights)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "loss_weights": weights}

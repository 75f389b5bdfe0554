"""Pretraining the encoder: which words of the answers a window's frames show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hawkeye.config import ConfigError, SourceSettings, StageSettings
from hawkeye.data.sources import Sample, Source
from hawkeye.prompts import Turn
from hawkeye.training.words import WordClassifier, WordCollator, check_word_stage
from tests.small_model import make_small_model


def sample(brightness: int, *answers: str) -> Sample:
    frames = np.full((1, 16, 16, 3), brightness, dtype=np.uint8)
    conversations = tuple((Turn("What?", answer),) for answer in answers)
    return Sample(frames, np.zeros(1), np.array([3]), None, conversations, "row")


def loss_of(classifier: WordClassifier, batch: dict[str, Any]) -> torch.Tensor:
    return classifier(**{name: value for name, value in batch.items() if name != "report"})["loss"]


def test_frames_of_different_rows_stand_together_each_with_its_words(tmp_path: Path) -> None:
    _, processor = make_small_model(tmp_path)
    samples = [sample(0, "red circle", "circle jumps"), sample(255, "blue"), sample(9, "left over")]
    batch = WordCollator(processor, 2)(samples)
    assert batch["pixel_values"].shape == (1, 2, 3, 16, 16)
    assert batch["frame_positions"].tolist() == [[0, 1]]
    assert batch["pixel_values"][0, 0].mean() < batch["pixel_values"][0, 1].mean()
    names = [
        {processor.tokenizer.convert_ids_to_tokens(int(token)) for token in row.nonzero()} for row in batch["words"][0]
    ]
    assert names == [{"red", "circle", "jumps"}, {"blue"}]
    blank = WordCollator(processor, 2)(samples[:1])
    assert blank["pixel_values"].shape == (1, 2, 3, 16, 16)
    assert not blank["words"].any()  # nothing of it is learned


def test_the_loss_is_that_of_each_frames_words_and_each_patchs_place(tmp_path: Path) -> None:
    model, processor = make_small_model(tmp_path)
    classifier = WordClassifier(model)
    batch = WordCollator(processor, 2)([sample(0, "red circle"), sample(255, "blue")])
    features = model.encode_frames(batch["pixel_values"], batch["frame_positions"])[0].unflatten(0, (2, -1))
    red, circle, blue = processor.tokenizer.convert_tokens_to_ids(["red", "circle", "blue"])
    guessed = [
        torch.log_softmax(F.linear(frame.mean(0), classifier.word_embeddings.weight, classifier.word_bias), -1)
        for frame in features
    ]
    words = -(guessed[0][[red, circle]].mean() + guessed[1][blue]) / 2
    places = torch.stack(
        [torch.log_softmax(classifier.place_head(frame), -1)[:, i] for i, frame in enumerate(features)]
    )
    torch.testing.assert_close(loss_of(classifier, batch), words - places.mean())


def test_the_encoder_itself_learns(tmp_path: Path) -> None:
    model, processor = make_small_model(tmp_path)
    classifier = WordClassifier(model)
    batch = WordCollator(processor, 2)([sample(0, "red circle"), sample(255, "blue square")])
    before = loss_of(classifier, batch).item()
    optimizer = torch.optim.SGD(model.vision_encoder.parameters(), lr=0.05)
    for _ in range(20):
        optimizer.zero_grad()
        loss_of(classifier, batch).backward()
        optimizer.step()
    assert loss_of(classifier, batch).item() < before - 0.1


def test_rows_without_videos_or_with_several_frames_are_refused() -> None:
    stage = StageSettings(
        name="one",
        objective="words",
        steps=1,
        windows_per_step=1,
        num_frames=1,
        learning_rate=1.0,
        sources={"text": 1.0},
    )
    with pytest.raises(ConfigError, match="shows one frame a row: set num_frames to 1"):
        check_word_stage(stage.model_copy(update={"num_frames": 12}), {})
    with pytest.raises(ConfigError, match="stage 'one': objective 'words' needs videos, but source 'text' has none"):
        check_word_stage(stage, {"text": Source("text", [], None, SourceSettings(annotations="text.json"))})

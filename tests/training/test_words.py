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


def test_words_are_those_of_all_answers_whatever_their_order(tmp_path: Path) -> None:
    _, processor = make_small_model(tmp_path)
    batch = WordCollator(processor)([sample(0, "red circle", "circle jumps"), sample(255, "blue")])
    assert batch["pixel_values"].shape == (2, 1, 3, 16, 16)
    assert batch["frame_positions"].tolist() == [[3], [3]]
    names = [
        {processor.tokenizer.convert_ids_to_tokens(int(token)) for token in row.nonzero()} for row in batch["words"]
    ]
    assert names == [{"red", "circle", "jumps"}, {"blue"}]


def test_the_loss_is_that_of_the_words_and_of_each_patchs_place(tmp_path: Path) -> None:
    model, processor = make_small_model(tmp_path)
    classifier = WordClassifier(model)
    batch = WordCollator(processor)([sample(0, "red circle")])
    features = model.encode_frames(batch["pixel_values"], batch["frame_positions"])[0]  # [P, C]
    red, circle = processor.tokenizer.convert_tokens_to_ids(["red", "circle"])
    words = -torch.log_softmax(F.linear(features.mean(0), classifier.word_embeddings.weight, classifier.word_bias), -1)[
        [red, circle]
    ].mean()
    places = -torch.log_softmax(classifier.place_head(features), -1)[:, 3].mean()
    torch.testing.assert_close(loss_of(classifier, batch), words + places)


def test_places_are_those_of_each_frame(tmp_path: Path) -> None:
    model, processor = make_small_model(tmp_path)
    classifier = WordClassifier(model)
    frames = np.zeros((2, 16, 16, 3), dtype=np.uint8)
    two = Sample(frames, np.zeros(2), np.array([1, 7]), None, ((Turn("What?", "red"),),), "row")
    with torch.no_grad():
        classifier.place_head.weight.zero_()
        classifier.word_embeddings.weight.zero_()
        classifier.place_head.bias.copy_(torch.arange(12.0))
        loss = loss_of(classifier, WordCollator(processor)([two]))
    places = -torch.log_softmax(torch.arange(12.0), -1)[[1, 7]].mean()
    torch.testing.assert_close(loss, places + np.log(len(processor.tokenizer)))


def test_the_encoder_itself_learns(tmp_path: Path) -> None:
    model, processor = make_small_model(tmp_path)
    classifier = WordClassifier(model)
    batch = WordCollator(processor)([sample(0, "red circle"), sample(255, "blue square")])
    before = loss_of(classifier, batch).item()
    optimizer = torch.optim.SGD(model.vision_encoder.parameters(), lr=0.05)
    for _ in range(20):
        optimizer.zero_grad()
        loss_of(classifier, batch).backward()
        optimizer.step()
    assert loss_of(classifier, batch).item() < before - 0.1


def test_rows_without_videos_are_refused() -> None:
    stage = StageSettings(
        name="one", objective="words", steps=1, windows_per_step=1, learning_rate=1.0, sources={"text": 1.0}
    )
    with pytest.raises(ConfigError, match="stage 'one': objective 'words' needs videos, but source 'text' has none"):
        check_word_stage(stage, {"text": Source("text", [], None, SourceSettings(annotations="text.json"))})

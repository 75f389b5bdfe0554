"""What a model is shown and asked: once per window, one letter per option, nothing that it cannot read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hawkeye.data.video import VideoReader
from hawkeye.evaluation.answering import Answerer, Question, View
from hawkeye.models import HawkEye, HawkEyeProcessor
from hawkeye.prompts import GROUNDING_ANSWER_PREFIX, QA_ANSWER_PREFIX, grounding_prompt, qa_prompt
from hawkeye.temporal import Choice, Span
from tests.evaluation.fakes import MemoryReader
from tests.small_model import make_small_answerer

INSTRUCTION = "the red circle"


def views(reader: VideoReader, *windows: Span | None, instruction: str = INSTRUCTION, question: str = "") -> list[View]:
    return [View(reader, window, instruction, question) for window in windows]


@pytest.fixture
def reader(tmp_path: Path) -> MemoryReader:
    path = tmp_path / "v.mp4"
    path.touch()
    return MemoryReader(path)


def questions(answerer: Answerer, reader: VideoReader) -> list[Question]:
    """Questions of different lengths about different windows."""
    glimpses = answerer.look(views(reader, None, Span(0, 4), Span(2, 9), Span(3.3, 3.9)))
    return [
        Question(grounding_prompt("the red circle jumps " * (n + 1), list(Choice), list(glimpse.seconds)), glimpse, 4)
        for n, glimpse in enumerate(glimpses)
    ]


def test_equal_windows_are_decoded_once(tmp_path: Path, reader: MemoryReader) -> None:
    answerer = make_small_answerer(tmp_path)
    first = answerer.look(views(reader, None, Span(0, 8), None, Span(0, 8)))
    assert len(reader.decoded) == 1
    assert first[0] is first[2]
    assert first[1] is first[3]
    again = answerer.look(views(reader, Span(0, 8), Span(8, 16)))
    assert len(reader.decoded) == 2
    torch.testing.assert_close(again[0].visual, first[1].visual)


def test_another_instruction_is_another_look_at_the_same_frames(tmp_path: Path, reader: MemoryReader) -> None:
    answerer = make_small_answerer(tmp_path)
    one, other = answerer.look(views(reader, None) + views(reader, None, instruction="What happens first"))
    assert not torch.allclose(one.visual, other.visual)
    assert len(reader.decoded) == 1


def test_the_q_former_reads_the_question_where_the_model_expects_it(tmp_path: Path, reader: MemoryReader) -> None:
    answerer = make_small_answerer(tmp_path)
    asked = views(reader, None) + views(reader, None, question="What happens first")
    one, other = answerer.look(asked)
    assert one is other
    answerer.model.config.qformer_text_at_evaluation = "instruction_and_question"
    one, other = answerer.look(asked)
    assert not torch.allclose(one.visual, other.visual)


def test_the_oldest_windows_are_forgotten(tmp_path: Path, reader: MemoryReader) -> None:
    answerer = make_small_answerer(tmp_path, cache_size=2, batch_size=2)
    windows = [Span(0, 4), Span(4, 8), Span(8, 12)]
    answerer.look(views(reader, *windows))
    answerer.look(views(reader, *windows[1:]))
    assert len(reader.decoded) == 2  # a pass for the first two, and one for the third
    answerer.look(views(reader, windows[0]))
    assert len(reader.decoded) == 3


def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path, reader: MemoryReader) -> None:
    answerer = make_small_answerer(tmp_path)
    answerer.look(views(reader, None))
    os.utime(reader.path, (1, 1))
    answerer.look(views(reader, None))
    answerer.look(views(MemoryReader(reader.path, fps=5.0), None))
    assert len(reader.decoded) == 2
    assert len(answerer._features) == 3


def test_probabilities_are_the_softmax_of_the_letters_logits(tmp_path: Path, reader: MemoryReader) -> None:
    answerer = make_small_answerer(tmp_path)
    question = questions(answerer, reader)[2]
    embeds, mask = answerer.embed([question])
    with torch.inference_mode():
        logits = answerer.model.next_token_logits(embeds, mask)[0]
    letters = answerer.processor.tokenizer.convert_tokens_to_ids(["A", "B", "C", "D"])
    expected = torch.softmax(logits[letters], dim=0)
    (found,) = answerer.probabilities([question])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert max(found) - min(found) > 0.01


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_the_batch_does_not_change_the_answers(batch_size: int, tmp_path: Path, reader: MemoryReader) -> None:
    alone = make_small_answerer(tmp_path, batch_size=1)
    expected = [alone.probabilities([question])[0] for question in questions(alone, reader)]
    answerer = make_small_answerer(tmp_path, batch_size=batch_size)
    np.testing.assert_allclose(answerer.probabilities(questions(answerer, reader)), expected, atol=1e-5)
    assert max(abs(a - b) for a, b in zip(expected[0], expected[1])) > 1e-3


def test_letters_of_a_sentencepiece_tokenizer(golden_model: HawkEye, golden_processor: HawkEyeProcessor) -> None:
    answerer = Answerer(golden_model, golden_processor)
    expected = golden_processor.tokenizer.convert_tokens_to_ids(["A", "B", "C", "D"])
    for prefix in (GROUNDING_ANSWER_PREFIX, QA_ANSWER_PREFIX):
        assert answerer._letter_ids(f"What?\n###Assistant: {prefix}", 4) == expected


def test_more_options_than_the_model_has_letters_for_are_refused(tmp_path: Path) -> None:
    answerer = make_small_answerer(tmp_path)
    prompt = qa_prompt("What happens first", ["a", "b", "c", "d", "e"], [0.0])
    answerer.check(prompt, 4)
    with pytest.raises(ValueError, match=r"5 options, but after .* single tokens of only the first 4 letters"):
        answerer.check(prompt, 5)


def test_a_prompt_longer_than_the_context_is_refused_with_its_length(tmp_path: Path) -> None:
    answerer = make_small_answerer(tmp_path)
    before = len(answerer.processor.encode_prompt("red "))
    answerer.check("red " * (199 - before + 1), 0)
    with pytest.raises(ValueError, match=r"the prompt has 200 tokens, but this model reads at most 199"):
        answerer.check("red " * (200 - before + 1), 0)

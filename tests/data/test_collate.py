"""Conversations to labels and batches, against the golden labels of the original."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from hawkeye.config import AnswerWeights
from hawkeye.data.collate import IGNORED, Collator, answer_weights, encode_conversation, pad
from hawkeye.data.sources import Sample
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.prompts import VISUAL_MARKER, Turn, conversation

NUM_VISUAL_TOKENS = 24
VISUAL_TOKEN = 32000


@pytest.fixture(scope="module")
def processor(golden_dir: Path) -> HawkEyeProcessor:
    return HawkEyeProcessor(
        tokenizer=AutoTokenizer.from_pretrained(golden_dir / "tokenizers" / "llm"),
        qformer_tokenizer=AutoTokenizer.from_pretrained(golden_dir / "tokenizers" / "bert"),
        num_visual_tokens=NUM_VISUAL_TOKENS,
        visual_token_id=VISUAL_TOKEN,
        image_size=32,
    )


def with_marker(prompt: str) -> str:
    return prompt.replace("<Video></Video>", f"<Video>{VISUAL_MARKER}</Video>")


def test_labels_and_masks_equal_the_golden_ones(golden_dir: Path, processor: HawkEyeProcessor) -> None:
    prompts = json.loads((golden_dir / "model_a.json").read_text())["prompts"]
    golden = np.load(golden_dir / "model_a.npz")
    batch = pad([encode_conversation(with_marker(prompt), processor) for prompt in prompts], pad_token_id=0)
    assert batch["labels"].tolist() == golden["labels.chat"].tolist()
    assert batch["attention_mask"].tolist() == golden["attention_mask.chat"].tolist()


def test_the_label_mask_reads_as_the_answers_with_their_separators(processor: HawkEyeProcessor) -> None:
    turns = [Turn("What is it?", "A dog (big).", "Look."), Turn("Where?", "On the\ngrass.")]
    encoded = encode_conversation(conversation(turns, "The video contains 2 frames."), processor)
    learned = [label for label in encoded.labels if label != IGNORED]
    assert processor.tokenizer.decode(learned) == (
        "###Human: ###Assistant: A dog (big). ###Human: ###Assistant: On the\ngrass. ###"
    )


def test_the_visual_tokens_stand_between_their_tags(processor: HawkEyeProcessor) -> None:
    ids = encode_conversation(conversation([Turn("What?", "A dog.")]), processor).input_ids
    first = ids.index(VISUAL_TOKEN)
    assert ids[first : first + NUM_VISUAL_TOKENS] == [VISUAL_TOKEN] * NUM_VISUAL_TOKENS
    assert processor.tokenizer.decode(ids[1:first]).endswith("<Video>")
    assert processor.tokenizer.decode(ids[first + NUM_VISUAL_TOKENS :]).startswith("</Video>")


def test_a_token_weighs_as_its_last_character(processor: HawkEyeProcessor) -> None:
    text = conversation([Turn("What is it?", "A dog.")])
    weights = [0.0] * len(text)
    weights[text.index("dog")], weights[text.index("dog") + 2] = 3.0, 5.0
    encoded = encode_conversation(text, processor, weights)
    assert [(processor.tokenizer.decode([i]), w) for i, w in zip(encoded.input_ids, encoded.weights) if w] == [
        ("dog", 5)
    ]
    # What the loss does not count weighs nothing, whatever is asked for.
    encoded = encode_conversation(text, processor, [2.0] * len(text))
    assert encoded.weights == [0.0 if label == IGNORED else 2.0 for label in encoded.labels]


def weigh(turns: list[Turn]) -> list[tuple[str, float]]:
    """Runs of characters of the conversation with equal weight, from the first answer on."""
    text = conversation(turns)
    weights = answer_weights(turns, text, AnswerWeights(letter=3.0, rest=0.25))
    runs: list[tuple[str, float]] = []
    for character, weight in zip(text, weights):
        if runs and runs[-1][1] == weight:
            runs[-1] = (runs[-1][0] + character, weight)
        else:
            runs.append((character, weight))
    return runs[1:]


def test_the_letter_of_a_multiple_choice_weighs_most() -> None:
    turns = [Turn("Question: A?\nOptions:\n(A) x\n(B) y", "Best option: (B) y")]
    assert weigh(turns) == [("B", 3.0), (") y ###", 0.25)]


def test_a_sentence_without_letters_decides_as_a_whole() -> None:
    turns = [Turn("When?", "At the end of the video.")]
    assert weigh(turns) == [("At the end of the video.", 3.0), (" ###", 0.25)]


def test_a_sentence_decides_within_a_longer_answer_too() -> None:
    turns = [Turn("What when?", "a dog At the end of the video., a cat Throughout the entire video.")]
    assert weigh(turns) == [
        ("a dog ", 1.0),
        ("At the end of the video.", 3.0),
        (", a cat ", 1.0),
        ("Throughout the entire video.", 3.0),
        (" ###", 0.25),
    ]


def test_other_answers_weigh_one_each_turn_its_own() -> None:
    turns = [Turn("dog?", "dog"), Turn("", "dog")]
    assert weigh(turns) == [("dog", 1.0), (" ###Assistant: ", 0.25), ("dog", 1.0), (" ###", 0.25)]


def sample(value: int, *answers: str) -> Sample:
    frames = np.full((2, 32, 32, 3), value, dtype=np.uint8)
    conversations = tuple((Turn("What?", answer, f"Look {answer}."),) for answer in answers)
    return Sample(frames, np.array([0.5, 1.5]), np.array([1, 4]), None, conversations, f"row {value}")


def test_conversations_of_one_window_share_its_frames(processor: HawkEyeProcessor) -> None:
    text_row = Sample(None, np.zeros(0), np.zeros(0, dtype=int), "a dog runs", ((Turn("What?", "A dog."),),), "row")
    batch = Collator(processor, AnswerWeights(), with_question=False)(
        [sample(0, "one", "two"), text_row, sample(255, "three")]
    )
    assert batch["pixel_values"].shape == (2, 2, 3, 32, 32)
    assert batch["visual_index"].tolist() == [0, 1, 0, 2]
    assert batch["window_index"].tolist() == [0, 0, 1]
    assert batch["frame_positions"].tolist() == [[1, 4], [1, 4]]
    mean, std = torch.tensor(processor.train_mean), torch.tensor(processor.train_std)
    torch.testing.assert_close(batch["pixel_values"][1, 0, :, 0, 0], (1 - mean) / std)
    assert (batch["input_ids"] == VISUAL_TOKEN).sum(1).tolist() == [24, 24, 0, 24]
    read = processor.qformer_tokenizer.batch_decode(batch["qformer_input_ids"], skip_special_tokens=True)
    assert read == ["look one.", "look two.", "look three."]
    row = batch["input_ids"][2][batch["attention_mask"][2].bool()]
    assert "<Video> a dog runs </Video>" in processor.tokenizer.decode(row, skip_special_tokens=True)


def test_a_batch_of_text_has_no_pixels(processor: HawkEyeProcessor) -> None:
    row = Sample(None, np.zeros(0), np.zeros(0, dtype=int), "a dog", ((Turn("What?", "A dog."),),), "row")
    batch = Collator(processor, AnswerWeights(), with_question=True)([row])
    assert sorted(batch) == ["attention_mask", "input_ids", "labels", "loss_weights", "report"]


def test_an_answer_of_one_dash_is_learned_and_a_blank_window_is_not(processor: HawkEyeProcessor) -> None:
    collate = Collator(processor, AnswerWeights(), with_question=False, num_frames=2, always_shows=True)
    assert collate([sample(0, "-")])["loss_weights"].sum() > 0
    row = Sample(None, np.zeros(0), np.zeros(0, dtype=int), "a dog", ((Turn("What?", "-"),),), "row")
    weights = collate([row])["loss_weights"]  # with a blank window, which text alone gets
    assert (weights.sum(1) > 0).tolist() == [True, False]


def long_row(answers: int) -> Sample:
    turns = tuple(Turn(f"What is {number}?", f"A dog {number}.") for number in range(answers))
    return Sample(sample(0).frames, np.array([0.5, 1.5]), np.array([1, 4]), None, (turns,), "row 7", "long")


def test_text_beyond_the_cap_is_cut_at_its_end_and_counted(processor: HawkEyeProcessor) -> None:
    whole = Collator(processor, AnswerWeights(), with_question=False)([long_row(9)])
    cut = Collator(processor, AnswerWeights(), with_question=False, max_text_tokens=60)([long_row(9)])
    assert (whole["report"].cut, cut["report"].cut) == (0, 1)
    assert cut["input_ids"].shape[1] == 60 + NUM_VISUAL_TOKENS < whole["input_ids"].shape[1]
    for name in ("input_ids", "labels", "loss_weights"):
        assert cut[name].tolist() == whole[name][:, : 60 + NUM_VISUAL_TOKENS].tolist()
    text = Sample(None, np.zeros(0), np.zeros(0, dtype=int), "a dog", long_row(9).conversations, "row")
    alone = Collator(processor, AnswerWeights(), with_question=False, max_text_tokens=60)([text])
    assert alone["input_ids"].shape[1] == 60
    within = Collator(processor, AnswerWeights(), with_question=False, max_text_tokens=60, context=70)([long_row(9)])
    assert within["input_ids"].shape[1] == 70


def test_a_sample_whose_answer_is_cut_away_is_left_out_and_named(processor: HawkEyeProcessor) -> None:
    row = long_row(1)
    turns = (Turn("What is it? " * 40, "A dog."),)
    late = Sample(row.frames, row.seconds, row.positions, None, (turns,), "row 8", "long")
    batch = Collator(processor, AnswerWeights(), with_question=False, max_text_tokens=100)([late, row])
    assert batch["report"].places == ("row 7",)
    (dropped,) = batch["report"].unreadable
    assert (dropped.place, dropped.source) == ("row 8", "long")
    assert re.fullmatch(r"its answer begins after \d+ tokens, 124 are read", dropped.reason)
    assert len(batch["input_ids"]) == 1
    both = Sample(row.frames, row.seconds, row.positions, None, (turns, *row.conversations), "row 9", "long")
    batch = Collator(processor, AnswerWeights(), with_question=False, max_text_tokens=100)([both])
    assert (len(batch["input_ids"]), batch["report"].cut, batch["report"].unreadable) == (1, 1, ())


def test_the_cap_lets_the_whole_of_a_conversation_through_that_just_fits(processor: HawkEyeProcessor) -> None:
    whole = Collator(processor, AnswerWeights(), with_question=False)([long_row(1)])
    length = whole["input_ids"].shape[1] - NUM_VISUAL_TOKENS
    for cap, cut in ((length, 0), (length - 1, 1)):
        batch = Collator(processor, AnswerWeights(), with_question=False, max_text_tokens=cap)([long_row(1)])
        assert batch["report"].cut == cut

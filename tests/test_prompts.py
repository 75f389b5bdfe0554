"""Prompts and conversations: the original's, word for word, and how answers are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from hawkeye.prompts import (
    CHOICE_SENTENCES,
    QA_INSTRUCTION,
    VISUAL_MARKER,
    Turn,
    chat_prompt,
    conversation,
    frames_message,
    grounding_prompt,
    lettered,
    multiple_choice,
    open_prompt,
    parse_option,
    parse_two_numbers,
    qa_prompt,
    qformer_text,
    trained_parts,
)
from hawkeye.temporal import Choice

FOLDER = Path(__file__).parent / "golden"
DATA: dict[str, Any] = json.loads((FOLDER / "data_a.json").read_text())
CONVERSATIONS: list[dict[str, Any]] = DATA["conversations"]


def turns_of(case: dict[str, Any]) -> list[Turn]:
    return [Turn(item["q"], item["a"], item.get("i", "")) for item in case["qa"]]


def test_conversations_are_the_originals() -> None:
    for case in CONVERSATIONS:
        ours = conversation(turns_of(case), case["message"].strip())
        assert ours.replace(VISUAL_MARKER, "") == case["conversation"]


def test_the_qformer_reads_what_the_originals_did() -> None:
    for case in CONVERSATIONS:
        assert qformer_text(turns_of(case), with_question=True) == case["instruction"]
    turns = [Turn("What?", "A dog.", "Watch.")]
    assert qformer_text(turns, with_question=False) == "Watch."


def test_an_image_is_called_one() -> None:
    assert conversation([Turn("", "A dog.")], is_image=True) == (
        f"###Human: <Image>{VISUAL_MARKER}</Image> ###Assistant: A dog. ###"
    )


def test_the_loss_counts_answers_and_the_separators_after_the_video() -> None:
    turns = [Turn("What?", "A dog.", "Look."), Turn("Where?", "On the\ngrass.")]
    text = conversation(turns, frames_message([0.25, 3]))
    assert text == (
        f"Look. ###Human: <Video>{VISUAL_MARKER}</Video> The video contains 2 frames sampled at 0.2, 3.0 seconds. "
        "###Human: What? ###Assistant: A dog. ###Human: Where? ###Assistant: On the\ngrass. ###"
    )
    assert [text[start:end] for start, end in trained_parts(text)] == [
        "###Human:",
        "###Assistant: A dog. ",
        "###Human:",
        "###Assistant: On the\ngrass. ###",
    ]


def test_without_a_video_every_separator_counts() -> None:
    text = "###Human: What? ###Assistant: A dog. ###"
    assert [text[start:end] for start, end in trained_parts(text)] == ["###Human:", "###Assistant: A dog. ###"]


def test_the_golden_labels_count_the_same_parts(
    golden: dict[str, Any], golden_arrays: dict[str, np.ndarray], golden_dir: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(golden_dir / "tokenizers" / "llm")
    for text, labels in zip(golden["prompts"], golden_arrays["labels.chat"]):
        marked = text.replace("</Video>", f"{VISUAL_MARKER}</Video>")
        ours = "".join(marked[start:end] for start, end in trained_parts(marked))
        assert squeezed(tokenizer.decode(labels[labels != -100])) == squeezed(ours)


def squeezed(text: str) -> str:
    """Without spaces, which the tokenizer's decoder puts where it likes."""
    return "".join(text.split())


@pytest.mark.parametrize("kind", ["grounding", "grounding_dictated"])
def test_prompts_of_the_golden_walks(kind: str, golden: dict[str, Any]) -> None:
    walks = golden[kind]["examples"] if kind == "grounding" else golden[kind]
    for walk in walks:
        for turn in walk["turns"]:
            seconds = [float(second) for second in turn["message"].split(" at ")[1].split(" seconds")[0].split(", ")]
            assert frames_message(seconds) == turn["message"]
            order = [Choice(label) for label in turn["options"]]
            assert grounding_prompt(walk["query"], order, seconds) == turn["prompt"]


def test_a_multiple_choice_prompt() -> None:
    assert qa_prompt("What is it?", ["A dog.", "A cat."], [1.0]) == (
        f"{QA_INSTRUCTION}\n"
        f"###Human: <Video>{VISUAL_MARKER}</Video> The video contains 1 frames sampled at 1.0 seconds.\n"
        f"###Human: {QA_INSTRUCTION}\n"
        "Question: What is it?\nOptions:\n(A) A dog.\n(B) A cat.\nOnly give the best option.\n"
        "###Assistant: Best option:("
    )


def test_an_open_prompt_ends_where_the_answer_begins() -> None:
    assert open_prompt("What is it?", [1.0], "Look.") == (
        f"Look.\n###Human: <Video>{VISUAL_MARKER}</Video> The video contains 1 frames sampled at 1.0 seconds.\n"
        "###Human: What is it?\n###Assistant:"
    )


def test_more_options_than_letters_are_refused() -> None:
    assert lettered(["x"] * 26)[-1] == "(Z) x"
    with pytest.raises(ValueError, match="27 options, but only 26 letters"):
        multiple_choice("Which?", ["x"] * 27)


SENTENCES = list(CHOICE_SENTENCES.values())


@pytest.mark.parametrize(
    ("answer", "option"),
    [
        ("(B) In the middle of the video.", 1),
        ("b) x", 1),
        (" (\tC ) y", 2),
        ("At the  END of the video", 2),
        ("throughout the entire video, I think", 3),
        ("(E) nothing", None),
        ("(AB) x", None),
        ("() x", None),
        ("A dog", None),
        ("(A dog", None),
        ("Answer: a dog", None),
        ("(A B", None),
        ("I think B", None),
        ("", None),
        ("A", 0),
        ("A.", 0),
        ("B:", 1),
        ("(A", 0),
        ("Answer: (B)", 1),
        ("option c", 2),
        ("Option C is right", 2),
        ("The best option is: (D) x", 3),
        ("**B**", 1),
        ("B\nBecause it jumps", 1),
        ("(at the end of the video", 2),
        ("At the end", None),
        ("B!", 1),
        ("B?", 1),
        ("B;", 1),
        ("B-", 1),
        ("B - in the middle", 1),
        ("`B`", 1),
        ("<B>", 1),
        ("Ans: B", 1),
        ("B is right", 1),
        ("The correct option is B because", 1),
        ("Sure! (B)", 1),
        ("The answer is in the middle of the video.", 1),
        ("Answer: throughout the entire video", 3),
        ("A-frame houses", None),
        ("<b>bold", None),
        ("A is for apple", None),
        ("B's turn", None),
        ("A dog runs", None),
        ("Sure! A dog", None),
        ("The answer is not in the middle of the video", None),
        ("In the middle: the answer is in the middle of the video", None),
    ],
)
def test_an_answer_names_an_option_or_none(answer: str, option: int | None) -> None:
    assert parse_option(answer, SENTENCES) == option


def test_answers_count_as_in_the_original() -> None:
    for case in DATA["choice_check"]:
        same = parse_option(case["pred"], SENTENCES) == parse_option(case["gold"], SENTENCES)
        assert same == case["correct"], case


def test_of_options_that_begin_alike_the_longest_is_meant() -> None:
    assert parse_option("the red ball bounces", ["the red", "the red ball", "the"]) == 1
    assert parse_option("theory", ["the"]) is None
    assert parse_option("The answer is yes", ["yes", "the answer is yes"]) == 1


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("From second 3.5 to second 12.0.", (3.5, 12.0)),
        ("<frame2> to <frame7>", (2.0, 7.0)),
        (".5 to 2", (0.5, 2.0)),
        ("from 1...5", (1.0, 5.0)),
        ("at second 3", None),
        ("1, 2, 3", None),
        ("0:03 to 1:07.5", (3.0, 67.5)),
        ("1:02:03-1:02:05", (3723.0, 3725.0)),
        ("at 12:15", None),
        ("-1 to 3", None),
        ("from -1 to 3", None),
        ("1 to -3", None),
        ("3-5", (3.0, 5.0)),
        ("12s -15s", (12.0, 15.0)),
        ("frame-2 to frame-7", (2.0, 7.0)),
        ("3,5 to 7,25", None),
    ],
)
def test_the_two_numbers_of_an_answer(answer: str, numbers: tuple[float, float] | None) -> None:
    assert parse_two_numbers(answer) == numbers


def test_a_conversation_continues_as_in_the_original_s_demonstration() -> None:
    """The demonstration's prompt after its first answer, without the separator that it puts before the instruction."""
    instruction = "Watch the video and choose the most fitting option based on the observed content."
    prompt = chat_prompt(
        [("What is the woman doing?", "She is using a laptop.")], "And at the end?", [1.3, 3.8], instruction
    )
    assert prompt == (
        "Watch the video and choose the most fitting option based on the observed content.\n"
        "###Human: <Video><VideoHere></Video> The video contains 2 frames sampled at 1.3, 3.8 seconds.\n"
        "###Human: What is the woman doing?\n"
        "###Assistant: She is using a laptop.\n"
        "###Human: And at the end?\n"
        "###Assistant:"
    )

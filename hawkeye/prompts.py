"""Every sentence that the model reads, written once: conversations, questions, and how an answer is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hawkeye.temporal import Choice

HUMAN = "###Human:"
ASSISTANT = "###Assistant:"
STOP = "###"
"""Ends an answer; generation stops there."""

VISUAL_MARKER = "<VideoHere>"
"""Stands in a prompt where the visual tokens go."""

GROUNDING_INSTRUCTION = (
    "Examine the video and choose the most appropriate choice in accordance with the video's content."
)
QA_INSTRUCTION = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail and movement of "
    "objects, and the action and pose of persons. Based on your observations, select the best option that accurately "
    "addresses the question."
)
GROUNDING_QUESTION = "During which part of the video does '%s' occur?"
ONLY_BEST_OPTION = "Only give the best option."
GROUNDING_ANSWER_PREFIX = "Best option: ("
QA_ANSWER_PREFIX = "Best option:("

CHOICE_SENTENCES: Mapping[Choice, str] = {
    Choice.BEGINNING: "At the beginning of the video.",
    Choice.MIDDLE: "In the middle of the video.",
    Choice.END: "At the end of the video.",
    Choice.THROUGHOUT: "Throughout the entire video.",
}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Turn:
    """One question and its answer; `instruction` counts for the first turn of a conversation only.

    A plain turn is no conversation: its answer alone follows the visual tokens, without roles.
    """

    question: str
    answer: str
    instruction: str = ""
    is_plain: bool = False


def frames_message(seconds: Sequence[float]) -> str:
    """Says when the frames were sampled, in seconds from the start of the window."""
    times = ", ".join(f"{second:.1f}" for second in seconds)
    return f"The video contains {len(seconds)} frames sampled at {times} seconds."


def conversation(turns: Sequence[Turn], message: str = "", *, is_image: bool = False) -> str:
    """A training conversation; `VISUAL_MARKER` stands for the visual tokens.

    `message` is the sentence about the frames, or empty.
    """
    tag = "Image" if is_image else "Video"
    if turns[0].is_plain:
        return f"<{tag}>{VISUAL_MARKER}</{tag}>{turns[0].answer}"
    instruction = turns[0].instruction
    parts = [f"{instruction} " if instruction else "", f"{HUMAN} <{tag}>{VISUAL_MARKER}</{tag}> "]
    parts.append(f"{message} " if message else "")
    for turn in turns:
        parts.append(f"{HUMAN} {turn.question} " if turn.question else "")
        parts.append(f"{ASSISTANT} {turn.answer} ")
    return "".join(parts) + STOP


def qformer_text(turns: Sequence[Turn], *, with_question: bool) -> str:
    """What the Q-Former reads for a conversation: the instruction, and in the original's training the first question.

    The question follows only where there is an instruction, as in the original.
    """
    instruction, question = turns[0].instruction, turns[0].question
    return f"{instruction} {question}" if with_question and instruction and question else instruction


def trained_parts(text: str) -> list[tuple[int, int]]:
    """The character ranges of a conversation that the loss counts.

    They are all answers with the separators around them: `###Assistant: ... ###` and every `###Human:` after the
    visual tokens (the golden labels train on these too). Of a plain text it is all that follows the visual tokens.

    Returns:
        Half-open ranges in order, as offsets into `text`.
    """
    first = text.find(VISUAL_MARKER) + len(VISUAL_MARKER) if VISUAL_MARKER in text else 0
    if ASSISTANT not in text:
        return [(text.index(">", first) + 1, len(text))] if first else []
    pattern = re.compile(f"{HUMAN}|{ASSISTANT}.*?(?={HUMAN}|{ASSISTANT}|$)", re.DOTALL)
    return [match.span() for match in pattern.finditer(text) if match.start() >= first]


def lettered(options: Sequence[str]) -> list[str]:
    """The options with "(A) ", "(B) ", ... before them.

    Raises:
        ValueError: if there are more options than letters.
    """
    if len(options) > len(LETTERS):
        raise ValueError(f"{len(options)} options, but only {len(LETTERS)} letters to name them")
    return [f"({letter}) {option}" for letter, option in zip(LETTERS, options)]


def multiple_choice(question: str, options: Sequence[str]) -> str:
    """A question with lettered options, one a line."""
    return "\n".join([f"Question: {question}", "Options:", *lettered(options)])


@dataclass(frozen=True)
class Wording:
    """The sentences around what is asked, where the answer is one of several options.

    Attributes:
        instruction: read by the Q-Former too.
        question: has %s for the query or the question.
        closing: follows the options.
        answer_prefix: begins the answer; the option's letter comes next.
    """

    instruction: str
    question: str
    closing: str
    answer_prefix: str

    def asked(self, text: str, options: Sequence[str]) -> str:
        """The second message of a prompt: instruction, question, lettered options, closing."""
        question = multiple_choice(self.question.replace("%s", text), options)
        return "\n".join(filter(None, [self.instruction, question, self.closing]))

    def prompt(self, text: str, options: Sequence[str], seconds: Sequence[float]) -> str:
        """The whole prompt."""
        return _prompt(self.instruction, frames_message(seconds), self.asked(text, options), self.answer_prefix)


GROUNDING_WORDING = Wording(GROUNDING_INSTRUCTION, GROUNDING_QUESTION, ONLY_BEST_OPTION, GROUNDING_ANSWER_PREFIX)
QA_WORDING = Wording(QA_INSTRUCTION, "%s", ONLY_BEST_OPTION, QA_ANSWER_PREFIX)
"""The benchmarks' sentences, which are the original's."""


def grounding_question(query: str, order: Sequence[Choice], wording: Wording = GROUNDING_WORDING) -> str:
    """The second message of a grounding prompt, options in the given order."""
    return wording.asked(query, [CHOICE_SENTENCES[choice] for choice in order])


def qa_question(question: str, candidates: Sequence[str], wording: Wording = QA_WORDING) -> str:
    """The second message of a multiple-choice prompt."""
    return wording.asked(question, candidates)


def _prompt(instruction: str, message: str, question: str, answer_prefix: str) -> str:
    opening = f"{instruction}\n" if instruction else ""
    return f"{opening}{HUMAN} <Video>{VISUAL_MARKER}</Video> {message}\n{HUMAN} {question}\n{ASSISTANT} {answer_prefix}"


def grounding_prompt(
    query: str, order: Sequence[Choice], seconds: Sequence[float], wording: Wording = GROUNDING_WORDING
) -> str:
    """The whole prompt that asks in which part of the window `query` happens."""
    return wording.prompt(query, [CHOICE_SENTENCES[choice] for choice in order], seconds)


def qa_prompt(question: str, candidates: Sequence[str], seconds: Sequence[float], wording: Wording = QA_WORDING) -> str:
    """The whole prompt of a multiple-choice question."""
    return wording.prompt(question, candidates, seconds)


def open_prompt(question: str, seconds: Sequence[float], instruction: str = QA_INSTRUCTION) -> str:
    """The prompt of a question that is answered freely."""
    return _prompt(instruction, frames_message(seconds), question, "").rstrip()


def chat_prompt(
    history: Sequence[tuple[str, str]], question: str, seconds: Sequence[float], instruction: str = QA_INSTRUCTION
) -> str:
    """The prompt of a question that follows others, each with its answer, about the same window.

    Parity: the first question is asked as `open_prompt` asks it, which is how evaluation asks; answers and later
    questions follow as in the original's demonstration.
    """
    first, *later = [*(asked for asked, _ in history), question]
    prompt = open_prompt(first, seconds, instruction)
    for (_, answer), following in zip(history, later):
        prompt += f" {answer}\n{HUMAN} {following}\n{ASSISTANT}"
    return prompt


_LEAD = r"[\s\"'*]*(?:(?:the|best|correct|right|final|answer|option|choice|is)\b[\s:\"'*]*)*"
_NAMED_LETTER = re.compile(
    rf"{_LEAD}[(\[]?\s*(?P<alone>[a-z])[\"'*]*[ \t]*(?:[)\].:,\n]|$)|{_LEAD}(?<=option |choice )(?P<after>[a-z])\b",
    re.IGNORECASE,
)
"""A letter that punctuation or nothing follows, or that follows the word "option" or "choice"."""


def parse_option(answer: str, options: Sequence[str]) -> int | None:
    """Which option an answer names: by its letter (`parse_letter`), or because it begins with the option's own words.

    This is the one rule of the project for generated answers and for predictions of either format. Case and
    surrounding space do not matter. Of options that begin alike, the longest that fits is meant.

    Returns:
        The option's index. None where the answer names none, or a letter beyond the options; callers count those.
    """
    index = parse_letter(answer)
    if index is not None:
        return index if index < len(options) else None
    text = " ".join(answer.strip().lower().split()).lstrip("( ")
    words = [" ".join(option.lower().split()).rstrip(".") for option in options]
    fitting = [index for index, option in enumerate(words) if option and re.match(rf"{re.escape(option)}(?!\w)", text)]
    return max(fitting, key=lambda index: len(words[index]), default=None)


def parse_letter(answer: str) -> int | None:
    """Which letter an answer names at its beginning, 0 for A; None where it begins otherwise.

    "(A)", "A)", "A.", "A:", "(A", "A" alone, and each of them after words such as "Answer:" or "The best option is".
    Any other letter that a word follows is an article or a part of a name: "A dog", "(A dog", "Answer: a dog".
    """
    match = _NAMED_LETTER.match(answer)
    return LETTERS.index((match["alone"] or match["after"]).upper()) if match else None


def parse_two_numbers(answer: str) -> tuple[float, float] | None:
    """The two numbers of a generated answer: "From second 3.5 to second 12.0.", "<frame2> to <frame7>", ".5 to 2".

    None where there are not exactly two; callers count those.
    """
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?|(?<![.\d])\.\d+", answer)]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None

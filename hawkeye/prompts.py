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


_OPENING = r"[\s\"'*`]*(?:(?:sure|certainly|of course|okay|ok)\b[\s,.:!]*)?"
_LEAD = _OPENING + r"(?:(?:the|best|correct|right|final|answer|ans|option|choice|is)\b[\s.:\"'*`]*)*"
_NAMED_LETTER = re.compile(
    rf"{_LEAD}[(\[]?\s*(?P<alone>[a-z])[\"'*`]*[ \t]*(?:[)\].:,;!?\n]|-(?=\s|$)|$)"
    rf"|{_LEAD}(?<=option |choice )(?P<after>[a-z])\b"
    rf"|{_LEAD}<(?P<tag>(?-i:[A-Z]))>"
    rf"|{_LEAD}[(\[]?(?P<subject>[a-z])\s+(?:because\b|is\s+(?:the\s+)?(?:right|correct|best|answer)\b)",
    re.IGNORECASE,
)
"""A letter that punctuation or nothing follows, or "because" or "is right"; that follows the word "option" or "choice";
or a capital in angle brackets (a small one is a tag of HTML)."""
_ANSWER_LEAD = re.compile(
    rf"{_OPENING}(?:the\s+)?(?:(?:best|correct|right|final)\s+)?(?:answer|ans|option|choice)\.?\s*(?:is\b\s*:?|:)[\s\"'*`]*",
    re.IGNORECASE,
)
"""What says that an option's own words follow."""


def parse_option(answer: str, options: Sequence[str]) -> int | None:
    """Which option an answer names: by its letter (`parse_letter`), or because it begins with the option's own words,
    alone or after words such as "The answer is".

    This is the one rule of the project for generated answers and for predictions of either format. Case and
    surrounding space do not matter. Of options that begin alike, the longest that fits is meant.

    Returns:
        The option's index. None where the answer names none, or a letter beyond the options; callers count those.
    """
    index = parse_letter(answer)
    if index is not None:
        return index if index < len(options) else None
    words = [" ".join(option.lower().split()).rstrip(".") for option in options]
    # Options may themselves begin as "The answer is" does, so that the whole answer is tried first.
    for said in dict.fromkeys(
        [answer, _ANSWER_LEAD.sub("", answer, count=1) if _ANSWER_LEAD.match(answer) else answer]
    ):
        text = " ".join(said.strip().lower().split()).lstrip("( ")
        fitting = [i for i, option in enumerate(words) if option and re.match(rf"{re.escape(option)}(?!\w)", text)]
        if fitting:
            return max(fitting, key=lambda index: len(words[index]))
    return None


def parse_letter(answer: str) -> int | None:
    """Which letter an answer names at its beginning, 0 for A; None where it begins otherwise.

    "(A)", "A)", "A.", "A:", "A!", "A -", "(A", "`A`", "<A>", "A" alone, "A because", "A is right", and each of them
    after words such as "Answer:", "Sure!" or "The best option is".
    Any other letter that a word follows is an article or a part of a name: "A dog", "(A dog", "Answer: a dog".
    """
    match = _NAMED_LETTER.match(answer)
    return LETTERS.index(match[match.lastgroup or 0].upper()) if match else None


def parse_two_numbers(answer: str) -> tuple[float, float] | None:
    """The two numbers of a generated answer: "From second 3.5 to second 12.0.", "<frame2> to <frame7>", ".5 to 2".

    Times of a clock are read in seconds: "0:03 to 1:07" is 3 to 67. None where there are not exactly two; callers count
    those. None too where one is negative, which no time and no frame is ("3-5" and "3 -5" are ranges); and for decimal
    commas, as "3,5 to 7,25" cannot be told from a list of four numbers.
    """
    if _NEGATIVE.search(answer):
        return None
    numbers = [_seconds(number) for number in _TIME.findall(answer)]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


_TIME = re.compile(r"(?<![\d:.])(?:\d+:)?\d+:[0-5]\d(?![\d:])(?:\.\d+)?|\d+(?:\.\d+)?|(?<![.\d])\.\d+")
"""Minutes and seconds of a clock, with or without hours, or a plain number."""
_NEGATIVE = re.compile(
    r"^(?:[^\d\-\u2212]|[-\u2212](?!\.?\d))*(?<!\w)[-\u2212]\.?\d|\b(?:to|and|until|second|frame)\s+[-\u2212]\.?\d"
)
"""A minus sign before the first number, or after a word that a number follows; others are dashes of a range."""


def _seconds(time: str) -> float:
    """The seconds that a plain number, or "minutes:seconds" or "hours:minutes:seconds", says."""
    total = 0.0
    for part in time.split(":"):
        total = 60 * total + float(part)
    return total

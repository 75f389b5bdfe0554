"""Captions of segments, and the HawkEye-IT rows and test queries made of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_preparing.conversion import Conversion, Row
from hawkeye.annotations import AnnotationError, read_json
from hawkeye.data.instruction import ROUNDING_SECONDS
from hawkeye.prompts import CHOICE_SENTENCES, GROUNDING_INSTRUCTION, GROUNDING_QUESTION, lettered, multiple_choice
from hawkeye.temporal import Choice, Span


@dataclass(frozen=True)
class Moment:
    """A caption and the segment of a video that it is about, in seconds.

    `context` is the part of the video around the segment that shows nothing of the kind elsewhere; `duration` is the
    length of the whole video, where the row is to say it.
    """

    place: str
    video: str
    caption: str
    segment: Span
    context: Span
    duration: float | None = None


@dataclass(frozen=True)
class Wording:
    """What rows are phrased with; instructions and questions are drawn for each row."""

    instructions: Sequence[str] = (GROUNDING_INSTRUCTION,)
    questions: Sequence[str] = (GROUNDING_QUESTION,)
    """Each with one %s for the caption."""
    template: str = ""
    """Of answers in numbers: two %.1f for seconds or two %d for frames."""


def training_row(moment: Moment, kind: str, wording: Wording, rng: np.random.Generator) -> Row:
    """A row of an instruction file, in the original's format; `duration`, where it is written, is ours.

    Args:
        kind: "choice" (which of four parts, lettered in random order), "grounding" (two numbers), "caption" (of the
            segment that two numbers name) or "choice_caption" (of the part that a sentence names).

    Raises:
        ValueError: if the kind is unknown.
    """
    times = {"start_sec": moment.segment.start, "end_sec": moment.segment.end}
    times |= {"neg_start_sec": moment.context.start, "neg_end_sec": moment.context.end}
    question = wording.questions[int(rng.integers(len(wording.questions)))]
    asked: dict[str, Any]
    if kind == "choice":
        order = [list(Choice)[place] for place in rng.permutation(len(Choice))]
        sentences = [CHOICE_SENTENCES[choice] for choice in order]
        answers = [[choice.value, option] for choice, option in zip(order, lettered(sentences))]
        asked = {"q": multiple_choice(question % moment.caption, sentences), "a": answers}
    elif kind == "grounding":
        asked = {"q": question % moment.caption, "a": wording.template}
    elif kind == "caption":
        asked = {"q": wording.template, "a": moment.caption}
    elif kind == "choice_caption":
        asked = {"q": [[choice.value, CHOICE_SENTENCES[choice]] for choice in Choice], "a": moment.caption}
    else:
        raise ValueError(f"unknown kind of row {kind!r}")
    instruction = wording.instructions[int(rng.integers(len(wording.instructions)))]
    told = {} if moment.duration is None else {"duration": moment.duration}
    return {"video": moment.video, **told, "QA": [{"i": instruction, **times, **asked}]}


def training_rows(moments: Iterable[Moment], kind: str, wording: Wording, seed: int) -> list[Row]:
    """A row for each moment; the seed and a moment's place in the list decide how it is phrased."""
    return [
        training_row(moment, kind, wording, np.random.default_rng([seed, place]))
        for place, moment in enumerate(moments)
    ]


def fitted(segment: Span, length: float, place: str, conversion: Conversion) -> Span:
    """A segment cut to its video of `length` seconds, which is noted where it is more than rounding.

    Raises:
        AnnotationError: if nothing of it lies in the video.
    """
    if segment.start >= length or segment.duration == 0:
        raise AnnotationError(
            f"{place}: nothing is shown from second {segment.start} to {segment.end} of a video of {length} seconds"
        )
    if segment.end > length + ROUNDING_SECONDS:
        conversion.notes.append(f"cut: {place}: the segment ends at {segment.end}, its video at {length} seconds")
    return Span(segment.start, min(segment.end, length))


def wording_arguments(parser: argparse.ArgumentParser, kinds: Sequence[str], template: str) -> None:
    """Adds what converters of moments take; the first kind is the default."""
    parser.add_argument("--func", choices=kinds, default=kinds[0], help=f"what to make (default: {kinds[0]})")
    parser.add_argument("--output-fname", type=Path, required=True, help="the file to write")
    parser.add_argument("--instruction-fname", type=Path, help="JSON list of instructions to draw from")
    parser.add_argument("--question", default=GROUNDING_QUESTION, help="a template with %%s, or a JSON list of them")
    parser.add_argument(
        "--durations",
        action="store_true",
        help="also write how long each video is, which training and evaluation compare with the file's length",
    )
    parser.add_argument(
        "--time-span-sent",
        default=template,
        help="of answers in numbers: two %%.1f for seconds, two %%d for frames (default: %(default)r)",
    )


def read_wording(options: argparse.Namespace) -> Wording:
    """The wording that the options ask for.

    Raises:
        AnnotationError: if a file holds no list of texts, or a template has not the places that it must have.
    """
    instructions: list[Any] = [GROUNDING_INSTRUCTION]
    questions: list[Any] = [options.question]
    if options.instruction_fname is not None:
        instructions = read_json(options.instruction_fname, list)
    if "%" not in options.question:
        questions = read_json(Path(options.question), list)
    for name, texts in (("--instruction-fname", instructions), ("--question", questions)):
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise AnnotationError(f"{name} must hold a list of texts, none of them empty, not {texts!r}")
    for question in questions:
        _check_template(question, ("x",), "question")
    _check_template(options.time_span_sent, (1.0, 2.0), "--time-span-sent")
    return Wording(instructions, questions, options.time_span_sent)


def _check_template(template: str, values: tuple[Any, ...], name: str) -> None:
    try:
        template % values
    except (TypeError, ValueError) as error:
        raise AnnotationError(f"{name} {template!r} must have {len(values)} places for values ({error})") from None

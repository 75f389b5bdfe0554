"""`python -m data_preparing.anetc`: ActivityNet-Captions' annotations to instruction files and test queries."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data_preparing.conversion import Conversion, Row, check_input, common_arguments, run
from data_preparing.moments import Moment, fitted, read_wording, training_rows, wording_arguments
from hawkeye.annotations import AnnotationError, read_json, read_span, required
from hawkeye.temporal import Span

KINDS = ("test_grounding", "choice", "grounding", "caption")
SOURCE = (
    "train.json, val_1.json or val_2.json of the captions, from the project page of ActivityNet-Captions "
    "(Krishna et al., 2017)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m data_preparing.anetc", description=__doc__)
    wording_arguments(parser, KINDS, "From second %.1f to second %.1f.")
    parser.add_argument("--annotation-fname", type=Path, required=True, help=SOURCE)
    parser.add_argument("--annotation-fname2", type=Path, help="a second file, such as val_2.json: both go in")
    parser.add_argument("--sample-ratio", type=float, default=1.0, help="share of the test queries (default: all)")
    common_arguments(parser)
    return run(convert, parser.parse_args(arguments))


def convert(options: argparse.Namespace, conversion: Conversion) -> list[Row]:
    """The rows to write.

    Raises:
        AnnotationError: naming the file, the video and the sentence that is wrong, or the input that is missing.
    """
    wording = read_wording(options)
    if not 0 < options.sample_ratio <= 1:
        raise AnnotationError(f"--sample-ratio must be above 0 and at most 1, not {options.sample_ratio}")
    if options.sample_ratio < 1 and options.func != "test_grounding":
        raise AnnotationError("--sample-ratio is of test queries: cap a training source with its max_examples")
    paths = [path for path in (options.annotation_fname, options.annotation_fname2) if path is not None]
    sentences = _sentences([(path, read_json(check_input(path, SOURCE), dict)) for path in paths])

    if options.func == "test_grounding":
        query = partial(_query, durations=options.durations)
        queries = list(conversion.read(sentences, query))
        rng = np.random.default_rng(options.seed)
        count = max(1, round(options.sample_ratio * len(queries))) if queries else 0
        return [queries[place] for place in sorted(rng.permutation(len(queries))[:count])]

    def moment(place: str, sentence: _Sentence) -> Moment:
        video, length, span, text = _parse(place, sentence)
        caption = text.removesuffix(".").strip()
        told = length if options.durations else None
        return Moment(place, video, caption, fitted(span, length, place, conversion), Span(0, length), told)

    return training_rows(conversion.read(sentences, moment), options.func, wording, options.seed)


_Sentence = tuple[str, dict[str, Any], int]
"""A video's id, its entry, and the place of a sentence in it."""


def _sentences(files: Sequence[tuple[Path, dict[str, Any]]]) -> Iterator[tuple[str, _Sentence]]:
    """Every sentence with its place; those of a video that stands in both files stay together."""
    for video in dict.fromkeys(video for _, content in files for video in content):
        for path, content in files:
            entry = content.get(video)
            if video not in content:
                continue
            texts = entry.get("sentences") if isinstance(entry, dict) else None
            # An entry that is wrong as a whole is one bad row.
            for index in range(len(texts) if isinstance(texts, list) else 1):
                yield f"{path} {video!r} sentence {index}", (video, entry if isinstance(entry, dict) else {}, index)


def _parse(place: str, sentence: _Sentence) -> tuple[str, float, Span, str]:
    video, entry, index = sentence
    texts, times = (required(entry, key, list, place) for key in ("sentences", "timestamps"))
    length = read_span({"start": 0.0, **entry}, "start", "duration", place).end
    if len(times) != len(texts):
        raise AnnotationError(f"{place}: its video has {len(texts)} sentences, but {len(times)} timestamps")
    if not isinstance(times[index], list) or len(times[index]) != 2:
        raise AnnotationError(f"{place}: its timestamp must be [start, end], not {times[index]!r}")
    if not isinstance(texts[index], str) or not texts[index].strip(" ."):
        raise AnnotationError(f"{place}: must be a text, not {texts[index]!r}")
    span = read_span(dict(zip(("start", "end"), times[index])), "start", "end", place)
    return video, length, span, texts[index].strip()


def _query(place: str, sentence: _Sentence, *, durations: bool) -> Row:
    video, length, span, text = _parse(place, sentence)
    question = text.replace(".", "").strip()
    row = {"video": video, "question": question, "answer": [span.start, span.end]}
    return row | {"duration": length} if durations else row


if __name__ == "__main__":
    sys.exit(main())

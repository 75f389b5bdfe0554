"""`python -m data_preparing.qvhighlights`: QVHighlights' annotations to instruction files and test queries."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from data_preparing.conversion import Conversion, Row, check_input, common_arguments, run
from data_preparing.moments import Moment, fitted, read_wording, training_rows, wording_arguments
from hawkeye.annotations import AnnotationError, read_json_lines, read_span, required
from hawkeye.temporal import Span

KINDS = ("test_grounding", "choice", "grounding", "caption")
SOURCE = (
    "highlight_train_release.jsonl, highlight_val_release.jsonl or highlight_test_with_gt.jsonl, from the project page "
    "of Moment-DETR (Lei et al., 2021)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m data_preparing.qvhighlights", description=__doc__)
    wording_arguments(parser, KINDS, "From second %.1f to second %.1f.")
    parser.add_argument("--annotation-fname", type=Path, required=True, help=SOURCE)
    common_arguments(parser)
    return run(convert, parser.parse_args(arguments))


def convert(options: argparse.Namespace, conversion: Conversion) -> list[Row]:
    """The rows to write: of a query with several segments, one training row each, whose context holds no other.

    Raises:
        AnnotationError: naming the file and the line that is wrong, or the input that is missing.
    """
    wording = read_wording(options)
    lines = read_json_lines(check_input(options.annotation_fname, SOURCE))
    if options.func == "test_grounding":
        return list(conversion.read(lines, _query))

    def moments(place: str, row: dict[str, Any]) -> list[Moment]:
        segments = [fitted(span, float(row["duration"]), place, conversion) for span in _segments(place, row)]
        bounds = [0.0, *(end for segment in segments for end in (segment.start, segment.end)), float(row["duration"])]
        return [
            Moment(
                place,
                f"{row['vid']}.mp4",
                _caption(place, row),
                segment,
                Span(bounds[2 * index], bounds[2 * index + 3]),
                float(row["duration"]) if options.durations else None,
            )
            for index, segment in enumerate(segments)
        ]

    found = [moment for several in conversion.read(lines, moments) for moment in several]
    return training_rows(found, options.func, wording, options.seed)


def _caption(place: str, row: dict[str, Any]) -> str:
    caption = required(row, "query", str, place).strip().removesuffix(".").strip()
    if not caption:
        raise AnnotationError(f"{place}: 'query' is empty")
    return caption


def _segments(place: str, row: dict[str, Any]) -> list[Span]:
    """The segments in order of time; those that touch or overlap are one."""
    windows = required(row, "relevant_windows", list, place)
    required(row, "vid", str, place)
    read_span({"start": 0.0, **row}, "start", "duration", place)
    if not windows or not all(isinstance(pair, list) and len(pair) == 2 for pair in windows):
        raise AnnotationError(f"{place}: 'relevant_windows' must be a list of [start, end], not {windows!r}")
    spans = [read_span({"start": start, "end": end}, "start", "end", place) for start, end in windows]
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    assert all(before.end < after.start for before, after in pairwise(merged))
    return merged


def _query(place: str, row: dict[str, Any]) -> Row:
    _segments(place, row)
    return {
        "video": f"{row['vid']}.mp4",
        "question": _caption(place, row),
        "answer": row["relevant_windows"],
        "duration": row["duration"],
        "qid": required(row, "qid", (int, str), place),
    }


if __name__ == "__main__":
    sys.exit(main())

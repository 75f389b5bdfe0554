"""`python -m data_preparing.internvid`: segments with negative spans, InternVid-G's last file, to instruction files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

from data_preparing.conversion import Conversion, Row, common_arguments, run
from data_preparing.moments import Moment, read_wording, training_rows, wording_arguments
from hawkeye.annotations import AnnotationError, read_duration, read_json_lines, read_span, required
from hawkeye.data.instruction import within

KINDS = ("grounding", "choice", "caption", "choice_caption")
SOURCE = "the last file of python -m data_preparing.internvid_g, or InternVid-G as published (Wang et al., 2024)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m data_preparing.internvid", description=__doc__)
    wording_arguments(parser, KINDS, "From second %.1f to second %.1f.")
    parser.add_argument("--annotation-fname", required=True, metavar="PATTERN", help=f"JSONL, * for several: {SOURCE}")
    common_arguments(parser)
    return run(convert, parser.parse_args(arguments))


def convert(options: argparse.Namespace, conversion: Conversion) -> list[Row]:
    """The rows to write.

    Raises:
        AnnotationError: naming the file and the line that is wrong, or the input that is missing.
    """
    wording = read_wording(options)
    paths = sorted(map(Path, glob(options.annotation_fname)))
    if not paths:
        raise AnnotationError(f"{options.annotation_fname}: no such file; it is {SOURCE}")
    lines = [line for path in paths for line in read_json_lines(path)]
    moments = conversion.read(lines, partial(parse, durations=options.durations))
    return training_rows(moments, options.func, wording, options.seed)


def parse(place: str, row: dict[str, Any], *, durations: bool = False) -> Moment:
    """A line of the negative spans: its caption begins with a capital and ends without a full stop.

    Raises:
        AnnotationError: if a field is missing or wrong.
    """
    caption = required(row, "caption", str, place).strip().removesuffix(".").strip()
    if not caption:
        raise AnnotationError(f"{place}: 'caption' is empty")
    segment = read_span(row, "start_sec", "end_sec", place)
    context = read_span(row, "neg_start_sec", "neg_end_sec", place)
    segment = within(segment, context, place)
    video, told = required(row, "video", str, place), read_duration(row, place) if durations else None
    return Moment(place, video, caption[0].upper() + caption[1:], segment, context, told)


if __name__ == "__main__":
    sys.exit(main())

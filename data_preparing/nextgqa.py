"""`python -m data_preparing.nextgqa`: NExT-GQA's grounded questions to test queries."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_preparing.conversion import Conversion, Row, check_input, common_arguments, run
from data_preparing.tables import OTHER_NAMES, read_csv
from hawkeye.annotations import AnnotationError, read_json, read_span, required

SOURCE = "test.csv of NExT-GQA, from its project page (Xiao et al., 2024)"
SPANS_SOURCE = "gsub_test.json of NExT-GQA, from its project page (Xiao et al., 2024)"
MAPPING_SOURCE = "map_vid_vidorID.json, from the project page of NExT-QA (Xiao et al., 2021)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m data_preparing.nextgqa", description=__doc__)
    parser.add_argument("--func", choices=("test_grounding",), default="test_grounding", help="what to make")
    parser.add_argument("--annotation-fname", type=Path, required=True, help=SOURCE)
    parser.add_argument("--grounding-fname", type=Path, required=True, help=SPANS_SOURCE)
    parser.add_argument("--video-mapping-fname", type=Path, required=True, help=MAPPING_SOURCE)
    parser.add_argument("--output-fname", type=Path, required=True, help="the file to write")
    common_arguments(parser)
    return run(convert, parser.parse_args(arguments))


def convert(options: argparse.Namespace, conversion: Conversion) -> list[Row]:
    """The rows to write; questions without an annotated span are left out, and counted in a note.

    Spans are written as published, those that start a little before 0 among them; readers take such a start as 0.

    Raises:
        AnnotationError: naming the file and the line that is wrong, or the input that is missing.
    """
    questions = read_csv(check_input(options.annotation_fname, SOURCE), ("video", "question", "qid"), OTHER_NAMES)
    spans = read_json(check_input(options.grounding_fname, SPANS_SOURCE), dict)
    mapping = read_json(check_input(options.video_mapping_fname, MAPPING_SOURCE), dict)
    rows = [row for row in conversion.read(questions, lambda place, row: _row(place, row, spans, mapping)) if row]
    if left_out := len(questions) - len(rows) - len(conversion.skipped):
        conversion.notes.append(f"{left_out} questions have no span in {options.grounding_fname} and are left out")
    return rows


def _row(place: str, row: dict[str, str], spans: dict[str, Any], mapping: dict[str, Any]) -> Row | None:
    video = row["video"]
    if video not in mapping:
        raise AnnotationError(f"{place}: video {video!r} is not in the mapping of videos")
    entry = spans.get(video)
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise AnnotationError(f"{place}: the spans of video {video!r} must be a mapping, not {entry!r}")
    golds = required(entry, "location", dict, f"{place}: the spans of video {video!r}").get(row["qid"])
    if golds is None:
        return None
    duration = read_span({"start": 0.0, **entry}, "start", "duration", f"{place}: the spans of {video!r}").end
    if not isinstance(golds, list) or not golds or not all(isinstance(g, list) and len(g) == 2 for g in golds):
        raise AnnotationError(f"{place}: its spans must be a list of [start, end], not {golds!r}")
    for start, end in golds:
        read_span({"start": start, "end": end}, "start", "end", place)
    return {
        "video": f"{mapping[video]}.mp4",
        "question": f"{row['question']}?",
        "duration": duration,
        "qid": row["qid"],
        "answer": golds,
    }


if __name__ == "__main__":
    sys.exit(main())

"""`python -m data_preparing.videoqa`: NExT-QA, TVQA and STAR to multiple-choice files, and predictions to submissions.

--func nextqa-test: --input test.csv, --input2 map_vid_vidorID.json. --func tvqa, star: --input the published questions.
--func star_output: --input predictions.jsonl, --input2 the converted questions. --func tvqa_output: --input
predictions.jsonl, --input2 TVQA's test questions, --input3 its validation questions, --input-val the predictions for
those; --output is a directory."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from data_preparing.conversion import Conversion, Row, check_input, common_arguments, run
from data_preparing.tables import OTHER_NAMES, filled, read_csv
from hawkeye.annotations import (
    AnnotationError,
    read_json,
    read_json_lines,
    read_json_list,
    read_span,
    read_window,
    required,
)
from hawkeye.config import nearest
from hawkeye.console import guarded, say
from hawkeye.evaluation.submissions import star_submission, tvqa_submission

SOURCES = {
    "nextqa-test": "test.csv, from the project page of NExT-QA (Xiao et al., 2021)",
    "tvqa": "tvqa_test_public.jsonl or tvqa_val.jsonl, from the project page of TVQA (Lei et al., 2018)",
    "star": "STAR_test.json or STAR_val.json, from the project page of STAR (Wu et al., 2021)",
}
MAPPING_SOURCE = "map_vid_vidorID.json, from the project page of NExT-QA (Xiao et al., 2021)"
SHOW_FOLDERS = {
    "The Big Bang Theory": "bbt_frames",
    "Castle": "castle_frames",
    "How I Met You Mother": "met_frames",
    "Grey's Anatomy": "grey_frames",
    "Friends": "friends_frames",
    "House M.D.": "house_frames",
}
"""Where TVQA has the frames of a show; the third name is spelled as TVQA spells it."""
ANSWERS = ("a0", "a1", "a2", "a3", "a4")
NUMBERS = ("0", "1", "2", "3", "4")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m data_preparing.videoqa",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--func", required=True, choices=(*SOURCES, "star_output", "tvqa_output"))
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--input2", type=Path)
    parser.add_argument("--input3", type=Path)
    parser.add_argument("--input-val", type=Path)
    parser.add_argument("--output", type=Path, required=True, dest="output_fname", help="what to write")
    common_arguments(parser)
    options = parser.parse_args(arguments)
    needed = {
        "nextqa-test": ("input2",),
        "star_output": ("input2",),
        "tvqa_output": ("input2", "input3", "input_val"),
    }
    for name in needed.get(options.func, ()):
        if getattr(options, name) is None:
            parser.error(f"--func {options.func} needs --{name.replace('_', '-')}")
    return guarded(lambda: _submit(options)) if options.func.endswith("_output") else run(convert, options)


def _submit(options: argparse.Namespace) -> None:
    if options.func == "star_output":
        count = star_submission(options.input, options.input2, options.output_fname)
    else:
        tests, validation = (options.input, options.input2), (options.input_val, options.input3)
        count = sum(tvqa_submission(tests, validation, {}, options.output_fname))
    say(f"{options.output_fname}: {count} answers")


def convert(options: argparse.Namespace, conversion: Conversion) -> list[Row]:
    """The rows to write.

    Raises:
        AnnotationError: naming the file and the row that is wrong, or the input that is missing.
    """
    path = check_input(options.input, SOURCES[options.func])
    if options.func == "nextqa-test":
        mapping = read_json(check_input(options.input2, MAPPING_SOURCE), dict)
        table = read_csv(path, ("video", "question", "qid", "answer", *ANSWERS), OTHER_NAMES)
        # NExT-QA's files tell the answer's number, those of NExT-GQA its words, which may be a number too.
        by_number = 2 * sum(row["answer"] in NUMBERS for _, row in table) >= len(table)
        return list(conversion.read(table, lambda place, row: _nextqa(place, row, mapping, by_number=by_number)))
    if options.func == "tvqa":
        return list(conversion.read(read_json_lines(path), _tvqa))
    rows = ((f"{path} row {index}", row) for index, row in enumerate(read_json_list(path)))
    return list(conversion.read(rows, _star))


def _nextqa(place: str, row: dict[str, str], mapping: dict[str, Any], *, by_number: bool) -> Row:
    video, answer = filled(row, "video", place), filled(row, "answer", place)
    if video not in mapping:
        raise AnnotationError(f"{place}: video {video!r} is not in the mapping of videos")
    candidates = [filled(row, key, place) for key in ANSWERS]
    if by_number and answer not in NUMBERS:
        raise AnnotationError(f"{place}: 'answer' must be the number of one of the {len(ANSWERS)}, not {answer!r}")
    if not by_number and answer not in candidates:
        raise AnnotationError(f"{place}: 'answer' {answer!r} is none of {candidates!r}")
    qid = filled(row, "qid", place)
    return {
        "video": f"{mapping[video]}.mp4",
        "question": f"{filled(row, 'question', place)}?",
        "qid": int(qid) if qid.isdecimal() else qid,
        "candidates": [f"{text}." for text in candidates],
        "answer": candidates[int(answer)] if by_number else answer,
    }


def _tvqa(place: str, row: dict[str, Any]) -> Row:
    show = required(row, "show_name", str, place)
    if show not in SHOW_FOLDERS:
        raise AnnotationError(f"{place}: unknown show {show!r}{nearest(show, list(SHOW_FOLDERS))}")
    candidates = _texts((required(row, key, str, place) for key in ANSWERS), place)
    converted: Row = {
        "video": f"{SHOW_FOLDERS[show]}/{required(row, 'vid_name', str, place)}",
        "question": required(row, "q", str, place),
        "qid": required(row, "qid", (int, str), place),
        "candidates": candidates,
    }
    start, _, end = required(row, "ts", str, place).partition("-")
    try:
        times = {"start": float(start), "end": float(end)}
    except ValueError:
        raise AnnotationError(f"{place}: 'ts' must be 'start-end' in seconds, not {row['ts']!r}") from None
    if not any(map(math.isnan, times.values())):  # TVQA's own sign for "not told"
        read_span(times, "start", "end", place)
        converted |= times
    if row.get("answer_idx") is not None:
        index = row["answer_idx"]
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(candidates):
            raise AnnotationError(f"{place}: 'answer_idx' must be 0 to {len(candidates) - 1}, not {index!r}")
        converted["answer"] = candidates[index]
    return converted


def _star(place: str, row: Any) -> Row:
    if not isinstance(row, dict):
        raise AnnotationError(f"{place}: must be a mapping, not {row!r}")
    choices = required(row, "choices", list, place)
    if not all(isinstance(choice, dict) and isinstance(choice.get("choice"), str) for choice in choices):
        raise AnnotationError(f"{place}: 'choices' must hold mappings with a text 'choice', not {choices!r}")
    candidates = _texts((choice["choice"] for choice in choices), place)
    converted: Row = {
        "video": f"{required(row, 'video_id', str, place)}.mp4",
        "question": required(row, "question", str, place),
        "qid": required(row, "question_id", str, place),
        "candidates": candidates,
    }
    if window := read_window(row, place):
        converted |= {"start": window.start, "end": window.end}
    if row.get("answer") is not None:
        if row["answer"] not in candidates:
            raise AnnotationError(f"{place}: 'answer' {row['answer']!r} is none of {candidates!r}")
        converted["answer"] = row["answer"]
    return converted


def _texts(texts: Iterable[str], place: str) -> list[str]:
    found = list(texts)
    if len(found) < 2 or not all(text.strip() for text in found):
        raise AnnotationError(f"{place}: needs two answers or more to choose from, none of them empty, not {found!r}")
    return found


if __name__ == "__main__":
    sys.exit(main())

"""`python -m data_preparing.charades`: Charades-STA's annotations to instruction files and test queries."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from data_preparing.conversion import Conversion, Row, check_input, common_arguments, read_lines, run
from data_preparing.moments import Moment, fitted, read_wording, training_rows, wording_arguments
from data_preparing.video_lengths import read_lengths
from hawkeye.annotations import AnnotationError, read_span
from hawkeye.temporal import Span

KINDS = ("test_grounding", "choice", "grounding", "caption")
SOURCE = "charades_sta_train.txt or charades_sta_test.txt, from the project page of TALL (Gao et al., 2017)"
LENGTHS_HELP = (
    "the videos' lengths: JSON, {video id: seconds}, or Charades' own Charades_v1_train.csv or Charades_v1_test.csv; "
    "test queries need none, except with --durations"
)
LINE = re.compile(r"(?P<video>\S+) (?P<start>\S+) (?P<end>\S+)##(?P<sentence>.*)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m data_preparing.charades", description=__doc__)
    wording_arguments(parser, KINDS, "From frame %d to frame %d.")
    parser.add_argument("--annotation-fname", type=Path, required=True, help=SOURCE)
    parser.add_argument("--video-lengths-fname", type=Path, help=LENGTHS_HELP)
    parser.add_argument("--videos", type=Path, metavar="DIR", help="the videos, to read other lengths from")
    common_arguments(parser)
    return run(convert, parser.parse_args(arguments))


def convert(options: argparse.Namespace, conversion: Conversion) -> list[Row]:
    """The rows to write.

    Raises:
        AnnotationError: naming the file and the line that is wrong, or the input that is missing.
        VideoError: naming a video whose length cannot be read.
    """
    wording = read_wording(options)
    lines = read_lines(check_input(options.annotation_fname, SOURCE))
    found = list(conversion.read(lines, parse))
    lengths: dict[str, float] = {}
    if options.func != "test_grounding" or options.durations:
        names = (video for _, video, _, _ in found)
        lengths = read_lengths(options.video_lengths_fname, options.videos, names, suffix=".mp4")
    if options.func == "test_grounding":
        return [
            {"video": f"{video}.mp4", "question": caption, "answer": [span.start, span.end]}
            | ({"duration": lengths[video]} if options.durations else {})
            for _, video, span, caption in found
        ]

    def moment(place: str, row: tuple[str, str, Span, str]) -> Moment:
        _, video, span, caption = row
        segment = fitted(span, lengths[video], place, conversion)
        told = lengths[video] if options.durations else None
        return Moment(place, f"{video}.mp4", caption, segment, Span(0, lengths[video]), told)

    moments = conversion.read(((row[0], row) for row in found), moment)
    return training_rows(moments, options.func, wording, options.seed)


def parse(place: str, line: str) -> tuple[str, str, Span, str]:
    """A line `VIDEO start end##sentence`: its place, the video's id, the segment, and the caption without full stops.

    Raises:
        AnnotationError: if the line is none of the kind.
    """
    match = LINE.fullmatch(line.strip())
    if match is None:
        raise AnnotationError(f"{place}: must be 'VIDEO start end##sentence', not {line!r}")
    times = {}
    for key in ("start", "end"):
        try:
            times[key] = float(match[key])
        except ValueError:
            raise AnnotationError(f"{place}: {key!r} must be a time in seconds, not {match[key]!r}") from None
    caption = match["sentence"].replace(".", "").strip()
    if not caption:
        raise AnnotationError(f"{place}: the sentence is empty")
    return place, match["video"], read_span(times, "start", "end", place), caption


if __name__ == "__main__":
    sys.exit(main())

"""`python -m data_preparing.shapes`: makes a world of shapes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data_preparing.shapes.build import WorldSettings, build_world, draw_plans
from data_preparing.shapes.contact_sheet import write_contact_sheet
from hawkeye.console import guarded, say
from hawkeye.pools import available_cores

SHEET_VIDEOS = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = parse(arguments)
    return guarded(lambda: _build(options))


def _build(options: argparse.Namespace) -> None:
    settings = WorldSettings(options.seed, options.train_videos, options.test_videos)
    report = build_world(options.output, settings, options.workers)
    if options.contact_sheet:
        train, test = draw_plans(settings)
        write_contact_sheet([*test, *train][:SHEET_VIDEOS], options.output / "videos", options.contact_sheet)
    say(f"{options.output}: {report.rendered} videos rendered in {report.seconds:.0f} s")
    for name, rows in report.rows.items():
        say(f"{rows:8d} rows  {name}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's options; exits with a message where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m data_preparing.shapes",
        description="Renders videos of shapes that do things, and writes training files and test annotations.",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to make, or to go on with")
    parser.add_argument("--seed", type=_whole(0), default=0, help="decides everything (default 0)")
    parser.add_argument("--train-videos", type=_whole(1), default=2000, help="training videos (default 2000)")
    parser.add_argument("--test-videos", type=_whole(1), default=320, help="test videos (default 320)")
    parser.add_argument("--workers", type=_whole(1), default=available_cores(), help="processes (default: all cores)")
    parser.add_argument(
        "--contact-sheet", type=Path, metavar="FILE", help="also draw twelve frames of a few test videos as a picture"
    )
    return parser.parse_args(arguments)


class _whole:
    """An argparse type: a whole number that is not below `lowest`."""

    def __init__(self, lowest: int) -> None:
        self.lowest = lowest

    def __call__(self, text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = self.lowest - 1
        if number < self.lowest:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {self.lowest}, not {text!r}")
        return number


if __name__ == "__main__":
    sys.exit(main())

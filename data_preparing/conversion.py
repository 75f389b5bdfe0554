"""What the converters share: reading raw annotations row by row, and the command around it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hawkeye.annotations import AnnotationError, parse_row
from hawkeye.console import guarded, say, warn
from hawkeye.files import write_json

SHOWN = 10
"""Bad rows, and notes, that are shown one by one; the others are counted."""

Raw = TypeVar("Raw")
Parsed = TypeVar("Parsed")
Row = dict[str, Any]
"""One row of a file that is written."""


@dataclass
class Conversion:
    """One run of a converter: how to treat bad rows, and what it has left out or changed so far."""

    skip_bad_rows: bool = False
    skipped: list[str] = field(default_factory=list)
    """What was wrong with each row that was skipped."""
    notes: list[str] = field(default_factory=list)
    """What else the user should know."""

    def read(self, rows: Iterable[tuple[str, Raw]], parse: Callable[[str, Raw], Parsed]) -> Iterator[Parsed]:
        """Parses rows, each with its place (file and line or row).

        Raises:
            AnnotationError: at the first bad row, unless bad rows are skipped and counted.
        """
        for place, raw in rows:
            try:
                parsed = parse_row(raw, place, lambda row, location: parse(location, row))
            except AnnotationError as error:
                if not self.skip_bad_rows:
                    raise AnnotationError(f"{error}; --skip-bad-rows leaves such rows out") from None
                self.skipped.append(str(error))
            else:
                yield parsed


def check_input(path: Path, source: str) -> Path:
    """Refuses an input that is not there.

    Args:
        source: what to download, and from whose project page.

    Raises:
        AnnotationError: naming the file and the source.
    """
    if not path.is_file():
        raise AnnotationError(f"{path}: no such file; it is {source}")
    return path


def read_lines(path: Path) -> list[tuple[str, str]]:
    """The lines of a text file that are not empty, each with its place (from 1).

    Raises:
        AnnotationError: if it cannot be read.
    """
    try:
        # Opened as text, "\r\n" is a newline. Captions hold characters that `splitlines` breaks at: U+2028, U+0085.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: cannot be read ({error})") from None
    return [(f"{path} line {number}", line) for number, line in enumerate(lines, start=1) if line.strip()]


def common_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what every converter takes."""
    parser.add_argument("--seed", type=int, default=0, help="decides every random choice (default: 0)")
    parser.add_argument("--skip-bad-rows", action="store_true", help="leave bad rows out, and count them")


def run(convert: Callable[[argparse.Namespace, Conversion], list[Row]], options: argparse.Namespace) -> int:
    """Runs a converter, writes `options.output_fname` whole, and says what was written and left out.

    Returns:
        The exit status: 0, or 2 after an error, told in one line; nothing is written then.
    """
    conversion = Conversion(options.skip_bad_rows)

    def write() -> None:
        try:
            rows = convert(options, conversion)
            if not rows:
                raise AnnotationError(f"{options.output_fname}: there is no row to write")
            write_json(options.output_fname, rows)
        finally:
            for text in conversion.skipped[:SHOWN]:
                warn(text, kind="skipped")
            if len(conversion.skipped) > SHOWN:
                warn(f"{len(conversion.skipped) - SHOWN} more", kind="skipped")
        say(f"{options.output_fname}: {len(rows)} rows, {len(conversion.skipped)} bad rows skipped")
        for note in conversion.notes[:SHOWN]:
            say(note)
        if len(conversion.notes) > SHOWN:
            say(f"... and {len(conversion.notes) - SHOWN} more")

    return guarded(write)

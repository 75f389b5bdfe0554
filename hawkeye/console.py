"""What the commands print: text that cannot steer the terminal, tables that lose nothing, errors in one line."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import traceback
import unicodedata
from collections.abc import Callable
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING

from hawkeye.files import is_failed_write

if TYPE_CHECKING:  # rich is imported when something is printed with it: help is quick
    from rich.console import Console

WIDTH_OF_FILES = 160
"""Columns of what goes into a pipe or a log, where no terminal and no COLUMNS says how wide it is."""

DEBUG = "HAWKEYE_DEBUG"
"""The environment variable that makes errors print their traceback."""

_STEERING = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories that are escaped: control characters, lone surrogates, line and paragraph separators."""

_REORDERING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
"""Characters that change the direction of the text after them: a name could look like another one."""


def printable(text: str) -> str:
    r"""`text` with everything escaped that a terminal would obey or cannot show; line ends and tabs stay.

    >>> printable("\x1b[31mred")
    '\\x1b[31mred'
    """
    return "".join(
        sign.encode("unicode_escape").decode("ascii")
        if ord(sign) in _REORDERING or (unicodedata.category(sign) in _STEERING and sign not in "\n\t")
        else sign
        for sign in text
    )


def one_line(text: object) -> str:
    """A message in one line, fit for a terminal."""
    return printable(" ".join(str(text).split()))


def say(text: str) -> None:
    """Prints a line or several on stdout."""
    print(printable(text))


def warn(text: object, *, kind: str = "warning") -> None:
    """Prints one line on stderr."""
    print(f"{kind}: {one_line(text)}", file=sys.stderr)


def console(file: IO[str] | None = None) -> Console:
    """A console that shows every text as it is: brackets are no markup, numbers no highlights, escapes no commands."""
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **options: object) -> Text:
            return super().render_str(printable(text), **options)  # type: ignore[arg-type]  # handed on as they come

    made = PlainConsole(file=file, markup=False, emoji=False, highlight=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = WIDTH_OF_FILES
    return made


def guarded(run: Callable[[], int | None], stopped: str = "stopped") -> int:
    """Runs a command, and makes one line of whatever ends it; `HAWKEYE_DEBUG=1` prints the traceback as well.

    Args:
        run: returns the exit status, or None for 0.
        stopped: what Ctrl-C prints, where the interruption says nothing itself.

    Returns:
        The exit status: that of `run`; 2 after a mistake of the user's; 1 after an error that nobody expected, whose
        traceback is kept in a file; 130 after Ctrl-C; 141 if the reader of stdout has gone.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names that the terminal's encoding lacks are escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        return run() or 0
    except BrokenPipeError:  # head, say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as error:
        print(one_line(error) or stopped, file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        if is_failed_write(error):
            warn(f"a file could not be written to its end; is the disk full? ({error})", kind="error")
            return 2
        if isinstance(error, ValueError | OSError):  # VideoError, AnnotationError and ConfigError among them
            warn(error, kind="error")
            return 2
        tell_unexpected(error)
        return 1


class PrintableFormatter(logging.Formatter):
    """Lines of a log that cannot steer the terminal that shows it."""

    def format(self, record: logging.LogRecord) -> str:
        """See the base class."""
        return printable(super().format(record))


def tell_unexpected(error: Exception) -> None:
    """Says that an error is a fault of the program, and where its traceback is kept."""
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="hawkeye-error-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
        kept = f"the traceback is in {file.name}"
    except OSError:
        kept = f"{DEBUG}=1 shows the traceback"
    warn(f"{type(error).__name__}: {error} (not expected: please report it with the command; {kept})", kind="error")

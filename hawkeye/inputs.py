"""What callers of the Python interface hand over, checked before anything is computed."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hawkeye.temporal import Span


def text_of(value: Any, what: str) -> str:
    """A text to show to the model.

    Raises:
        ValueError: if it is no text, is empty, or holds half characters (surrogates), which no tokenizer reads.
    """
    if not isinstance(value, str):
        raise ValueError(f"the {what} must be a text, not {value!r}")
    if not value.strip():
        raise ValueError(f"the {what} is empty")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"the {what} {value!a} is no valid Unicode text ({error.reason})") from None
    return value


def texts_of(value: Any, what: str) -> list[str]:
    """Texts to show to the model, at least one.

    Raises:
        ValueError: if it is no list or tuple of texts, or holds none.
    """
    if not isinstance(value, list | tuple):
        raise ValueError(f"the {what} must be a text or a list of texts, not {value!r}")
    if not value:
        raise ValueError(f"the {what} is an empty list: give one text at least")
    return [text_of(text, what) for text in value]


def path_of(value: Any, what: str = "video") -> Path:
    """A file or a folder.

    Raises:
        ValueError: if it is no path.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str) or not os.fspath(value):
        raise ValueError(f"the {what} must be the path of a file or folder, not {value!r}")
    return Path(value)


def whole_number(value: Any, what: str, *, least: int | None = None, most: int | None = None) -> int:
    """An integer from `least` to `most`; numpy's integers are ones, whole floats and booleans are not.

    Raises:
        ValueError: if it is something else.
    """
    limits = [f"at least {least}"] * (least is not None) + [f"at most {most}"] * (most is not None)
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least) or (most is not None and number > most):
        wanted = " of ".join(["a whole number", *([" and ".join(limits)] if limits else [])])
        raise ValueError(f"{what} must be {wanted}, not {value!r}")
    return number


def rate_of(value: Any) -> float | None:
    """Frames per second, or None.

    Raises:
        ValueError: if it is no positive number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not _is_number(value) or not 0 < float(value) < math.inf:
        raise ValueError(f"fps must be a positive number of frames per second, not {value!r}")
    return float(value)


def window_of(value: Any) -> Span | None:
    """A part of a video in seconds: a span, a pair of numbers, or None for all of it.

    Raises:
        ValueError: if it is something else, begins before the video does, or is empty.
    """
    if value is None:
        return None
    if not isinstance(value, Span):
        is_pair = isinstance(value, Sequence) and len(value) == 2 and all(_is_number(bound) for bound in value)
        if not is_pair or isinstance(value, str | bytes):
            raise ValueError(f"window must be a Span or (start, end) in seconds, not {value!r}")
        value = Span(float(value[0]), float(value[1]))
    if value.start < 0 or value.duration <= 0:
        raise ValueError(f"window must begin at second 0 or later and end after that, not [{value.start}, {value.end}]")
    return value


def one_of(value: Any, what: str, known: Sequence[str]) -> None:
    """Refuses what is not among `known`.

    Raises:
        ValueError: naming the nearest, or all of them.
    """
    if value not in known:
        from hawkeye.config import nearest

        raise ValueError(f"{what} {value!r} is unknown{nearest(str(value), known)}")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(value, str | bytes | bool)

"""JSON and YAML that others wrote: parsed with limits, so that whatever a file holds ends in values or in one error."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 4 << 30
"""Of a file that is read whole."""
MAX_DEPTH = 100
"""Of lists and mappings in each other."""
MAX_DIGITS = 308
"""Of a whole number: larger ones are no double-precision numbers."""
MAX_YAML_VALUES = 100_000
"""Of a YAML document with its aliases written out, which may be exponentially many (the "billion laughs")."""


class ParseError(ValueError):
    """Text that cannot be used; the message says why, and leaves it to the caller to say where it stands."""


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte-order mark.

    Raises:
        FileNotFoundError: if there is none.
        ParseError: if it cannot be read, is too large or is not UTF-8.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ParseError(f"cannot be read (it has {path.stat().st_size} bytes, more than {MAX_BYTES})")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError, MemoryError) as error:
        raise ParseError(f"cannot be read ({error})") from None


def parse_json(text: str) -> Any:
    """The value of a JSON text. NaN and infinities, which Python writes, are read; fields check their values.

    Raises:
        ParseError: if it is not JSON, or holds a whole number of more than `MAX_DIGITS` digits.
    """
    try:
        return json.loads(text, parse_int=_whole_number)
    except RecursionError:
        raise ParseError(f"nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:
        raise ParseError(f"not valid JSON ({error})") from None


def parse_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ParseError: if it is not YAML, or holds more, or deeper, than a configuration can.
    """
    try:
        value = yaml.safe_load(text)
        check_value(value, MAX_YAML_VALUES)
    except RecursionError:
        raise ParseError(f"nested more than {MAX_DEPTH} deep") from None
    except (yaml.YAMLError, ArithmeticError, ValueError, TypeError) as error:
        if isinstance(error, ParseError):
            raise
        raise ParseError(f"not valid YAML ({' '.join(str(error).split())})") from None
    return value


def check_value(value: Any, max_values: int | None = None) -> None:
    """Refuses what cannot be worked with although it is well-formed.

    Raises:
        ParseError: if lists and mappings are nested more than `MAX_DEPTH` deep, a text is half of a character that
            takes two (a lone surrogate, which no file or terminal can show), or there are more than `max_values`
            values.
    """
    count = 0
    left: list[tuple[Any, int]] = [(value, 0)]
    while left:
        value, depth = left.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise ParseError(f"nested more than {MAX_DEPTH} deep")
        if max_values is not None and count > max_values:
            raise ParseError(f"holds more than {max_values} values")
        if isinstance(value, str):
            if not value.isascii():
                _check_text(value)
        elif isinstance(value, dict | list):
            parts: Iterable[Any] = (*value.keys(), *value.values()) if isinstance(value, dict) else value
            left += [(part, depth + 1) for part in parts]


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ParseError(f"the text {text[:60]!r} holds a lone surrogate, which is no character") from None


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)

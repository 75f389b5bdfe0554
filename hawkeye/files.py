"""Writing that other processes, and the next run, see whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written_whole(path: Path, *, by_many: bool = False) -> Iterator[Path]:
    """A path beside `path`, for a file or a directory, that takes its place at the end and vanishes after an error.

    Args:
        path: what to write; directories above it are made. A directory that is there already must be empty.
        by_many: whether several processes may write the same path at once; the last one wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f".{os.getpid()}" if by_many else ""
    # The ending stays: libraries choose the format by it.
    unfinished = path.with_name(f"{path.stem}{own}.unfinished{path.suffix}")
    remove(unfinished)  # of a killed process
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        remove(unfinished)


def remove(path: Path) -> None:
    """Deletes a file or a directory with all that it holds, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, in UTF-8, that appears whole."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, lists one row a line; it appears under its name when it is whole."""
    if isinstance(content, list):
        text = "[\n" + ",\n".join(json.dumps(row) for row in content) + "\n]\n"
    else:
        text = json.dumps(content, indent=1) + "\n"
    write_text(path, text)


def sha256(path: Path) -> str:
    """A file's checksum, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

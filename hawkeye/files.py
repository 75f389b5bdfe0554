"""Atomic writes of files and directories, and locks on directories."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

LOCK_FILE = ".lock"
"""In a directory that a process is at work in; it says which."""

_FAILED_WRITES = re.compile(
    r"PytorchStreamWriter failed|inline_container\.cc:\d+\] \. unexpected pos|basic_ios::clear: iostream error"  # torch
    r"|\(os error (28|27|122)\)"  # safetensors: no space, too large, quota
    r"|\d+ requested and \d+ written"  # numpy
)
"""What libraries say when a file could not be written to its end, in errors of their own types."""

_writes = count()


class InUseError(ValueError):
    """A directory that another process works in; the message names both."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside `path`, for a file or a directory, that takes its place at the end and vanishes after an error.

    Several processes and threads may write the same path at once; the last one wins. What killed processes of this
    machine have left behind is removed.

    Args:
        path: what to write; directories above it are made. A directory that is there already must be empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    node = re.sub(r"\W", "-", platform.node())
    for left in path.parent.glob(f"{escape(path.stem)}.{node}-*.unfinished{escape(path.suffix)}"):
        of_process = re.search(r"-(\d+)-\d+\.unfinished", left.name)
        if of_process and not _is_running(int(of_process[1])):
            remove(left)
    # The ending stays: libraries choose the format by it.
    unfinished = path.with_name(f"{path.stem}.{node}-{os.getpid()}-{next(_writes)}.unfinished{path.suffix}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        remove(unfinished)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def is_failed_write(error: BaseException) -> bool:
    """Whether an error says that a file could not be written to its end: a full disk, a quota."""
    return any(
        (isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
        or _FAILED_WRITES.search(str(each))
        for each in (error, error.__cause__, error.__context__)
    )


def check_writable(directory: Path) -> None:
    """Sees to it that files can be written into a directory that is there.

    Raises:
        OSError: if not, naming the directory.
    """
    try:
        with TemporaryFile(dir=directory) as file:
            file.write(b"x")
    except OSError as error:
        raise OSError(f"{directory}: cannot be written to ({error.strerror or error})") from None


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keeps other processes out of a directory, which is made if it is not there, and does not stay if it is empty.

    The lock is the operating system's, and goes with the process however that ends. It does not pass to forked
    children, and keeps no thread of the same process out.

    Raises:
        InUseError: if another process has it; the message says which, on which machine and since when.
    """
    is_new = not directory.exists()
    path = directory / LOCK_FILE
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+", encoding="utf-8")
        except FileNotFoundError:  # another process has just removed the directory again
            continue
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise InUseError(f"{directory}: {holder} works in it; wait for it, or choose another directory") from None
        # The one who had it has deleted the file between our opening it and locking it: there is a new one.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}, since {time.strftime('%Y-%m-%d %H:%M:%S')},")
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
        if is_new:
            with suppress(OSError):  # it holds something, or another process has come
                directory.rmdir()


def remove(path: Path) -> None:
    """Deletes a file or a directory with all that it holds, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, in UTF-8, that appears whole; what is no character (names of files hold such) is escaped."""
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, lists one row a line; it appears under its name when it is whole."""
    if isinstance(content, list):
        text = "[\n" + ",\n".join(json_text(row) for row in content) + "\n]\n"
    else:
        text = json_text(content, indent=1) + "\n"
    write_text(path, text)


def json_text(content: Any, *, indent: int | None = None) -> str:
    """Content as JSON, which has no word for numbers that are not finite.

    Raises:
        ValueError: if a number in it is not finite; it says where.
    """
    try:
        return json.dumps(content, indent=indent, allow_nan=False)
    except ValueError as error:
        if where := _non_finite(content):
            raise ValueError(f"a number is not finite: {where}") from None
        raise error


def _non_finite(content: Any, where: str = "") -> str:
    """Where the first non-finite number of nested dictionaries and lists is; empty if there is none."""
    if isinstance(content, float) and not math.isfinite(content):
        return f"{where or 'the value'} is {content}"
    if isinstance(content, dict | list | tuple):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            if found := _non_finite(value, f"{where}.{key}" if where else str(key)):
                return found
    return ""


def sha256(path: Path) -> str:
    """A file's checksum, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

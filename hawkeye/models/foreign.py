"""Loading models, configurations and tokenizers that others made: never with their own code, errors in one line."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hawkeye.config import ConfigError
from hawkeye.parsing import ParseError, parse_json, read_text

logger = logging.getLogger(__name__)

LONGEST_REASON = 300
"""Characters of the library's own words that an error repeats."""


class WeightFileError(ConfigError):
    """A file of a model that cannot be used; the message names the file and the reason."""


def load(loader: Any, source: str | os.PathLike[str], what: str, **options: Any) -> Any:
    """`loader.from_pretrained(source)` without the code that the source may carry.

    transformers asks on the terminal whether to run the code that a directory's `auto_map` names, unless it is told.

    Args:
        loader: a class of transformers, or of ours on top of it, with `from_pretrained`: such as `AutoTokenizer`.
        source: a directory, or the name of a model on the Hub.
        what: what is loaded, for messages: "the tokenizer".
        options: for `from_pretrained`.

    Raises:
        ConfigError: naming the source and the reason. The library raises whatever a damaged or unusual file leads to
            (KeyError, RecursionError, ZeroDivisionError, ...), so all of it is caught.
    """
    directory = Path(source)
    if directory.is_dir():
        refuse_unusual_files(directory)
    with one_line_errors(f"{source}: {what} cannot be loaded"):
        return loader.from_pretrained(str(source), trust_remote_code=False, **options)


@contextmanager
def one_line_errors(message: str) -> Iterator[None]:
    """Makes one ConfigError of whatever the block, a library's work on foreign data, raises.

    Raises:
        ConfigError: `message` and the reason.
    """
    try:
        yield
    except ConfigError:
        raise
    except BaseException as error:
        # What Rust code (of tokenizers) panics with is no Exception, and no class that can be imported.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        logger.debug("%s", message, exc_info=True)
        raise ConfigError(f"{message} ({reason(error)})") from None


def reason(error: BaseException) -> str:
    """The words of a library's error on one line; its class, where the words alone would not tell."""
    words = " ".join(str(error).split())
    if "trust_remote_code" in words:
        return "it needs code of its own to be run, which is refused: use a model that transformers supports"
    if not isinstance(error, (ValueError, OSError)) or not words:
        words = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return words if len(words) <= LONGEST_REASON else f"{words[:LONGEST_REASON]} ..."


LFS_POINTER = b"version https://git-lfs"
MARKUP = (b"<!", b"<html", b"<head", b"<body", b"<?xml", b"<error")
TEXT_ENDINGS = (".json", ".txt", ".model")
"""Of files that may be text; the vocabularies of some models in a tokenizer.model are."""
READ_BYTES = 256
STAND_INS = (".safetensors", ".bin", ".pth", ".pt", ".model", ".json", ".txt")
"""Endings of the files that a model is made of, in whose stead a clone or a download may have left something else."""


def refuse_stand_in(path: Path) -> None:
    """Refuses a Git LFS pointer, or a web page, that bears the name of a model's file; of a binary one, any text.

    Raises:
        WeightFileError: saying what the file is, and what to do.
    """
    with path.open("rb") as file:
        start = file.read(READ_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(LFS_POINTER):
        raise WeightFileError(
            f"{path}: not a model's file but a Git LFS pointer: run 'git lfs pull' where it was cloned, or download it"
        )
    if start.startswith(MARKUP):
        raise WeightFileError(
            f"{path}: not a model's file but a web page: the download failed or needs a login; repeat it"
        )
    if path.suffix not in TEXT_ENDINGS and _is_text(start):
        kind = "JSON" if start.startswith((b"{", b"[")) else "text"
        words = " ".join(start.decode(errors="ignore").split())[:60]
        raise WeightFileError(
            f"{path}: no weights but {kind}, which begins {words!r}: the download failed or needs a login; download it "
            "again"
        )


def _is_text(start: bytes) -> bool:
    """Whether the first bytes of a file are printable text; weights begin with lengths or opcodes, which are not."""
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.end < len(start):
            return False
        text = start[: error.start].decode()  # a character that the read has cut in two
    return bool(text) and all(sign.isprintable() or sign.isspace() for sign in text)


def refuse_unusual_files(directory: Path) -> None:
    """Refuses what the library would follow out of a model's directory.

    Raises:
        ConfigError: if a file is a stand-in (`refuse_stand_in`), an index of shards names files elsewhere, or the
            configuration names code on the Hub as attention implementation.
    """
    for file in sorted(directory.iterdir()):
        if file.suffix in STAND_INS and file.is_file():
            refuse_stand_in(file)
    for index in sorted(directory.glob("*.index.json")):
        content = read_json_object(index)
        weight_map = content.get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise WeightFileError(
                f"{index}: not an index of shards: 'weight_map' must hold a file name for each weight"
            )
        for name in dict.fromkeys(weight_map.values()):
            check_shard_name(index, name)
    path = directory / "config.json"
    if path.is_file():
        for key, value in _entries(read_json_object(path)):
            if key.endswith("attn_implementation") and isinstance(value, str) and "/" in value:
                raise ConfigError(f"{path}: {key} {value!r} names code on the Hub, which is refused")


def check_shard_name(index: Path, name: str) -> None:
    """Refuses a shard's name that leads out of the directory of its index.

    Links are followed, as the Hub's cache is made of them: it is the name that a stranger writes.

    Raises:
        ConfigError: naming the index and the name.
    """
    parts = name.replace("\\", "/").split("/")
    if not name or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise WeightFileError(f"{index}: the shard {name!r} lies outside the model's directory, which is refused")


def read_json_object(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON file of a model's directory that must hold an object; `default` where there is no such file.

    Raises:
        ConfigError: naming the file.
    """
    if default is not None and not path.exists():
        return default
    try:
        content = parse_json(read_text(path))
    except (OSError, ParseError) as error:
        raise WeightFileError(f"{path}: cannot be read as JSON ({reason(error)})") from None
    if not isinstance(content, dict):
        raise WeightFileError(f"{path}: must hold a JSON object, not {type(content).__name__}")
    return content


def _entries(content: Any) -> list[tuple[str, Any]]:
    """All keys and values of nested objects; without recursion, as the nesting is a stranger's."""
    found, waiting = [], [content]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            found += list(node.items())
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found

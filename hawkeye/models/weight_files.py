"""Reading files of weights: lazily (memory-mapped), and without running code that a file may carry."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hawkeye.config import ConfigError

INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")


class WeightFileError(ConfigError):
    """A file of weights that cannot be used; the message names the file and the reason."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file or of a directory of shards, by name.

    Args:
        path: a `.pth`, `.pt`, `.bin` or `.safetensors` file; or a directory as `save_pretrained` writes it. Tensors of
            a `.pth` file may lie under "model" beside other things, which are left alone.

    Returns:
        Tensors that lie in the file until they are read, where the file's format allows that.

    Raises:
        WeightFileError: if a file is missing, truncated, no file of weights, or holds code.
    """
    if path.is_dir():
        return _read_directory(path)
    if not path.is_file():
        raise WeightFileError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightFileError(f"{path}: truncated, or not a safetensors file ({error})") from None
    return _tensors(_unpickle(path), path)


def _read_directory(directory: Path) -> dict[str, Tensor]:
    for name in INDEX_FILES:
        if (directory / name).is_file():
            return _read_shards(directory, directory / name)
    for name in SINGLE_FILES:
        if (directory / name).is_file():
            return read_weights(directory / name)
    raise WeightFileError(f"{directory}: holds no weights (looked for {', '.join((*INDEX_FILES, *SINGLE_FILES))})")


def _read_shards(directory: Path, index: Path) -> dict[str, Tensor]:
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = {name: read_weights(directory / name) for name in sorted(set(places.values()))}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, WeightFileError):
            raise
        raise WeightFileError(f"{index}: not an index of shards ({error!r})") from None
    missing = [key for key, name in places.items() if key not in shards[name]]
    if missing:
        raise WeightFileError(f"{directory / places[missing[0]]}: lacks {missing[0]!r}, which {index.name} promises")
    return {key: shards[name][key] for key, name in places.items()}


ORIGINAL_CONFIGURATION = (OrderedDict, "utils.easydict.EasyDict")
"""The original saves its configuration, a dictionary of a class of its own, beside the weights; a plain one does."""


def _unpickle(path: Path) -> Any:
    is_zip = zipfile.is_zipfile(path)
    if not is_zip and _first_bytes(path) == b"PK\x03\x04":
        raise WeightFileError(f"{path}: truncated: the file's end is missing; copy or download it again")
    try:
        with torch.serialization.safe_globals([ORIGINAL_CONFIGURATION]):
            return torch.load(path, map_location="cpu", mmap=is_zip, weights_only=True)
    except pickle.UnpicklingError as error:
        match = re.search(r"GLOBAL (\S+)", str(error))
        found = f"it holds more than weights ({match[1]})" if match else "it is not a plain file of weights"
        raise WeightFileError(f"{path}: refused: {found}, and loading it could run code") from None
    except Exception as error:  # damaged bytes make torch's reader raise whatever they lead to
        raise WeightFileError(f"{path}: not a file of weights, or damaged ({_line(error)})") from None


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not content:
        raise WeightFileError(
            f"{path}: must hold tensors by name, alone or under 'model', not {type(content).__name__}"
        )
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise WeightFileError(f"{path}: the entry {key!r} is {type(value).__name__}, not a tensor")
    return dict(content)

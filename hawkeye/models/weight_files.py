"""Reading files of weights: lazily (memory-mapped), and without running code that a file may carry."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hawkeye.models.foreign import WeightFileError, check_shard_name, read_json_object, reason, refuse_stand_in

INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file or of a directory of shards, by name.

    Args:
        path: a `.pth`, `.pt`, `.bin` or `.safetensors` file; or a directory as `save_pretrained` writes it. Tensors of
            a `.pth` file may lie under one of `NESTINGS` beside other things, which are left alone.

    Returns:
        Tensors that lie in the file until they are read, where the file's format allows that.

    Raises:
        WeightFileError: if a file is missing, truncated, damaged, no file of weights, or holds code.
    """
    if path.is_dir():
        return _read_directory(path)
    if not path.is_file():
        raise WeightFileError(f"{path}: no such file")
    refuse_stand_in(path)
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
    places = read_json_object(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise WeightFileError(f"{index}: not an index of shards: 'weight_map' must hold a file name for each weight")
    for name in dict.fromkeys(places.values()):
        check_shard_name(index, name)
    shards = {name: read_weights(directory / name) for name in sorted(set(places.values()))}
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
    if is_zip:
        _check_archive(path)
    try:
        with torch.serialization.safe_globals([ORIGINAL_CONFIGURATION]):
            return torch.load(path, map_location="cpu", mmap=is_zip, weights_only=True)
    except pickle.UnpicklingError as error:
        match = re.search(r"GLOBAL (\S+)", str(error))
        found = f"it holds more than weights ({match[1]})" if match else "it is not a plain file of weights"
        raise WeightFileError(f"{path}: refused: {found}, and loading it could run code") from None
    except Exception as error:  # damaged bytes make torch's reader raise whatever they lead to
        raise WeightFileError(f"{path}: not a file of weights, or damaged ({reason(error)})") from None


def _check_archive(path: Path) -> None:
    """Compares the entries of a zip archive with their checksums, which torch leaves unread.

    torch can be set to write no checksums (`set_crc32_options`); such entries say 0 and are not checked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.CRC == 0:
                    continue
                with archive.open(entry) as content:
                    while content.read(1 << 24):
                        pass
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise WeightFileError(f"{path}: damaged ({reason(error)}); copy or download it again") from None


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


NESTINGS = ("model", "module", "state_dict", "model_state_dict")
"""Where training frameworks put the weights of a file: the original, DeepSpeed, Lightning, torch's own examples."""
WRAPPER = "module."
"""What torch's DistributedDataParallel writes before every name."""


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    nested = {
        key: content[key] for key in NESTINGS if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)
    }
    if len(nested) > 1:
        raise WeightFileError(f"{path}: holds weights under each of {', '.join(map(repr, nested))}: keep one of them")
    if nested:
        return _tensors(next(iter(nested.values())), path)
    if not isinstance(content, Mapping) or not content:
        raise WeightFileError(
            f"{path}: must hold tensors by name, alone or under one of {', '.join(map(repr, NESTINGS))}, "
            f"not {'nothing' if content == {} else type(content).__name__}"
        )
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightFileError(f"{path}: the entry {key!r} is {type(value).__name__}, not a tensor")
    if all(key.startswith(WRAPPER) for key in content):
        return {key.removeprefix(WRAPPER): value for key, value in content.items()}
    return dict(content)

import json
import os
import pickle
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file

from hawkeye.models.weight_files import WeightFileError, read_weights

WEIGHTS = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == WEIGHTS.keys() and all(torch.equal(found[name], WEIGHTS[name]) for name in found)


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"model": WEIGHTS, "optimizer": {"step": 3}, "epoch": 1},
        {"module": WEIGHTS, "buffer_names": ["a"], "global_steps": 3},  # DeepSpeed
        {"state_dict": WEIGHTS, "pytorch-lightning_version": "2.0", "optimizer_states": [{"step": 3}]},
        {"model": {"state_dict": WEIGHTS}},
        {"model": {f"module.{name}": weight for name, weight in WEIGHTS.items()}},  # DistributedDataParallel
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_a_file_alone_or_nested_as_frameworks_do(
    content: dict[str, object], zipped: bool, tmp_path: Path
) -> None:
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert same(read_weights(tmp_path / "w.pth"))


def test_a_directory_with_one_file(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    assert same(read_weights(tmp_path))


def test_the_originals_configuration_beside_the_weights_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EasyDict(dict):  # as the original's: keys are attributes too
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            super().__setitem__(name, value)

    EasyDict.__module__, EasyDict.__qualname__ = "utils.easydict", "EasyDict"
    module = ModuleType("utils.easydict")
    module.EasyDict = EasyDict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "utils", ModuleType("utils"))
    monkeypatch.setitem(sys.modules, "utils.easydict", module)
    config = EasyDict()
    config.lr, config.model = 2e-5, EasyDict()
    torch.save({"model": WEIGHTS, "config": config}, tmp_path / "w.pth")
    assert same(read_weights(tmp_path / "w.pth"))


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("form", ["zip", "old", "pickle"])
def test_a_payload_is_refused_and_not_run(form: str, tmp_path: Path) -> None:
    file, mark = tmp_path / "evil.pth", tmp_path / "mark"
    content = {"model": WEIGHTS, "config": Payload(f"touch {mark}")}
    if form == "pickle":
        file.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(WeightFileError, match=r"evil\.pth: refused: .* could run code"):
        read_weights(file)
    assert not mark.exists()
    if form == "pickle":  # the payload works
        pickle.loads(file.read_bytes())
        assert mark.exists()


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
@pytest.mark.parametrize("name", ["w.pth", "old.pth", "w.safetensors"])
def test_a_truncated_file_is_refused(name: str, keep: int, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "w.safetensors":
        save_file(WEIGHTS, path)
    else:
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=name == "w.pth")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightFileError, match=name):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "must hold tensors by name"),
        ({}, "must hold tensors by name"),
        ({"a": torch.ones(1), "b": "text"}, "the entry 'b' is str, not a tensor"),
    ],
)
def test_a_file_of_other_things_is_refused(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightFileError, match=message):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.bin"])
def test_a_git_lfs_pointer_is_called_one(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 13476878336\n")
    with pytest.raises(WeightFileError, match=rf"{name}: .*a Git LFS pointer: run 'git lfs pull'"):
        read_weights(tmp_path / name)


def test_a_web_page_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_text("\n<!DOCTYPE html><title>Sign in</title>")
    with pytest.raises(WeightFileError, match=r"w\.safetensors: .* a web page: the download failed"):
        read_weights(tmp_path / "w.safetensors")


def test_flipped_bits_are_found_by_the_archives_checksums(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.arange(1000.0)}, path)
    whole = path.read_bytes()
    start = whole.index(torch.arange(1000.0).numpy().tobytes())
    for position in (start, start + 1999, start + 3999):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(WeightFileError, match=r"w\.pth: damaged .*copy or download it again"):
            read_weights(path)


def test_an_archive_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(WEIGHTS, tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert same(read_weights(tmp_path / "w.pth"))


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("name", ["../other/{}", "/{}", "a/../../other/{}", "..\\other\\{}", "C:{}", "", 3])
def test_a_shard_outside_the_directory_is_refused(name: object, kind: str, tmp_path: Path) -> None:
    directory, other = tmp_path / "model", tmp_path / "other"
    directory.mkdir()
    other.mkdir()
    stem = {"safetensors": "model", "bin": "pytorch_model"}[kind]
    save_file(WEIGHTS, other / "w.safetensors")
    torch.save(WEIGHTS, other / "w.bin")
    if isinstance(name, str):
        name = name.format(f"{str(other)[1:]}/w.{kind}" if name.startswith("/") else f"w.{kind}")
    index = directory / f"{stem}.{kind}.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(WEIGHTS, name)}))
    with pytest.raises(WeightFileError, match=r"index\.json: (the shard .* lies outside|not an index)"):
        read_weights(directory)


def test_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_text("<html>404 not found</html>")
    with pytest.raises(WeightFileError, match=r"w\.pth: .*not a"):
        read_weights(tmp_path / "w.pth")


def test_a_missing_shard_and_a_wrong_index_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightFileError, match="holds no weights"):
        read_weights(tmp_path)
    with pytest.raises(WeightFileError, match=r"w\.pth: no such file"):
        read_weights(tmp_path / "w.pth")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "one.safetensors", "c": "two.safetensors"}}')
    save_file(WEIGHTS, tmp_path / "one.safetensors")
    with pytest.raises(WeightFileError, match=r"two\.safetensors: no such file"):
        read_weights(tmp_path)
    save_file(WEIGHTS, tmp_path / "two.safetensors")
    with pytest.raises(WeightFileError, match=r"two\.safetensors: lacks 'c'"):
        read_weights(tmp_path)
    index.write_text('{"weights": {}}')
    with pytest.raises(WeightFileError, match="not an index of shards"):
        read_weights(tmp_path)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.bin"])
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<!-- x --><body>Login", "a web page"),
        ('{"error": "Repository not found"}', "no weights but JSON, which begins"),
        ("Access to this repository is gated. \u00e9" * 40, "no weights but text, which begins 'access to this"),
    ],
)
def test_text_in_place_of_weights_is_called_so(text: str, kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(WeightFileError, match=rf"{name}: .*{kind}.*the download failed or needs a login"):
        read_weights(tmp_path / name)

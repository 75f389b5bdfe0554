"""Atomic writes, and locks on directories."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hawkeye.files import (
    LOCK_FILE,
    InUseError,
    check_writable,
    is_failed_write,
    json_text,
    locked,
    write_json,
    write_text,
    written_whole,
)

HOLD = """
import sys, time
from pathlib import Path
from hawkeye.files import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def hold(directory: Path) -> subprocess.Popen[str]:
    """A process that has the lock of a directory."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(directory)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_what_is_written_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    write_text(path, "old")

    def interrupted() -> None:
        with written_whole(path) as unfinished:
            unfinished.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [(each.name, each.read_text()) for each in path.parent.iterdir()] == [("a.json", "old")]


def test_many_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_text(path, str(number) * 1000), range(200)))
    assert len(set(path.read_text())) <= 3
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_writers_left_is_removed_and_what_others_are_writing_stays(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    node = platform.node().replace(".", "-")
    left = tmp_path / f"[a].{node}-{ended.pid}-7.unfinished.txt"
    other = tmp_path / f"[a].{node}-{os.getppid()}-7.unfinished.txt"
    left.touch()
    other.touch()
    write_text(tmp_path / "[a].txt", "whole")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "[a].txt", other])


def test_a_directory_in_use_names_the_process_that_uses_it(tmp_path: Path) -> None:
    process = hold(tmp_path)
    try:
        says = rf"^{tmp_path}: process {process.pid} on {platform.node()}, since 20\d\d-.* works in it; wait for it, or"
        with pytest.raises(InUseError, match=says), locked(tmp_path):
            pass
    finally:
        process.kill()
        process.wait()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    process = hold(tmp_path)
    process.kill()
    process.wait()
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK_FILE).read_text()
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_lock_leaves_no_empty_directory(tmp_path: Path) -> None:
    with locked(tmp_path / "new"):
        assert (tmp_path / "new" / LOCK_FILE).exists()
    with locked(tmp_path / "used"):
        (tmp_path / "used" / "a").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "used"]


def test_json_holds_finite_numbers_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^a number is not finite: rows\.1\.iou is nan$"):
        json_text({"rows": [{"iou": 0.5}, {"iou": float("nan")}]})
    with pytest.raises(ValueError, match=r"not finite: 0 is -inf"):
        write_json(tmp_path / "a.json", [[float("-inf")]])
    write_json(tmp_path / "a.json", [{"a": 1.5}])
    assert json.loads((tmp_path / "a.json").read_text()) == [{"a": 1.5}]


@contextmanager
def limited_file_size(size: int) -> Iterator[None]:
    """Files end at so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(bytes(400_000)),
        lambda path: np.save(path, np.zeros(100_000)),
        lambda path: torch.save({"a": torch.zeros(100_000)}, path),
        lambda path: save_file({"a": torch.zeros(100_000)}, path),
    ],
    ids=["Python", "numpy", "torch", "safetensors"],
)
def test_every_librarys_failed_write_is_known(write: Callable[[Path], object], tmp_path: Path) -> None:
    with limited_file_size(10_000), pytest.raises(Exception) as caught:  # noqa: PT011 - the types differ
        write(tmp_path / "a.npy")
    assert is_failed_write(caught.value)


@pytest.mark.parametrize("error", [ValueError("3 rows requested"), FileNotFoundError(2, "none"), RuntimeError("shape")])
def test_other_errors_are_no_failed_writes(error: Exception) -> None:
    assert not is_failed_write(error)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a directory that not even root may write to")
def test_a_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match=r"^/proc/self: cannot be written to \("):
        check_writable(Path("/proc/self"))

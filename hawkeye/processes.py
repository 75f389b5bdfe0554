"""The processes of a run: one by default, several under torchrun or the deepspeed launcher."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

from hawkeye.config import ConfigError

LONGEST_WAIT = timedelta(days=30)
"""One process may decode all videos of a data set while the others wait; if it dies, the launcher ends them."""

LAUNCHER = ("WORLD_SIZE", "RANK", "LOCAL_RANK")
"""What torchrun and the deepspeed launcher set for each process."""

_waiting: distributed.ProcessGroup | None = None
"""All processes, for `wait`: computing together gives up after minutes, and so would waiting."""


def join() -> None:
    """Joins the other processes, where a launcher has started some (its environment says so).

    Raises:
        ConfigError: if the environment says so by halves.
    """
    global _waiting
    if _launched() == 1:
        return
    if not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if _waiting is None:
        _waiting = distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)


def _launched() -> int:
    """How many processes a launcher has started; 1 without one."""
    told = {name: os.environ[name] for name in LAUNCHER if os.environ.get(name)}
    if not told or told == {"WORLD_SIZE": "1"}:
        return 1
    if missing := [name for name in LAUNCHER if name not in told]:
        raise ConfigError(
            f"the environment has {' and '.join(f'{name}={value}' for name, value in told.items())}, but no "
            f"{' and no '.join(missing)}: unset what another launcher has left, or start with torchrun, which sets all"
        )
    if not all(value.isdigit() for value in told.values()) or not int(told["RANK"]) < int(told["WORLD_SIZE"]):
        raise ConfigError(
            f"the environment's {', '.join(f'{name}={value}' for name, value in told.items())} are no ranks from 0 "
            "among so many processes"
        )
    return int(told["WORLD_SIZE"])


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def count_on_node() -> int:
    """How many of them the launcher has started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or 1)


def is_main() -> bool:
    """Whether this process is the one that writes logs and models."""
    return rank() == 0


def wait() -> None:
    """Waits until all processes are here."""
    if distributed.is_initialized():
        distributed.barrier(group=_waiting)


def count() -> int:
    """How many there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def sums(*numbers: float) -> list[float]:
    """Each number's sum over the processes."""
    if not distributed.is_initialized():
        return list(numbers)
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    together = torch.tensor(numbers, dtype=torch.float64, device=device)
    distributed.all_reduce(together)
    return together.tolist()


def from_main(text: str | None) -> str | None:
    """What the main process says, on all processes; they wait for it."""
    said = [text]
    if distributed.is_initialized():
        distributed.broadcast_object_list(said, group=_waiting)
    return said[0]


def any_of(flag: bool) -> bool:
    """Whether `flag` is set on some process."""
    return sums(flag)[0] > 0


@contextmanager
def first_of_node() -> Iterator[None]:
    """One process of each node runs the block, then its others: what the first leaves on disk, they find."""
    is_first = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if not is_first:
        wait()
    yield
    if is_first:
        wait()

"""The processes of a run: one by default, several under torchrun or the deepspeed launcher."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed


def join() -> None:
    """Joins the other processes, where a launcher has started some (its environment says so)."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_main() -> bool:
    """Whether this process is the one that writes logs and models."""
    return rank() == 0


def wait() -> None:
    """Waits until all processes are here."""
    if distributed.is_initialized():
        distributed.barrier()


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

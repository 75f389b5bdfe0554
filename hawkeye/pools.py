"""Worker processes that end when the process that started them does, however that ends."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from typing import Any

logger = logging.getLogger(__name__)


def process_pool(
    num_workers: int, initializer: Callable[..., object] | None = None, initargs: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """A pool of processes that are started anew, not forked: a fork copies the locks of threads that it does not copy.

    Ctrl-C reaches the parent alone, which decides what becomes of its workers; when it is killed, they end.

    Args:
        num_workers: limited by `limited_workers`.
        initializer, initargs: what each worker calls first.
    """
    return ProcessPoolExecutor(
        max(1, limited_workers(num_workers)), get_context("spawn"), initializer=_start, initargs=(initializer, initargs)
    )


def limited_workers(num_workers: int, num_processes: int = 1) -> int:
    """`num_workers`, or as many as this process has cores, if that is less, which is logged.

    Each worker holds the libraries that decode videos, some 400 MB, and keeps one core busy.

    Args:
        num_processes: of this machine that start workers at the same time, and share its cores.
    """
    cores = max(1, available_cores() // num_processes)
    if num_workers > cores:
        logger.warning("%d worker processes are more than this process's cores: %d are started", num_workers, cores)
    return min(num_workers, cores)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*initargs)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None, "this is a worker of a pool"
    connection.wait([parent.sentinel])
    os._exit(1)

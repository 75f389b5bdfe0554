"""Runs a stage on this machine: in several processes, or in this one where a model does the work."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from data_preparing.internvid_g.runner import Item, Outcome, Stage, Worker, attempt

_worker: Worker | None = None
"""Of a process of the pool."""


def run_local(stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
    """Does items as `runner.Engine` has it.

    A process that an item brings down, as broken videos can, costs the items that were under way one more attempt each,
    alone; the one that brings its process down again has failed.
    """
    count = min(stage.settings.workers or os.cpu_count() or 1, len(items))
    if stage.has_model or stage.is_quick:
        worker = stage.worker()
        yield from (attempt(worker, item) for item in items)
        return
    left = {item.key: item for item in items}
    try:
        for outcome in _in_processes(stage, items, count):
            del left[outcome.key]
            yield outcome
    except BrokenProcessPool:
        for item in left.values():
            yield _alone(stage, item)


def _in_processes(stage: Stage, items: Sequence[Item], count: int) -> Iterator[Outcome]:
    # A fork would copy the threads' locks of the libraries that decode videos.
    context = get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_start, initargs=(stage,)) as pool:
        futures: list[Future[Outcome]] = [pool.submit(_do, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _alone(stage: Stage, item: Item) -> Outcome:
    try:
        (outcome,) = _in_processes(stage, [item], 1)
    except BrokenProcessPool:
        return Outcome(item.key, error=f"{item.key}: the process that worked on it died")
    return outcome


def _start(stage: Stage) -> None:
    global _worker
    _worker = stage.worker()


def _do(item: Item) -> Outcome:
    assert _worker is not None
    return attempt(_worker, item)

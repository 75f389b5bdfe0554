"""Runs a stage on this machine: in several processes, or in this one where a model does the work."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children

from data_preparing.internvid_g.runner import Item, Outcome, Stage, Worker, attempt, died
from hawkeye.pools import available_cores, limited_workers, process_pool

IN_FLIGHT = 2
"""Items handed over for each process: enough that none waits, few enough to do again when one dies."""

_worker: Worker | None = None
"""Of a process of the pool."""


def run_local(stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
    """Does items as `runner.Engine` has it.

    A process that an item brings down, as broken videos can, costs the items that were under way one more attempt each,
    alone; the one that brings its process down again has failed.
    """
    if stage.has_model or stage.is_quick:
        worker = stage.worker()
        yield from (attempt(worker, item) for item in items)
        return
    waiting = deque(items)
    while waiting:
        under_way: dict[Future[Outcome], Item] = {}
        try:
            yield from _in_processes(stage, waiting, under_way)
        except BrokenProcessPool:
            for item in list(under_way.values()):
                yield _alone(stage, item)


def _in_processes(stage: Stage, waiting: deque[Item], under_way: dict[Future[Outcome], Item]) -> Iterator[Outcome]:
    """Takes items from `waiting`; those whose outcome is not there yet are in `under_way`."""
    count = min(limited_workers(stage.settings.workers or available_cores()), len(waiting))
    others = set(active_children())
    with process_pool(count, _start, (stage,)) as pool:
        try:
            while waiting or under_way:
                while waiting and len(under_way) < IN_FLIGHT * count:
                    future = pool.submit(_do, waiting[0])
                    under_way[future] = waiting.popleft()
                done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    outcome = future.result()
                    del under_way[future]
                    yield outcome
        except BrokenProcessPool:
            raise
        except BaseException:  # Ctrl-C, or nobody wants more: what is under way is not waited for
            for process in set(active_children()) - others:
                process.kill()
            raise


def _alone(stage: Stage, item: Item) -> Outcome:
    try:
        (outcome,) = _in_processes(stage, deque([item]), {})
    except BrokenProcessPool:
        return died(item)
    return outcome


def _start(stage: Stage) -> None:
    global _worker
    _worker = stage.worker()


def _do(item: Item) -> Outcome:
    assert _worker is not None
    return attempt(_worker, item)

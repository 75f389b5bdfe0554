"""Runs a stage on a Ray cluster, through Ray Data (the extra `ray`)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any

from data_preparing.internvid_g.runner import Item, Outcome, Stage, Worker, attempt, died
from hawkeye.config import ConfigError

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""Of a block of items whose worker dies, before each of its items is done alone."""

ITEMS_PER_BLOCK = 16
"""At most: a block is what a worker that dies costs, and what is lost when the run is stopped."""

QUICK_ITEMS_PER_BLOCK = 1000
"""Of stages whose items cost less than handing them over."""

_workers: dict[str, Worker] = {}
"""Of a process that does items alone, by stage and settings."""


def run_ray(stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
    """Does items as `runner.Engine` has it: each worker holds the stage's model, if it has one.

    A worker that dies is started again, and its block of items is done again; if it dies of it each time, its items are
    done alone, and the one that brings its process down has failed.

    Raises:
        ConfigError: if Ray is not installed, or its cluster is not to be reached.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError(f"engine=ray needs Ray: pip install 'hawkeye-video[ray]' ({error})") from None
    settings = stage.settings
    if not ray.is_initialized():
        try:
            ray.init(address=settings.address, log_to_driver=False, include_dashboard=False)
        except (ConnectionError, ValueError) as error:
            raise ConfigError(f"Ray at {settings.address}: {error}") from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.actor_task_retry_on_errors = False
    context.max_errored_blocks = -1  # their items are done alone
    cores = int(ray.cluster_resources()["CPU"])
    workers = settings.model_workers if stage.has_model else settings.workers or cores
    if workers > cores:
        logger.warning("%d workers are more than the cluster's cores: %d are started", workers, cores)
    workers = min(workers, cores, len(items))
    resources: dict[str, Any] = {"num_cpus": 1}
    if stage.has_model:
        there = ray.cluster_resources().get("GPU", 0)
        resources["num_gpus"] = settings.model_gpus if settings.model_gpus is not None else float(there > 0)
    per_block = QUICK_ITEMS_PER_BLOCK if stage.is_quick else ITEMS_PER_BLOCK
    blocks = min(len(items), max(4 * workers, ceil(len(items) / per_block)))
    rows = ray.data.from_items(list(items), override_num_blocks=blocks)
    done = rows.map(
        _RayWorker,  # type: ignore[arg-type]  # Ray's types know functions alone, Ray makes the object
        fn_constructor_args=(stage,),
        concurrency=workers,
        max_restarts=-1,
        max_task_retries=ATTEMPTS,
        **resources,
    )
    left = {item.key: item for item in items}
    for row in done.iter_rows():
        del left[row["outcome"].key]
        yield row["outcome"]
    yield from _alone(stage, list(left.values()), workers, resources)


def _alone(stage: Stage, items: Sequence[Item], workers: int, resources: dict[str, Any]) -> Iterator[Outcome]:
    """Does items in a task each, so many at a time."""
    import ray
    from ray.exceptions import WorkerCrashedError

    do = ray.remote(_do).options(max_retries=1, **resources)
    waiting, under_way = deque(items), dict[Any, Item]()
    while waiting or under_way:
        while waiting and len(under_way) < workers:
            item = waiting.popleft()
            under_way[do.remote(stage, item)] = item
        for task in ray.wait(list(under_way))[0]:
            item = under_way.pop(task)
            try:
                yield ray.get(task)
            except WorkerCrashedError:
                yield died(item)


def _do(stage: Stage, item: Item) -> Outcome:
    key = f"{stage.name} {stage.settings.model_dump_json()}"
    if key not in _workers:
        _workers[key] = stage.worker()
    return attempt(_workers[key], item)


class _RayWorker:
    """What an actor of Ray Data does with a row."""

    def __init__(self, stage: Stage) -> None:
        self._worker = stage.worker()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"outcome": attempt(self._worker, row["item"])}

"""Runs a stage on a Ray cluster, through Ray Data (the extra `ray`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from data_preparing.internvid_g.runner import Item, Outcome, Stage, attempt
from hawkeye.config import ConfigError

ATTEMPTS = 3
"""Of a block of items, before the worker that does it is given up."""


def run_ray(stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
    """Does items as `runner.Engine` has it: each worker holds the stage's model, if it has one.

    A worker that dies is started again, and its block of items is done again.

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
    workers = settings.model_workers if stage.has_model else settings.workers or int(ray.cluster_resources()["CPU"])
    workers = min(workers, len(items))
    resources: dict[str, Any] = {"num_cpus": 1}
    if stage.has_model:
        there = ray.cluster_resources().get("GPU", 0)
        resources["num_gpus"] = settings.model_gpus if settings.model_gpus is not None else float(there > 0)
    # A block is what a worker that dies costs; an item each would cost more than the work of the quick stages.
    blocks = min(len(items), 4 * workers)
    rows = ray.data.from_items(list(items), override_num_blocks=blocks)
    done = rows.map(
        _RayWorker,  # type: ignore[arg-type]  # Ray's types know functions alone, Ray makes the object
        fn_constructor_args=(stage,),
        concurrency=workers,
        max_restarts=-1,
        max_task_retries=ATTEMPTS,
        **resources,
    )
    yield from (row["outcome"] for row in done.iter_rows())


class _RayWorker:
    """What an actor of Ray Data does with a row."""

    def __init__(self, stage: Stage) -> None:
        self._worker = stage.worker()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"outcome": attempt(self._worker, row["item"])}

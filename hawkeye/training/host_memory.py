"""What the weights take of a node's memory while a run starts: before they move to a device, or are split by ZeRO."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor, nn

from hawkeye import processes
from hawkeye.models.weight_files import read_weights
from hawkeye.tables import table


@dataclass(frozen=True)
class HostMemory:
    """Bytes of a node's memory."""

    own: int
    """Of each process."""
    shared: int
    """Mapped from the model's files, once for all processes of the node."""

    def of_node(self, count: int) -> int:
        """Of all `count` processes together."""
        return count * self.own + self.shared


def host_memory(model: nn.Module, directory: Path | None) -> HostMemory:
    """What `hawkeye.models.saved.load_to_train` takes.

    Args:
        model: with or without values, its weights frozen and of the types that the run uses.
        directory: what is loaded; None for a new model, of which each process makes its own.
    """
    files: dict[str, Tensor] = {} if directory is None else read_weights(directory)
    own = shared = 0
    for name, weight in model.named_parameters():
        size = weight.numel() * weight.element_size()
        if not weight.requires_grad and name in files and files[name].dtype == weight.dtype:
            shared += size
        else:
            own += size
    return HostMemory(own, shared)


def host_memory_table(model: nn.Module, directory: Path | None) -> Table:
    """The plan's line about it, for the processes that the launcher starts on a node."""
    count = processes.count_on_node()
    memory = host_memory(model, directory)
    title = f"Host memory at the start, of a node with {count} process{'es' if count > 1 else ''}"
    rows = table(title, "weights", "GB of each process", "GB shared by all", "GB together")
    frozen = {weight.dtype for weight in model.parameters() if not weight.requires_grad}
    told = "in float32" if frozen <= {torch.float32} else "frozen ones in " + _names(frozen)
    rows.add_row(told, *(f"{size / 1e9:.2f}" for size in (memory.own, memory.shared, memory.of_node(count))))
    if directory is not None and not memory.shared and frozen:
        rows.caption = (
            f"frozen weights are shared where the files have them in the type of frozen_precision: hawkeye convert "
            f"{directory} --dtype {_names(frozen)} --output DIRECTORY"
        )
    return rows


def _names(types: set[torch.dtype]) -> str:
    return ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in types))

"""What a run writes."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table
from torch import nn

from hawkeye.config import TrainSettings
from hawkeye.tables import table

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Disk:
    """Bytes on disk."""

    checkpoint: int
    exported: int
    """An exported checkpoint: the trained weights alone."""
    finished: int
    """What finished stages and the run leave."""


def disk_of(settings: TrainSettings, model: nn.Module) -> Disk:
    """What a run of a model, with or without values, writes: weights, and the optimiser's 32-bit states."""
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    states = 1 if settings.optimizer == "muon" else 2
    final = sum(BYTES[settings.saved_precision] * weight.numel() for weight in model.parameters())
    return Disk(
        checkpoint=weights + 4 * states * trained,
        exported=4 * trained if settings.export_checkpoints else 0,
        finished=len(settings.stages) * weights + final,
    )


def disk_table(settings: TrainSettings, model: nn.Module) -> Table:
    """The plan's line about it."""
    disk, number = disk_of(settings, model), settings.keep_checkpoints
    most = None if number is None else number * (len(settings.stages) * disk.checkpoint + disk.exported)
    rows = table("Disk, in GB", "a checkpoint", "an exported one", "all that are kept", "stages and final model")
    sizes = (disk.checkpoint, disk.exported, most, disk.finished)
    rows.add_row(*("no limit" if size is None else f"{size / 1e9:.2f}" for size in sizes))
    return rows

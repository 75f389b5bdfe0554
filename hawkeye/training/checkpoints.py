"""A stage's checkpoints: when one is whole, which one a run goes on from, and the original's form of it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hawkeye import processes
from hawkeye.files import sha256, write_json, written_whole
from hawkeye.models.checkpoint import to_original
from hawkeye.models.weight_files import read_weights
from hawkeye.parsing import parse_json

logger = logging.getLogger(__name__)

COMPLETE = "complete"
"""Appears in a checkpoint when all else has been written: the checksum of each of its files, by its path in there."""
EXPORTED = "ckpt_{step}.pth"


class FinishCheckpoint(TrainerCallback):
    """Marks a checkpoint as whole once it is, and exports its trained weights where the run asks for that.

    Args:
        export_to: folder of the exported checkpoints; None exports none.
        trained: our names of the weights that train.
        kept: exported checkpoints that are kept; None keeps all.
    """

    def __init__(self, export_to: Path | None, trained: frozenset[str], kept: int | None) -> None:
        self.export_to = export_to
        self.trained = trained
        self.kept = kept

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        processes.wait()  # under DeepSpeed each process writes its part
        if not processes.is_main():
            return
        directory = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        mark_complete(directory)
        if self.export_to is not None:
            path = self.export_to / EXPORTED.format(step=state.global_step)
            export_trained(directory, path, self.trained, state.global_step)
            if self.kept is not None:
                exported = sorted(self.export_to.glob(EXPORTED.format(step="*")), key=lambda old: old.stat().st_mtime)
                for old in exported[: -self.kept]:
                    old.unlink()


def export_trained(checkpoint: Path, path: Path, trained: frozenset[str], step: int) -> None:
    """Writes the trained weights of a checkpoint as the original does: its names, under "model"; whole or not at all.

    Args:
        checkpoint: a directory that holds all weights under our names.
        path: the file to write.
        trained: our names of the weights that train.
        step: optimiser steps so far.
    """
    weights = {name: weight for name, weight in read_weights(checkpoint).items() if name in trained}
    with written_whole(path) as unfinished:
        torch.save({"model": to_original(weights), "global_step": step}, unfinished)


def mark_complete(checkpoint: Path) -> None:
    """Says that a checkpoint is whole, and what each of its files holds."""
    write_json(checkpoint / COMPLETE, _checksums(checkpoint))


def last_checkpoint(directory: Path) -> Path | None:
    """The last whole checkpoint of a stage.

    What was being written when a process died is deleted. Damaged ones are set aside under another name, and the one
    before is taken, with a warning. On several processes, the main one decides for all.
    """
    last: str | None = None
    if processes.is_main():
        found = sorted(directory.glob(f"{PREFIX_CHECKPOINT_DIR}-*[0-9]"), key=step_of, reverse=True)
        for path in found:
            if not (path / COMPLETE).exists():
                logger.warning("%s is incomplete, and deleted", path)
                shutil.rmtree(path)
            elif last is None and (damage := what_is_damaged(path)):
                aside = path.with_name(f"damaged-{path.name}")
                logger.warning("%s is damaged (%s): set aside as %s, the run goes on without it", path, damage, aside)
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
            elif last is None:
                last = path.name
    last = processes.from_main(last)
    return directory / last if last else None


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was written after."""
    return int(checkpoint.name.rpartition("-")[2])


def what_is_damaged(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint's files, in words; None where they hold what was written."""
    try:
        text = (checkpoint / COMPLETE).read_text(encoding="utf-8")
        if not text:  # written before checksums were kept
            return None
        written: dict[str, str] = parse_json(text)
        for name, checksum in written.items():
            if not (checkpoint / name).is_file():
                return f"{name} is missing"
            if sha256(checkpoint / name) != checksum:
                return f"{name} is not what was written"
    except (OSError, ValueError, AttributeError) as error:
        return f"{error}"
    return None


def _checksums(checkpoint: Path) -> dict[str, str]:
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != COMPLETE)
    return {path.relative_to(checkpoint).as_posix(): sha256(path) for path in files}

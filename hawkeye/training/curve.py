"""The picture of a run: loss against optimiser steps, stage after stage."""

from __future__ import annotations

from pathlib import Path

from hawkeye.annotations import read_json, reading
from hawkeye.config import TrainSettings


def loss_history(settings: TrainSettings) -> list[tuple[str, list[int], list[float]]]:
    """Name, steps (counted through the run) and losses of each stage that has left checkpoints.

    Raises:
        AnnotationError: naming a checkpoint's file that is damaged.
    """
    history = []
    before = 0
    for stage in settings.stages:
        states = sorted(
            (settings.output_dir / stage.name).glob("checkpoint-*/trainer_state.json"),
            key=lambda path: int(path.parent.name.rsplit("-", 1)[1]),
        )
        if states:
            with reading(str(states[-1])):
                state = read_json(states[-1], dict)
                figures = [(before + entry["step"], entry["loss"]) for entry in state["log_history"] if "loss" in entry]
                history.append((stage.name, [step for step, _ in figures], [loss for _, loss in figures]))
                before += state["max_steps"]
    return history


def draw_curve(settings: TrainSettings) -> Path:
    """Draws `curve.png` in the run's folder; returns its path."""
    from matplotlib.figure import Figure  # slow to import, and training that is stopped never needs it

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, steps, losses in loss_history(settings):
        axes.plot(steps, losses, label=name)
    axes.set(
        xlabel="optimiser step", ylabel="loss (weighted mean over answer tokens)", title=settings.name, yscale="log"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    path = settings.output_dir / "curve.png"
    figure.savefig(path, dpi=120)
    return path

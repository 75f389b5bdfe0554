"""Results as tables in a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

FIGURES = ("miou", "r1@0.3", "r1@0.5", "r1@0.7")


def print_results(results: dict[str, Any], console: Console) -> None:
    """Prints what `evaluate` returned: figures in percent, each beside what needs no model."""
    if "grounding" in results:
        console.print(_grounding_table(results["grounding"]))
        console.print(_single_turn_line(results["grounding"]))
    if "videoqa" in results:
        console.print(_qa_table(results["videoqa"]))
    for failure in results["failures"][:10]:
        console.print(f"failed: {failure['id']}: {failure['error']}", style="red", markup=False)
    if len(results["failures"]) > 10:
        console.print(f"... and {len(results['failures']) - 10} more failures, all in predictions.jsonl")
    console.print(f"{results['seconds']:.0f} seconds", style="dim")


def percent(value: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * value:.1f}"


def _row(table: Table, name: str, figures: dict[str, float], queries: int | None = None, style: str = "") -> None:
    table.add_row(name, "" if queries is None else str(queries), *(percent(figures[key]) for key in FIGURES), style=style)


def _grounding_table(summary: dict[str, Any]) -> Table:
    table = Table(title=f"Grounding, {summary['queries']} queries ({summary['failed']} failed), percent")
    for column in ("", "queries", "mIoU", "R1@0.3", "R1@0.5", "R1@0.7"):
        table.add_column(column, justify="left" if not column else "right")
    for turn, figures in enumerate(summary["by_turn"], start=1):
        last = turn == len(summary["by_turn"])
        _row(table, f"after turn {turn}", figures, style="bold" if last else "")
    for key, name in (("seen", "seen combinations"), ("held_out", "held-out combinations")):
        if key in summary:
            _row(table, name, summary[key], summary[key]["queries"])
    table.add_section()
    for name, figures in summary.get("baselines", {}).items():
        _row(table, name, figures, style="dim")
    return table


def _single_turn_line(summary: dict[str, Any]) -> str:
    return (
        f"One turn's choice of four: {percent(summary['accuracy_whole_window'])} on whole videos, "
        f"{percent(summary['accuracy_crops'])} on windows drawn as in training (chance 25.0)"
    )


def _qa_table(summary: dict[str, Any]) -> Table:
    table = Table(title="Multiple-choice questions, percent right")
    for column in ("task", "questions", "failed", "accuracy", "chance"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for name, task in summary["tasks"].items():
        table.add_row(
            name, str(task["questions"]), str(task["failed"]), percent(task["accuracy"]), percent(task["chance"])
        )
    table.add_section()
    table.add_row("average", "", "", percent(summary["average_accuracy"]), "", style="bold")
    return table

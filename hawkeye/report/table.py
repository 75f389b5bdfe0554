"""Runs side by side in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from hawkeye.evaluation.report import FIGURES
from hawkeye.report.analysis import by_turn, compare
from hawkeye.report.page import accuracies, told_difference
from hawkeye.report.runs import Run
from hawkeye.tables import table


def print_runs(runs: Sequence[Run], console: Console) -> None:
    """Prints the figures of runs, and how each differs from the first."""
    if any(run.judged for run in runs):
        console.print(_grounding(runs))
    if any(run.questions for run in runs):
        console.print(_questions(runs))
    for run in runs[1:]:
        rows = table(
            f"{run.name} minus {runs[0].name}, in points (95 % interval by a paired bootstrap of videos)",
            "",
            "examples",
            "difference",
        )
        for comparison in compare(runs[0], run):
            rows.add_row(comparison.name, str(comparison.count), told_difference(comparison))
        console.print(rows)


def _grounding(runs: Sequence[Run]) -> Table:
    rows = table("Grounding, percent", "", "turn", *FIGURES.values())
    for run in runs:
        for turn, figures in enumerate(by_turn(run), start=1):
            rows.add_row(run.name if turn == 1 else "", str(turn), *(f"{100 * figures[key]:.1f}" for key in FIGURES))
        rows.add_section()
    return rows


def _questions(runs: Sequence[Run]) -> Table:
    rows = table("Questions, percent right", "", "task", "questions", "accuracy")
    for run in runs:
        for task, (count, accuracy) in accuracies(run).items():
            rows.add_row(run.name, task, str(count), "not told" if accuracy is None else f"{100 * accuracy:.1f}")
        rows.add_section()
    return rows

"""Results as tables in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from hawkeye.tables import table

FIGURES = {"miou": "mIoU", "r1@0.3": "R1@0.3", "r1@0.5": "R1@0.5", "r1@0.7": "R1@0.7"}
SHOWN = 10
"""Failures, and bad rows, that are printed one by one."""


def print_results(results: dict[str, Any], console: Console) -> None:
    """Prints what `evaluate` returned: figures in percent, each beside what needs no model."""
    if "miou" in results.get("grounding", {}):
        console.print(_grounding_table(results["grounding"]))
        console.print(_single_turn_table(results["grounding"]))
    elif "grounding" in results:
        console.print(f"Grounding: {results['grounding']['queries']} queries whose spans the annotations keep")
    if "map" in results.get("grounding", {}):
        console.print(_ranks_table(results["grounding"]))
    if "spans" in results:
        console.print(_spans_table(results["spans"]))
    if "videoqa" in results:
        console.print(_qa_table(results["videoqa"]))
    if "grounded_qa" in results:
        console.print(_grounded_qa_table(results["grounded_qa"]))
    _print_some(console, "failed", [f"{failure['place']}: {failure['error']}" for failure in results["failures"]])
    _print_some(console, "left out", results["skipped_rows"])
    _print_some(console, "warning", [*results.get("duration_warnings", []), *results.get("video_warnings", [])])


def _print_some(console: Console, what: str, lines: Sequence[str]) -> None:
    for line in lines[:SHOWN]:
        console.print(f"{what}: {line}", style="red", markup=False, soft_wrap=True)
    if len(lines) > SHOWN:
        console.print(f"... and {len(lines) - SHOWN} more {what}, all in results.json")


def _percent(share: float | None) -> str:
    return "not told" if share is None else f"{100 * share:.1f}"


def _grounding_table(summary: dict[str, Any]) -> Table:
    title = f"Grounding: {summary['queries']} queries, {summary['failed']} failed; percent"
    rows = table(title, "", *FIGURES.values())
    for turn, figures in enumerate(summary["by_turn"]):
        _add(rows, f"after turn {turn + 1}", figures, "bold")
        for name, by_turn in summary["baselines_by_turn"].items():
            _add(rows, f"  {name}", by_turn[turn], "dim")
        rows.add_section()
    _add_interval(rows, summary)
    _add_combinations(rows, summary)
    return rows


def _ranks_table(summary: dict[str, Any]) -> Table:
    rows = table("Ranked spans; percent", "mAP, IoU 0.5 to 0.95", "mAP@0.5", "mAP@0.75")
    rows.add_row(*(_percent(summary[key]) for key in ("map", "map@0.5", "map@0.75")))
    return rows


def _spans_table(summary: dict[str, Any]) -> Table:
    counts = f"{summary['queries']} queries, {summary['failed']} failed, {summary['unparsable']} unparsable answers"
    rows = table(f"Spans in numbers: {counts}; percent", "", *FIGURES.values())
    _add(rows, "answered once", summary, "bold")
    for name, figures in summary["baselines"].items():
        _add(rows, f"  {name}", figures, "dim")
    rows.add_section()
    _add_interval(rows, summary)
    _add_combinations(rows, summary)
    return rows


def _add(rows: Table, name: str, figures: dict[str, float], style: str = "") -> None:
    rows.add_row(name, *(_percent(figures[key]) for key in FIGURES), style=style)


def _add_interval(rows: Table, summary: dict[str, Any]) -> None:
    rows.add_row("95 % interval, by videos", *(_range(summary["intervals"][key]) for key in FIGURES))


def _range(interval: Sequence[float]) -> str:
    return " to ".join(map(_percent, interval))


def _add_combinations(rows: Table, summary: dict[str, Any]) -> None:
    for key, name in (("seen", "seen combinations"), ("held_out", "held-out combinations")):
        if key in summary:
            _add(rows, f"{name} ({summary[key]['queries']})", summary[key])


def _single_turn_table(summary: dict[str, Any]) -> Table:
    baselines = ("random", "always the middle", "oracle")
    rows = table("One turn's choice of four; percent right", "", "accuracy", *baselines)
    for key, name in (("whole_window", "the whole video"), ("crops", "windows drawn as in training")):
        figures = summary["single_turn"][key]
        rows.add_row(name, *(_percent(figures[column]) for column in ("accuracy", *baselines)))
    return rows


def _qa_table(summary: dict[str, Any]) -> Table:
    rows = table("Multiple-choice questions; percent right", "", "questions", "failed", "accuracy", "95 %", "random")
    for name, task in summary["tasks"].items():
        counts = (str(task["questions"]), str(task["failed"]))
        interval = _range(task["interval"]) if "interval" in task else ""
        rows.add_row(name, *counts, _percent(task["accuracy"]), interval, _percent(task["random"]))
    rows.add_section()
    average = summary["average"]
    rows.add_row("average", "", "", _percent(average["accuracy"]), "", _percent(average["random"]), style="bold")
    return rows


def _grounded_qa_table(summary: dict[str, Any]) -> Table:
    figures = {name: value for name, value in summary.items() if name != "questions"}
    names = [name.replace("acc", "Acc").replace("gqa", "GQA").replace("qa", "QA") for name in figures]
    names = [name.replace("iop", "IoP").replace("iou", "IoU") for name in names]
    rows = table(f"Grounded answers: {summary['questions']} questions; percent", *names)
    rows.add_row(*map(_percent, figures.values()), style="bold")
    return rows

"""The charts of a report, each a matplotlib figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hawkeye.report.analysis import (
    Bin,
    answers_by_turn,
    baselines,
    by_turn,
    letters,
    reliability,
    right_first_answers,
)
from hawkeye.report.runs import AnsweredQuestion, Run
from hawkeye.temporal import Choice

CHOICE_COLOURS = {
    Choice.BEGINNING: "#4c78a8",
    Choice.MIDDLE: "#54a24b",
    Choice.END: "#f58518",
    Choice.THROUGHOUT: "#b279a2",
}
BASELINE_STYLES = {"oracle": ":", "always the middle": "--", "random": "-."}


def score_per_turn(runs: Sequence[Run]) -> Figure:
    """Mean IoU after each turn, beside perfect and trivial answers to the first run's queries."""
    figure, axes = _empty("turn", "mean IoU, %")
    for run in runs:
        values = [100 * figures["miou"] for figures in by_turn(run)]
        axes.plot(range(1, len(values) + 1), values, marker="o", label=run.name)
    trivial = baselines(runs[0])
    for name, style in BASELINE_STYLES.items():
        if name in trivial:
            values = [100 * figures["miou"] for figures in trivial[name]]
            axes.plot(range(1, len(values) + 1), values, style, color="#777777", label=name)
    axes.set(ylim=(0, 100), xticks=range(1, max(run.max_turns for run in runs) + 1))
    axes.legend(fontsize=8)
    return figure


def score_by_bin(runs: Sequence[Run], bins: Callable[[Run], list[Bin]], what: str) -> Figure:
    """Mean IoU in each bin, a bar for each run, with the number of queries below."""
    figure, axes = _empty(what, "mean IoU, %")
    width = 0.8 / len(runs)
    for place, run in enumerate(runs):
        found = bins(run)
        heights = [100 * each.figures["miou"] if each.figures else 0.0 for each in found]
        lefts = [index + width * (place + 0.5) - 0.4 for index in range(len(found))]
        axes.bar(lefts, heights, width, label=run.name)
    counted = bins(runs[0])
    names = [f"{100 * each.low:.0f}-{100 * each.high:.0f} %\n({each.count})" for each in counted]
    axes.set(ylim=(0, 100), xticks=range(len(counted)), xticklabels=names)
    if len(runs) > 1:
        axes.legend(fontsize=8)
    return figure


def answer_distribution(run: Run) -> Figure:
    """Shares of the four answers at each turn, and of those that would be right about the whole video."""
    columns: list[tuple[str, Counter[Choice]]] = [
        (f"turn {turn}\n({counts.total()})", counts) for turn, counts in enumerate(answers_by_turn(run), start=1)
    ]
    right = right_first_answers(run)
    if right:
        columns.insert(0, (f"right, turn 1\n({right.total()})", right))
    figure, axes = _empty("", "share of answers, %")
    floors = [0.0] * len(columns)
    for choice, colour in CHOICE_COLOURS.items():
        heights = [100 * counts[choice] / counts.total() for _, counts in columns]
        axes.bar(range(len(columns)), heights, 0.7, bottom=floors, color=colour, label=choice.value)
        floors = [floor + height for floor, height in zip(floors, heights)]
    axes.set(xticks=range(len(columns)), xticklabels=[name for name, _ in columns], ylim=(0, 100))
    axes.set_title(run.name, fontsize=10)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def confidence_reliability(runs: Sequence[Run]) -> Figure:
    """Mean IoU, and the share of IoU of at least half, against the confidence that was told."""
    figure, axes = _empty("confidence told, %", "what came of it, %")
    axes.plot([0, 100], [0, 100], color="#bbbbbb", linewidth=1)
    for number, run in enumerate(runs):
        points = [
            (100 * each.mean_value, 100 * each.figures["miou"], 100 * each.figures["r1@0.5"])
            for each in reliability(run)
            if each.figures and each.mean_value is not None
        ]
        if points:
            told, mious, recalls = zip(*points)
            axes.plot(told, mious, marker="o", color=f"C{number}", label=f"{run.name}: mean IoU")
            axes.plot(told, recalls, "--", marker="s", color=f"C{number}", label=f"{run.name}: R1@0.5")
    axes.set(xlim=(0, 100), ylim=(0, 100))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    return figure


def letter_distribution(questions: Sequence[AnsweredQuestion], title: str) -> Figure:
    """How often each letter was chosen, beside how often it was right."""
    chosen, right = letters(questions)
    names = sorted({*chosen, *right})
    figure, axes = _empty("option", "questions")
    for shift, (label, counts) in enumerate((("chosen", chosen), ("right", right))):
        axes.bar(
            [place - 0.2 + 0.4 * shift for place in range(len(names))], [counts[n] for n in names], 0.4, label=label
        )
    axes.set(xticks=range(len(names)), xticklabels=names)
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
    return figure


def _empty(across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=across, ylabel=up)
    axes.grid(axis="y", alpha=0.3)
    return figure, axes

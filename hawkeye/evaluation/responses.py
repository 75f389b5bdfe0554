"""How a model answers the question of recursive grounding, by where the segment lies in the window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hawkeye.annotations import AnnotationError, read_json
from hawkeye.files import json_text, write_text
from hawkeye.temporal import Choice, Span, whole_window_choice

RESPONSES_FILE = "grounding_responses.json"
"""The file of a model's directory that holds what `hawkeye calibrate` measured."""
WAY_OUT = "delete it, or run 'hawkeye calibrate' again"
LOW, HIGH, BINS = -0.5, 1.5, 32
"""Starts and ends of segments, relative to the window (0 its start, 1 its end), are told apart in so many steps between
these; what lies further away is as if it lay there."""
RULE_WEIGHT = 2.0
"""Observations that the rule counts as in each bin: it decides where nothing was observed."""
SURENESS = 0.85
"""Probability of the right answer that the rule alone assumes."""


@dataclass(frozen=True, eq=False)
class Responses:
    """Mean probability of each answer, `table [BINS, BINS, 4]` in the order of `Choice`: the first axis is the
    segment's start, the second its end, relative to the window. `queries` is how many were measured, 0 for the rule."""

    table: np.ndarray
    queries: int = 0

    @classmethod
    def of_rule(cls) -> Responses:
        """What a model would answer that follows the whole-window rule of training with some noise; where it sees
        nothing of the segment, all answers are equally probable."""
        table = np.full((BINS, BINS, len(Choice)), 1 / len(Choice))
        centres = LOW + (np.arange(BINS) + 0.5) * (HIGH - LOW) / BINS
        for row, start in enumerate(centres):
            for column, end in enumerate(centres):
                seen = Span(max(start, 0.0), min(end, 1.0)) if max(start, 0.0) < min(end, 1.0) else None
                if seen is None:
                    continue
                shown = seen.duration / (end - start)
                right = list(Choice).index(whole_window_choice(Span(0.0, 1.0), seen))
                answers = np.full(len(Choice), (1 - SURENESS) / (len(Choice) - 1))
                answers[right] = SURENESS
                # What shows little of the segment may not be recognised.
                table[row, column] = shown * answers + (1 - shown) * table[row, column]
        return cls(table)

    @classmethod
    def fit(cls, spans: np.ndarray, windows: np.ndarray, answers: np.ndarray, *, queries: int) -> Responses:
        """From answers `[M, 4]` about windows `[M, 2]` in which, or outside which, the segments `[M, 2]` lay."""
        rows, columns = _bins(spans, windows)
        total = np.zeros((BINS, BINS, len(Choice)))
        count = np.zeros((BINS, BINS, 1))
        np.add.at(total, (rows, columns), answers)
        np.add.at(count, (rows, columns), 1.0)
        total, count = _blurred(total), _blurred(count)
        table = (total + RULE_WEIGHT * cls.of_rule().table) / (count + RULE_WEIGHT)
        return cls(table / table.sum(axis=-1, keepdims=True), queries)

    def of(self, spans: np.ndarray, windows: np.ndarray) -> np.ndarray:
        """Probability of each answer about each window, were the segment each span: `[W, N, 4]`."""
        rows, columns = _bins(spans[None], windows[:, None])
        return self.table[rows, columns]

    @property
    def outside(self) -> np.ndarray:
        """`[4]` mean answers about windows that show nothing of the segment."""
        centres = LOW + (np.arange(BINS) + 0.5) * (HIGH - LOW) / BINS
        starts, ends = np.meshgrid(centres, centres, indexing="ij")
        mean: np.ndarray = self.table[(starts < ends) & ((starts > 1) | (ends < 0))].mean(axis=0)
        return mean

    @classmethod
    def load(cls, directory: Path) -> Responses | None:
        """What was measured for the model in a directory; None if nothing was.

        Raises:
            AnnotationError: if the file is not what `save` writes.
        """
        path = directory / RESPONSES_FILE
        if not path.exists():
            return None
        try:
            content = read_json(path, dict)
            table, queries = np.array(content["table"], dtype=float), int(content["queries"])
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            raise AnnotationError(
                f"{path}: cannot be read ({error}); delete it, or run 'hawkeye calibrate' again"
            ) from None
        if table.shape != (BINS, BINS, len(Choice)) or not np.isfinite(table).all() or (table <= 0).any():
            raise AnnotationError(
                f"{path}: 'table' must hold {BINS} x {BINS} x {len(Choice)} probabilities above 0; {WAY_OUT}"
            )
        return cls(table, queries)

    def save(self, directory: Path) -> Path:
        """Writes `RESPONSES_FILE` into a model's directory."""
        path = directory / RESPONSES_FILE
        # Significant digits, not decimals: a very sure model's other answers must not become 0, which rules spans out.
        table = [[[float(f"{value:.4g}") for value in cell] for cell in row] for row in self.table]
        write_text(path, json_text({"queries": self.queries, "table": table}) + "\n")
        return path


def _bins(spans: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lengths = windows[..., 1] - windows[..., 0]
    starts, ends = (spans[..., side] - windows[..., 0] for side in (0, 1))
    places = [np.floor((side / lengths - LOW) / (HIGH - LOW) * BINS + 1e-6) for side in (starts, ends)]
    rows, columns = (np.clip(place, 0, BINS - 1).astype(int) for place in places)
    return rows, columns


def _blurred(values: np.ndarray) -> np.ndarray:
    """Each bin with a share of its neighbours, along both axes."""
    for axis in (0, 1):
        padded = np.concatenate([values.take([0], axis), values, values.take([-1], axis)], axis)
        low, middle, high = (padded.take(range(shift, shift + BINS), axis) for shift in range(3))
        values = 0.25 * low + 0.5 * middle + 0.25 * high
    return values

"""Annotations and predictions by formula, which official evaluation code and ours are both given.

    python -m tests.evaluation.official_sets DIRECTORY

writes them as the official code reads them. `tests/golden/official_evaluators.json` holds the figures that it printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hawkeye.temporal import Span

GOLDEN = Path(__file__).parents[1] / "golden" / "official_evaluators.json"
QVHIGHLIGHTS_SEED, QVHIGHLIGHTS_QUERIES, QVHIGHLIGHTS_RANKED = 20210720, 400, 10
NEXTGQA_SEED, NEXTGQA_QUESTIONS, NEXTGQA_OPTIONS = 20230904, 1000, 5


@dataclass(frozen=True)
class RankedQuery:
    """A query of QVHighlights: annotated spans, and predicted ones with their scores, the best first."""

    qid: int
    golds: tuple[Span, ...]
    ranked: tuple[Span, ...]

    def scored(self) -> list[list[float]]:
        """Predicted starts and ends with scores that fall."""
        return [[span.start, span.end, 1 - place / 16] for place, span in enumerate(self.ranked)]


@dataclass(frozen=True)
class GroundedQuestion:
    """A question of NExT-GQA: annotated spans, the predicted one, and the indices of the right and the given option."""

    video: str
    qid: str
    duration: int
    golds: tuple[Span, ...]
    span: Span
    answer: int
    prediction: int


def qvhighlights() -> list[RankedQuery]:
    """Videos of 75 clips of 2 s, one to three spans in each. Each ranked span is an annotated one with ends moved by up
    to four clips, or anything."""
    draw = _draws(QVHIGHLIGHTS_SEED)

    def query(qid: int) -> RankedQuery:
        parts = 1 + int(3 * next(draw))
        golds = [_whole(part * 75 / parts, 75 / parts - 1, draw) for part in range(parts)]
        ranked = [
            _moved(golds[int(parts * next(draw))], 4, 75, draw) if next(draw) < 0.5 else _whole(0, 75, draw)
            for _ in range(QVHIGHLIGHTS_RANKED)
        ]
        return RankedQuery(qid, tuple(_scaled(gold, 2.0) for gold in golds), tuple(_scaled(s, 2.0) for s in ranked))

    return [query(qid) for qid in range(QVHIGHLIGHTS_QUERIES)]


def nextgqa() -> list[GroundedQuestion]:
    """Videos of 20 to 80 s with times in tenths of a second and five questions about each.

    At least half of the answers are right. Every tenth predicted span is a point in time.
    """
    draw = _draws(NEXTGQA_SEED)

    def question(number: int, duration: int) -> GroundedQuestion:
        parts, tenths = 1 + int(3 * next(draw)), 10 * duration
        golds = [_whole(part * tenths / parts, tenths / parts - 1, draw) for part in range(parts)]
        span = _moved(golds[int(parts * next(draw))], 40, tenths, draw) if next(draw) < 0.7 else _whole(0, tenths, draw)
        span = Span(span.start, span.start) if number % 10 == 9 else span
        answer, other = (int(NEXTGQA_OPTIONS * next(draw)) for _ in range(2))
        return GroundedQuestion(
            video=f"v{number // 5}",
            qid=str(number % 5),
            duration=duration,
            golds=tuple(_scaled(gold, 0.1) for gold in golds),
            span=_scaled(span, 0.1),
            answer=answer,
            prediction=answer if next(draw) < 0.5 else other,
        )

    durations = [20 + int(60 * next(draw)) for _ in range(NEXTGQA_QUESTIONS // 5)]
    return [question(number, durations[number // 5]) for number in range(NEXTGQA_QUESTIONS)]


def _draws(seed: int) -> Iterator[float]:
    """Uniform numbers in [0, 1): the upper 53 bits of PCG64's output, which no version of numpy may change."""
    bits = np.random.PCG64(seed)
    while True:
        yield int(bits.random_raw() >> 11) / 2**53


def _whole(low: float, length: float, draw: Iterator[float]) -> Span:
    """A span of at least one unit, in whole units, in the `length` units from `low` on."""
    start, end = sorted((int(low + length * next(draw)), int(low + length * next(draw))))
    return Span(start, end + 1)


def _moved(span: Span, by: int, limit: int, draw: Iterator[float]) -> Span:
    """The span with both ends moved by up to `by` units, at least one unit long and between 0 and `limit`."""
    start, end = (int(bound + (2 * by + 1) * next(draw)) - by for bound in (span.start, span.end))
    start = min(max(start, 0), limit - 1)
    return Span(start, min(max(end, start + 1), limit))


def _scaled(span: Span, unit: float) -> Span:
    """Whole units as seconds, rounded as annotation files write them."""
    return Span(round(span.start * unit, 1), round(span.end * unit, 1))


def write(directory: Path) -> None:
    """Both sets in the official formats: `qvhighlights_{gt,submission}.jsonl`, `nextgqa_{gt,ground,qa}.json`."""
    directory.mkdir(parents=True, exist_ok=True)
    queries, questions = qvhighlights(), nextgqa()
    truth = [{"qid": q.qid, "relevant_windows": [[g.start, g.end] for g in q.golds]} for q in queries]
    submission = [{"qid": q.qid, "pred_relevant_windows": q.scored()} for q in queries]
    for name, rows in (("gt", truth), ("submission", submission)):
        (directory / f"qvhighlights_{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    located: dict[str, dict[str, object]] = {}
    for q in questions:
        video = located.setdefault(q.video, {"duration": q.duration, "location": {}})
        assert isinstance(video["location"], dict)
        video["location"][q.qid] = [[g.start, g.end] for g in q.golds]
    spans = {f"{q.video}_{q.qid}": [q.span.start, q.span.end] for q in questions}
    answers = {f"{q.video}_{q.qid}": {"answer": q.answer, "prediction": q.prediction} for q in questions}
    for name, content in (("gt", located), ("ground", spans), ("qa", answers)):
        (directory / f"nextgqa_{name}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    write(Path(sys.argv[1]))

"""Beyond halving: a belief over all spans of a video, which each answer sharpens, and which chooses the next question.

Recursive grounding keeps one window and trusts every answer. Here each answer's probabilities update how probable each
span is (Bayes' rule), the next question is about the window whose answer is expected to tell most, and the result is
the span of the highest expected IoU.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from hawkeye.evaluation.grounding import Candidate
from hawkeye.evaluation.responses import Responses
from hawkeye.temporal import Span

CELLS = 64
"""Spans begin and end on this many equal parts of a video."""
WINDOW_LENGTHS = (64, 48, 32, 24, 16, 12, 8)
"""Lengths, in cells, of the windows that questions are asked about."""
WINDOW_STEP = 2
"""Cells between the starts of windows of one length: queries of one video then often share a window."""
NUM_CANDIDATES = 5
"""Ranked spans that a search returns."""
CANDIDATE_IOU = 0.5
"""Candidates overlap by less than this."""


def search_windows() -> np.ndarray:
    """Starts and ends `[W, 2]` of the windows of a video of length 1 to ask about; the first is all of it."""
    places = [
        (start, start + length) for length in WINDOW_LENGTHS for start in range(0, CELLS - length + 1, WINDOW_STEP)
    ]
    return np.array(places) / CELLS


class SpanSpace:
    """All spans and windows of a video of length 1, and what the answers about each window say of each span.

    Attributes:
        spans: `[N, 2]` starts and ends.
        windows: `[W, 2]` starts and ends; the first is the whole video.
        prior: `[N]` probability of each span before any question: inversely proportional to its length, so that short
            and long spans are equally likely whatever the unit.
        likelihoods: `[W, N, 4]` probability of each answer (in the order of `Choice`) about a window, were that the
            span.
        absent: `[4]` the same, were the event in none.
    """

    def __init__(self, responses: Responses) -> None:
        cells = [(start, end) for start in range(CELLS) for end in range(start + 1, CELLS + 1)]
        self.spans = np.array(cells) / CELLS
        self.windows = search_windows()
        lengths = self.spans[:, 1] - self.spans[:, 0]
        self.prior = (1 / lengths) / (1 / lengths).sum()
        self.likelihoods = responses.of(self.spans, self.windows)
        self.absent = responses.outside

    @cached_property
    def ious(self) -> np.ndarray:
        """`[N, N]` IoU of every two spans."""
        starts, ends = self.spans.T
        shared = np.minimum(ends[:, None], ends) - np.maximum(starts[:, None], starts)
        return np.maximum(shared, 0) / (np.maximum(ends[:, None], ends) - np.minimum(starts[:, None], starts))

    @cached_property
    def _noise(self) -> np.ndarray:
        """`[W, N]` entropy of the answers about a window, were that the span."""
        return _entropy(self.likelihoods)

    def most_telling(self, beliefs: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """The window `[Q]` to ask about next: the one whose answer has the most information about the span.

        Args:
            beliefs: `[Q, N]`.
            asked: `[Q, W]`, windows that were asked about already.
        """
        answers = np.einsum("qn,wnc->qwc", beliefs, self.likelihoods, optimize=True)
        information = _entropy(answers) - beliefs @ self._noise.T
        return np.where(asked, -np.inf, information).argmax(axis=1)

    def update(self, beliefs: np.ndarray, windows: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beliefs `[Q, N]` after answers `[Q, 4]` about windows `[Q]`, and how probable each answer was, `[Q]`."""
        beliefs = beliefs * np.einsum("qnc,qc->qn", self.likelihoods[windows], answers)
        evidence = beliefs.sum(axis=1)
        return beliefs / evidence[:, None], evidence

    def candidates(self, belief: np.ndarray, duration: float, count: int = NUM_CANDIDATES) -> list[Candidate]:
        """The best spans of a video of `duration` seconds by expected IoU, best first, with little overlap."""
        expected = self.ious @ belief
        found, free = list[Candidate](), np.ones(len(expected), dtype=bool)
        while free.any() and len(found) < count:
            best = int(np.where(free, expected, -1).argmax())
            start, end = self.spans[best] * duration
            found.append(Candidate(Span(float(start), float(end)), float(expected[best])))
            free &= self.ious[best] < CANDIDATE_IOU
        return found

    def window(self, place: int, duration: float) -> Span:
        """A window in seconds."""
        start, end = self.windows[place] * duration
        return Span(float(start), float(end))


def absence(present: float, absent: float) -> float:
    """Probability that the event is not in the video, at even odds before the first question.

    Args:
        present: log probability of the answers, were the event somewhere in the video.
        absent: the same, were it nowhere.
    """
    return float(1 / (1 + np.exp(np.clip(present - absent, -700, 700))))


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Of the last axis, in nats."""
    return -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=-1)

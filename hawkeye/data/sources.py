"""The training set: named sources, mixed by a schedule that depends on the seed alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from hawkeye.config import SourceSettings, StageSettings, nearest
from hawkeye.data.frame_cache import CachedVideo, FrameCache
from hawkeye.data.instruction import AnnotationError, Record, draw_window, read_records, turns_about, turns_in
from hawkeye.data.sampling import training_indices
from hawkeye.prompts import Turn
from hawkeye.temporal import Span


@dataclass(frozen=True)
class Source:
    """A checked instruction file and how its windows are drawn."""

    name: str
    records: list[Record]
    videos: Path | None
    windows: str

    def video_path(self, record: Record) -> Path | None:
        """The video file of a record; None for text rows."""
        if record.video is None:
            return None
        assert self.videos is not None
        return self.videos / record.video


@dataclass(frozen=True)
class Sample:
    """One window with the questions asked about it, or one text row.

    Attributes:
        frames: uint8 [T, S, S, 3], or None for a text row.
        seconds: [T] times relative to the start of the window.
        positions: [T] places of the frames among the model's frames.
        text: words instead of the visual tokens, or None.
        conversations: one or more, all about this window.
        place: file and row of the first of them, for messages.
    """

    frames: np.ndarray | None
    seconds: np.ndarray
    positions: np.ndarray
    text: str | None
    conversations: tuple[tuple[Turn, ...], ...]
    place: str


def read_source(name: str, settings: SourceSettings, data_dir: Path) -> Source:
    """Reads and checks one source, whose paths start from `data_dir`.

    Raises:
        AnnotationError: naming file and row; also where rows name videos and the source has no video folder.
    """
    records = read_records(data_dir / settings.annotations)
    if settings.videos is None and any(record.video for record in records):
        raise AnnotationError(f"source {name!r}: its rows name videos, but the source has no 'videos' folder")
    return Source(name, records, settings.videos and data_dir / settings.videos, settings.windows)


class TrainingSet(Dataset[Sample]):
    """What one stage of training shows: item i is the i-th window of the run.

    Which source and which row comes when is fixed by the seed before the first step: sources are drawn by their
    shares, and each goes through all of its rows, in a new order, before it repeats one. Item i does not depend on
    the items before it, so a run resumes at any of them.
    """

    def __init__(
        self, sources: Mapping[str, Source], stage: StageSettings, cache: FrameCache, *, num_positions: int, seed: int
    ) -> None:
        unknown = [name for name in stage.sources if name not in sources]
        if unknown:
            raise AnnotationError(
                f"stage {stage.name!r}: unknown source {unknown[0]!r}{nearest(unknown[0], list(sources))}"
            )
        self.sources = [sources[name] for name in stage.sources]
        self.stage = stage
        self.cache = cache
        self.num_positions = num_positions
        self.seed = seed
        shares = np.array(list(stage.sources.values()), dtype=float)
        self._shares = shares / shares.sum()
        self._schedule = self._make_schedule()
        self._by_video: dict[str, list[tuple[int, Record]]] = defaultdict(list)
        for index, source in enumerate(self.sources):
            for record in source.records:
                if record.video is not None:
                    self._by_video[record.video].append((index, record))

    def _make_schedule(self) -> np.ndarray:
        """[N, 2] source index and row of every window."""
        rng = np.random.default_rng([self.seed, 0])
        total = self.stage.steps * self.stage.windows_per_step
        chosen = rng.choice(len(self.sources), size=total, p=self._shares)
        rows = np.empty(total, dtype=np.int64)
        for index, source in enumerate(self.sources):
            places = np.flatnonzero(chosen == index)
            passes = -(-len(places) // len(source.records))
            orders = [rng.permutation(len(source.records)) for _ in range(passes)]
            rows[places] = np.concatenate(orders)[: len(places)] if orders else []
        return np.stack([chosen, rows], axis=1)

    def __len__(self) -> int:
        return len(self._schedule)

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng([self.seed, 1, index])
        source_index, row = self._schedule[index]
        source = self.sources[source_index]
        record = source.records[row]
        path = source.video_path(record)
        if path is None:
            empty = np.zeros(0)
            return Sample(None, empty, empty.astype(int), record.text, (record.turns,), record.place)
        video = self.cache.get(path)
        window = draw_window(record, source.windows, rng, self.stage.num_frames)
        # Annotated ends may lie a little beyond the file's; what is shown cannot.
        shown = Span(0.0, video.duration) if window is None else Span(window.start, min(window.end, video.duration))
        frames, seconds, positions = self._read(video, shown, rng)
        conversations = self._conversations(record, window, video.duration, rng)
        return Sample(frames, seconds, positions, None, conversations, record.place)

    def _read(
        self, video: CachedVideo, window: Span, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        indices = np.array(
            training_indices(
                self.num_positions,
                len(video.frames),
                window.start / video.duration,
                window.end / video.duration,
                rng,
            )
        )
        positions = np.arange(self.num_positions)
        if self.stage.num_frames < self.num_positions:
            positions = np.sort(rng.choice(self.num_positions, self.stage.num_frames, replace=False))
        indices = indices[positions]
        return video.frames[indices], np.maximum(video.seconds[indices] - window.start, 0.0), positions

    def _conversations(
        self, record: Record, window: Span | None, duration: float, rng: np.random.Generator
    ) -> tuple[tuple[Turn, ...], ...]:
        """The record's own conversation, and others that are right in the same window, by their sources' shares."""
        conversations = [turns_about(record, window, duration)]
        others = self._by_video[record.video or ""]
        weights = np.array([self._shares[index] / len(self.sources[index].records) for index, _ in others])
        # The k smallest exponential draws are a weighted sample without replacement (Efraimidis and Spirakis, 2006).
        for place in np.argsort(rng.exponential(size=len(others)) / weights):
            if len(conversations) >= self.stage.questions_per_window:
                break
            other = others[place][1]
            turns = None if other is record else turns_in(other, window, duration)
            if turns:
                conversations.append(turns)
        return tuple(conversations)

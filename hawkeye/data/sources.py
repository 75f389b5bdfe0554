"""The training set: named sources, mixed by a schedule that depends on the seed alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from hawkeye.annotations import AnnotationError
from hawkeye.config import ConfigError, SourceSettings, StageSettings, nearest
from hawkeye.data.clock import choose_frames
from hawkeye.data.durations import check_begins_before_end, compare_durations
from hawkeye.data.frames import FrameStore, ShownVideo
from hawkeye.data.instruction import Record, read_records
from hawkeye.data.locations import file_of, locate
from hawkeye.data.packed import Packed
from hawkeye.data.segments import check_templates, draw_window, plain_turns, turns_about, turns_in
from hawkeye.data.video import VideoError
from hawkeye.prompts import ASSISTANT, HUMAN, VISUAL_MARKER, Turn
from hawkeye.temporal import Choice, Span


@dataclass(frozen=True)
class Source:
    """A checked instruction file and where its videos are."""

    name: str
    records: Sequence[Record]
    videos: Path | None
    settings: SourceSettings
    skipped: tuple[str, ...] = ()
    """What is wrong with each row that was left out."""

    def video_path(self, record: Record) -> Path | None:
        """The video file, or folder of frames, of a record; None for text rows."""
        if record.video is None:
            return None
        assert self.videos is not None
        return locate(self.videos, record.video, self.settings.file, record.place)


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
        source: name of its source.
        is_blank: whether it only keeps the model's modules busy: nothing of it is learned.
        warning: what is odd about its video, or empty.
    """

    frames: np.ndarray | None
    seconds: np.ndarray
    positions: np.ndarray
    text: str | None
    conversations: tuple[tuple[Turn, ...], ...]
    place: str
    source: str = ""
    is_blank: bool = False
    warning: str = ""


@dataclass(frozen=True)
class Unreadable:
    """What stands in a sample's place when its video cannot be read: nothing is shown instead of it."""

    place: str
    source: str
    reason: str


def read_source(
    name: str, settings: SourceSettings, data_dir: Path, seed: int = 0, *, skip_bad_rows: bool = False
) -> Source:
    """Reads and checks one source, whose paths start from `data_dir`; `seed` decides which rows a cap leaves.

    Raises:
        AnnotationError: naming file and row; also where rows name videos and the source has no video folder.
    """

    def check(record: Record) -> None:
        _check_texts(record)
        check_templates(record, settings)
        if record.video is not None:
            file_of(record.video, settings.file, record.place)

    skipped: list[str] = []
    records = read_records(data_dir / settings.annotations, check, skipped if skip_bad_rows else None)
    if settings.videos is None and any(record.video for record in records):
        raise AnnotationError(f"source {name!r}: its rows name videos, but the source has no 'videos' folder")
    if settings.represent != "choice" and not any(record.segment for record in records):
        raise AnnotationError(
            f"source {name!r}: represent is {settings.represent!r}, but no row is about a segment ('start_sec')"
        )
    if settings.max_examples is not None and len(records) > settings.max_examples:
        rng = np.random.default_rng([seed, *name.encode()])
        kept = np.sort(rng.choice(len(records), settings.max_examples, replace=False))
        records = [records[index] for index in kept]
    videos = settings.videos and data_dir / settings.videos
    return Source(name, Packed(records), videos, settings, tuple(skipped))


def _check_texts(record: Record) -> None:
    """Refuses texts that hold what stands in a conversation for something else.

    Raises:
        AnnotationError: naming the row and the text.
    """
    turns = (*record.turns, *(record.turn_by_choice or {}).values())
    texts = [text for turn in turns for text in (turn.instruction, turn.question, turn.answer)]
    for text in [record.text or "", *texts]:
        for reserved in (VISUAL_MARKER, HUMAN, ASSISTANT):
            if reserved in text:
                raise AnnotationError(f"{record.place}: a text cannot hold {reserved!r}: {text!r}")


class TrainingSet(Dataset["Sample | Unreadable"]):
    """What one stage of training shows: item i is the i-th window of the run.

    Which source and which row comes when is fixed by the seed before the first step. Sources are drawn by their
    shares, and each goes through all of its rows, in a new order, before it repeats one; without shares, all rows of
    all sources come once before one comes again. Item i does not depend on the items before it, so a run resumes at
    any of them.
    """

    def __init__(
        self, sources: Mapping[str, Source], stage: StageSettings, frames: FrameStore, *, num_positions: int, seed: int
    ) -> None:
        self.sources = stage_sources(sources, stage)
        self.stage = stage
        self.frames = frames
        self.num_positions = num_positions
        self.num_frames = frames_shown(stage, num_positions)
        self.seed = seed
        sizes = {source.name: float(len(source.records)) for source in self.sources}
        shares = np.array(list((stage.sources or sizes).values()), dtype=float)
        self._shares = shares / shares.sum()
        self._schedule = self._make_schedule()
        self._by_video = self._group_by_video() if stage.questions_per_window > 1 else {}

    def _group_by_video(self) -> dict[tuple[Path | None, float | None], list[tuple[int, int]]]:
        """Source index and row of every row about a video, by its file and rate: two folders may use one name."""
        groups = defaultdict(list)
        for index, source in enumerate(self.sources):
            for row, record in enumerate(source.records):
                if record.video is not None:
                    groups[source.video_path(record), source.settings.fps].append((index, row))
        return groups

    def _make_schedule(self) -> np.ndarray:
        """[N, 2] source index and row of every window."""
        rng = np.random.default_rng([self.seed, 0])
        total = num_steps(self.sources, self.stage) * self.stage.windows_per_step
        if self.stage.sources is None:
            every = np.array([(i, row) for i, source in enumerate(self.sources) for row in range(len(source.records))])
            epochs = -(-total // len(every))
            return np.concatenate([every[rng.permutation(len(every))] for _ in range(epochs)])[:total]
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

    def __getitem__(self, index: int) -> Sample | Unreadable:
        rng = np.random.default_rng([self.seed, 1, index])
        source_index, row = map(int, self._schedule[index])
        source = self.sources[source_index]
        record = source.records[row]
        path = source.video_path(record)
        if path is None:
            empty = np.zeros(0)
            turns = plain_turns(record, source.settings, rng)
            return Sample(None, empty, empty.astype(int), record.text, (turns,), record.place, source.name)
        try:
            with self.frames.open(path, source.settings.fps) as video:
                return self._sample((source_index, row), record, video, rng)
        except VideoError as error:
            return Unreadable(record.place, source.name, str(error))

    def _sample(self, own: tuple[int, int], record: Record, video: ShownVideo, rng: np.random.Generator) -> Sample:
        source = self.sources[own[0]]
        warning = compare_durations(record.duration, video.duration, record.place) or ""
        check_begins_before_end([record.segment] if record.segment else [], video.duration, record.place)
        window, drawn = draw_window(record, source.settings, rng, self.num_frames)
        window = window or Span(0.0, video.duration)
        frames, seconds, positions = self._read(video, window, rng)
        conversations = self._conversations(own, record, window, drawn, video.duration, rng)
        return Sample(frames, seconds, positions, None, conversations, record.place, source.name, warning=warning)

    def _read(
        self, video: ShownVideo, window: Span, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        indices = choose_frames(video, window, self.num_positions, rng)
        positions = np.arange(self.num_positions)
        if self.num_frames < self.num_positions:
            positions = np.sort(rng.choice(self.num_positions, self.num_frames, replace=False))
        indices = indices[positions]
        frames = video.pick([int(index) for index in indices], rng)
        return frames, np.maximum(video.seconds[indices] - window.start, 0.0), positions

    def _conversations(
        self,
        own: tuple[int, int],
        record: Record,
        window: Span,
        drawn: Choice | None,
        duration: float,
        rng: np.random.Generator,
    ) -> tuple[tuple[Turn, ...], ...]:
        """The record's own conversation, and others that are right in the same window, by their sources' shares."""
        count, source = self.num_frames, self.sources[own[0]]
        conversations = [turns_about(record, source.settings, window, rng, count, drawn)]
        if self.stage.questions_per_window == 1:
            return tuple(conversations)
        others = self._by_video[source.video_path(record), source.settings.fps]
        weights = np.array([self._shares[index] / len(self.sources[index].records) for index, _ in others])
        # The k smallest exponential draws are a weighted sample without replacement (Efraimidis and Spirakis, 2006).
        for place in np.argsort(rng.exponential(size=len(others)) / weights):
            if len(conversations) >= self.stage.questions_per_window:
                break
            index, row = others[place]
            if (index, row) == own:
                continue
            other = self.sources[index]
            asked = other.records[row]
            if asked.segment is not None and asked.segment.start >= duration:
                continue  # an annotation of another video; it is told where the row's own turn comes
            turns = turns_in(asked, other.settings, window, duration, rng, count)
            if turns:
                conversations.append(turns)
        return tuple(conversations)


def stage_sources(sources: Mapping[str, Source], stage: StageSettings) -> list[Source]:
    """The sources that a stage shows.

    Raises:
        AnnotationError: if it names one that the run does not have.
    """
    names = list(sources) if stage.sources is None else list(stage.sources)
    for name in names:
        if name not in sources:
            raise AnnotationError(f"stage {stage.name!r}: unknown source {name!r}{nearest(name, list(sources))}")
    return [sources[name] for name in names]


def frames_shown(stage: StageSettings, num_positions: int) -> int:
    """Frames of a window in a stage: as many as the model has positions for, unless the stage says fewer.

    Raises:
        ConfigError: if the stage says more.
    """
    if stage.num_frames is not None and stage.num_frames > num_positions:
        raise ConfigError(
            f"stage {stage.name!r}: num_frames is {stage.num_frames}, but the model has positions for {num_positions}"
        )
    return stage.num_frames or num_positions


def num_steps(sources: Sequence[Source], stage: StageSettings) -> int:
    """Optimiser steps of a stage: as many as it says, or as its epochs have whole batches, at least one."""
    if stage.steps is not None:
        return stage.steps
    assert stage.epochs is not None
    rows = sum(len(source.records) for source in sources)
    return max(1, int(stage.epochs * rows / stage.windows_per_step))

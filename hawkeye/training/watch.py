"""What may go wrong in a step, counted, told, and limited: unreadable videos, losses that are no number, signals."""

from __future__ import annotations

import logging
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from hawkeye import processes
from hawkeye.data.collate import BatchReport

logger = logging.getLogger(__name__)

MIN_SAMPLES = 100
"""So many samples are seen before a ratio of unreadable ones means anything."""


PATIENCE_SECONDS = 20
"""How long after a signal a step may still wait for its data."""
COUNTS = ("samples", "unreadable", "skipped", "cut", "learned")
"""What `StepWatch` counts."""


class TrainingError(ValueError):
    """A run that cannot go on; the message says why and what to do."""


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop, and has saved its state."""


class StepWatch(TrainerCallback, ExportableState):
    """Counts of what went wrong since the start of a stage; saved with its checkpoints.

    Args:
        max_unreadable_ratio: the run stops when more than this share of the samples could not be read.
        max_skipped_steps: the run stops when more batches than this had a loss that is no number.
    """

    def __init__(self, max_unreadable_ratio: float, max_skipped_steps: int) -> None:
        self.max_unreadable_ratio = max_unreadable_ratio
        self.max_skipped_steps = max_skipped_steps
        self.samples = 0
        self.unreadable = 0
        self.skipped = 0
        self.cut = 0
        self.learned = 0
        self._in_step = 0
        self.unreadable_by_source: Counter[str] = Counter()
        self._told: set[str] = set()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """Goes on counting where a checkpoint left off; the limits are the configuration's."""
        saved: Any = state.stateful_callbacks or {}
        counts: dict[str, Any] = saved.get(type(self).__name__, {}).get("attributes", {})
        for name in COUNTS:
            setattr(self, name, counts.get(name, getattr(self, name)))
        if counts and "learned" not in counts:  # a checkpoint from before these were counted
            self.learned = self.samples - self.unreadable
        self.unreadable_by_source = Counter(counts.get("unreadable_by_source", {}))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        """The step's samples count as learned from, unless the step was dropped."""
        self.learned += self._in_step
        self._in_step = 0

    def drop_step(self) -> None:
        """Counts the step as skipped: nothing is learned from its samples."""
        self._in_step = 0
        self.count(0, 0, is_skipped=True)

    def check_learned(self, stage: str) -> None:
        """Refuses to call a stage done in which nothing was learned.

        Raises:
            TrainingError: if no sample of the stage has changed a weight, on every process alike.
        """
        if not self.learned:
            raise TrainingError(
                f"stage {stage}: no sample was learned from: {self.unreadable} of {self.samples} were unreadable, "
                f"{self.skipped} batches skipped; the log names each, and nothing is saved"
            )

    def tell(self, stage: str) -> None:
        """Logs what a stage has gone without."""
        of_sources = ", ".join(f"{name}: {count}" for name, count in sorted(self.unreadable_by_source.items()))
        logger.info(
            "stage %s: %d samples, %d of them unreadable%s, %d conversations cut; %d batches skipped",
            *(stage, self.samples, self.unreadable, f" ({of_sources})" if of_sources else "", self.cut, self.skipped),
        )

    def state(self) -> dict[str, Any]:
        """For the Trainer's checkpoints."""
        limits = {"max_unreadable_ratio": self.max_unreadable_ratio, "max_skipped_steps": self.max_skipped_steps}
        counts = {name: getattr(self, name) for name in COUNTS}
        return {"args": limits, "attributes": counts | {"unreadable_by_source": dict(self.unreadable_by_source)}}

    def note_own(self, report: BatchReport) -> None:
        """Logs which samples of this process's batch could not be read, and, once for each row, which are odd."""
        for sample in report.unreadable:
            self.unreadable_by_source[sample.source] += 1
            logger.warning("dropped %s of source %s: %s", sample.place, sample.source, sample.reason)
        for warning in report.warnings:
            if warning not in self._told:
                self._told.add(warning)
                logger.warning("odd sample %d: %s", len(self._told), warning)

    def count(self, samples: int, unreadable: int, is_skipped: bool, cut: int = 0) -> None:
        """Counts a batch of all processes together.

        Raises:
            TrainingError: if a limit is passed, on every process alike.
        """
        self.samples += samples
        self.unreadable += unreadable
        self.skipped += is_skipped
        self._in_step += 0 if is_skipped else samples - unreadable
        self.cut += cut
        if self.samples >= MIN_SAMPLES and self.unreadable > self.max_unreadable_ratio * self.samples:
            raise TrainingError(
                f"{self.unreadable} of {self.samples} samples could not be read "
                f"({', '.join(f'{name}: {count}' for name, count in self.unreadable_by_source.items())} on this "
                f"process), more than max_unreadable_ratio={self.max_unreadable_ratio:g} allows"
            )
        if self.skipped > self.max_skipped_steps:
            raise TrainingError(
                f"the loss was not a finite number in {self.skipped} batches, more than "
                f"max_skipped_steps={self.max_skipped_steps} allows"
            )


class Throughput:
    """How much a process has learned from since the last report, and how long it waited for data meanwhile."""

    def __init__(self) -> None:
        self.is_waiting = False
        self._reset()

    def _reset(self) -> None:
        self._started = time.perf_counter()
        self._waited = 0.0
        self._windows = 0
        self._tokens = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time of the context as time without data."""
        started = time.perf_counter()
        self.is_waiting = True
        try:
            yield
        finally:
            self.is_waiting = False
        self._waited += time.perf_counter() - started

    def note(self, report: BatchReport, inputs: Mapping[str, Tensor]) -> None:
        """Counts a batch: its windows or text rows, and the tokens of its conversations."""
        self._windows += len(report.places)
        if "attention_mask" in inputs:
            self._tokens += int(inputs["attention_mask"].sum())

    def report(self) -> dict[str, float]:
        """Figures of all processes together since the last report; then counts anew.

        `windows_per_second`, `tokens_per_second`, and `waiting`: the share of the time without data, in [0, 1].
        """
        seconds = time.perf_counter() - self._started
        waited, windows, tokens = processes.sums(self._waited, self._windows, self._tokens)
        self._reset()
        return {
            "windows_per_second": windows / seconds,
            "tokens_per_second": tokens / seconds,
            "waiting": waited / seconds / processes.count(),
        }


class SignalWatch(TrainerCallback):
    """Turns Ctrl-C and SIGTERM into a checkpoint at the end of the step; a second one stops at once.

    A loader that is stuck keeps a step from ending: if one waits for its data `PATIENCE_SECONDS` after the signal, the
    run stops at once, and the last checkpoint stands.

    Processes may hear it in different steps: all of them stop after the first step that one has heard it in.
    """

    def __init__(self, throughput: Throughput) -> None:
        self.throughput = throughput
        self.is_received = False
        self.is_stopping = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While the context is open, the two signals are waited for."""
        handlers = {signal.SIGINT: self._note, signal.SIGTERM: self._note, signal.SIGALRM: self._look}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's signature
        if self.is_received:
            raise KeyboardInterrupt
        self.is_received = True
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS, PATIENCE_SECONDS)
        logger.warning("%s: saving at the end of this step, then leaving", signal.Signals(number).name)

    def _look(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's signature
        if self.throughput.is_waiting:
            raise Interrupted(
                f"no data has come for {PATIENCE_SECONDS} s after the signal: stopped without saving this step; the "
                "same command goes on from the last checkpoint"
            )

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the library's signature
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,
        **_: Any,
    ) -> TrainerControl:
        """Asks for a checkpoint and for the end of training, after a signal."""
        self.is_stopping = processes.any_of(self.is_received)
        if self.is_stopping:
            control.should_save = True
            control.should_training_stop = True
        return control

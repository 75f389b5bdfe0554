"""What goes wrong in training is counted, told and limited."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from hawkeye.data.collate import BatchReport
from hawkeye.data.sources import Unreadable
from hawkeye.training.watch import Interrupted, SignalWatch, StepWatch, Throughput, TrainingError


def test_unreadable_samples_are_told_and_limited(caplog: pytest.LogCaptureFixture) -> None:
    watch = StepWatch(max_unreadable_ratio=0.02, max_skipped_steps=0)
    watch.note_own(BatchReport(("a row 0",), (Unreadable("a row 7", "webvid", "v.mp4: truncated"),)))
    assert "dropped a row 7 of source webvid: v.mp4: truncated" in caplog.text
    watch.count(99, 3, is_skipped=False)  # too few samples to judge
    with pytest.raises(TrainingError, match=r"3 of 100 samples could not be read \(webvid: 1 on this process\)"):
        watch.count(1, 0, is_skipped=False)


def test_odd_samples_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    watch = StepWatch(max_unreadable_ratio=0.02, max_skipped_steps=0)
    for _ in range(2):
        watch.note_own(BatchReport(("row 0",), (), ("row 0: another length", "row 3: another length")))
    told = [record.getMessage() for record in caplog.records]
    assert told == ["odd sample 1: row 0: another length", "odd sample 2: row 3: another length"]


def test_skipped_batches_are_limited() -> None:
    watch = StepWatch(max_unreadable_ratio=1, max_skipped_steps=1)
    watch.count(4, 0, is_skipped=True)
    watch.count(4, 0, is_skipped=False)
    with pytest.raises(TrainingError, match="not a finite number in 2 batches, more than max_skipped_steps=1"):
        watch.count(4, 0, is_skipped=True)


def test_counts_come_back_from_a_checkpoint() -> None:
    watch = StepWatch(max_unreadable_ratio=0.5, max_skipped_steps=9)
    watch.note_own(BatchReport((), (Unreadable("row", "webvid", "gone"),)))
    watch.count(10, 1, is_skipped=True)
    watch.count(5, 0, is_skipped=True)
    watch.count(7, 2, is_skipped=False, cut=4)
    watch.on_step_end(TrainingArguments(output_dir="x", use_cpu=True), TrainerState(), TrainerControl())
    counts: dict[str, Any] = {"samples": 22, "unreadable": 3, "skipped": 2, "cut": 4, "learned": 5}
    counts["unreadable_by_source"] = {"webvid": 1}
    limits = {"max_unreadable_ratio": 0.5, "max_skipped_steps": 9}
    assert watch.state() == {"args": limits, "attributes": counts}
    again = StepWatch.from_state(json.loads(json.dumps(watch.state())))
    assert (again.samples, again.unreadable, again.skipped) == (22, 3, 2)
    assert again.state() == watch.state()


def test_a_signal_saves_and_stops_at_the_end_of_the_step() -> None:
    watch, arguments = SignalWatch(Throughput()), TrainingArguments(output_dir="unused", use_cpu=True)
    before = signal.getsignal(signal.SIGTERM)
    with watch.listening():
        assert not watch.on_step_end(arguments, TrainerState(), TrainerControl()).should_save
        os.kill(os.getpid(), signal.SIGTERM)
        control = watch.on_step_end(arguments, TrainerState(), TrainerControl())
        assert (control.should_save, control.should_training_stop) == (True, True)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)  # the second one does not wait
    assert signal.getsignal(signal.SIGTERM) is before


def test_throughput_is_of_the_time_since_the_last_report(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 101.0, 103.0, 110.0, 110.0, 114.0, 114.0])
    monkeypatch.setattr("hawkeye.training.watch.time.perf_counter", lambda: next(clock))
    throughput = Throughput()  # at 100
    with throughput.waiting():  # from 101 to 103
        pass
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    for _ in range(4):
        throughput.note(BatchReport(("a", "b"), ()), {"attention_mask": mask})
    assert throughput.report() == {"windows_per_second": 0.8, "tokens_per_second": 2.0, "waiting": 0.2}  # at 110
    assert throughput.report() == {"windows_per_second": 0.0, "tokens_per_second": 0.0, "waiting": 0.0}  # at 114


def test_a_signal_does_not_wait_for_a_stuck_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hawkeye.training.watch.PATIENCE_SECONDS", 0.05)
    throughput = Throughput()
    watch = SignalWatch(throughput)
    with watch.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)  # calculating, however long, is waited for
        with pytest.raises(Interrupted, match="no data has come for"), throughput.waiting():
            time.sleep(30)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_stage_that_learned_nothing_is_refused() -> None:
    watch = StepWatch(max_unreadable_ratio=1.0, max_skipped_steps=9)
    step = TrainingArguments(output_dir="x", use_cpu=True), TrainerState(), TrainerControl()
    watch.count(3, 3, is_skipped=False)
    watch.on_step_end(*step)
    watch.count(2, 0, is_skipped=True)
    watch.on_step_end(*step)
    watch.count(2, 0, is_skipped=False)
    watch.drop_step()  # its gradients are no numbers
    watch.on_step_end(*step)
    with pytest.raises(TrainingError, match="stage one: no sample was learned from: 3 of 7 were unreadable, 2 batches"):
        watch.check_learned("one")
    watch.count(2, 1, is_skipped=False)
    watch.on_step_end(*step)
    watch.check_learned("one")
    assert watch.learned == 1

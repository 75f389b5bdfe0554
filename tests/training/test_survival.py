"""Runs that meet trouble: unreadable videos, losses that are no number, signals, a full disk."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from hawkeye.annotations import AnnotationError
from hawkeye.config import ConfigError
from hawkeye.data.video import VideoError
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.weight_files import WeightFileError, read_weights
from hawkeye.training.run import train
from hawkeye.training.trainer import StageTrainer
from hawkeye.training.watch import Interrupted, TrainingError
from tests.training.runs import assert_equal_weights, settings, weights

NO_CACHE = "frame_cache=null"


def one_stage(folder: Path, *overrides: str) -> Any:
    stage = "{name: one, steps: 6, windows_per_step: 4, learning_rate: 0.01, num_frames: 2, warmup_steps: 2}"
    return settings(folder, f"stages=[{stage}]", NO_CACHE, *overrides)


def add_broken_video(folder: Path) -> None:
    """One more plain row, whose video is none."""
    (folder / "broken.mp4").write_bytes(b"no video")
    rows = json.loads((folder / "plain.json").read_text())
    rows.append({"video": "broken.mp4", "QA": [{"q": "Is it light?", "a": "No."}]})
    (folder / "plain.json").write_text(json.dumps(rows))


def test_frames_from_files_and_from_the_cache_learn_the_same(folder: Path) -> None:
    # The video has 5 frames a second, as many as the cache keeps.
    cached = train(settings(folder))
    assert_equal_weights(cached, train(settings(folder, NO_CACHE, f"output_dir={folder / 'files'}")))


def test_augmented_frames_are_not_cached(folder: Path) -> None:
    with pytest.raises(ConfigError, match="set frame_cache to null"):
        train(settings(folder, "augment=true"))
    train(settings(folder, "augment=true", NO_CACHE))


def test_an_unreadable_video_is_dropped_counted_and_told(folder: Path) -> None:
    add_broken_video(folder)
    train(one_stage(folder, "max_unreadable_ratio=0.5"))
    log = (folder / "out" / "train.log").read_text()
    assert "broken.mp4: cannot be read" in log
    assert f"dropped {folder / 'plain.json'} row 2 of source plain:" in log
    state = json.loads((folder / "out" / "one" / "checkpoint-6" / "trainer_state.json").read_text())
    counts = state["stateful_callbacks"]["StepWatch"]["attributes"]
    # 24 windows of 5 rows: the broken one came 4 or 5 times.
    assert counts["samples"] == 24
    assert counts["unreadable"] == counts["unreadable_by_source"]["plain"] in (4, 5)


def test_too_many_unreadable_videos_stop_a_run_before_its_first_step(folder: Path) -> None:
    add_broken_video(folder)
    with pytest.raises(VideoError, match="source 'plain': 1 of 2 videos cannot be read, more than"):
        train(one_stage(folder))
    assert not (folder / "out" / "one").exists()


def test_a_missing_source_stops_a_run_unless_allowed(folder: Path) -> None:
    (folder / "text.json").unlink()
    with pytest.raises(AnnotationError, match=r"1 of 3 sources are missing: text .*allow_missing_sources=true"):
        train(one_stage(folder))
    train(one_stage(folder, "allow_missing_sources=true"))
    assert "is missing, and left out" in (folder / "out" / "train.log").read_text()


def test_bad_rows_are_left_out_and_told_when_asked_to(folder: Path) -> None:
    rows = json.loads((folder / "plain.json").read_text())
    (folder / "plain.json").write_text(json.dumps([{"video": "v.mp4"}, *rows]))
    with pytest.raises(AnnotationError, match=r"plain\.json row 0: 'QA' is missing .*skip_bad_rows=true"):
        train(one_stage(folder))
    train(one_stage(folder, "skip_bad_rows=true"))
    log = (folder / "out" / "train.log").read_text()
    assert "plain.json row 0: 'QA' is missing" in log
    assert f"{len(rows)} rows     1 bad rows" in log


def test_epochs_show_every_row_so_often(folder: Path) -> None:
    stage = "{name: one, epochs: 3, warmup_epochs: 1.5, windows_per_step: 2, learning_rate: 0.01, num_frames: 2}"
    train(settings(folder, f"stages=[{stage}]", NO_CACHE))
    log = (folder / "out" / "train.log").read_text()
    assert "step 6 of 6" in log  # 4 rows, 3 times, 2 at a time
    assert "step 3 of 6 loss" in log


class Broken:
    """Makes the loss of some forward passes no number."""

    def __init__(self, calls: set[int]) -> None:
        self.calls, self.count, self.forward = calls, 0, HawkEye.forward

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def forward(model: HawkEye, *args: Any, **kwargs: Any) -> Any:
            output = self.forward(model, *args, **kwargs)
            self.count += 1
            if self.count in self.calls and output.loss is not None:
                output.loss = output.loss * torch.nan
            return output

        monkeypatch.setattr(HawkEye, "forward", forward)


def test_a_loss_that_is_no_number_is_skipped_and_its_samples_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Broken({2, 4}).install(monkeypatch)
    model = train(one_stage(folder))
    assert all(weight.isfinite().all() for weight in weights(model).values())
    log = (folder / "out" / "train.log").read_text()
    assert log.count("the loss is nan for ") == 2
    assert ".json row " in log.split("the loss is nan for ")[1].splitlines()[0]


def test_too_many_such_losses_stop_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Broken({1, 2, 3}).install(monkeypatch)
    with pytest.raises(TrainingError, match="in 3 batches, more than max_skipped_steps=2"):
        train(one_stage(folder, "max_skipped_steps=2"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_same_command_goes_on(
    number: signal.Signals, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(one_stage(folder, f"output_dir={folder / 'whole'}"))
    step = StageTrainer.training_step

    def interrupted(trainer: StageTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if trainer.state.global_step == 2 and not trainer.signals.is_received:
            assert threading.current_thread() is threading.main_thread()
            os.kill(os.getpid(), number)
        return step(trainer, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StageTrainer, "training_step", interrupted)
        with pytest.raises(Interrupted, match="stopped at step 3"):
            train(one_stage(folder))
    assert (folder / "out" / "one" / "checkpoint-3" / "complete").exists()
    assert not (folder / "out" / "one" / "finished").exists()
    assert_equal_weights(whole, train(one_stage(folder)))


def test_a_run_that_goes_on_with_another_configuration_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stopped(*_: Any, **__: Any) -> torch.Tensor:
        raise MemoryError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(StageTrainer, "training_step", stopped)
        with pytest.raises(MemoryError):
            train(one_stage(folder, "seed=3"))
    model = train(one_stage(folder, "seed=4"))
    log = (folder / "out" / "train.log").read_text()
    assert log.count("this run goes on with another configuration: ") == 1
    assert "this run goes on with another configuration: seed was 3 and is 4" in log
    with caplog.at_level("WARNING"):
        assert train(one_stage(folder)) == model
    assert "this run has finished; delete it, or choose another output_dir" in caplog.text


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = StageTrainer.save_model

    def full(trainer: StageTrainer, output_dir: str | None = None, **kwargs: Any) -> None:
        save(trainer, output_dir, **kwargs)
        if trainer.state.global_step == 4:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(StageTrainer, "save_model", full)
        with pytest.raises(OSError, match="No space left"):
            train(one_stage(folder, "save_steps=2"))
    whole = train(one_stage(folder, f"output_dir={folder / 'whole'}"))
    assert_equal_weights(whole, train(one_stage(folder, "save_steps=2")))
    assert "checkpoint-4 is incomplete, and deleted" in (folder / "out" / "train.log").read_text()


def test_trained_weights_are_exported_under_the_originals_names(folder: Path) -> None:
    model = train(one_stage(folder, "export_checkpoints=true", "frozen=[vision_encoder, vision_layernorm]"))
    exported = read_weights(folder / "out" / "ckpt_6.pth")
    final = HawkEye.from_pretrained(model)
    assert torch.equal(exported["llama_proj.weight"], final.projector.weight)
    assert not [name for name in exported if name.startswith("vision")]
    assert "qformer.bert.encoder.layer.0.output.dense.weight" in exported
    assert torch.load(folder / "out" / "ckpt_6.pth", weights_only=True)["global_step"] == 6


def test_frozen_modules_keep_their_weights(folder: Path) -> None:
    first = train(one_stage(folder))
    more = train(
        one_stage(folder, f"model={first}", f"output_dir={folder / 'more'}", "frozen=[vision_encoder, qformer]")
    )
    ours, theirs = weights(first), weights(more)
    kept = {name for name in ours if torch.equal(ours[name], theirs[name])}
    assert kept == {name for name in ours if name.startswith(("vision_encoder", "qformer"))}
    with pytest.raises(ConfigError, match="frozen: the model has no module 'vision_encoders'; did you mean"):
        train(one_stage(folder, f"output_dir={folder / 'x'}", "frozen=[vision_encoders]"))


def test_a_given_checkpoint_is_what_training_starts_from(folder: Path) -> None:
    tuned = train(one_stage(folder, "export_checkpoints=true", "seed=1"))
    still = ("model=" + str(folder / "model.yaml"), f"weights=[{folder / 'out' / 'ckpt_6.pth'}]")
    stage = "stages.0.learning_rate=1.0e-30"
    again = train(one_stage(folder, *still, stage, f"output_dir={folder / 'again'}"))
    ours, theirs = weights(tuned), weights(again)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-12, rtol=0)
    assert "ckpt_6.pth: " in (folder / "again" / "train.log").read_text()
    torch.save({"model": {"llama_proj.weight": torch.ones(1)}}, folder / "wrong.pth")
    with pytest.raises(WeightFileError, match=r"wrong\.pth: 'projector\.weight' has shape \[1\]"):
        train(one_stage(folder, f"weights=[{folder / 'wrong.pth'}]", f"output_dir={folder / 'x'}"))

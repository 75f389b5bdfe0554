"""Runs that meet trouble: unreadable videos, losses that are no number, signals, a full disk."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
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
ONLY_PLAIN = ("stages.0.sources={plain: 1}",)


def one_stage(folder: Path, *overrides: str) -> Any:
    stage = "{name: one, steps: 6, windows_per_step: 4, learning_rate: 0.01, num_frames: 2, warmup_steps: 2}"
    return settings(folder, f"stages=[{stage}]", NO_CACHE, *overrides)


def step_counts(checkpoint: Path) -> dict[str, Any]:
    """What `StepWatch` had counted when a checkpoint was written."""
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    return state["stateful_callbacks"]["StepWatch"]["attributes"]


def stop_in_step(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a run die in an optimiser step, counted from 1."""
    step = StageTrainer.training_step

    def stopping(trainer: StageTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if trainer.state.global_step + 1 == number:
            raise MemoryError("no more")
        return step(trainer, *args, **kwargs)

    monkeypatch.setattr(StageTrainer, "training_step", stopping)


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


def test_rows_longer_than_the_context_are_bad_rows_unless_they_are_cut(folder: Path) -> None:
    rows = json.loads((folder / "plain.json").read_text())
    rows.append({"video": "v.mp4", "QA": [{"q": "Is it light?", "a": " ".join(["No"] * 3000)}]})
    (folder / "plain.json").write_text(json.dumps(rows))
    told = r"plain\.json row 2: its conversation has \d+ tokens, but the model's context 2048; max_text_tokens cuts"
    with pytest.raises(AnnotationError, match=told):
        train(one_stage(folder))
    assert not (folder / "out" / "one").exists()
    train(one_stage(folder, "sources.plain.skip_bad_rows=true", f"output_dir={folder / 'skipped'}"))
    assert "source plain: left out: " in (folder / "skipped" / "train.log").read_text()
    train(one_stage(folder, "max_text_tokens=100", *ONLY_PLAIN))
    counts = step_counts(folder / "out" / "one" / "checkpoint-6")
    assert (counts["samples"], counts["cut"], counts["unreadable"]) == (24, 8, 0)  # every third row
    log = (folder / "out" / "train.log").read_text()
    assert "stage one: 24 samples, 0 of them unreadable, 8 conversations cut; 0 batches skipped" in log


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


ONE_AT_A_TIME = ("stages.0.windows_per_step=1", "stages.0.steps=12", "max_unreadable_ratio=1")


@pytest.mark.parametrize(
    "how",
    [
        ("stages.0.windows_per_step=1",),
        ("stages.0.windows_per_step=2", "stages.0.windows_per_process=1"),
        ("stages.0.windows_per_step=1", "stages.0.objective=words", "stages.0.num_frames=1", *ONLY_PLAIN),
    ],
    ids=["one window a step", "one of two batches", "words"],
)
def test_a_batch_whose_only_sample_is_unreadable_is_gone_without(how: tuple[str, ...], folder: Path) -> None:
    add_broken_video(folder)
    model = train(one_stage(folder, "stages.0.steps=12", "max_unreadable_ratio=1", *how))
    assert all(weight.isfinite().all() for weight in weights(model).values())
    counts = step_counts(folder / "out" / "one" / "checkpoint-12")
    assert 0 < counts["unreadable"] < counts["samples"]
    assert counts["skipped"] == 0
    log = (folder / "out" / "train.log").read_text()
    assert f"stage one: {counts['samples']} samples, {counts['unreadable']} of them unreadable (plain: " in log


def test_steps_without_anything_to_learn_change_no_weight(folder: Path) -> None:
    (folder / "v.mp4").write_bytes(b"no video")
    with pytest.raises(TrainingError, match="stage one: no sample was learned from: 12 of 12 were unreadable"):
        train(one_stage(folder, *ONE_AT_A_TIME, *ONLY_PLAIN, "save_steps=4"))
    assert not (folder / "out" / "model").exists()
    first, last = (folder / "out" / "one" / f"checkpoint-{step}" for step in (8, 12))
    assert_equal_weights(first, last)
    assert step_counts(last)["unreadable"] == 12


class ScaledTrainer(StageTrainer):
    """A trainer with float16's gradient scaler, which the library gives to GPUs alone."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.accelerator.scaler = torch.amp.GradScaler("cpu")


def test_a_gradient_scaler_takes_batches_of_which_nothing_is_learned(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_broken_video(folder)
    monkeypatch.setattr("hawkeye.training.run.StageTrainer", ScaledTrainer)
    Broken({1, 5}).install(monkeypatch)
    model = train(one_stage(folder, *ONE_AT_A_TIME, "max_grad_norm=null"))
    assert all(weight.isfinite().all() for weight in weights(model).values())
    counts = step_counts(folder / "out" / "one" / "checkpoint-12")
    assert (counts["samples"], counts["skipped"]) == (12, 2)
    assert counts["unreadable"] > 0
    scaler = torch.load(folder / "out" / "one" / "checkpoint-12" / "scaler.pt", weights_only=True)
    assert scaler["scale"] == 2**16  # none of them counts as an overflow


def test_float16_without_an_accelerator_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"precision float16 needs a GPU.*: bfloat16 or float32"):
        train(one_stage(folder, "precision=float16"))
    frozen = "frozen=[vision_encoder, language_model]"
    with pytest.raises(ConfigError, match=r"frozen_precision float16 does not go with precision bfloat16 here: set it"):
        train(one_stage(folder, "precision=bfloat16", "frozen_precision=float16", frozen))
    with pytest.raises(ConfigError, match=r"does not go with precision float32 here: set it to float32"):
        train(one_stage(folder, "frozen_precision=bfloat16", frozen))
    train(one_stage(folder, "precision=bfloat16", "frozen_precision=bfloat16", frozen))


def test_gradients_that_are_no_numbers_change_no_weight(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, calls = HawkEye.forward, itertools.count(1)

    def explode(model: HawkEye, *args: Any, **kwargs: Any) -> Any:
        output = forward(model, *args, **kwargs)
        if next(calls) == 3:
            assert output.loss is not None
            output.loss.register_hook(lambda gradient: gradient * torch.inf)
        return output

    monkeypatch.setattr(HawkEye, "forward", explode)
    model = train(one_stage(folder))
    assert all(weight.isfinite().all() for weight in weights(model).values())
    assert " in step 3: skipped" in (folder / "out" / "train.log").read_text()
    assert step_counts(folder / "out" / "one" / "checkpoint-6")["skipped"] == 1


def test_a_run_whose_losses_end_as_no_numbers_leaves_no_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Broken(set(range(4, 100))).install(monkeypatch)
    with pytest.raises(TrainingError, match=r"stage one: the loss is nan after the last step"):
        train(one_stage(folder))
    assert not (folder / "out" / "model").exists()
    assert not (folder / "out" / "one" / "finished").exists()


def test_weights_that_the_saved_type_cannot_hold_are_not_saved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = HawkEye.forward

    def grow(model: HawkEye, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            model.extra_query_tokens.fill_(1e6)
        return forward(model, *args, **kwargs)

    monkeypatch.setattr(HawkEye, "forward", grow)
    with pytest.raises(ConfigError, match=r"saved_precision 'float16': the weight 'extra_query_tokens' has numbers up"):
        train(one_stage(folder, "saved_precision=float16"))
    assert not (folder / "out" / "model").exists()
    train(one_stage(folder, "saved_precision=float32"))


def test_learning_rates_that_destroy_the_weights_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"'stages.0.learning_rate' is 1e\+30"):
        one_stage(folder, "stages.0.learning_rate=1.0e+30")


def test_counts_go_on_after_a_resume_and_the_limits_are_the_new_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Broken({1, 2}).install(monkeypatch)
    stop_in_step(5, monkeypatch)
    with pytest.raises(MemoryError):
        train(one_stage(folder, "save_steps=2", "max_skipped_steps=2"))
    monkeypatch.undo()
    Broken({1}).install(monkeypatch)
    with pytest.raises(TrainingError, match="in 3 batches, more than max_skipped_steps=2"):
        train(one_stage(folder, "save_steps=2", "max_skipped_steps=2"))
    monkeypatch.undo()
    train(one_stage(folder, "save_steps=2", "max_skipped_steps=3"))
    assert step_counts(folder / "out" / "one" / "checkpoint-6")["samples"] == 24


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
        assert train(one_stage(folder, "seed=4")) == model
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


def test_too_little_shared_memory_is_noticed_before_the_first_step(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hawkeye.training.checks.shutil.disk_usage", lambda _: SimpleNamespace(free=70_000))
    # Three batches of 4 windows of 2 frames of 16 x 16 pixels of 3 x 4 bytes are 73,728 bytes.
    with pytest.raises(ConfigError, match=r"stage 'one': its loaders need 0 MB .*/dev/shm has 0 MB free: give more"):
        train(one_stage(folder, "num_workers=1"))
    assert not (folder / "out" / "one").exists()
    train(one_stage(folder, "num_workers=1", "stages.0.windows_per_process=2", "stages.0.steps=1"))
    train(one_stage(folder, f"output_dir={folder / 'alone'}", "stages.0.steps=1"))

"""Training runs: they learn, they resume exactly, they refuse what cannot work before the first step."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from hawkeye.annotations import AnnotationError
from hawkeye.config import ConfigError
from hawkeye.data.video import VideoError
from hawkeye.files import InUseError
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.training.arguments import loader_workers, stage_arguments, warn_of_idle_devices
from hawkeye.training.curve import loss_history
from hawkeye.training.run import train
from hawkeye.training.start import start_model
from hawkeye.training.trainer import StageTrainer
from tests.training.runs import assert_equal_weights, settings, weights


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_that_was_stopped_ends_in_the_same_weights(optimizer: str, folder: Path) -> None:
    whole = train(settings(folder, f"optimizer={optimizer}"))
    # A run killed in the second stage after step 4 left the first stage's result and one checkpoint.
    stopped = folder / "stopped"
    for kept in ("one", "two/checkpoint-4"):
        shutil.copytree(folder / "out" / kept, stopped / kept)
    resumed = train(settings(folder, f"optimizer={optimizer}", f"output_dir={stopped}"))
    assert_equal_weights(whole, resumed)


def test_a_run_that_was_stopped_while_its_encoder_learned_words_ends_in_the_same_weights(folder: Path) -> None:
    changes = (
        "stages.0.objective=words",
        "stages.0.num_frames=1",
        "stages.0.windows_per_step=24",
        "stages.0.sources={plain: 1}",
        "save_steps=2",
    )
    whole = train(settings(folder, *changes))
    stopped = folder / "stopped"
    shutil.copytree(folder / "out" / "one" / "checkpoint-4", stopped / "one" / "checkpoint-4")
    assert_equal_weights(whole, train(settings(folder, *changes, f"output_dir={stopped}")))
    other = weights(train(settings(folder, f"output_dir={folder / 'other'}")))
    assert not torch.equal(weights(whole)["projector.weight"], other["projector.weight"])


def test_an_encoder_cannot_learn_words_of_text_rows(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"stage 'one': objective 'words' needs videos, but source 'text' has none"):
        train(settings(folder, "stages.0.objective=words", "stages.0.num_frames=1"))
    assert not (folder / "out" / "one").exists()


def test_the_seed_decides_the_weights(folder: Path) -> None:
    first, again = (train(settings(folder, f"output_dir={folder / name}")) for name in ("a", "b"))
    assert_equal_weights(first, again)
    other = train(settings(folder, f"output_dir={folder / 'c'}", "seed=1"))
    assert not torch.equal(weights(first)["projector.weight"], weights(other)["projector.weight"])


def test_a_run_learns_and_leaves_everything_needed(folder: Path) -> None:
    run = settings(folder, "stages.1.steps=200", "save_steps=200", "stages.1.sources={plain: 1}", "optimizer=muon")
    model_dir = train(run)
    history = {name: losses for name, _, losses in loss_history(run)}
    assert history["two"][-1] < 0.2 < 1.0 < history["one"][0]
    model, processor = HawkEye.from_pretrained(model_dir), HawkEyeProcessor.from_pretrained(model_dir)
    assert model.config.num_visual_tokens == processor.num_visual_tokens == 4
    output = folder / "out"
    assert (output / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "stage two step 200 of 200 loss" in (output / "train.log").read_text()
    assert yaml.safe_load((output / "config.yaml").read_text())["stages"][1]["steps"] == 200
    assert list((output / "two").glob("runs/*/events.out.tfevents.*"))


def test_a_finished_run_is_not_repeated(folder: Path) -> None:
    model_dir = train(settings(folder))
    before = (model_dir / "model.safetensors").stat().st_mtime_ns
    assert train(settings(folder)) == model_dir
    assert (model_dir / "model.safetensors").stat().st_mtime_ns == before


def test_training_goes_on_from_a_model_directory(folder: Path) -> None:
    first = train(settings(folder))
    second = train(
        settings(folder, f"model={first}", f"output_dir={folder / 'more'}", "stages.0.learning_rate=1.0e-12",
                 "stages.1.learning_rate=1.0e-12")
    )  # fmt: skip
    ours, theirs = weights(first), weights(second)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-6, rtol=0)


def test_gradient_checkpointing_gives_the_same_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, checkpointed = StageTrainer.training_step, set[bool]()

    def watched(trainer: StageTrainer, model: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        checkpointed.add(any(getattr(module, "gradient_checkpointing", False) for module in model.modules()))
        return step(trainer, model, *args, **kwargs)

    monkeypatch.setattr(StageTrainer, "training_step", watched)
    plain = train(settings(folder, f"output_dir={folder / 'a'}"))
    assert checkpointed == {False}
    recomputed = train(settings(folder, f"output_dir={folder / 'b'}", "gradient_checkpointing=true"))
    assert checkpointed == {False, True}
    ours, theirs = weights(plain), weights(recomputed)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=1e-4)


def test_unreadable_videos_stop_a_run_before_its_first_step(folder: Path) -> None:
    (folder / "v.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"source 'plain': 1 of 1 videos cannot be read, .*v\.mp4"):
        train(settings(folder))
    assert not (folder / "out" / "one").exists()


def test_a_wrong_row_stops_a_run_before_its_first_step(folder: Path) -> None:
    (folder / "plain.json").write_text('[{"video": "v.mp4", "QA": [{"q": "Is it light?"}]}]')
    with pytest.raises(AnnotationError, match=r"plain\.json row 0: 'a' is missing"):
        train(settings(folder))


def test_a_model_that_is_neither_directory_nor_sizes_is_refused(folder: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"model 'nothing': neither a model directory nor a YAML of sizes nor the name"
    ):
        train(settings(folder, "model=nothing"))


def test_training_takes_shipped_models_by_name(folder: Path) -> None:
    run = settings(folder, "model=tiny", "dry_run=true")
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        start_model(run.model_copy(update={"model": Path("tinny")}), {}, without_values=True)
    model, processor = start_model(run, {}, without_values=True)
    assert model.config.num_visual_tokens == processor.num_visual_tokens == 16


def test_a_process_uses_one_device_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = settings(folder)
    arguments = stage_arguments(run, run.stages[0], folder / "stage", 0, 6)
    arguments._n_gpu = 4  # as the library counts devices
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, 4)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.accelerator.device_count", lambda: 4)
    warn_of_idle_devices()
    assert "4 devices are visible, and one is used: torchrun --nproc_per_node 4 -m hawkeye train" in caplog.text


def test_a_run_starts_no_more_loaders_than_there_are_cores(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hawkeye.pools.available_cores", lambda: 8)
    assert (loader_workers(0), loader_workers(8)) == (0, 8)
    assert not caplog.records
    assert loader_workers(3000) == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert loader_workers(3) == 2
    assert "3 worker processes are more than this process's cores: 2 are started" in caplog.text


def test_two_runs_cannot_train_in_one_folder(folder: Path) -> None:
    holder = "import sys\nfrom pathlib import Path\nfrom hawkeye.files import locked\nwith locked(Path(sys.argv[1])):\n"
    command = [sys.executable, "-c", f"{holder}    print('here', flush=True)\n    sys.stdin.read()\n", folder / "out"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        with pytest.raises(InUseError, match=f"out: process {process.pid} on"):
            train(settings(folder))
        process.communicate()
    train(settings(folder, "stages.0.steps=1", "stages.1.steps=1"))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"text_config": [1]}, "text_config must be a mapping"),
        ({"text_config": {"hidden_size": 15}}, "hidden"),
        ({"num_frames": "12"}, "num_frames"),
    ],
)
def test_wrong_sizes_of_a_model_are_one_line_that_names_the_file(
    sizes: dict[str, Any], message: str, folder: Path
) -> None:
    (folder / "model.yaml").write_text(yaml.safe_dump({"image_size": 16, "tokenizer": "words", "config": sizes}))
    with pytest.raises(ConfigError, match=rf"model\.yaml: no model can be made of 'config' \(.*{message}") as error:
        train(settings(folder))
    assert "\n" not in str(error.value)

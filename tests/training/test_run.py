"""Training runs: they learn, they resume exactly, they refuse what cannot work before the first step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from hawkeye.config import ConfigError, TrainSettings, load_settings
from hawkeye.data.instruction import AnnotationError
from hawkeye.data.video import VideoError
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.prompts import CHOICE_SENTENCES
from hawkeye.temporal import Choice
from hawkeye.training.curve import loss_history
from hawkeye.training.run import train
from tests.data.video_files import write_video

MODEL = {
    "image_size": 16,
    "config": {
        "num_query_tokens": 2,
        "num_extra_query_tokens": 2,
        "qformer_text": "instruction",
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 32,
            "depth": 1,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 8,
        },
        "qformer_config": {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "cross_attention_frequency": 2,
        },
        "text_config": {
            "model_type": "llama",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "tie_word_embeddings": True,
        },
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video that is dark, then light; rows about it; sizes of a model; a configuration of two stages."""
    frames = np.zeros((40, 32, 32, 3), dtype=np.uint8)
    frames[20:] = 255
    write_video(tmp_path / "v.mp4", frames, fps=5)
    answers = [[choice.value, CHOICE_SENTENCES[choice]] for choice in Choice]
    item = {"i": "Watch.", "start_sec": 1, "end_sec": 3, "neg_start_sec": 0, "neg_end_sec": 8, "a": answers}
    rows: dict[str, Any] = {
        "segments": [{"video": "v.mp4", "QA": [{**item, "q": "When is it dark?"}]}],
        "plain": [
            {"video": "v.mp4", "start": 0, "end": 3, "QA": [{"q": "Is it light?", "a": "No."}]},
            {"video": "v.mp4", "start": 5, "end": 8, "QA": [{"q": "Is it light?", "a": "Yes."}]},
        ],
        "text": [{"text": "dark", "QA": [{"q": "Is it light?", "a": "No."}]}],
    }
    for name, content in rows.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(MODEL))
    stage = {"windows_per_step": 4, "learning_rate": 0.01, "warmup_steps": 2}
    run = {
        "name": "test",
        "model": str(tmp_path / "model.yaml"),
        "output_dir": str(tmp_path / "out"),
        "data_dir": str(tmp_path),
        "sources": {
            "segments": {"annotations": "segments.json", "videos": ".", "windows": "path"},
            "plain": {"annotations": "plain.json", "videos": "."},
            "text": {"annotations": "text.json"},
        },
        "stages": [
            {**stage, "name": "one", "steps": 6, "num_frames": 2, "sources": {"plain": 0.7, "text": 0.3}},
            {**stage, "name": "two", "steps": 8, "questions_per_window": 2, "sources": {"plain": 1, "segments": 1}},
        ],
        "num_workers": 0,
        "save_steps": 4,
        "logging_steps": 1,
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    return tmp_path


def settings(folder: Path, *overrides: str) -> TrainSettings:
    return load_settings(folder / "run.yaml", TrainSettings, overrides)


def weights(model_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(model_dir / "model.safetensors")


def assert_equal_weights(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


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
    changes = ("stages.0.objective=words", "stages.0.sources={plain: 1}", "save_steps=2")
    whole = train(settings(folder, *changes))
    stopped = folder / "stopped"
    shutil.copytree(folder / "out" / "one" / "checkpoint-4", stopped / "one" / "checkpoint-4")
    assert_equal_weights(whole, train(settings(folder, *changes, f"output_dir={stopped}")))
    other = weights(train(settings(folder, f"output_dir={folder / 'other'}")))
    assert not torch.equal(weights(whole)["projector.weight"], other["projector.weight"])


def test_an_encoder_cannot_learn_words_of_text_rows(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"stage 'one': objective 'words' needs videos, but source 'text' has none"):
        train(settings(folder, "stages.0.objective=words"))
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


def test_gradient_checkpointing_gives_the_same_weights(folder: Path) -> None:
    plain = train(settings(folder, f"output_dir={folder / 'a'}"))
    recomputed = train(settings(folder, f"output_dir={folder / 'b'}", "gradient_checkpointing=true"))
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
    with pytest.raises(ConfigError, match=r"model 'nothing': neither a model directory nor a YAML of sizes"):
        train(settings(folder, "model=nothing"))

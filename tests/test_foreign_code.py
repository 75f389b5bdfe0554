"""A model's own code never runs, though the terminal answers "y" to every question, at no entry point."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_preparing.internvid_g.captions import Captioner
from data_preparing.internvid_g.clip import Clip
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.cli import main
from hawkeye.config import ConfigError, TrainSettings, load_settings
from hawkeye.models import HawkEye, HawkEyeProcessor
from hawkeye.models.convert import convert
from hawkeye.pipeline import load_model
from hawkeye.training.start import start_model
from tests.data.video_files import write_video
from tests.models.language_models import edit, write_llama, write_sizes, write_stage_1
from tests.small_model import make_small_model

AUTO_MAP = {
    "AutoConfig": "planted.Config",
    "AutoModel": "planted.Model",
    "AutoModelForCausalLM": "planted.Model",
    "AutoModelForImageTextToText": "planted.Model",
    "AutoTokenizer": ["planted.Words", "planted.Words"],
    "AutoProcessor": "planted.Processor",
    "AutoImageProcessor": "planted.Processor",
}


@pytest.fixture(autouse=True)
def yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `yes | hawkeye ...` gives."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 1000))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that the planted code makes if it runs."""
    return tmp_path / "mark"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "v.mp4", np.zeros((8, 16, 16, 3), np.uint8), fps=4)


def plant(directory: Path, mark: Path, *files: str) -> Path:
    """Puts code into a directory, and names it in the given JSON files."""
    for folder in (directory, directory / "qformer_tokenizer"):
        if folder.is_dir():
            (folder / "planted.py").write_text(f"open({str(mark)!r}, 'w').write('run')\n")
    for name in files:
        edit(directory / name, lambda content: content.update(auto_map=AUTO_MAP, trust_remote_code=True))
    return directory


def saved_model(folder: Path) -> Path:
    folder.mkdir()
    for part in make_small_model(folder):
        part.save_pretrained(folder)
    return folder


FILES = ("tokenizer_config.json", "qformer_tokenizer/tokenizer_config.json", "processor_config.json", "config.json")


@pytest.mark.parametrize("file", FILES)
def test_code_of_a_model_directory_does_not_run(file: str, tmp_path: Path, mark: Path, video: Path) -> None:
    directory = plant(saved_model(tmp_path / "model"), mark, file)
    main(["ground", str(video), "the red circle jumps", "--model", str(directory)])
    run = {
        "name": "t",
        "model": str(directory),
        "output_dir": str(tmp_path / "out"),
        "sources": {"a": {"annotations": "a"}},
    }
    run["stages"] = [{"name": "s", "steps": 1, "windows_per_step": 1, "learning_rate": 1.0}]  # type: ignore[assignment]
    (tmp_path / "run.yaml").write_text(json.dumps(run))
    settings = load_settings(tmp_path / "run.yaml", TrainSettings)
    for act in (
        lambda: load_model(directory),
        lambda: start_model(settings, {}),
        lambda: start_model(settings, {}, without_values=True),
        lambda: convert([directory], tmp_path / "again", model=directory),
        lambda: HawkEye.from_pretrained(directory),
        lambda: HawkEyeProcessor.from_pretrained(directory),
    ):
        attempt(act)
    assert not mark.exists()


def attempt(act: Callable[[], Any]) -> None:
    """Both are right: to refuse what carries code, and to load it without."""
    with suppress(ValueError):
        act()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_a_language_model_does_not_run(file: str, tmp_path: Path, mark: Path, golden_dir: Path) -> None:
    stage_1 = write_stage_1(tmp_path / "stage_1.pth")
    sizes = write_sizes(tmp_path / "model.yaml")
    tokenizers = golden_dir / "tokenizers"
    directory = plant(write_llama(tmp_path / "llm", tokenizers / "llm"), mark, file)
    attempt(
        lambda: convert([directory, stage_1], tmp_path / "a", model=sizes, qformer_tokenizer=str(tokenizers / "bert"))
    )
    edit(directory / "config.json", lambda content: content.update(model_type="planted"))
    arguments = ["convert", str(directory), str(stage_1), "--output", str(tmp_path / "b"), "--config", str(sizes)]
    assert main([*arguments, "--qformer-tokenizer", str(tokenizers / "bert")]) == 2
    bert = tmp_path / "bert"
    shutil.copytree(tokenizers / "bert", bert)
    plant(bert, mark, "tokenizer_config.json")
    for name in (str(tokenizers / "llm"), str(directory)):
        whole = write_llama(tmp_path / f"whole{len(name)}", tokenizers / "llm")
        inputs, output = [whole, stage_1], tmp_path / f"c{len(name)}"
        attempt(lambda: convert(inputs, output, model=sizes, tokenizer=name, qformer_tokenizer=str(bert)))  # noqa: B023
    assert not mark.exists()


@pytest.mark.parametrize("kind", [Captioner, lambda settings: Clip(settings.caption.model, settings)])
def test_code_of_a_captioner_or_of_clip_does_not_run(
    kind: Callable[[ChainSettings], object], tmp_path: Path, mark: Path
) -> None:
    directory = tmp_path / "captioner"
    directory.mkdir()
    for name in ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json"):
        (directory / name).write_text(json.dumps({"model_type": "planted"}))
    plant(directory, mark, "config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
    settings = ChainSettings(folder=tmp_path, caption={"model": str(directory)}, device="cpu")
    with pytest.raises(ConfigError, match=r"captioner: the .* cannot be loaded") as error:
        kind(settings)
    assert "\n" not in str(error.value)
    assert not mark.exists()


def test_attention_from_the_hub_is_refused(tmp_path: Path) -> None:
    directory = saved_model(tmp_path / "model")
    edit(directory / "config.json", lambda content: content.update(attn_implementation="someone/kernel"))
    with pytest.raises(ConfigError, match=r"config\.json: attn_implementation 'someone/kernel' names code on the Hub"):
        load_model(directory)


def test_the_planted_code_would_run_if_it_were_trusted(tmp_path: Path, mark: Path, golden_dir: Path) -> None:
    from transformers import AutoConfig

    directory = plant(write_llama(tmp_path / "llm", golden_dir / "tokenizers" / "llm"), mark, "config.json")
    edit(directory / "config.json", lambda content: content.update(model_type="planted"))
    with pytest.raises(AttributeError):
        AutoConfig.from_pretrained(directory, trust_remote_code=True)
    assert mark.exists()

"""The training scripts as they are, on a small data folder laid out as theirs and a model of a few thousand weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from hawkeye.config import TrainSettings, load_settings
from hawkeye.data.locations import file_of
from hawkeye.models import HawkEye
from hawkeye.models.checkpoint import from_original
from hawkeye.prompts import CHOICE_SENTENCES, frames_message
from hawkeye.temporal import Choice
from hawkeye.training.start import FIXED_PHRASES, new_model
from tests.data.video_files import write_video
from tests.small_model import SIZES

ROOT = Path(__file__).parents[1]
CONFIGS = [ROOT / "configs" / "train" / f"{name}.yaml" for name in ("stage3", "charades_sta", "anetc")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every source of the three configurations, a row and a video each."""
    folder = tmp_path_factory.mktemp("data")
    frames = np.zeros((24, 32, 48, 3), dtype=np.uint8)
    frames[12:] = 255
    answers = [[choice.value, CHOICE_SENTENCES[choice]] for choice in Choice]
    segment = {"start_sec": 1, "end_sec": 2, "neg_start_sec": 0, "neg_end_sec": 3}
    grounding = {"QA": [{"i": "Watch.", **segment, "q": "When is it dark?", "a": answers}]}
    plain = {"QA": [{"i": "Watch.", "q": "Is it dark?", "a": "First it is."}]}
    for config in CONFIGS:
        for name, source in load_settings(config, TrainSettings).sources.items():
            video = "video_03123.mp4"
            row = grounding if "hawkeye_it" not in str(source.annotations) or "grounding" in name else plain
            path = folder / source.annotations
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps([{"video": video, **row}]))
            assert source.videos is not None
            target = folder / source.videos / file_of(video, source.file, name).replace(".*", ".mp4")
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.fps is None:
                write_video(target, frames, fps=8)
            else:
                target.mkdir(exist_ok=True)
                for number, frame in enumerate(frames[::4]):
                    Image.fromarray(frame).save(target / f"{number:05d}.jpg")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with adapters, as `hawkeye convert` makes them."""
    folder = tmp_path_factory.mktemp("model")
    lora = {"r": 2, "alpha": 4, "dropout": 0.0, "target_modules": ["q_proj", "v_proj"]}
    sizes: dict[str, Any] = {**SIZES, "config": {**SIZES["config"], "lora": lora}}  # type: ignore[dict-item]
    (folder / "sizes.yaml").write_text(yaml.safe_dump(sizes))
    texts = [
        "Watch. When is it dark? Is it dark? First it is.",
        *FIXED_PHRASES,
        *map(frames_message, ([0.0] * n for n in range(1, 13))),
    ]
    torch.manual_seed(0)
    new, processor = new_model(folder / "sizes.yaml", texts)
    new.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    return folder / "model"


def run(script: str, *arguments: Path | str, **environment: Path | str) -> str:
    """Runs a training script on one CPU process, from another folder; returns what it says."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ready = {"PATH": path, "HAWKEYE_ENVIRONMENT": "ready", "GPUS": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", ROOT / "scripts" / "train" / script, *arguments],
        env=os.environ | ready | {name: str(value) for name, value in environment.items()},
        cwd=Path(arguments[0]).parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def exported(output: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """The last `ckpt_N.pth` of a run, and its weights under our names."""
    path = max(output.glob("ckpt_*.pth"), key=lambda path: int(path.stem.removeprefix("ckpt_")))
    return path, from_original(torch.load(path, weights_only=True)["model"])


@pytest.mark.slow
def test_instruction_tuning_and_then_fine_tuning(data: Path, model: Path, tmp_path: Path) -> None:
    tuned = tmp_path / "tuned"
    said = run("run_7b_stage3.sh", tuned, MODEL=model, DATA=data)
    assert (tuned / "train.log").read_text().strip().splitlines()[-1].partition(" stage ")[2] in said
    assert {path.name for path in tuned.iterdir()} >= {"config.yaml", "train.log", "curve.png", "model", "stage3"}
    assert list((tuned / "stage3" / "runs").rglob("events.out.tfevents.*"))
    # 18 rows, 16 a step, three times: 3 steps and a rest of 6 windows.
    checkpoint, weights = exported(tuned)
    assert checkpoint.name == "ckpt_3.pth"
    first = HawkEye.from_pretrained(model).state_dict()
    assert not any(torch.equal(weights[name], first[name]) for name in weights if "lora_B" in name)
    for name in ("charades_sta", "anetc"):
        # At this learning rate nothing changes: what comes out is what the run started from.
        run(f"{name}.sh", tmp_path / name, checkpoint, "stages.0.learning_rate=1e-30", MODEL=model, DATA=data)
        _, same = exported(tmp_path / name)
        assert same.keys() == weights.keys()
        assert all(torch.equal(same[key], weights[key]) for key in weights)


def test_a_script_without_its_arguments_says_how_to_call_it() -> None:
    for script, usage in (
        ("run_7b_stage3.sh", "OUTPUT_PATH"),
        ("anetc.sh", "OUTPUT_PATH"),
        ("charades_sta.sh", "OUTPUT_PATH"),
    ):
        done = subprocess.run(
            ["bash", ROOT / "scripts" / "train" / script], capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert usage in done.stderr

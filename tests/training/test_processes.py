"""Two processes, by DDP and by DeepSpeed's ZeRO, learn what one does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from hawkeye.training.run import train
from tests.training.conftest import MODEL
from tests.training.runs import settings, weights

ROOT = Path(__file__).parents[2]
STAGE = "{name: one, steps: 6, windows_per_step: 8, learning_rate: 0.01, num_frames: 2, warmup_steps: 2}"
RUN = (f"stages=[{STAGE}]", "max_unreadable_ratio=0.5")


@pytest.fixture
def folder(folder: Path) -> Path:
    """The small run without what each process would draw for itself: dropout, dropped paths."""
    qformer = MODEL["config"]["qformer_config"] | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    sizes = MODEL | {"config": MODEL["config"] | {"qformer_config": qformer, "drop_path_rate": 0.0}}
    (folder / "model.yaml").write_text(yaml.safe_dump(sizes))
    return folder


def start_two(
    folder: Path, output: str, *overrides: str, program: tuple[str, ...] = ("-m", "hawkeye")
) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, *program, "train", str(folder / "run.yaml"), f"output_dir={folder / output}", *RUN]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *overrides], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def train_by_two(folder: Path, output: str, *overrides: str) -> Path:
    done = start_two(folder, output, *overrides)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / output / "model"


def losses(output: Path) -> list[float]:
    return [float(loss) for loss in re.findall(r"step \d+ of \d+ loss ([\d.]+)", (output / "train.log").read_text())]


@pytest.mark.parametrize("how", ["ddp", pytest.param("zero2", marks=pytest.mark.slow), "zero3"])
def test_two_processes_learn_what_one_does(how: str, folder: Path) -> None:
    overrides = [] if how == "ddp" else [f"deepspeed={ROOT / 'configs' / 'deepspeed' / how}.json"]
    one = train(settings(folder, *RUN))
    two = train_by_two(folder, "two", *overrides)
    expected = losses(folder / "out")
    assert len(expected) == 6
    # The log has four decimals. The sums of gradients are the same but for their order.
    assert losses(folder / "two") == pytest.approx(expected, abs=2e-4)
    ours, theirs = weights(two), weights(one)
    assert ours.keys() == theirs.keys()
    # AdamW's steps have the size of the learning rate whatever that of the gradient: where a gradient is all rounding
    # error its sign may differ, so that single weights are apart by up to twice the sum of six steps of at most 0.01.
    apart = torch.cat([(ours[name] - theirs[name]).abs().flatten() for name in ours])
    assert apart.max() < 0.12
    assert apart.quantile(0.95) < 1e-4


@pytest.mark.slow
def test_two_processes_stop_with_one_message_and_go_on(folder: Path) -> None:
    uninterrupted = train_by_two(folder, "whole", "save_steps=2")
    output = folder / "parts"
    failed = start_two(folder, "parts", "save_steps=2", f"data_dir={folder / 'nowhere'}")
    assert failed.returncode != 0
    assert "3 of 3 sources are missing" in failed.stderr
    assert not (output / "one").exists()
    # As a kill leaves it: the first checkpoint is whole, the second is not.
    train_by_two(folder, "parts", "save_steps=2")
    for path in (output / "model", output / "one" / "finished"):
        path.rename(path.with_name(f"former {path.name}"))
    (output / "one" / "checkpoint-6" / "complete").unlink()
    resumed = train_by_two(folder, "parts", "save_steps=2")
    assert "goes on from" in (output / "train.log").read_text()
    ours, theirs = weights(resumed), weights(uninterrupted)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


BROKEN_ON_ONE = """
import sys
import torch
from hawkeye import processes
from hawkeye.cli import main
from hawkeye.models import HawkEye
from hawkeye.training.trainer import StageTrainer

forward, check, calls = HawkEye.forward, StageTrainer.check_result, 0

def broken(model, *args, **kwargs):
    global calls
    output = forward(model, *args, **kwargs)
    calls += 1
    if calls == 4 and processes.rank() == 1:
        output["loss"] = output["loss"] * torch.nan
    return output

def checked(trainer):
    check(trainer)
    if trainer.args.deepspeed is None:
        own = torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()]).double()
        apart = abs(processes.sums(own.sum().item())[0] / 2 - own.sum().item())
        print("apart by", apart, file=sys.stderr)

HawkEye.forward, StageTrainer.check_result = broken, checked
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ddp", "zero2", "zero3"])
def test_a_loss_that_is_no_number_on_one_process_is_skipped_on_both(how: str, folder: Path) -> None:
    (folder / "broken.py").write_text(BROKEN_ON_ONE)
    overrides = [] if how == "ddp" else [f"deepspeed={ROOT / 'configs' / 'deepspeed' / how}.json"]
    # The fourth batch is the last of the second step's two.
    overrides += ["stages.0.windows_per_process=2", "save_steps=2"]
    done = start_two(folder, "two", *overrides, program=(str(folder / "broken.py"),))
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(re.findall(r"apart by (\S+)", done.stderr)) == ({"0.0"} if how == "ddp" else set())
    state = json.loads((folder / "two" / "one" / "checkpoint-6" / "trainer_state.json").read_text())
    assert state["stateful_callbacks"]["StepWatch"]["attributes"]["skipped"] == 1
    assert all(weight.isfinite().all() for weight in weights(folder / "two" / "model").values())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ddp", "zero3"])
def test_processes_wait_for_none_whose_samples_are_all_unreadable(how: str, folder: Path) -> None:
    (folder / "broken.mp4").write_bytes(b"no video")
    rows = json.loads((folder / "plain.json").read_text())
    rows += [{"video": "broken.mp4", "QA": [{"q": "Is it light?", "a": "No."}]}] * 2
    (folder / "plain.json").write_text(json.dumps(rows))
    overrides = [] if how == "ddp" else [f"deepspeed={ROOT / 'configs' / 'deepspeed' / how}.json"]
    done = start_two(folder, "two", *overrides, "stages.0.windows_per_step=2", "max_unreadable_ratio=1")
    assert done.returncode == 0, done.stderr[-3000:]
    state = json.loads((folder / "two" / "one" / "checkpoint-6" / "trainer_state.json").read_text())
    counts = state["stateful_callbacks"]["StepWatch"]["attributes"]
    assert (counts["samples"], counts["skipped"]) == (12, 0)
    assert 0 < counts["unreadable"] < 12

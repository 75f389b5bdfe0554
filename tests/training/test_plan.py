"""What a dry run says: counts that hold, memory worked out by hand, and nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from hawkeye.cli import main
from hawkeye.config import TrainSettings
from hawkeye.models import HawkEye
from hawkeye.training.checks import read_sources
from hawkeye.training.disk import Disk, disk_of
from hawkeye.training.plan import BatchShape, memory_of, plan
from hawkeye.training.start import freeze, start_model
from tests.small_model import make_small_model
from tests.training.runs import settings

ZERO = Path(__file__).parents[2] / "configs" / "deepspeed"


def said(run: TrainSettings) -> str:
    console = Console(width=200, record=True)
    for table in plan(run):
        console.print(table)
    return console.export_text()


def test_a_dry_run_tells_sources_modules_and_steps_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert main(["train", str(folder / "run.yaml"), "dry_run=true", "frozen=[vision_encoder]"]) == 0
    text = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line.startswith("│")]
    assert ["plain", "2", "0", "1", "0", "0 of 1"] in rows
    assert ["text", "1", "0", "0", "0", "0 of 0"] in rows
    assert ["vision_encoder", "5,296", "0", "5,296"] in rows
    assert ["queries", "64", "64", "0"] in rows
    assert [row[:3] for row in rows if row[0] == "two"] == [["two", "8", "4 = 1 x 4 x 1"]]


def test_a_dry_run_tells_disk_and_text(folder: Path) -> None:
    run = settings(folder, "max_text_tokens=12", "export_checkpoints=true", "keep_checkpoints=3")
    text = said(run)
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line.startswith("│")]
    # Of one row in two of "###Human: <Video></Video> ###Human: Is it light? ###Assistant: No. ###", all are longer.
    (plain,) = [row for row in rows if row[0] == "plain" and len(row) == 5]
    assert plain[1] == "2"
    assert plain[4] == "2"
    assert "a checkpoint" in text

    model, _ = start_model(run, read_sources(run), without_values=True)
    weights = sum(weight.numel() for weight in model.parameters())
    assert disk_of(run, model) == Disk(12 * weights, 4 * weights, (2 * 4 + 4) * weights)
    frozen = settings(folder, "frozen_precision=bfloat16", "saved_precision=bfloat16", "optimizer=muon")
    for weight in model.parameters():
        weight.requires_grad_(False)
    freeze(model, frozen)
    assert disk_of(frozen, model) == Disk(2 * weights, 0, (2 * 2 + 2) * weights)


def test_a_dry_run_finds_what_would_stop_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "v.mp4").unlink()
    assert main(["train", str(folder / "run.yaml"), "dry_run=true"]) == 2
    assert "v.mp4: no such file" in capsys.readouterr().err


def test_steps_are_split_among_the_processes_of_the_launcher(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    text = said(settings(folder, "stages.1.windows_per_process=1"))
    assert "Stages, on 2 processes" in text
    assert "4 = 2 x 2 x 1" in text
    assert "4 = 2 x 1 x 2" in text


def test_one_process_of_several_tells_the_plan(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert said(settings(folder)) == ""


@pytest.mark.parametrize(
    ("precision", "zero", "weights", "gradients", "optimizer"),
    [
        # Bytes for each trained weight, on one of four processes; frozen ones take two.
        ("float32", None, 4, 4, 8),
        ("float16", None, 4, 4, 8),
        ("bfloat16", 2, 2, 2 / 4, (4 + 8) / 4),
        ("bfloat16", 3, 2 / 4, 2 / 4, (4 + 8) / 4),
        ("float32", 3, 4 / 4, 4 / 4, 8 / 4),
    ],
)
def test_memory_of_weights_and_their_states(
    precision: str, zero: int | None, weights: float, gradients: float, optimizer: float, folder: Path
) -> None:
    overrides = [f"precision={precision}", "frozen=[vision_encoder, language_model]", "frozen_precision=bfloat16"]
    run = settings(folder, *overrides, *([f"deepspeed={ZERO / f'zero{zero}.json'}"] if zero else []))
    model, _ = make_small_model(folder)
    freeze(model, run)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    frozen = 2 * sum(weight.numel() for weight in model.parameters() if not weight.requires_grad)
    memory = memory_of(run, run.stages[0], model, 4, BatchShape(2, 2, 30, 10))
    assert memory.weights == pytest.approx(weights * trained + frozen / (4 if zero == 3 else 1))
    assert memory.gradients == pytest.approx(gradients * trained)
    assert memory.optimizer == pytest.approx(optimizer * trained)
    assert memory.buckets == (0 if zero else 4 * trained)
    assert memory_of(run, run.stages[0], model, 1, BatchShape(2, 2, 30, 10)).buckets == 0
    assert memory.total == memory.weights + memory.gradients + memory.optimizer + memory.activations + memory.buckets


def kept_bytes(model: HawkEye, ids: torch.Tensor, labels: torch.Tensor) -> int:
    """Bytes that a pass through the language model keeps for the way back, weights apart."""
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    held = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: held.append(tensor) or note(tensor), lambda _: _):
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels)
    return sum(kept.values())


def test_activations_are_of_the_estimated_size(folder: Path) -> None:
    run = settings(folder, "frozen=[vision_encoder]")
    model, _ = make_small_model(folder)
    model.train()
    ids = torch.randint(4, 20, (8, 100))
    labels = torch.where(torch.arange(100) < 4, ids, -100)
    estimate = memory_of(run, run.stages[0], model, 1, BatchShape(0, 8, 100, 3 * 8)).activations
    assert 0.5 < kept_bytes(model, ids, labels) / estimate < 2


def test_a_deepspeed_file_that_names_no_stage_is_refused(folder: Path) -> None:
    path = folder / "zero.json"
    path.write_text(json.dumps({"bf16": {"enabled": True}}))
    assert main(["train", str(folder / "run.yaml"), "dry_run=true", f"deepspeed={path}"]) == 2

"""Kills a run at random moments, resumes it each time, and compares what it leaves with an uninterrupted run.

    python scripts/benchmark/kills.py train --kills 20
    python scripts/benchmark/kills.py evaluate --kills 20 --processes 2

Training must end in the same weights, bit for bit; evaluation in the same files. About four minutes on two cores each.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from safetensors.torch import load_file
from tqdm import tqdm

from data_preparing.shapes.build import WorldSettings, build_world

SOURCES = "{grounding: 0.5, qa: 0.3, text: 0.2}"
STAGE = f"{{name: killed, steps: 300, windows_per_step: 2, learning_rate: 0.001, sources: {SOURCES}}}"
SAVE_STEPS = 2
LONGEST_LIFE = {"train": 5.0, "evaluate": 1.0}
"""Seconds that a run may work before it is killed."""
TEST_VIDEOS = 120


def train_command(output: Path, world: Path) -> list[str]:
    overrides = [f"stages=[{STAGE}]", f"save_steps={SAVE_STEPS}", "logging_steps=1", "num_workers=0"]
    return [
        "-m",
        "hawkeye",
        "train",
        "configs/train/shapes.yaml",
        f"data_dir={world}",
        f"output_dir={output}",
        *overrides,
    ]


def evaluate_command(output: Path, world: Path, processes: int) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = ["-m", "hawkeye", "evaluate", "configs/eval/shapes.yaml", f"data_dir={world}", f"output_dir={output}"]
    return [*(launcher if processes > 1 else []), *command, "batch_size=1"]


def steps_logged(output: Path) -> int:
    log = output / "train.log"
    return log.read_text(encoding="utf-8").count(" step ") if log.exists() else 0


def lines_written(output: Path) -> int:
    files = [*output.glob("predictions.jsonl"), *output.glob("predictions.partial/*.jsonl")]
    return sum(path.read_bytes().count(b"\n") for path in files)


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Starts Python, with one thread a process."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    nowhere = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, *command], env=environment, stdout=nowhere, stderr=nowhere)


def finish(command: list[str]) -> None:
    if start(command).wait():
        sys.exit(f"failed: {' '.join(command)}")


def kill_once(command: list[str], progress: Callable[[], int], longest_life: float, rng: random.Random) -> bool:
    """Starts or resumes the run and kills it; returns whether it was alive when its moment came."""
    before = progress()
    process = start(command)
    while process.poll() is None and progress() == before:
        time.sleep(0.02)
    time.sleep(rng.uniform(0, longest_life))
    alive = process.poll() is None
    if alive:
        for each in (*psutil.Process(process.pid).children(recursive=True), process):
            each.kill()
    process.wait()
    return alive


def main() -> int:
    """Runs the comparison; returns 0 if nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "evaluate"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1, help="of an evaluation")
    parser.add_argument("--output", type=Path, default=Path("outputs/kills"))
    parser.add_argument("--seed", type=int, default=0, help="decides the moments")
    options = parser.parse_args()
    trains = options.what == "train"
    rng = random.Random(options.seed)
    shutil.rmtree(options.output, ignore_errors=True)
    world, killed, whole = (options.output / name for name in ("world", "killed", "whole"))
    build_world(world, WorldSettings(seed=3, train_videos=4, test_videos=1 if trains else TEST_VIDEOS), workers=2)

    def command(output: Path) -> list[str]:
        return train_command(output, world) if trains else evaluate_command(output, world, options.processes)

    def progress() -> int:
        return steps_logged(killed) if trains else lines_written(killed)

    kills, unfinished = 0, 0
    with tqdm(total=options.kills, desc="kills", unit="kill") as bar:
        while kills < options.kills:
            if not kill_once(command(killed), progress, LONGEST_LIFE[options.what], rng):
                print(f"the run ended after {kills} kills: make it longer", file=sys.stderr)
                return 1
            kills += 1
            checkpoints = list((killed / "killed").glob("checkpoint-*"))
            unfinished += any(not (checkpoint / "complete").exists() for checkpoint in checkpoints)
            bar.update()
    finish(command(killed))
    finish(train_command(whole, world) if trains else evaluate_command(whole, world, 1))
    return compare_weights(killed, whole, kills, unfinished) if trains else compare_files(killed, whole, kills)


def compare_weights(killed: Path, whole: Path, kills: int, unfinished: int) -> int:
    ours, theirs = (load_file(output / "model" / "model.safetensors") for output in (killed, whole))
    different = [name for name in theirs if not torch.equal(ours[name], theirs[name])]
    print(f"{kills} kills, {unfinished} of them while a checkpoint was being written")
    print(f"{len(theirs) - len(different)} of {len(theirs)} tensors equal those of the uninterrupted run bit for bit")
    return 1 if different else 0


def compare_files(killed: Path, whole: Path, kills: int) -> int:
    names = ("results.json", "predictions.jsonl")
    different = [name for name in names if (killed / name).read_bytes() != (whole / name).read_bytes()]
    print(f"{kills} kills, {lines_written(whole)} predictions")
    print(f"other than those of the uninterrupted run in one process: {', '.join(different) or 'none'}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())

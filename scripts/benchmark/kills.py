"""Kills a training run at random moments, resumes it each time, and compares its weights with an uninterrupted run's.

    python scripts/benchmark/kills.py --kills 20 --output outputs/kills

Takes about four minutes on two cores.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from data_preparing.shapes.build import WorldSettings, build_world

SOURCES = "{grounding: 0.5, qa: 0.3, text: 0.2}"
STAGE = f"{{name: killed, steps: 300, windows_per_step: 2, learning_rate: 0.001, sources: {SOURCES}}}"
SAVE_STEPS = 2
LONGEST_LIFE = 5.0
"""Seconds that a run may train before it is killed."""


def command(output: Path, world: Path) -> list[str]:
    overrides = [f"stages=[{STAGE}]", f"save_steps={SAVE_STEPS}", "logging_steps=1", "num_workers=0"]
    config = ["hawkeye", "train", "configs/train/shapes.yaml", f"data_dir={world}", f"output_dir={output}"]
    return [sys.executable, "-m", *config, *overrides]


def steps_logged(output: Path) -> int:
    log = output / "train.log"
    return log.read_text(encoding="utf-8").count(" step ") if log.exists() else 0


def kill_once(output: Path, world: Path, rng: random.Random) -> bool:
    """Starts or resumes the run and kills it; returns whether it was alive when its moment came."""
    before = steps_logged(output)
    process = subprocess.Popen(command(output, world), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and steps_logged(output) == before:
        time.sleep(0.02)
    time.sleep(rng.uniform(0, LONGEST_LIFE))
    alive = process.poll() is None
    process.kill()
    process.wait()
    return alive


def main() -> int:
    """Runs the comparison; returns 0 if the weights are equal bit for bit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("outputs/kills"))
    parser.add_argument("--seed", type=int, default=0, help="decides the moments")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    shutil.rmtree(options.output, ignore_errors=True)
    world = options.output / "world"
    build_world(world, WorldSettings(seed=3, train_videos=4, test_videos=1), workers=1)

    killed, kills, unfinished = options.output / "killed", 0, 0
    with tqdm(total=options.kills, desc="kills", unit="kill") as progress:
        while kills < options.kills:
            if not kill_once(killed, world, rng):
                print(f"the run ended after {kills} kills: make its stage longer", file=sys.stderr)
                return 1
            kills += 1
            checkpoints = list((killed / "killed").glob("checkpoint-*"))
            unfinished += any(not (checkpoint / "complete").exists() for checkpoint in checkpoints)
            progress.update()
    for output in (killed, options.output / "whole"):
        subprocess.run(command(output, world), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ours, theirs = (load_file(options.output / name / "model" / "model.safetensors") for name in ("killed", "whole"))
    different = [name for name in theirs if not torch.equal(ours[name], theirs[name])]
    print(f"{kills} kills, {unfinished} of them while a checkpoint was being written")
    print(f"{len(theirs) - len(different)} of {len(theirs)} tensors equal those of the uninterrupted run bit for bit")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())

"""Processes that wait for each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hawkeye import processes
from hawkeye.config import ConfigError

ROOT = Path(__file__).parents[1]
SLOW = """
import time
from datetime import timedelta

from torch import distributed

from hawkeye import processes

distributed.init_process_group("gloo", timeout=timedelta(seconds=2))
processes.join()
time.sleep(5 * processes.rank())
processes.wait()
assert processes.sums(processes.rank()) == [1]
print("both are here")
"""


def test_waiting_takes_as_long_as_the_work_of_the_others(tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    run = subprocess.run(launcher, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.stdout.count("both are here") == 2, run.stderr


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"WORLD_SIZE": "2"}, "has WORLD_SIZE=2, but no RANK and no LOCAL_RANK: unset"),
        ({"LOCAL_RANK": "0"}, "has LOCAL_RANK=0, but no WORLD_SIZE and no RANK: unset"),
        ({"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0"}, "WORLD_SIZE=2, RANK=2, LOCAL_RANK=0 are no ranks from 0"),
        ({"WORLD_SIZE": "two", "RANK": "0", "LOCAL_RANK": "0"}, "WORLD_SIZE=two, RANK=0"),
    ],
)
def test_half_an_environment_of_a_launcher_is_refused(
    environment: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in processes.LAUNCHER:
        monkeypatch.delenv(name, raising=False)
    processes.join()  # without any, this is the only process
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=told):
        processes.join()

"""Processes that wait for each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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

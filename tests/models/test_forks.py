"""Processes that were forked after the model has computed with several threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMPUTE_AND_FORK = """
import os
import torch
import hawkeye.models
torch.set_num_threads(2)
numbers = torch.ones(1 << 20)
assert numbers.exp().sum() > 0
child = os.fork()
if not child:
    assert numbers.exp().sum() > 0
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("both have computed")
"""


def test_a_forked_child_computes_too() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(Path(__file__).parents[2])}
    found = subprocess.run(
        [sys.executable, "-c", COMPUTE_AND_FORK], env=environment, capture_output=True, text=True, timeout=300
    )
    assert (found.returncode, found.stdout) == (0, "both have computed\n"), found.stderr

"""Pools of worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hawkeye.pools import available_cores, limited_workers

WORK = """
import os, sys, time
from pathlib import Path
from hawkeye.pools import process_pool

def work(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    with process_pool(2) as pool:
        list(pool.map(work, [sys.argv[1]] * 4))
"""


def comes_true(holds: Callable[[], bool]) -> bool:
    """Whether something holds within a minute."""
    for _ in range(600):
        if holds():
            return True
        time.sleep(0.1)
    return False


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_when_their_parent_is_killed(how: signal.Signals, tmp_path: Path) -> None:
    script, marks = tmp_path / "work.py", tmp_path / "pids"
    script.write_text(WORK)
    marks.mkdir()
    expected = min(2, available_cores())
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    parent = subprocess.Popen([sys.executable, str(script), str(marks)], env=environment)
    try:
        assert comes_true(lambda: len(list(marks.iterdir())) == expected)
        workers = [int(mark.name) for mark in marks.iterdir()]
        assert all(map(is_running, workers))
    finally:
        parent.send_signal(how)
        parent.wait()
    assert comes_true(lambda: not any(map(is_running, workers)))


def test_no_more_workers_than_cores_are_started_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    cores = available_cores()
    assert limited_workers(1) == 1
    assert not caplog.messages
    assert limited_workers(3000) == cores
    assert limited_workers(3000, num_processes=3000) == 1
    assert caplog.messages[:1] == [f"3000 worker processes are more than this process's cores: {cores} are started"]

"""The chain stopped, killed and fed with broken videos: it goes on, loses nothing and does nothing twice."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_preparing.internvid_g.__main__ import main
from data_preparing.internvid_g.local_engine import run_local
from data_preparing.internvid_g.ray_engine import run_ray
from data_preparing.internvid_g.runner import Engine, Log, Outcome, run_stage
from data_preparing.internvid_g.settings import ChainSettings
from tests.data_preparing.small_chain import OUTPUTS, ROOT, Letters, outputs, rows, write_config, write_scenes


@pytest.mark.parametrize("engine", [run_local, pytest.param(run_ray, marks=pytest.mark.slow)])
def test_an_item_that_brings_its_process_down_fails_alone(engine: Engine, tmp_path: Path) -> None:
    try:
        report = run_stage(Letters(ChainSettings(folder=tmp_path, workers=2)), engine)
    finally:
        if engine is run_ray:
            import ray

            ray.shutdown()
    assert (report.items, report.failed, report.rows, report.lost) == (6, 3, 3, {"vowel": 5})
    assert [row["name"] for row in rows(tmp_path, "letters")] == ["a", "ccc", "eeeee"]
    assert [(row["video_fname"], row["error"]) for row in rows(tmp_path, "letters.failures")] == [
        ("bb", "no bees"),
        ("dies", "dies: the process that worked on it died"),
        ("odd", "odd: ZeroDivisionError: what no reader of videos should raise"),
    ]


def test_a_line_that_a_killed_process_left_half_written_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path)
    log.append(Outcome("a", [[{"x": 1}]]), "1")
    whole = path.read_bytes()
    log.append(Outcome("b", [[{"x": 2}]]), "1")
    path.write_bytes(path.read_bytes()[:-5])
    again = Log(path)
    assert (again.digest("a"), again.digest("b")) == ("1", None)
    again.append(Outcome("b", [[{"x": 3}]]), "2")
    assert path.read_bytes().startswith(whole)
    assert (Log(path).digest("b"), Log(path).outcome("b").rows) == ("2", [[{"x": 3}]])


def start(config: Path, *overrides: str, what: str = "all") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "data_preparing.internvid_g", what, "--config", str(config), *overrides]
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, stdout=nowhere, stderr=nowhere, start_new_session=True)


def is_gone(group: int) -> bool:
    """Whether none of a group of processes is left within ten seconds."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_second_run_does_nothing_again(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = outputs(chain)
    stamps = {path: path.stat().st_mtime_ns for path in (chain / "log").iterdir()}
    capsys.readouterr()
    assert main(["all", "--config", str(chain / "chain.yaml")]) == 0
    assert "scenes: 12 videos (12 done before), 12 rows" in capsys.readouterr().out
    assert outputs(chain) == before
    assert {path: path.stat().st_mtime_ns for path in (chain / "log").iterdir()} == stamps


def test_changed_settings_are_applied_and_new_videos_done(chain: Path, shared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(chain, folder)
    config = write_config(folder, shared)
    write_scenes(folder / "videos" / "a_first.mp4", 20)
    assert main(["scenes", "--config", str(config)]) == 0
    assert [row["video_fname"] for row in rows(folder, "scenes")][:2] == ["a_first.mp4", "video000000.mp4"]
    assert main(["scenes", "--config", str(config), "scene.min_seconds=100"]) == 0
    assert all(row["scenes"] == [] for row in rows(folder, "scenes"))


def test_what_failed_is_tried_again_when_asked_to(chain: Path, shared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "retry"
    (folder / "videos").mkdir(parents=True)
    config = write_config(folder, shared)
    video = folder / "videos" / "v.mp4"
    shutil.copy(chain / "videos" / "video000001.mp4", folder / "videos" / "w.mp4")
    video.write_bytes(b"broken")
    for arguments, failed in (([], True), ([], True), (["retry_failures=true"], False)):
        assert main(["scenes", "--config", str(config), *arguments]) == 0
        assert (folder / "scenes.failures.jsonl").exists() is failed
        shutil.copy(chain / "videos" / "video000002.mp4", video)
    assert [row["video_fname"] for row in rows(folder, "scenes")] == ["v.mp4", "w.mp4"]


def test_ten_corrupt_videos_are_ten_failures(chain: Path, shared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corrupt"
    config = write_config(folder, shared)
    shutil.copytree(chain / "videos", folder / "videos")
    whole = (chain / "videos" / "video000000.mp4").read_bytes()
    for number in range(10):
        content = b"" if number == 0 else whole[: len(whole) * number // 40] if number < 5 else os.urandom(500 * number)
        (folder / "videos" / f"broken{number}.mp4").write_bytes(content)
    assert main(["all", "--config", str(config)]) == 0
    failures = rows(folder, "scenes.failures")
    assert [row["video_fname"] for row in failures] == [f"broken{number}.mp4" for number in range(10)]
    assert all(row["video_fname"] in row["error"] for row in failures)
    for name in OUTPUTS[1:]:
        assert (folder / f"{name}.jsonl").read_text() == (chain / f"{name}.jsonl").read_text()


@pytest.mark.slow
def test_kills_at_random_moments_leave_the_same_files(chain: Path, shared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    config = write_config(folder, shared)
    shutil.copytree(chain / "videos", folder / "videos")
    rng, kills = random.Random(0), 0

    def lines() -> int:
        return sum(path.read_bytes().count(b"\n") for path in folder.glob("log/*.jsonl"))

    while True:
        process, last = start(config), lines() + rng.randint(1, 20)
        while process.poll() is None and lines() < last:
            time.sleep(0.01)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert process.returncode == 0
    assert kills >= 3
    assert outputs(folder, OUTPUTS[1:]) == outputs(chain, OUTPUTS[1:])
    for path in (folder / "log").iterdir():
        keys = [json.loads(line)["key"] for line in path.read_text().splitlines()]
        assert len(keys) == len(set(keys))


@pytest.mark.slow
def test_control_c_ends_all_processes_and_loses_nothing(chain: Path, shared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "interrupted"
    config = write_config(folder, shared)
    (folder / "videos").mkdir()
    for number in range(20):
        for path in (chain / "videos").iterdir():
            (folder / "videos" / f"{number}-{path.name}").symlink_to(path)
    process, log = start(config, what="scenes"), folder / "log" / "scenes.jsonl"
    while not log.exists():
        time.sleep(0.01)
    for _ in range(2):  # who is impatient presses twice
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    assert process.wait(timeout=30) in (130, -signal.SIGINT)
    assert is_gone(process.pid)
    before = log.read_bytes()
    assert before.count(b"\n") < 240
    assert start(config, what="scenes").wait(timeout=120) == 0
    assert log.read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    assert len(rows(folder, "scenes")) == 240


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_files_also_when_a_worker_is_killed(
    chain: Path, shared: Path, tmp_path: Path
) -> None:
    import psutil

    folder = tmp_path / "ray"
    config = write_config(folder, shared)
    shutil.copytree(chain / "videos", folder / "videos")
    process = start(config, "engine=ray", "workers=2", "model_workers=2")
    killed: set[int] = set()
    while process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True) if len(killed) < 2 else ():
            try:
                name = " ".join(child.cmdline())
            except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
                continue
            if re.search(r"ray::.*(MapWorker|Map\(_RayWorker)", name) and child.pid not in killed:
                time.sleep(0.2)
                child.kill()
                killed.add(child.pid)
                break
        time.sleep(0.05)
    assert process.returncode == 0
    assert killed
    assert outputs(folder, OUTPUTS[1:]) == outputs(chain, OUTPUTS[1:])

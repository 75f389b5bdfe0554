"""The whole chain on small videos with hard cuts: from ids to a source that training takes a step on."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from data_preparing import internvid
from data_preparing.internvid_g.__main__ import main
from data_preparing.internvid_g.download import read_ids
from data_preparing.internvid_g.local_engine import run_local
from data_preparing.internvid_g.runner import Item, Log, Outcome, Stage, Worker, failures_path, log_of, run_stage
from data_preparing.internvid_g.scenes import Scenes
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.config import TrainSettings, check_settings, load_settings
from hawkeye.data.instruction import AnnotationError
from hawkeye.training.run import train
from tests.data.video_files import write_video
from tests.data_preparing.vision_models import save_blip2, save_clip
from tests.training.conftest import MODEL

ROOT = Path(__file__).parents[2]
FPS, SCENE_FRAMES = 10, 30
COLOURS = [(230, 30, 30), (60, 200, 60), (30, 30, 120), (240, 240, 240), (12, 12, 12)]
OUTPUTS = (
    *("downloaded", "scenes", "scenes_similarity", "scenes_merged", "scenes_merged_similarity"),
    *("captions", "captions_scored", "captions_filtered", "final_dataset"),
)


def write_scenes(path: Path, seed: int) -> None:
    """A video of five or six scenes of three seconds, each of one colour with a little noise."""
    rng = np.random.default_rng(seed)
    order = [int(rng.integers(len(COLOURS) - 1))]  # the detector needs a first picture with some light
    while len(order) < 5 + seed % 2:
        order.append(int(rng.choice([place for place in range(len(COLOURS)) if place != order[-1]])))
    scenes = [np.array(COLOURS[place]) + rng.integers(-10, 10, (SCENE_FRAMES, 48, 64, 3)) for place in order]
    write_video(path, np.concatenate(scenes).clip(0, 255).astype(np.uint8), fps=FPS)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen videos on a server's disk, and the models."""
    folder = tmp_path_factory.mktemp("internvid")
    (folder / "served").mkdir()
    for seed in range(12):
        write_scenes(folder / "served" / f"video{seed:06d}.mp4", seed)
    save_clip(folder / "clip")
    save_blip2(folder / "blip2")
    return folder


@pytest.fixture(scope="module")
def address(shared: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(shared / "served")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{{id}}.mp4"
    server.shutdown()


def write_config(folder: Path, shared: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "extends": str(ROOT / "configs" / "internvid_g.yaml"),
        "folder": str(folder),
        "workers": 2,
        "clip": {"model": str(shared / "clip")},
        "merge": {"threshold": 0.999},  # random weights tell colours apart by little
        "caption": {"model": str(shared / "blip2"), "max_new_tokens": 8},
        "score": {"model": str(shared / "clip")},
        "negative": {"same_threshold": 0.999, "same_caption_ratio": 1.1},
    }
    (folder / "chain.yaml").write_text(yaml.safe_dump(values | changes))
    return folder / "chain.yaml"


@pytest.fixture(scope="module")
def chain(shared: Path, address: str) -> Path:
    """The folder of a chain that ran to its end without a stop."""
    folder = shared / "whole"
    config = write_config(folder, shared, download={"ids": "ids.txt", "url": address})
    ids = sorted(path.stem for path in (shared / "served").iterdir())
    (folder / "ids.txt").write_text("\n".join([*ids, "notthere000"]) + "\n")
    assert main(["all", "--config", str(config)]) == 0
    return folder


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def outputs(folder: Path, names: Sequence[str] = OUTPUTS) -> dict[str, str]:
    return {name: (folder / f"{name}.jsonl").read_text() for name in names}


def test_every_stage_leaves_its_file(chain: Path) -> None:
    assert [row["video_fname"] for row in rows(chain, "downloaded")] == [f"video{seed:06d}.mp4" for seed in range(12)]
    (failure,) = rows(chain, "downloaded.failures")
    assert failure["video_fname"] == "notthere000"
    assert "404" in failure["error"]
    scenes = {row["video_fname"]: row for row in rows(chain, "scenes")}
    for seed, row in enumerate(scenes.values()):
        assert row["scenes"] == [[3.0 * place, 3.0 * place + 3] for place in range(5 + seed % 2)]
    for scene_row, row in zip(scenes.values(), rows(chain, "scenes_similarity")):
        matrix = np.array(row["similarity_matrix"])
        assert matrix.shape == (len(scene_row["scenes"]),) * 2
        assert (np.diag(matrix) == 1).all()
        assert (matrix == matrix.T).all()
    captions = rows(chain, "captions")
    assert sum(len(row["captions"]) for row in captions) == len(rows(chain, "captions_scored")) > 40
    kept = sum(len(row["captions"]) for row in rows(chain, "captions_filtered"))
    assert len(captions) / 2 <= kept < len(captions)
    for row in rows(chain, "final_dataset"):
        assert 0 <= row["neg_start_sec"] <= row["start_sec"] < row["end_sec"] <= row["neg_end_sec"] <= row["duration"]


def test_scores_are_clip_s(chain: Path, shared: Path) -> None:
    """The figure of one caption, from its frames and text, by transformers' own forward pass."""
    import torch
    from transformers import CLIPModel, CLIPProcessor

    from hawkeye.data.video import open_video

    row = rows(chain, "captions_scored")[3]
    first, last = round(FPS * row["start_sec"]), round(FPS * row["end_sec"])
    with open_video(chain / "videos" / row["video_fname"]) as reader:
        frames = reader.frames([first + place * ((last - first) // 4) for place in (1, 2, 3)])
    model, processor = CLIPModel.from_pretrained(shared / "clip"), CLIPProcessor.from_pretrained(shared / "clip")
    batch = processor(images=list(frames), text=[row["caption"]], truncation=True, return_tensors="pt")
    with torch.inference_mode():
        found = model(**batch)
    expected = (found.image_embeds @ found.text_embeds.T).max()
    assert row["clip_sim"] == pytest.approx(float(expected), rel=1e-4, abs=1e-6)


def test_the_last_file_becomes_a_source_that_training_takes_a_step_on(chain: Path, tmp_path: Path) -> None:
    arguments = ["--annotation-fname", str(chain / "final_dataset.jsonl"), "--output-fname", str(tmp_path / "it.json")]
    assert internvid.main(["--func", "choice", *arguments]) == 0
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(MODEL))
    run = {
        "name": "internvid",
        "model": str(tmp_path / "model.yaml"),
        "output_dir": str(tmp_path / "out"),
        "data_dir": str(tmp_path),
        "sources": {"internvid": {"annotations": "it.json", "videos": str(chain / "videos")}},
        "stages": [{"name": "one", "steps": 1, "windows_per_step": 2, "learning_rate": 0.01}],
        "num_workers": 0,
    }
    model = train(check_settings(run, TrainSettings, "test"))
    assert (model / "model.safetensors").is_file()
    assert re.search(r"loss", (tmp_path / "out" / "train.log").read_text())


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


class Stopping(Stage):
    """Counts letters; `Scenes` without videos."""

    name = "letters"

    @property
    def outputs(self) -> list[Path]:
        return [Path("letters.jsonl")]

    @property
    def depends_on(self) -> Any:
        return "letters"

    def items(self) -> list[Item]:
        return [Item(name) for name in ("a", "bb", "ccc", "dies", "eeeee")]

    def worker(self) -> Worker:
        def count(item: Item) -> Outcome:
            if item.key == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if item.key == "bb":
                raise ValueError("no bees")
            return Outcome(item.key, [[{"name": item.key, "letters": len(item.key)}]], {"vowel": item.key.count("e")})

        return count


def test_an_item_that_brings_its_process_down_fails_alone(tmp_path: Path) -> None:
    report = run_stage(Stopping(ChainSettings(folder=tmp_path, workers=2)), run_local)
    assert (report.items, report.failed, report.rows, report.lost) == (5, 2, 3, {"vowel": 5})
    assert [row["name"] for row in rows(tmp_path, "letters")] == ["a", "ccc", "eeeee"]
    assert [(row["video_fname"], row["error"]) for row in rows(tmp_path, "letters.failures")] == [
        ("bb", "no bees"),
        ("dies", "dies: the process that worked on it died"),
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


def test_stats_and_losses(chain: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["stats", "--config", str(chain / "chain.yaml")]) == 0
    out = capsys.readouterr().out
    dataset = rows(chain, "final_dataset")
    assert re.search(rf"captions +│ +{len(dataset)} ", out)
    assert re.search(rf"videos +│ +{len({row['video'] for row in dataset})} ", out)
    mean = np.mean([row["end_sec"] - row["start_sec"] for row in dataset])
    assert re.search(rf"segment seconds +│ +│ +{mean:.2f} ", out)
    assert "caption that fits worse than the median" in out


def test_bad_inputs_are_told_in_one_line(tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path / "bad", shared)
    cases = [
        (["scenes"], "videos: no such folder of videos"),
        (["similarity"], "scenes.jsonl: no such file; the stage scenes writes it"),
        (["negative_spans"], "scenes_merged.jsonl: no such file; the stage merge writes it"),
        (["download"], "'download.ids' names no file"),
        (["scenes", "scene.min_second=1"], "did you mean 'min_seconds'?"),
    ]
    for arguments, told in cases:
        assert main([*arguments, "--config", str(config)]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    (tmp_path / "bad" / "scenes.jsonl").write_text('{"video_fname": "x.mp4", "scenes": [[1]]}\n')
    assert main(["similarity", "--config", str(config), f"clip.model={tmp_path}/nowhere"]) == 2
    assert "nowhere' cannot be loaded" in capsys.readouterr().err
    assert main(["similarity", "--config", str(config)]) == 0
    assert "'scenes' must hold [start, end] pairs" in rows(tmp_path / "bad", "scenes_similarity.failures")[0]["error"]


def test_a_library_that_is_not_installed_is_named(
    tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scenes, "needs", ("no_such_library",))
    assert main(["scenes", "--config", str(write_config(tmp_path / "x", shared))]) == 2
    assert "stage scenes needs no_such_library: pip install 'hawkeye-video[internvid]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("x.txt", "b\n\na\nb\n", ["a", "b"]),
        ("x.json", '[{"video": "abcdefghijk_1.0_2.0.mp4"}]', ["abcdefghijk"]),
        ("x.jsonl", '{"YoutubeID": "y.1"}\n{"video_fname": "v.mp4"}\n{"video": "w.webm"}\n', ["v", "w", "y.1"]),
    ],
)
def test_ids_of_every_kind_of_file(name: str, content: str, ids: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert read_ids(tmp_path / name) == ids


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.csv", "a", r"x\.csv: ids are read from"),
        ("x.txt", "\n", "holds no ids"),
        ("x.json", '[{"name": "a"}]', "row 0: needs a text in one of video"),
        ("x.jsonl", '{"a": 1}', "line 1: needs a text in one of YoutubeID"),
    ],
)
def test_files_without_ids(name: str, content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(AnnotationError, match=told):
        read_ids(tmp_path / name)


def test_a_page_to_judge_the_data_by(chain: Path) -> None:
    page = chain / "page.html"
    assert main(["preview", "--config", str(chain / "chain.yaml"), "--output", str(page), "--videos", "3"]) == 0
    text = page.read_text()
    assert text.count("data:image/jpeg") == 3 * 16
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium to open the page in")
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    quiet += ["--disable-component-update", "--disable-sync", f"--user-data-dir={chain / 'browser'}"]
    shown = subprocess.run(
        [browser, *quiet, "--virtual-time-budget=2000", "--dump-dom", page.as_uri()],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    (first, *_) = rows(chain, "final_dataset")
    assert shown.count('class="bar context"') >= 3
    assert first["video"] in shown
    picture = chain / "page.png"
    arguments = ["--window-size=1300,1600", f"--screenshot={picture}", page.as_uri()]
    subprocess.run([browser, *quiet, *arguments], check=True, capture_output=True, timeout=120)
    from PIL import Image

    pixels = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    orange = (np.abs(pixels.astype(int) - (242, 179, 107)).max(axis=1) < 8).sum()
    assert orange > 1000  # the segments stand out on the page


def start(config: Path, *overrides: str, what: str = "all") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "data_preparing.internvid_g", what, "--config", str(config), *overrides]
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, stdout=nowhere, stderr=nowhere, start_new_session=True)


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


def is_gone(group: int) -> bool:
    """Whether none of a group of processes is left within ten seconds."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


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


def test_the_configuration_loads() -> None:
    settings = load_settings(ROOT / "configs" / "internvid_g.yaml", ChainSettings)
    assert failures_path(settings.scenes).name == "scenes.failures.jsonl"
    assert log_of(Scenes(settings)).path == Path("data/internvid_g/log/scenes.jsonl")

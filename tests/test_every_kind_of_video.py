"""Every kind of video file through what the project is for: grounding, a training step, InternVid-G."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import hawkeye
from data_preparing.internvid_g.__main__ import main as internvid_g
from hawkeye.config import TrainSettings, check_settings
from hawkeye.data.clock import choose_frames
from hawkeye.data.frame_cache import FrameCache
from hawkeye.data.video import open_video, read_window
from hawkeye.temporal import Span
from hawkeye.training.run import train
from tests.data.video_files import numbers_of
from tests.data.zoo import Kind, write_zoo
from tests.data_preparing.small_chain import rows, write_config
from tests.data_preparing.vision_models import save_blip2, save_clip
from tests.training.conftest import MODEL


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Kind]:
    """The files, and what they hold."""
    return write_zoo(tmp_path_factory.mktemp("zoo"))


def windows_of(kind: Kind) -> list[Span]:
    start = kind.seconds[0]
    length = kind.duration - start
    return [Span(start + length * low, start + length * high) for low, high in ((0, 1), (0.1, 0.6), (0.45, 0.95))]


def check(kind: Kind, times: np.ndarray, window: Span, frames: np.ndarray, seconds: np.ndarray) -> None:
    """The frames shown are those whose times are told; none lies outside the window.

    Args:
        times: `[F]` of all frames, which `tests/data/test_zoo.py` compares with the right ones.
        frames, seconds: what is shown of the window, `[T, H, W, 3]`, and the times told, `[T]`.
    """
    for number, second in zip(numbers_of(frames), seconds):
        # One that began before the window and is still shown at its start is told as its start.
        told = int(np.searchsorted(times, window.start + second + 1e-9, side="right")) - 1
        assert number == kind.shown[max(told, 0)], kind.name
        assert second == 0 or times[told] == pytest.approx(window.start + second), kind.name
    a_frame = kind.duration / len(times)  # to which bounds are rounded at constant rates
    assert (seconds <= window.duration + a_frame).all(), kind.name


def test_evaluation_and_training_show_the_frames_whose_times_they_tell(zoo: dict[Path, Kind], tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, lambda frames: frames, "as they are", 10_000)
    for path, kind in zoo.items():
        cached, rng = cache.get(path), np.random.default_rng(0)
        with open_video(path) as reader:
            for window in windows_of(kind):
                check(kind, reader.seconds, window, *read_window(reader, window, 4))
                check(kind, reader.seconds, window, *read_window(reader, window, 4, rng))
                chosen = choose_frames(cached, window, 4, rng)
                seconds = np.maximum(cached.seconds[chosen] - window.start, 0.0)
                check(kind, reader.seconds, window, cached.pick(chosen.tolist(), rng), seconds)


def test_every_kind_is_grounded(zoo: dict[Path, Kind]) -> None:
    model = hawkeye.load_model("tiny")
    for path, kind in zoo.items():
        found = model.ground(path, "the red circle jumps")
        assert found.duration == pytest.approx(kind.duration, abs=max(kind.tolerance, 0.002))
        assert 0 <= found.span.start <= found.span.end <= found.duration


@pytest.mark.parametrize("cached", [True, False])
def test_a_training_step_shows_every_kind(zoo: dict[Path, Kind], cached: bool, tmp_path: Path) -> None:
    folder = next(iter(zoo)).parent
    (tmp_path / "rows.json").write_text(
        json.dumps([{"video": path.name, "QA": [{"q": "What number?", "a": "One."}]} for path in zoo])
    )
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(MODEL))
    run = {
        "name": "zoo",
        "model": str(tmp_path / "model.yaml"),
        "output_dir": str(tmp_path / "out"),
        "data_dir": str(tmp_path),
        "sources": {"zoo": {"annotations": "rows.json", "videos": str(folder)}},
        "stages": [{"name": "one", "steps": 1, "windows_per_step": len(zoo), "learning_rate": 0.01}],
        "num_workers": 0,
        "frame_cache": {"dir": "frames", "max_fps": 30} if cached else None,
    }
    train(check_settings(run, TrainSettings, "test"))
    log = (tmp_path / "out" / "train.log").read_text()
    assert re.search(rf"source zoo +{len(zoo)} rows +0 bad rows +{len(zoo)} videos found", log), log
    assert "samples skipped" not in log


def test_internvid_g_takes_every_kind(zoo: dict[Path, Kind], tmp_path: Path) -> None:
    for name, save in (("clip", save_clip), ("blip2", save_blip2)):
        save(tmp_path / "models" / name)
    config = write_config(tmp_path / "chain", tmp_path / "models")
    (tmp_path / "chain" / "videos").symlink_to(next(iter(zoo)).parent)
    assert internvid_g(["all", "--config", str(config)]) == 0
    scenes = {row["video_fname"]: row["scenes"] for row in rows(tmp_path / "chain", "scenes")}
    assert set(scenes) == {path.name for path in zoo}
    for path, kind in zoo.items():
        for start, end in scenes[path.name]:
            assert 0 <= start < end <= kind.duration + 0.002, path.name

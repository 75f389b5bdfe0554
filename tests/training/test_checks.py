"""What is looked at before the first step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hawkeye.config import SourceSettings, StageSettings, TrainSettings
from hawkeye.data.frame_cache import FrameCache
from hawkeye.data.frames import FrameFiles, FrameStore
from hawkeye.data.sources import Sample, TrainingSet, read_source
from hawkeye.training.checks import VideoCheck, check_videos


@pytest.mark.parametrize("kind", ["cache", "files"])
def test_folders_of_frames_are_checked_and_shown_at_their_source_s_rate(kind: str, tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    for index in range(12):
        Image.fromarray(np.full((8, 8, 3), index, dtype=np.uint8)).save(tmp_path / "v" / f"{index}.png")
    row = {"video": "v", "start": 2.0, "end": 4.0, "QA": [{"q": "What?", "a": "This."}]}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    source = read_source("s", SourceSettings(annotations=Path("rows.json"), videos=Path(), fps=3.0), tmp_path)
    stage = StageSettings(name="s", steps=1, windows_per_step=1, learning_rate=1.0)
    settings = TrainSettings(
        name="x", model=Path("m"), output_dir=tmp_path, sources={"s": source.settings}, stages=[stage]
    )
    store: FrameStore = FrameFiles(lambda frames, _: frames)
    if kind == "cache":
        store = FrameCache(tmp_path / "cache", lambda frames: frames, "all", max_fps=5.0)
    assert check_videos(settings, {"s": source}, store) == {"s": VideoCheck(1, 0, 1, 0)}
    sample = TrainingSet({"s": source}, stage, store, num_positions=6, seed=0)[0]
    assert isinstance(sample, Sample)
    assert sample.frames is not None
    assert sample.frames[:, 0, 0, 0].tolist() == [6, 7, 8, 9, 10, 11]
    np.testing.assert_allclose(sample.seconds, np.arange(6) / 3, atol=1e-9)

"""Every shipped configuration loads, and says only what its class knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hawkeye.config import TrainSettings, load_settings
from hawkeye.data.locations import file_of
from hawkeye.evaluation.settings import EvaluationSettings

ROOT = Path(__file__).parent.parent / "configs"


@pytest.mark.parametrize("path", sorted((ROOT / "train").glob("*.yaml")), ids=lambda path: path.stem)
def test_training_configurations_load(path: Path) -> None:
    settings = load_settings(path, TrainSettings)
    assert all(name in settings.sources for stage in settings.stages for name in stage.sources or ())


@pytest.mark.parametrize("path", sorted((ROOT / "eval").glob("*.yaml")), ids=lambda path: path.stem)
def test_evaluation_configurations_load(path: Path) -> None:
    settings = load_settings(path, EvaluationSettings)
    assert settings.grounding or settings.videoqa
    assert settings.source


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_rate_of_frames_says_where_it_is_from(path: Path) -> None:
    text = path.read_text()
    comments = "".join(line for line in text.splitlines() if line.lstrip().startswith("#"))
    if re.search(r"\bfps: \d", text):
        assert "per second" in comments


@pytest.mark.parametrize(("name", "source"), [("eval/anetc", None), ("train/anetc", "anetc"), ("eval/tvqa", None)])
def test_folders_of_frames_have_the_original_s_three_per_second(name: str, source: str | None) -> None:
    if source is None:
        settings = load_settings(ROOT / f"{name}.yaml", EvaluationSettings)
        assert [file.fps for file in (*settings.grounding, *settings.videoqa.values())] == [3]
    else:
        assert load_settings(ROOT / f"{name}.yaml", TrainSettings).sources[source].fps == 3


def test_the_videos_of_instruction_tuning_lie_where_the_original_maps_them() -> None:
    sources = load_settings(ROOT / "train" / "stage3.yaml", TrainSettings).sources
    names = {
        "caption_webvid": ("000001_000050/1066674784.mp4", "106/1066674784.*"),
        "vqa_webvid_qa": ("1066674784.mp4", "106/1066674784.*"),
        "conversation_videochatgpt": ("v_k_ZXmr8pmrs.mkv", "v_k_ZXmr8pmrs.*"),
        "reasoning_clevrer_qa": ("video_02238.mp4", "video_02000-03000/video_02238.mp4"),
        "reasoning_next_qa": ("1150/4010069381.mp4", "1150/4010069381.mp4"),
    }
    names |= {
        name: names["caption_webvid"] for name, source in sources.items() if source.videos == Path("videos/webvid")
    }
    assert len(names) == 7
    for source, (video, file) in names.items():
        assert file_of(video, sources[source].file, "row 0") == file
    assert sources["conversation_videochatgpt"].fps == 3


def test_mvbench_has_its_twenty_tasks() -> None:
    tasks = load_settings(ROOT / "eval" / "mvbench.yaml", EvaluationSettings).videoqa
    assert len(tasks) == 20
    assert all(file.annotations.stem == name for name, file in tasks.items())
    assert [name for name, file in tasks.items() if file.fps] == ["episodic_reasoning"]

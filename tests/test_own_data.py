"""docs/own_data.md: its files are read as it says, and its commands' grammar is the program's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from data_preparing.charades import main as charades
from hawkeye.arguments import parse
from hawkeye.config import TrainSettings, load_settings
from hawkeye.data.sources import file_of, read_source
from hawkeye.evaluation.items import check_videos, read_tasks
from hawkeye.evaluation.settings import EvaluationSettings
from tests.data.video_files import write_video

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, in a folder beside the project's configurations, and two videos of eight seconds."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for name, content in re.findall(r"^`(own/[\w./]+)`:\n\n```\w+\n(.*?)```$", PAGE, flags=re.DOTALL | re.MULTILINE):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    for name in ("kitchen", "garden"):
        path = tmp_path / "own" / "videos" / f"{name}.mp4"
        path.parent.mkdir(exist_ok=True)
        write_video(path, np.zeros((16, 16, 16, 3), np.uint8), fps=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own"


def test_the_rows_of_an_evaluation(own: Path) -> None:
    tasks = read_tasks(load_settings(own / "eval.yaml", EvaluationSettings), [])
    assert {task.name: len(task.examples) for task in tasks} == {"queries.json": 2, "what": 2}
    check_videos([(task, example) for task in tasks for example in task.examples])


def test_the_rows_of_a_training(own: Path) -> None:
    settings = load_settings(own / "train.yaml", TrainSettings)
    assert settings.precision == "float16", "of the parent"
    read = {name: read_source(name, source, settings.data_dir) for name, source in settings.sources.items()}
    assert {name: len(source.records) for name, source in read.items()} == {"moments": 1, "questions": 2}
    for source in read.values():
        for record in source.records:
            path = source.video_path(record)
            assert path is not None
            assert path.is_file()


def test_the_converter_of_moments(own: Path) -> None:
    output = own / "train_moments.json"
    output.unlink()
    where = ["--annotation-fname", str(own / "moments.txt"), "--videos", str(own / "videos")]
    assert charades(["--func", "choice", *where, "--output-fname", str(output)]) == 0
    settings = load_settings(own / "train.yaml", TrainSettings)
    assert len(read_source("moments", settings.sources["moments"], settings.data_dir).records) == 2


def test_the_table_of_patterns() -> None:
    rows = re.findall(r'^\| `"(.+)"`[^|]*\| `(.+)` \| `([^`]+)`', PAGE, flags=re.MULTILINE)
    assert len(rows) == 5
    assert [file_of(video, pattern, "row 0") for pattern, video, _ in rows] == [path for _, _, path in rows]


def test_the_commands_are_ones() -> None:
    lines = re.findall(r"^(hawkeye .*)$", PAGE, flags=re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        assert parse(shlex.split(line, comments=True)[1:]).command in ("ground", "ask", "evaluate", "train")

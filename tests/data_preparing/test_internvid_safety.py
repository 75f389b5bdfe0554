"""What the chain refuses: names that leave its folder, settings that cannot work, two processes at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_preparing.internvid_g.__main__ import main
from data_preparing.internvid_g.files import rows_by_video
from data_preparing.internvid_g.local_engine import run_local
from data_preparing.internvid_g.runner import Log, Outcome, log_folder, run_stage
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.annotations import AnnotationError
from hawkeye.config import ConfigError, check_settings
from hawkeye.files import InUseError
from tests.data_preparing.small_chain import Letters
from tests.test_files import hold


@pytest.mark.parametrize("name", ["../v.mp4", "/etc/passwd", "a/../../v.mp4", "", "v\\u0000.mp4"])
def test_a_video_s_name_does_not_leave_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "scenes.jsonl").write_text(f'{{"video_fname": "v.mp4"}}\n{{"video_fname": "{name}"}}\n')
    with pytest.raises(AnnotationError, match=r"scenes\.jsonl line 2: 'video_fname' must name a file in the folder"):
        rows_by_video(tmp_path / "scenes.jsonl", "scenes")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"scenes": "x.jsonl", "captions": "./x.jsonl"}, "'scenes' and 'captions' are both"),
        ({"dataset": "ids.jsonl", "download": {"ids": "ids.jsonl"}}, "'download.ids' and 'dataset' are both"),
        ({"download": {"url": "https://example.org/{name}"}}, "is no pattern of addresses"),
        ({"download": {"url": "https://example.org/v.mp4"}}, "is the same for all videos"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_settings({"folder": "x", **changes}, ChainSettings, "test")


def test_two_processes_do_not_write_one_log(tmp_path: Path) -> None:
    stage = Letters(ChainSettings(folder=tmp_path, workers=1))
    other = hold(log_folder(stage))
    try:
        with pytest.raises(InUseError, match=rf"log: process {other.pid} on .* works in it"):
            run_stage(stage, run_local)
    finally:
        other.kill()
        other.wait()
    assert not list(tmp_path.glob("log/*.jsonl"))


def test_a_damaged_line_of_a_log_is_named(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.append(Outcome("a"), "1")
    with log.path.open("ab") as file:
        file.write(b"\0" * 20 + b"\n")
    with pytest.raises(
        AnnotationError, match=r"log\.jsonl line 2: is damaged .*; delete the line to do its video again"
    ):
        Log(log.path)


@pytest.mark.parametrize(
    "row",
    [
        {"video": 3},
        {"video": "v.mp4", "caption": "x", "duration": "9"},
        {"video": "v.mp4", "caption": "x", "duration": 9},
        {"video": "w.mp4", "caption": "x", "duration": 9, "start_sec": 1, "end_sec": 2},
    ],
)
def test_rows_that_cannot_be_shown_are_named(
    row: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(f"folder: {tmp_path}\n")
    for name in ("scenes", "scenes_merged"):
        (tmp_path / f"{name}.jsonl").write_text('{"video_fname": "v.mp4", "scenes": []}\n')
    (tmp_path / "captions_scored.jsonl").write_text("")
    (tmp_path / "final_dataset.jsonl").write_text(json.dumps(row) + "\n")
    for what in ("preview", "stats"):
        assert main([what, "--config", str(tmp_path / "c.yaml")]) == 2
        error = capsys.readouterr().err
        assert error.count("error: ") == 1
        assert "Traceback" not in error

"""`hawkeye data check`: what is there, what is missing, what is broken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hawkeye.cli import main
from tests.data.video_files import write_video


def check(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(["data", "check", str(folder)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test-anno").mkdir()
    (tmp_path / "videos" / "charades").mkdir(parents=True)
    rows = [{"video": f"{name}.mp4", "question": "she runs", "answer": [0, 1]} for name in ("a", "b")]
    (tmp_path / "test-anno" / "charades_sta-recursive_grounding.json").write_text(json.dumps(rows))
    write_video(tmp_path / "videos" / "charades" / "a.mp4", np.zeros((8, 16, 16, 3), np.uint8), fps=4)
    return tmp_path


def test_what_is_missing_and_where_it_is_to_be_had(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = check(folder, capsys)
    (row,) = [line for line in out.splitlines() if "charades_sta-recursive" in line]
    assert status == 1
    assert [cell.strip() for cell in row.split("│")[3:5]] == ["2", "1 of 2"]
    assert f"missing: 1 videos for {folder}/videos/charades: Annotations: charades_sta_test.txt" in out
    assert "stage3.yaml internvid_grounding, stage3.yaml internvid_caption: made by python -m data_preparing" in out
    assert "1 of 67 annotation files are there" in out


def test_what_is_there_and_wrong_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "videos" / "charades" / "b.mp4").write_bytes(b"no video")
    (folder / "test-anno" / "star-test.json").write_text('[{"video": "x"}]')
    queries = [{"video": "a.mp4", "question": "she runs", "answer": [0, 1]}] + [{"video": "a.mp4"}] * 12
    (folder / "test-anno" / "anetc-recursive_grounding.json").write_text(json.dumps(queries))
    status, out, error = check(folder, capsys)
    assert status == 2
    assert "bad: " in out
    assert "b.mp4: " in out
    assert "star-test.json row 0: 'candidates' is missing" in out
    (row,) = [line for line in out.splitlines() if "anetc-recursive" in line and "│" in line]
    assert row.split("│")[3].strip() == "1, 12 bad"
    assert "anetc-recursive_grounding.json row 10: 'answer' is missing" in out
    assert "anetc-recursive_grounding.json: 2 more" in out
    assert error == f"error: {folder}: 14 rows and files are there and cannot be used\n"


@pytest.mark.parametrize(("duration", "status"), [(2.1, 1), (3.0, 2)])  # b.mp4 is missing in both
def test_a_video_that_cannot_be_the_annotated_one_is_told(
    duration: float, status: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "test-anno" / "charades_sta-recursive_grounding.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps([{**row, "duration": duration} for row in rows]))
    found, out, _ = check(folder, capsys)
    assert found == status
    assert ("a.mp4: the annotated 'duration' is 3 s, the video is 2 s long" in out) == (status == 2)


def test_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path / "none", capsys) == (2, "", f"error: {tmp_path / 'none'}: no such folder of data\n")


def test_every_source_says_where_it_is_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(tmp_path), "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"charades_sta.yaml", "mvbench.yaml", "stage3.yaml internvid_grounding"} <= {
        r["configuration"] for r in rows
    }
    assert [row["configuration"] for row in rows if not row["where"]] == []


def test_nothing_missing_and_nothing_wrong_ends_with_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs = folder / "configs" / "eval"
    configs.mkdir(parents=True)
    where = "data_dir: data\nvideos: videos/charades\noutput_dir: out"
    name = "test-anno/charades_sta-recursive_grounding.json"
    (configs / "one.yaml").write_text(f"name: one\n{where}\ngrounding: [{name}]\n")
    command = ["data", "check", str(folder), "--configs", str(configs.parent), "--json"]
    assert main(command) == 1, "b.mp4 is missing"
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row == {
        "configuration": "one.yaml",
        "annotations": str(folder / name),
        "is_there": True,
        "rows": 2,
        "video_folder": str(folder / "videos" / "charades"),
        "videos": 2,
        "videos_there": 1,
        "problems": [],
        "where": "",
    }
    write_video(folder / "videos" / "charades" / "b.mp4", np.zeros((8, 16, 16, 3), np.uint8), fps=4)
    assert main(command) == 0


@pytest.mark.parametrize("columns", ["60", "80", None])
def test_names_are_folded_and_never_cut(
    columns: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS")
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    out = check(tmp_path, capsys)[1]
    assert "…" not in out
    rows = [line.split("│") for line in out.splitlines() if "│" in line]
    names = "".join("".join(cells[1].split()) for cells in rows)
    for source in ("classification_k710", "classification_ssv2", "conversation_videochat1", "conversation_videochat2"):
        assert source in names
    if columns is None:
        assert any(cells[1].strip() == "stage3.yaml conversation_videochatgpt" for cells in rows), "whole in a pipe"

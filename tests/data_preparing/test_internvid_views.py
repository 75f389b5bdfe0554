"""`preview` and `stats` of files that others wrote: rows of wrong types are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data_preparing.internvid_g.__main__ import main
from tests.data_preparing.small_chain import ROOT

FILES: dict[str, dict[str, Any]] = {
    "scenes": {"video_fname": "v.mp4", "scenes": [[0, 2], [2, 9]]},
    "scenes_merged": {"video_fname": "v.mp4", "scenes": [[0, 9]]},
    "captions_scored": {"video_fname": "v.mp4", "start_sec": 0, "end_sec": 9, "caption": "a dog", "clip_sim": 0.3},
    "final_dataset": {
        **{"video": "v.mp4", "duration": 9, "caption": "a dog"},
        **{"start_sec": 0, "end_sec": 9, "neg_start_sec": 0, "neg_end_sec": 9},
    },
}


def view(folder: Path, what: str, **changed: Any) -> int:
    (folder / "chain.yaml").write_text(f"extends: {ROOT / 'configs' / 'internvid_g.yaml'}\nfolder: {folder}\n")
    for name, row in FILES.items():
        (folder / f"{name}.jsonl").write_text(json.dumps(row | changed.get(name, {})) + "\n")
    return main([what, "--config", str(folder / "chain.yaml")])


def test_files_written_by_others_can_be_viewed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert view(tmp_path, "preview") == 0
    assert "fits 0.300" in (tmp_path / "preview.html").read_text()
    assert view(tmp_path, "stats") == 0
    assert "preview.html: 1 videos" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [None, "x", {}, [[1]], [["a", 2]], -3, float("nan")])
@pytest.mark.parametrize("name", FILES)
def test_rows_of_wrong_types_are_named_in_one_line(
    name: str, wrong: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in FILES[name]:
        if (key in ("video", "video_fname", "caption") and wrong == "x") or (key == "clip_sim" and wrong == -3):
            continue
        for what in ("preview", "stats"):
            status = view(tmp_path, what, **{name: {key: wrong}})
            error = capsys.readouterr().err.splitlines()[-1:]
            if what == "preview":
                assert status == 2, key
            if status:
                assert error[0].startswith(f"error: {tmp_path / name}.jsonl"), key

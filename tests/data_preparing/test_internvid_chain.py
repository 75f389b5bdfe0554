"""The whole chain on small videos with hard cuts: from ids to a source that training takes a step on."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from data_preparing import internvid
from data_preparing.internvid_g.__main__ import main
from data_preparing.internvid_g.download import read_ids
from data_preparing.internvid_g.runner import failures_path, log_of
from data_preparing.internvid_g.scenes import Scenes
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.annotations import AnnotationError
from hawkeye.config import TrainSettings, check_settings, load_settings
from hawkeye.training.run import train
from tests.data_preparing.small_chain import FPS, ROOT, rows, write_config
from tests.training.conftest import MODEL


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
    assert "nowhere: the processor cannot be loaded" in capsys.readouterr().err
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
        ("x.txt", "a\n../b\n", r"an id names a file, so '\.\./b' is none"),
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


def test_the_configuration_loads() -> None:
    settings = load_settings(ROOT / "configs" / "internvid_g.yaml", ChainSettings)
    assert failures_path(settings.scenes).name == "scenes.failures.jsonl"
    assert log_of(Scenes(settings)).path == Path("data/internvid_g/log/scenes.jsonl")

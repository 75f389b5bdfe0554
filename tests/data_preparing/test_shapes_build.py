"""A small world on disk: its videos, its annotation files, and what happens when it is made again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from data_preparing.shapes import encode
from data_preparing.shapes.__main__ import main
from data_preparing.shapes.build import WorldError, WorldSettings, build_world
from data_preparing.shapes.world import Split, draw_plan
from tests.data_preparing.small_world import SETTINGS, read


def test_videos_are_what_world_json_says(world: Path) -> None:
    entries = read(world, "world.json")["videos"]
    names = sorted(str(path.relative_to(world / "videos")) for path in (world / "videos").rglob("*.*"))
    assert names == sorted(entry["video"] for entry in entries)
    assert names == [f"{split}/0000{index}.mp4" for split in ("test", "train") for index in range(3)]
    for entry in entries:
        with av.open(str(world / "videos" / entry["video"])) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.codec_context.pix_fmt == "yuv420p"
            times = [float(frame.time or 0.0) for frame in container.decode(stream)]
            assert (stream.width, stream.height) == (entry["width"], entry["height"])
            assert float(stream.average_rate or 0) == pytest.approx(entry["fps"], abs=1e-3)
        assert len(times) == entry["num_frames"]
        assert times[0] == 0
        assert times[-1] + 1 / entry["fps"] == pytest.approx(entry["duration"], abs=2e-3)


def test_the_contact_sheet_shows_twelve_frames_a_video(world: Path) -> None:
    with Image.open(world.parent / "sheet.png") as sheet:
        assert sheet.width == 12 * 128
        assert sheet.height > 6 * 128


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_seed_gives_the_same_files(world: Path, tmp_path: Path) -> None:
    report = build_world(tmp_path / "again", SETTINGS, workers=2)
    assert report.rendered == 6
    assert report.rows["train/event_list.json"] == 9
    assert contents(tmp_path / "again") == contents(world)


def test_another_seed_gives_other_files(world: Path, tmp_path: Path) -> None:
    build_world(tmp_path / "other", WorldSettings(seed=2, train_videos=1, test_videos=1), workers=1)
    for name in ("videos/train/00000.mp4", "videos/test/00000.mp4"):
        assert (tmp_path / "other" / name).read_bytes() != (world / name).read_bytes()


def test_a_stopped_run_goes_on(world: Path) -> None:
    before = contents(world)
    videos = world / "videos"
    (videos / "train" / "00001.mp4").unlink()
    truncated = videos / "test" / "00002.mp4"
    truncated.write_bytes(truncated.read_bytes()[:5000])
    shutil.copy(videos / "test" / "00001.mp4", videos / "test" / "00000.mp4")
    (world / "train" / "qa.json").unlink()
    untouched = (videos / "train" / "00000.mp4").stat()
    assert build_world(world, SETTINGS, workers=1).rendered == 3
    assert contents(world) == before
    assert (videos / "train" / "00000.mp4").stat() == untouched
    assert build_world(world, SETTINGS, workers=1).rendered == 0


def test_a_video_that_cannot_be_finished_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = draw_plan(0, Split.TEST, 0)

    def fail(*_: object) -> Iterator[np.ndarray]:
        # More frames than the encoder looks ahead: it writes nothing before.
        yield from np.zeros((100, plan.height, plan.width, 3), np.uint8)
        assert list(tmp_path.iterdir())
        raise RuntimeError("no ink")

    monkeypatch.setattr(encode, "render", fail)
    with pytest.raises(RuntimeError, match="no ink"):
        encode.write_video(plan, 0, tmp_path / "v.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: folder.write_text("x"), "is a file, not a folder"),
        (lambda folder: (folder / "notes").mkdir(parents=True), "is not empty and holds no world"),
        (lambda folder: (folder.mkdir(), (folder / "world.json").write_text("{")), "cannot be read as a world"),
        (
            lambda folder: (
                folder.mkdir(),
                (folder / "world.json").write_text('{"settings": {"seed": 7, "train_videos": 3, "test_videos": 3}}'),
            ),
            r"other settings \(seed is 7 there and 1 here; version is None there and 5 here\)",
        ),
    ],
)
def test_a_folder_of_something_else_is_refused(prepare: Any, message: str, tmp_path: Path) -> None:
    output = tmp_path / "output"
    prepare(output)
    before = contents(tmp_path)
    with pytest.raises(WorldError, match=message):
        build_world(output, SETTINGS, workers=1)
    assert contents(tmp_path) == before


def test_the_command_says_what_is_wrong_with_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes").write_text("x")
    assert main(["--output", str(tmp_path)]) == 2
    assert "holds no world (no world.json); choose another --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: --output"),
        (["--output", "x", "--seed", "-1"], "argument --seed: must be a whole number of at least 0, not '-1'"),
        (["--output", "x", "--workers", "0"], "argument --workers: must be a whole number of at least 1, not '0'"),
        (["--output", "x", "--train-videos", "many"], "must be a whole number of at least 1, not 'many'"),
        (["--output", "x", "--test-videos", "1.5"], "must be a whole number of at least 1, not '1.5'"),
        (["--output", "x", "--frames", "3"], "unrecognized arguments: --frames 3"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err

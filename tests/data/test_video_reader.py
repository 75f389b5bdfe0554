"""Readers as they are used and misused: closed, shared, of files that change, of hostile and of damaged files."""

from __future__ import annotations

import gc
import logging
import os
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hawkeye.data import video_reader
from hawkeye.data.video import VideoError, open_video
from hawkeye.data.video_pyav import PyAVReader
from tests.data.video_files import (
    CLOSED,
    cut,
    decode_all,
    faststart,
    numbered_frames,
    numbers_of,
    overwrite,
    write_video,
)
from tests.data.zoo import NO_B_FRAMES


@pytest.fixture(autouse=True)
def warned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of other tests may have had the same name."""
    monkeypatch.setattr(video_reader, "_warned", set())


def test_a_closed_reader_says_so(backend: str, plain: Path) -> None:
    with open_video(plain, backend=backend) as reader:
        reader.frames([0, 40])
    reader.close()
    with pytest.raises(ValueError, match=r"plain\.mp4: its reader is closed"):
        reader.frames([0])
    assert reader.duration == 7.5


def test_threads_that_share_a_reader_take_turns(backend: str, plain: Path) -> None:
    wanted = [[start, start + 20, start + 40] for start in range(0, 19, 3)] * 3
    with open_video(plain, backend=backend) as reader, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda indices: numbers_of(reader.frames(indices)), wanted))
    assert found == wanted


def test_another_process_cannot_use_a_reader(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_video(plain) as reader:
        with monkeypatch.context() as patch:
            patch.setattr(video_reader.os, "getpid", lambda: -1)
            with pytest.raises(ValueError, match=r"plain\.mp4: its reader was opened in another process"):
                reader.frames([0])
            reader.close()  # would close the first process's file
        assert numbers_of(reader.frames([3])) == [3]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is freed but by counting references."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_a_closed_reader_keeps_nothing(backend: str, plain: Path) -> None:
    with open_video(plain, backend=backend) as reader:
        assert isinstance(reader, PyAVReader)
        reader.frames([3, 50])
        kept = [weakref.ref(reader), weakref.ref(reader.opened), weakref.ref(reader.walk)]
    assert [reference() is None for reference in kept] == [False, True, True]
    del reader
    assert kept[0]() is None


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux shows them")
def test_open_readers_start_no_threads(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered_frames(20, 480, 640), x264=CLOSED + ":slices=4")
    before = threads()
    readers = [open_video(path) for _ in range(5)]
    for reader in readers:
        reader.frames([0, 19])
    assert threads() == before
    for reader in readers:
        reader.close()


@pytest.mark.slow
@pytest.mark.usefixtures("no_collector")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory in use as Linux shows it")
def test_thirty_4k_files_take_the_memory_of_one(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered_frames(4, 2160, 3840), x264=CLOSED)

    def in_use() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    with open_video(path) as reader:
        reader.frames([0])
    start = in_use()
    for _ in range(30):
        with open_video(path) as reader:
            reader.frames([0, 3], lambda picture: picture[::40, ::40].copy())
        assert in_use() - start < 400 * 2**20


def test_a_file_that_is_replaced_while_it_is_open(backend: str, plain: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.mp4", numbered_frames(60)[::-1], x264=CLOSED)
    with open_video(plain, backend=backend) as reader:
        assert numbers_of(reader.frames([30])) == [30]
        other.replace(plain)
        with pytest.raises(VideoError, match=r"plain\.mp4: was replaced or written to while it was open"):
            reader.frames([5, 55])
        with pytest.raises(VideoError, match=r"plain\.mp4: was replaced"):
            reader.frames([0])


def test_a_picture_whose_name_is_a_pattern_is_that_picture(tmp_path: Path) -> None:
    for name, grey in (("a%03d.jpg", 200), ("a001.jpg", 0), ("a002.jpg", 0)):
        Image.new("RGB", (64, 48), (grey,) * 3).save(tmp_path / name)
    with open_video(tmp_path / "a%03d.jpg") as reader:
        assert reader.num_frames == 1
        np.testing.assert_allclose(reader.frames([0]), 200, atol=2)


@pytest.mark.parametrize("path", ["https://example.org/a//b.mp4", Path("https://example.org/a.mp4"), "rtsp://h/v"])
def test_addresses_are_not_read(path: str | Path) -> None:
    whole = "https://example.org/a.mp4" if isinstance(path, Path) else path.replace("a//b", "a/b")
    with pytest.raises(VideoError) as caught:
        open_video(path)
    assert str(caught.value) == f"{whole}: is an address; only local files are read: download it first"


def test_scripts_do_not_make_other_files_be_read(plain: Path, tmp_path: Path) -> None:
    stream = write_video(tmp_path / "a.ts", numbered_frames(20), x264=CLOSED)
    scripts = {
        "concat.mp4": f"ffconcat version 1.0\nfile {plain.name}\n",
        "playlist.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{stream.name}\n#EXT-X-ENDLIST\n",
        "playlist.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{stream.name}\n#EXT-X-ENDLIST\n",
    }
    for name, script in scripts.items():
        (tmp_path / name).write_text(script)
        with pytest.raises(VideoError, match=f"{name}: cannot be read as a video .it is a playlist"):
            open_video(tmp_path / name)


def test_pictures_larger_than_the_limit_are_not_decoded(
    backend: str, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_reader, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(VideoError, match=r"plain\.mp4: pictures of 64 x 48 have more than 3071 pixels.*HAWKEYE_MAX"):
        open_video(plain, backend=backend)


def test_a_truncated_file_is_warned_of_once(backend: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = cut(faststart(tmp_path / "v.mp4"), 0.5)
    for _ in range(2):
        with open_video(path, backend=backend) as reader:
            assert reader.declared_duration == 7.5
            assert reader.duration < 4
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"v.mp4: its header declares 7.5 s, but its pictures end at {reader.duration:.1f} s" in record.message


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.avi", "v.flv"])
def test_truncated_files_of_other_formats(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = {} if name == "v.avi" else {"container_options": {"movflags": "faststart"}}
    path = cut(write_video(tmp_path / name, numbered_frames(60, 240, 320), x264=NO_B_FRAMES, **options), 0.5)
    with open_video(path) as reader:
        assert reader.declared_duration == pytest.approx(7.5, abs=0.01)
        assert reader.duration < 5
        assert reader.duration == pytest.approx(reader.seconds[-1] + 1 / 8, abs=0.02)
    assert "its header declares 7.5 s" in caplog.text


def test_whole_files_are_not_warned_of(backend: str, plain: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_video(plain, backend=backend) as reader:
        reader.frames([0, 59])
        assert reader.declared_duration == 7.5
    assert not caplog.records


def grainy(count: int) -> np.ndarray:
    """Numbered frames that take many bytes."""
    frames = numbered_frames(count, 240, 320)
    return frames // 2 + np.random.default_rng(0).integers(0, 100, frames.shape, dtype=np.uint8)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
def test_concealed_damage_is_counted_and_warned_of_once(
    codec: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"x264": CLOSED} if codec == "libx264" else {"b": "2M"}
    path = overwrite(write_video(tmp_path / "v.mp4", grainy(40), 25, codec=codec, **options), 0.5, 2000)
    with open_video(path, backend="pyav") as reader:
        assert isinstance(reader, PyAVReader)
        reader.frames(range(8))
        assert not reader.damaged
        reader.frames(range(40))
        assert 1 <= len(reader.damaged) <= 3
        reader.frames(range(40))
    (record,) = caplog.records
    assert "v.mp4: is damaged around second" in record.message


def test_a_stream_that_lost_a_part_of_a_picture_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.ts", grainy(40), 25, x264=CLOSED)
    packets = np.frombuffer(path.read_bytes(), dtype=np.uint8).reshape(-1, 188)
    middle = len(packets) // 2
    path.write_bytes(np.delete(packets, range(middle, middle + 3), axis=0).tobytes())
    with pytest.raises(VideoError, match=r"v\.ts: is damaged around second \d\.\d"):
        open_video(path)


def test_decord_writes_nothing_of_damaged_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = overwrite(faststart(tmp_path / "v.mp4"), 0.5, 500)
    with open_video(path, backend="decord") as reader, pytest.raises(VideoError, match="is damaged"):
        reader.frames([0, 33, 59])
    assert capfd.readouterr().err == ""


def test_times_are_not_rounded_twice(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered_frames(100), fps=30, x264=CLOSED)
    with open_video(path) as reader:
        assert reader.seconds.tolist() == [index / 30 for index in range(100)]
    assert len(decode_all(path)) == 100

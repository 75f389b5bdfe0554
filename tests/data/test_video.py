"""Reading videos: right frames and times from all kinds of files, or one error that names the file."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hawkeye.data import video
from hawkeye.data.sampling import evaluation_indices
from hawkeye.data.video import BACKENDS, VideoError, VideoReader, open_video, read_window
from hawkeye.data.video_decoders import DecordReader, PyAVReader
from hawkeye.temporal import Span
from tests.data.video_files import (
    CLOSED,
    cut,
    decode_all,
    forget_duration,
    numbered_frames,
    numbers_of,
    overwrite,
    promise_frames,
    replace,
    write_audio,
    write_video,
)

backends = pytest.mark.parametrize("backend", BACKENDS)

IRREGULAR = np.cumsum(np.random.default_rng(0).integers(20, 300, 60)) - 20
"""Milliseconds at which 60 frames of a variable rate are shown."""


@pytest.fixture(autouse=True)
def _need_decord(request: pytest.FixtureRequest) -> None:
    if "backend" in request.fixturenames and request.getfixturevalue("backend") == "decord":
        pytest.importorskip("decord")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """60 numbered frames at 8 a second."""
    return write_video(tmp_path / "plain.mp4", numbered_frames(60), x264=CLOSED)


OPEN = "open-gop=1:keyint=12:min-keyint=4:bframes=4:b-adapt=0:b-pyramid=normal"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "one group": ("a.mp4", {}),
    "closed groups": ("a.mp4", {"x264": CLOSED}),
    "open groups": ("a.mp4", {"x264": OPEN}),
    "keyframes side by side": ("a.mp4", {"x264": "keyint=2:min-keyint=1:bframes=3"}),
    "intra refresh": ("a.mp4", {"x264": "keyint=12:intra-refresh=1:bframes=0"}),
    "interlaced": ("a.mp4", {"x264": "tff=1:keyint=12"}),
    "full range": ("a.mp4", {"x264": "fullrange=on:colormatrix=bt709"}),
    "ten bits": ("a.mp4", {"pixels": "yuv420p10le"}),
    "hevc, open groups": ("a.mp4", {"codec": "libx265", "x265-params": "keyint=12:open-gop=1:log-level=none"}),
    "edit list": ("a.mp4", {"x264": CLOSED, "pts": range(-1000, 6500, 125)}),
    "late start": ("a.mp4", {"x264": CLOSED, "pts": range(5000, 12500, 125)}),
    "variable rate": ("a.mp4", {"x264": CLOSED, "pts": IRREGULAR}),
    "matroska": ("a.mkv", {"x264": CLOSED, "pts": IRREGULAR}),
    "vp9": ("a.webm", {"codec": "libvpx-vp9", "cpu-used": "8", "deadline": "realtime"}),
    "vp8": ("a.webm", {"codec": "libvpx", "auto-alt-ref": "1", "lag-in-frames": "16", "b": "300k"}),
    "avi": ("a.avi", {"codec": "mpeg4", "b": "1M"}),
    "avi with B-frames": ("a.avi", {"x264": CLOSED}),
    "transport stream": ("a.ts", {"x264": CLOSED}),
    "program stream": ("a.mpg", {"codec": "mpeg1video", "fps": 25, "b": "1M"}),
    "flash": ("a.flv", {"codec": "flv1", "b": "1M"}),
    "raw stream": ("a.h264", {"x264": CLOSED}),
    "quarter turn": ("a.mp4", {"rotation": 90}),
    "half turn": ("a.mp4", {"rotation": 180}),
    "three quarter turn": ("a.mp4", {"rotation": 270}),
}


@backends
@pytest.mark.parametrize("kind", KINDS)
def test_frames_by_index_are_those_of_a_sequential_decode(kind: str, backend: str, tmp_path: Path) -> None:
    name, options = KINDS[kind]
    turned = np.rot90(numbered_frames(60), -options.get("rotation", 0) // 90, axes=(1, 2))
    path = write_video(tmp_path / name, turned, **options)
    expected = decode_all(path)
    # The edit list begins after 8 frames.
    assert numbers_of(expected) == list(range(60))[-len(expected) :]
    rng = np.random.default_rng(1)
    last = len(expected) - 1
    with open_video(path, backend=backend) as reader:
        assert reader.num_frames == len(expected)
        for indices in (
            [last],
            [0, last],
            [3, 30, 31, 50],
            range(last + 1),
            range(0, last, 3),
            rng.integers(0, last, 20),
        ):
            np.testing.assert_array_equal(reader.frames(list(indices)), expected[list(indices)])
        for _ in range(8):
            index = int(rng.integers(0, last))
            np.testing.assert_array_equal(reader.frames([index, last]), expected[[index, last]])


@backends
@pytest.mark.parametrize(
    ("codec", "pixels", "name"), [("libx264", "yuv444p", "a.mp4"), ("libvpx-vp9", "yuv420p", "a.webm")]
)
def test_odd_sizes(codec: str, pixels: str, name: str, backend: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, numbered_frames(20, 121, 161), codec=codec, pixels=pixels)
    with open_video(path, backend=backend) as reader:
        frames = reader.frames([0, 7, 19])
    assert frames.shape == (3, 121, 161, 3)
    np.testing.assert_array_equal(frames, decode_all(path)[[0, 7, 19]])


@pytest.mark.parametrize("kind", ["closed groups", "variable rate", "matroska", "late start"])
def test_decord_reads_what_it_reads_rightly(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("decord")
    name, options = KINDS[kind]
    with open_video(write_video(tmp_path / name, numbered_frames(60), **options)) as reader:
        reader.frames([0, 30])
        assert isinstance(reader, DecordReader)
        assert reader.may_use_decord
        assert reader.decord is not None


def test_decord_does_not_see_headers_that_make_it_abort(plain: Path) -> None:
    pytest.importorskip("decord")
    with open_video(promise_frames(plain, 2**31 - 1), backend="decord") as reader:
        assert isinstance(reader, DecordReader)
        assert not reader.may_use_decord
        assert numbers_of(reader.frames([0, 59])) == [0, 59]


def test_pyav_serves_where_decord_is_missing(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    video._has_decord.cache_clear()
    try:
        with open_video(plain) as reader:
            assert type(reader) is PyAVReader
        with pytest.raises(ValueError, match="decord is not installed"):
            open_video(plain, backend="decord")
    finally:
        video._has_decord.cache_clear()


def test_an_unknown_backend_is_named(plain: Path) -> None:
    with pytest.raises(ValueError, match="unknown video backend 'opencv'; there are decord, pyav"):
        open_video(plain, backend="opencv")


def test_importing_loads_no_video_library() -> None:
    code = "import sys, hawkeye.data.video; print([name for name in ('av', 'decord', 'PIL') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# Times


@backends
def test_seconds_come_from_the_timestamps(backend: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered_frames(60), pts=[int(stamp) + 5000 for stamp in IRREGULAR])
    with open_video(path, backend=backend) as reader:
        np.testing.assert_allclose(reader.seconds, (IRREGULAR - IRREGULAR[0]) / 1000, atol=1e-9)
        assert not reader.has_constant_rate
        assert reader.fps == pytest.approx(59 / reader.seconds[-1], rel=0.02)
        assert reader.duration == pytest.approx(reader.seconds[-1] + 1 / reader.fps)


@backends
def test_duration_of_a_constant_rate_is_exact(backend: str, tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "v.mp4", numbered_frames(59), fps=30), backend=backend) as reader:
        assert (reader.fps, reader.duration) == (30.0, 59 / 30)
        np.testing.assert_allclose(reader.seconds, np.arange(59) / 30, atol=1e-9)


@backends
def test_a_file_that_forgot_its_duration(backend: str, plain: Path) -> None:
    with open_video(forget_duration(plain), backend=backend) as reader:
        assert (reader.num_frames, reader.fps, reader.duration) == (60, 8.0, 7.5)
        assert numbers_of(reader.frames([0, 59])) == [0, 59]


@backends
def test_a_video_of_one_frame(backend: str, tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "v.mp4", numbered_frames(6)[5:]), backend=backend) as reader:
        assert (reader.num_frames, reader.fps, reader.duration, reader.seconds.tolist()) == (1, 8.0, 0.125, [0.0])
        frames, seconds = read_window(reader, None, 12)
    assert numbers_of(frames) == [5] * 12
    assert seconds.tolist() == [0.0] * 12


# Windows


@backends
@pytest.mark.parametrize("window", [None, Span(0, 7.5), Span(1.3, 4.1), Span(5, 5.4), Span(6, 9), Span(2.06, 2.06)])
def test_windows_of_constant_rate_follow_the_originals_rule(backend: str, window: Span | None, plain: Path) -> None:
    expected = evaluation_indices(12, 8.0, 59, window)
    start = window.start if window else 0.0
    with open_video(plain, backend=backend) as reader:
        frames, seconds = read_window(reader, window, 12)
    assert numbers_of(frames) == expected
    np.testing.assert_allclose(seconds, np.maximum(np.array(expected) / 8 - start, 0), atol=1e-9)


@backends
def test_windows_of_variable_rate_show_the_frames_whose_times_lie_there(backend: str, tmp_path: Path) -> None:
    # Ten frames in the first second, then one a second: an average rate would show frame 12 around second 6.
    stamps = [*range(0, 1000, 100), *range(1000, 11000, 1000)]
    path = write_video(tmp_path / "v.mp4", numbered_frames(20), pts=stamps)
    with open_video(path, backend=backend) as reader:
        frames, seconds = read_window(reader, Span(4.6, 7.6), 6)
        assert numbers_of(frames) == [14, 14, 14, 15, 15, 16]
        np.testing.assert_allclose(seconds, [0.4, 0.4, 0.4, 1.4, 1.4, 2.4])
        assert numbers_of(read_window(reader, Span(0.25, 0.65), 4)[0]) == [3, 4, 5, 6]
        assert numbers_of(read_window(reader, None, 4)[0]) == [10, 12, 15, 18]
        # Between two frames the one that is still shown stands for the window.
        frames, seconds = read_window(reader, Span(6.2, 6.4), 3)
        assert (numbers_of(frames), seconds.tolist()) == ([15] * 3, [0.0] * 3)


class Clock(VideoReader):
    """A reader without pictures: frames show their indices."""

    def _decode(self, indices: list[int]) -> np.ndarray:
        return np.array(indices)


@given(
    gaps=st.lists(st.floats(0.01, 3), min_size=1, max_size=40),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1.2)),
    num_frames=st.integers(1, 16),
    seed=st.integers(0, 2**32 - 1),
    constant=st.booleans(),
)
def test_random_moments_stay_in_their_window(
    gaps: list[float], ends: tuple[float, float], num_frames: int, seed: int, constant: bool
) -> None:
    times = np.cumsum([0.0, *([gaps[0]] * len(gaps) if constant else gaps)])
    reader = Clock(Path("clock"), times, (len(times) - 1) / times[-1])
    window = Span(min(ends) * reader.duration * 0.99, max(ends) * reader.duration)
    frames, seconds = read_window(reader, window, num_frames, np.random.default_rng(seed))
    assert len(frames) == num_frames
    assert frames.tolist() == sorted(frames)
    assert seconds.min() >= 0
    inside = np.flatnonzero((times >= window.start) & (times <= window.end))
    shown_at_start = np.flatnonzero(times <= window.start)[-1]
    assert set(frames) <= (set(inside) if len(inside) else {shown_at_start})
    np.testing.assert_array_equal(frames, read_window(reader, window, num_frames, np.random.default_rng(seed))[0])


def test_random_moments_differ_by_seed(plain: Path) -> None:
    with open_video(plain) as reader:
        draws = [numbers_of(read_window(reader, Span(1, 6), 4, np.random.default_rng(seed))[0]) for seed in range(3)]
    assert len({tuple(draw) for draw in draws}) == 3
    assert all(min(draw) >= 8 and max(draw) <= 48 for draw in draws)


@backends
@pytest.mark.parametrize("start", [7.5, 20.0])
def test_a_window_after_the_end_is_an_error(backend: str, start: float, plain: Path) -> None:
    message = rf"plain\.mp4: the window begins at second {start:g}, the video ends at 7\.5"
    with open_video(plain, backend=backend) as reader, pytest.raises(VideoError, match=message):
        read_window(reader, Span(start, 30.0), 12)


# Broken files


def text(path: Path) -> Path:
    path.write_text("This is no video.\n" * 100)
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    text(path / "readme.txt")
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


BROKEN: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "missing": ("v.mp4", lambda path: path, "cannot be read .No such file"),
    "impossible name": ("v\0.mp4", lambda path: path, "cannot be read .embedded null byte"),
    "empty": ("v.mp4", empty, "the file is empty"),
    "text": ("v.mp4", text, "cannot be read as a video"),
    "text that FFmpeg would draw": ("v.txt", text, "has no video stream"),
    "cut before the index": ("v.mp4", lambda path: cut(write_video(path, numbered_frames(60)), 0.5), "cannot be read"),
    "audio": ("v.mp4", write_audio, "has no video stream"),
    "audio with a cover": ("v.mp4", lambda path: write_audio(path, cover=True), "has no video stream"),
    "folder without images": ("v", folder, "the folder holds no frames"),
    "pipe": ("v.mp4", pipe, "is neither a file nor a folder"),
    "header of a GIF alone": ("v.gif", lambda path: (path.write_bytes(b"GIF89a"), path)[1], "cannot be read as a GIF"),
    "text named as a GIF": ("v.gif", text, "cannot be read as a video"),
    "unknown codec": (
        "v.mp4",
        lambda path: replace(write_video(path, numbered_frames(9)), b"avc1\0\0\0\0", b"zzz1\0\0\0\0"),
        "its codec is unknown",
    ),
    "header alone": ("v.mp4", lambda path: cut(faststart(path), 0.0), "holds no frame"),
}


def faststart(path: Path) -> Path:
    """An mp4 whose index comes before its frames."""
    return write_video(path, numbered_frames(60), x264=CLOSED, container_options={"movflags": "faststart"})


@backends
@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_read_is_one_error_that_names_the_file(kind: str, backend: str, tmp_path: Path) -> None:
    name, write, message = BROKEN[kind]
    path = write(tmp_path / name)
    with pytest.raises(VideoError, match=message) as caught:
        open_video(path, backend=backend)
    assert str(path) in str(caught.value)


@backends
@pytest.mark.parametrize("share", [0.3, 0.5, 0.77])
def test_a_file_cut_in_its_frames_gives_those_before_the_cut(backend: str, share: float, tmp_path: Path) -> None:
    whole = decode_all(faststart(tmp_path / "v.mp4"))
    with open_video(cut(tmp_path / "v.mp4", share), backend=backend) as reader:
        shown = np.round(reader.seconds * 8).astype(int)
        assert 4 < len(shown) < 50
        assert shown[-1] < 50
        np.testing.assert_array_equal(reader.frames(range(len(shown))), whole[shown])
        np.testing.assert_array_equal(reader.frames([0, len(shown) - 1]), whole[shown[[0, -1]]])
        assert reader.duration == pytest.approx(reader.seconds[-1] + 1 / 8)


@backends
def test_frames_of_a_damaged_part_are_an_error_and_others_are_not(backend: str, tmp_path: Path) -> None:
    whole = decode_all(faststart(tmp_path / "v.mp4"))
    with open_video(overwrite(tmp_path / "v.mp4", 0.5, 500), backend=backend) as reader:
        np.testing.assert_array_equal(reader.frames([0, 9, 59]), whole[[0, 9, 59]])
        with pytest.raises(VideoError, match=r"v\.mp4: is damaged"):
            reader.frames([0, 32, 34, 35])
        np.testing.assert_array_equal(reader.frames([0, 9, 59]), whole[[0, 9, 59]])


@backends
def test_a_frame_that_the_decoder_leaves_out_is_an_error(
    backend: str, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_video(plain, backend=backend) as reader:
        assert isinstance(reader, PyAVReader)
        decoded, left_out = reader._decoded, reader.timestamps[20]
        monkeypatch.setattr(reader, "_decoded", lambda: (frame for frame in decoded() if frame.pts != left_out))
        assert numbers_of(reader.frames(range(18, 20))) == [18, 19]
        with pytest.raises(VideoError, match=r"plain\.mp4: is damaged: frame 20 of 60 cannot be decoded"):
            reader.frames(range(18, 23))


def test_a_stream_that_lost_packets_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.ts", numbered_frames(60, 120, 160), x264=CLOSED)
    packets = np.frombuffer(path.read_bytes(), dtype=np.uint8).reshape(-1, 188)
    path.write_bytes(np.delete(packets, range(100, 105), axis=0).tobytes())
    with pytest.raises(VideoError, match=r"v\.ts: is damaged around second \d+\.\d"):
        open_video(path)


def test_a_change_of_size_within_a_file_is_an_error(tmp_path: Path) -> None:
    small = write_video(tmp_path / "small.h264", numbered_frames(20), x264=CLOSED)
    large = write_video(tmp_path / "large.h264", numbered_frames(20, 96, 128), x264=CLOSED)
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    message = r"both\.h264: its frames differ in size: 64x48 and 128x96"
    with open_video(both) as reader, pytest.raises(VideoError, match=message):
        reader.frames(range(reader.num_frames))


# Names and memory


@backends
@pytest.mark.parametrize("name", [b"caf\xe9 \xff.mp4", "ｖｉｄéo.mp4".encode(), b"http:a.mp4", b"%03d.mp4", b"plain"])
def test_any_file_name_is_read(
    backend: str, name: bytes, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    plain.rename(path)
    with open_video(path, backend=backend) as reader:
        assert numbers_of(reader.frames([1, 40])) == [1, 40]


def test_errors_about_odd_names_can_be_printed() -> None:
    with pytest.raises(VideoError, match=r"caf\\udce9\.mp4") as caught:
        open_video(Path(os.fsdecode(b"caf\xe9.mp4")))
    assert str(caught.value).encode()


@backends
def test_titles_that_are_not_utf8_do_not_matter(backend: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered_frames(20), metadata={"title": "abcdefgh"})
    replace(path, b"abcdefgh", b"\xff\xfe\xfd\xfcefgh")
    with open_video(path, backend=backend) as reader:
        assert numbers_of(reader.frames([0, 19])) == [0, 19]


@backends
def test_only_the_frames_asked_for_are_held(backend: str, tmp_path: Path) -> None:
    frame = 240 * 320 * 3
    numbered = numbered_frames(120, 240, 320)
    with open_video(write_video(tmp_path / "v.mp4", numbered, x264=CLOSED), backend=backend) as reader:
        reader.frames([0, 60])
        tracemalloc.start()
        reader.frames([1, 60, 119])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * frame


def test_reading_in_pieces_goes_on_where_it_stopped(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_video(plain, backend="pyav") as reader:
        assert isinstance(reader, PyAVReader)
        starts: list[int] = []
        start = reader._start

        def note(keyframe: int) -> None:
            starts.append(keyframe)
            start(keyframe)

        monkeypatch.setattr(reader, "_start", note)
        pieces = [reader.frames(range(first, first + 20, 2)) for first in (0, 20, 40)]
        assert numbers_of(np.concatenate(pieces)) == list(range(0, 60, 2))
        assert starts == [0]
        reader.frames([5, 50])
        assert starts == [0, 0, 48]


@backends
@pytest.mark.parametrize("indices", [[], [-1], [3, 60]])
def test_indices_outside_the_video_are_refused(backend: str, indices: list[int], plain: Path) -> None:
    with open_video(plain, backend=backend) as reader, pytest.raises(IndexError, match=r"plain\.mp4.*asked for"):
        reader.frames(indices)


# GIFs and folders of frames


def write_gif(path: Path, milliseconds: list[int]) -> Path:
    pictures = [Image.fromarray(frame) for frame in numbered_frames(len(milliseconds))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=milliseconds, disposal=1)
    return path


@pytest.mark.parametrize("name", ["v.gif", "v.mp4"])
def test_gifs_keep_their_own_times(name: str, tmp_path: Path) -> None:
    lengths = [100, 200, 50, 400, 250]
    path = write_gif(tmp_path / "v.gif", lengths).rename(tmp_path / name)
    with open_video(path) as reader:
        np.testing.assert_allclose(reader.seconds, [0, 0.1, 0.3, 0.35, 0.75])
        assert (reader.num_frames, reader.fps, reader.duration) == (5, 5.0, 1.0)
        assert numbers_of(reader.frames([4, 0, 3, 3])) == [4, 0, 3, 3]
        frames, seconds = read_window(reader, Span(0.3, 0.9), 3)
        assert (numbers_of(frames), seconds.round(9).tolist()) == ([3, 3, 4], [0.05, 0.05, 0.45])


def test_gifs_without_times_show_ten_frames_a_second(tmp_path: Path) -> None:
    with open_video(write_gif(tmp_path / "v.gif", [0, 0, 0])) as reader:
        np.testing.assert_allclose(reader.seconds, [0, 0.1, 0.2])
        assert reader.fps == pytest.approx(10)


def test_a_cut_gif_is_an_error(tmp_path: Path) -> None:
    path = cut(write_gif(tmp_path / "v.gif", [100] * 20), 0.6)
    with pytest.raises(VideoError, match=r"v\.gif: cannot be read as a GIF"):
        open_video(path)


def write_folder(path: Path, count: int = 12) -> Path:
    path.mkdir()
    for index, frame in enumerate(numbered_frames(count)):
        Image.fromarray(frame).save(path / f"frame{index}.png")
    return path


def test_a_folder_of_frames_is_in_natural_order(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "v")
    (path / "._frame0.png").write_bytes(b"left by an archive")
    (path / "notes.txt").write_text("no frame")
    with open_video(path, fps=3) as reader:
        assert (reader.num_frames, reader.fps, reader.duration) == (12, 3.0, 4.0)
        assert numbers_of(reader.frames(range(12))) == list(range(12))
        frames, seconds = read_window(reader, Span(1, 3), 4)
    assert numbers_of(frames) == evaluation_indices(4, 3, 11, Span(1, 3))
    np.testing.assert_allclose(seconds, np.array(numbers_of(frames)) / 3 - 1)


def test_a_folder_needs_its_frame_rate(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="v: a folder of frames needs its frame rate; pass fps"):
        open_video(write_folder(tmp_path / "v"))


@pytest.mark.parametrize("fps", [0.0, -3.0, float("nan"), float("inf")])
def test_a_frame_rate_is_positive(fps: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fps must be a positive number"):
        open_video(write_folder(tmp_path / "v"), fps=fps)


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_broken_image_in_a_folder_is_named(share: float, tmp_path: Path) -> None:
    path = write_folder(tmp_path / "v")
    cut(path / "frame7.png", share)
    with open_video(path, fps=3) as reader:
        assert numbers_of(reader.frames([6, 8])) == [6, 8]
        with pytest.raises(VideoError, match=r"v/frame7\.png: cannot be read as an image"):
            reader.frames([6, 7])


def test_images_of_different_sizes_are_an_error(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "v")
    Image.new("RGB", (32, 16)).save(path / "frame3.png")
    with (
        open_video(path, fps=3) as reader,
        pytest.raises(VideoError, match="v: its frames differ in size: 64x48 and 32x16"),
    ):
        reader.frames([2, 3])

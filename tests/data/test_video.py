"""Opening videos and showing windows of them: right frames and times, or one error that names the file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawkeye.data import video
from hawkeye.data.sampling import evaluation_indices
from hawkeye.data.video import VideoError, VideoReader, open_video, read_window
from hawkeye.data.video_decoders import DecordReader, PyAVReader
from hawkeye.temporal import Span
from tests.data.video_files import (
    cut,
    faststart,
    numbered_frames,
    numbers_of,
    replace,
    write_audio,
    write_video,
)


def test_pyav_reads_unless_decord_is_asked_for(plain: Path) -> None:
    with open_video(plain) as reader:
        assert type(reader) is PyAVReader
    with open_video(plain, backend="decord") as reader:
        assert type(reader) is DecordReader


def test_a_backend_that_is_not_installed_is_named(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    video._has_decord.cache_clear()
    try:
        with pytest.raises(ValueError, match="decord is not installed"):
            open_video(plain, backend="decord")
    finally:
        video._has_decord.cache_clear()


def test_an_unknown_backend_is_named(plain: Path) -> None:
    with pytest.raises(ValueError, match="unknown video backend 'opencv'; there are pyav, decord"):
        open_video(plain, backend="opencv")


def test_importing_loads_no_video_library() -> None:
    code = "import sys, hawkeye.data.video; print([name for name in ('av', 'decord', 'PIL') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("window", [None, Span(0, 7.5), Span(1.3, 4.1), Span(5, 5.4), Span(6, 9), Span(2.06, 2.06)])
def test_windows_of_constant_rate_follow_the_originals_rule(backend: str, window: Span | None, plain: Path) -> None:
    expected = evaluation_indices(12, 8.0, 59, window)
    start = window.start if window else 0.0
    with open_video(plain, backend=backend) as reader:
        frames, seconds = read_window(reader, window, 12)
    assert numbers_of(frames) == expected
    np.testing.assert_allclose(seconds, np.maximum(np.array(expected) / 8 - start, 0), atol=1e-9)


def test_windows_of_variable_rate_show_the_frames_whose_times_lie_there(backend: str, tmp_path: Path) -> None:
    # Ten frames in the first second, then one a second: an average rate would show frame 12 around second 6.
    stamps = [*range(0, 1000, 100), *range(1000, 11000, 1000)]
    path = write_video(tmp_path / "v.mp4", numbered_frames(20), pts=stamps)
    with open_video(path, backend=backend) as reader:
        frames, seconds = read_window(reader, Span(4.6, 7.6), 6)
        assert numbers_of(frames) == [14, 14, 14, 15, 15, 16]
        np.testing.assert_allclose(seconds, [0.4, 0.4, 0.4, 1.4, 1.4, 2.4])
        assert numbers_of(read_window(reader, Span(0.25, 0.65), 4)[0]) == [3, 4, 5, 6]
        assert numbers_of(read_window(reader, None, 4)[0]) == [10, 12, 15, 17]
        # What lies beyond the end is left out before the rest is divided.
        assert numbers_of(read_window(reader, Span(7.6, 30), 3)[0]) == [17, 17, 18]
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


@pytest.mark.parametrize("start", [7.5, 20.0])
def test_a_window_after_the_end_is_an_error(backend: str, start: float, plain: Path) -> None:
    message = rf"plain\.mp4: the window begins at second {start:g}, the video ends at 7\.5"
    with open_video(plain, backend=backend) as reader, pytest.raises(VideoError, match=message):
        read_window(reader, Span(start, 30.0), 12)


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


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_read_is_one_error_that_names_the_file(kind: str, backend: str, tmp_path: Path) -> None:
    name, write, message = BROKEN[kind]
    path = write(tmp_path / name)
    with pytest.raises(VideoError, match=message) as caught:
        open_video(path, backend=backend)
    assert str(path) in str(caught.value)


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


@pytest.mark.parametrize("indices", [[], [-1], [3, 60]])
def test_indices_outside_the_video_are_refused(backend: str, indices: list[int], plain: Path) -> None:
    with open_video(plain, backend=backend) as reader, pytest.raises(IndexError, match=r"plain\.mp4.*asked for"):
        reader.frames(indices)

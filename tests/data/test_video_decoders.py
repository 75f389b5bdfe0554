"""Frames of video files: equal to a sequential decode in every format, by both backends, damaged or not."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hawkeye.data.video import VideoError, open_video, read_window
from hawkeye.data.video_decoders import DecordReader, PyAVReader
from tests.data.video_files import (
    CLOSED,
    cut,
    decode_all,
    faststart,
    forget_duration,
    numbered_frames,
    numbers_of,
    overwrite,
    promise_frames,
    replace,
    write_video,
)
from tests.data.zoo import set_matrix

IRREGULAR = np.cumsum(np.random.default_rng(0).integers(20, 300, 60)) - 20
"""Milliseconds at which 60 frames of a variable rate are shown."""

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
    with open_video(write_video(tmp_path / name, numbered_frames(60), **options), backend="decord") as reader:
        reader.frames([0, 30])
        assert isinstance(reader, DecordReader)
        assert reader.may_use_decord
        assert reader.decord is not None


def test_decord_does_not_see_interlaced_video_that_starts_with_a_plain_frame(tmp_path: Path) -> None:
    frames = numbered_frames(60)
    frames[0] = 128
    path = write_video(tmp_path / "v.mp4", frames, x264="tff=1:keyint=12")
    with open_video(path, backend="decord") as reader:
        np.testing.assert_array_equal(reader.frames([0, 29, 59]), decode_all(path)[[0, 29, 59]])


def test_decord_does_not_see_mirrored_video_that_starts_with_a_plain_frame(tmp_path: Path) -> None:
    frames = numbered_frames(60)
    frames[0] = 128
    path = write_video(tmp_path / "v.mp4", frames[:, :, ::-1], x264=CLOSED)
    set_matrix(path, "mirrored")
    with open_video(path, backend="decord") as reader:
        assert numbers_of(reader.frames([0, 29, 59]))[1:] == [29, 59]


def test_decord_does_not_see_headers_that_make_it_abort(plain: Path) -> None:
    pytest.importorskip("decord")
    with open_video(promise_frames(plain, 2**31 - 1), backend="decord") as reader:
        assert isinstance(reader, DecordReader)
        assert not reader.may_use_decord
        assert numbers_of(reader.frames([0, 59])) == [0, 59]


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])  # the latter declares 8 frames a second
def test_seconds_come_from_the_timestamps(name: str, backend: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, numbered_frames(60), pts=[int(stamp) + 5000 for stamp in IRREGULAR])
    with open_video(path, backend=backend) as reader:
        np.testing.assert_allclose(reader.seconds, (IRREGULAR - IRREGULAR[0]) / 1000, atol=1e-9)
        assert not reader.has_constant_rate
        assert reader.fps == pytest.approx(59 / reader.seconds[-1], rel=0.02)
        assert reader.duration == pytest.approx(reader.seconds[-1] + 1 / 8)  # as long as the encoder made it


def test_duration_of_a_constant_rate_is_exact(backend: str, tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "v.mp4", numbered_frames(59), fps=30), backend=backend) as reader:
        assert (reader.fps, reader.duration) == (30.0, 59 / 30)
        np.testing.assert_allclose(reader.seconds, np.arange(59) / 30, atol=1e-9)


def test_a_file_that_forgot_its_duration(backend: str, plain: Path) -> None:
    with open_video(forget_duration(plain), backend=backend) as reader:
        assert (reader.num_frames, reader.fps, reader.duration) == (60, 8.0, 7.5)
        assert numbers_of(reader.frames([0, 59])) == [0, 59]


def test_a_video_of_one_frame(backend: str, tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "v.mp4", numbered_frames(6)[5:]), backend=backend) as reader:
        assert (reader.num_frames, reader.fps, reader.duration, reader.seconds.tolist()) == (1, 8.0, 0.125, [0.0])
        frames, seconds = read_window(reader, None, 12)
    assert numbers_of(frames) == [5] * 12
    assert seconds.tolist() == [0.0] * 12


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


def test_frames_of_a_damaged_part_are_an_error_and_others_are_not(backend: str, tmp_path: Path) -> None:
    whole = decode_all(faststart(tmp_path / "v.mp4"))
    with open_video(overwrite(tmp_path / "v.mp4", 0.5, 500), backend=backend) as reader:
        np.testing.assert_array_equal(reader.frames([0, 9, 59]), whole[[0, 9, 59]])
        with pytest.raises(VideoError, match=r"v\.mp4: is damaged"):
            reader.frames([0, 32, 34, 35])
        np.testing.assert_array_equal(reader.frames([0, 9, 59]), whole[[0, 9, 59]])


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


def test_titles_that_are_not_utf8_do_not_matter(backend: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", numbered_frames(20), metadata={"title": "abcdefgh"})
    replace(path, b"abcdefgh", b"\xff\xfe\xfd\xfcefgh")
    with open_video(path, backend=backend) as reader:
        assert numbers_of(reader.frames([0, 19])) == [0, 19]


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

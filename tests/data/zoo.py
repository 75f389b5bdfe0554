"""A zoo of video files: one of every odd kind, with what a right reader finds in it.

Each file shows the number of each frame (`video_files.numbered_frames`), so that what is right is known without a
decoder. Other tests take whole files from here: `write_zoo(folder)` writes them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av
import numpy as np
from PIL import Image, features

from tests.data.video_files import CLOSED, MILLISECOND, numbered_frames, write_video

EVEN = tuple(index / 8 for index in range(24))
"""Times of 24 frames at 8 a second, which most files here show."""

PATTERN = (0, 2, 1, 3)
NO_B_FRAMES = "keyint=12:bframes=0:scenecut=0"
REALTIME = {"cpu-used": "8", "deadline": "realtime"}


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: of the file, with the suffix of its container.
        write: writes it.
        seconds: when each frame is shown.
        duration: when the last frame's time ends.
        numbers: what frames show; by default they count from 0.
        tolerance: seconds by which the container rounds times.
    """

    name: str
    write: Callable[[Path], object]
    seconds: Sequence[float] = EVEN
    duration: float = 3.0
    numbers: Sequence[int] = ()
    tolerance: float = 0.0015

    @property
    def shown(self) -> list[int]:
        """The numbers on the frames."""
        return list(self.numbers or range(len(self.seconds)))


@dataclass(frozen=True)
class Recording:
    """A film to write, with or without sound.

    Attributes:
        stamps: milliseconds at which its frames are shown.
        last: milliseconds for which the last is.
        audio: milliseconds at which half a second of sound begins; None for none.
        options: of the encoder.
    """

    stamps: Sequence[int] = tuple(range(0, 3000, 125))
    last: int = 125
    audio: int | None = None
    codec: str = "libx264"
    pixels: str = "yuv420p"
    size: tuple[int, int] = (48, 64)
    options: dict[str, str] = field(default_factory=lambda: {"x264-params": NO_B_FRAMES})
    muxer: dict[str, str] = field(default_factory=dict)

    def __call__(self, path: Path) -> Path:
        """Writes the file in the container that its name says."""
        with av.open(str(path), "w", options=self.muxer) as container:
            stream = container.add_stream(self.codec, rate=8, options=self.options)
            stream.height, stream.width = self.size
            stream.pix_fmt = self.pixels
            stream.codec_context.time_base = MILLISECOND
            sound = container.add_stream("aac", rate=16000) if self.audio is not None else None
            packets: list[av.Packet] = []
            for number, picture in enumerate(numbered_frames(len(self.stamps), *self.size)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = self.stamps[number], MILLISECOND
                packets += stream.encode(frame)
            packets += stream.encode()
            for packet in packets:
                after = [stamp for stamp in self.stamps if packet.pts is not None and stamp > packet.pts]
                packet.duration = after[0] - (packet.pts or 0) if after else self.last
            if sound is not None and self.audio is not None:
                packets += _silence(sound, self.audio)
            container.mux(packets)
        return path


def _silence(stream: av.AudioStream, start: int) -> list[av.Packet]:
    packets = []
    stream.layout = "mono"
    for index in range(8):
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        silence.sample_rate, silence.pts = 16000, 16 * start + 1024 * index
        packets += stream.encode(silence)
    return packets + list(stream.encode())


# Odd times.

TWICE = [*range(0, 1000, 100), 900, 1500, 2500, 2600]
"""Milliseconds of frames of which two have one time, as a clock of milliseconds or a careless recorder has it."""
TWICE_SECONDS = (*(index / 10 for index in range(10)), 1.2, 1.5, 2.5, 2.6)


def _with_equal_times(recording: Recording, stamps: Sequence[int], length: int) -> Callable[[Path], object]:
    """Matroska whose packets have these times, whatever the encoder was told (it wants rising ones)."""

    def write(path: Path) -> None:
        rising = Recording(**{**vars(recording), "stamps": [2 * index for index in range(len(stamps))]})
        source = rising(path.with_suffix(".nut"))
        with av.open(str(source)) as read, av.open(str(path), "w") as container:
            stream = container.add_stream_from_template(read.streams.video[0])
            packets = [packet for packet in read.demux(video=0) if packet.size]
            first = packets[0].pts or 0
            for packet in packets:
                index = round(float((packet.pts or 0) - first) * float(packet.time_base or 1) * 500)
                packet.stream = stream
                packet.time_base = MILLISECOND
                packet.pts = packet.dts = stamps[index]
                packet.duration = length
                container.mux_one(packet)
        source.unlink()

    return write


def _dropped_avi(path: Path) -> None:
    """An AVI whose recorder dropped frames 6 to 11 (empty chunks stand for them)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"x264-params": NO_B_FRAMES})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number, picture in enumerate(numbered_frames(24)):
            if not 6 <= number < 12:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 8)
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _dropped_end_avi(path: Path) -> None:
    """An AVI whose recorder dropped all frames after the twelfth, for 1.5 seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8, options={"bf": "0", "b": "1M"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number, picture in enumerate(numbered_frames(12)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 8)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for number in range(12, 24):
            dropped = av.Packet(b"")
            dropped.pts = dropped.dts = number
            dropped.time_base, dropped.stream = Fraction(1, 8), stream
            container.mux_one(dropped)


# Joined recordings.


def _part(path: Path, offset: float, codec: str = "libx264") -> bytes:
    options = {"x264": CLOSED} if codec == "libx264" else {"b": "1M", "g": "12"}
    fps = 8 if codec == "libx264" else 25
    write_video(
        path, numbered_frames(24), fps, codec=codec, container_options={"output_ts_offset": str(offset)}, **options
    )
    data = path.read_bytes()
    path.unlink()
    return data


def _joined(
    first: float, second: float, *, counters_go_on: bool = False, codec: str = "libx264"
) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        data = bytearray(_part(path, first, codec) + _part(path, second, codec))
        if counters_go_on:
            _renumber(data)
        path.write_bytes(data)

    return write


def _new_stream(path: Path) -> None:
    """An MPEG-TS in which another stream begins after the film's end; players and FFmpeg show the film."""
    first = _part(path, 0)
    write_video(path, numbered_frames(24)[::-1], x264=CLOSED, container_options={"mpegts_start_pid": "400"})
    path.write_bytes(first + path.read_bytes())


def _renumber(data: bytearray) -> None:
    """Makes the continuity counters of an MPEG-TS go on where its parts meet."""
    counters: dict[int, int] = {}
    for start in range(0, len(data), 188):
        pid = int.from_bytes(data[start + 1 : start + 3], "big") & 0x1FFF
        if data[start + 3] & 0x10:  # packets without payload do not count
            counters[pid] = (counters.get(pid, -1) + 1) % 16
        data[start + 3] = data[start + 3] & 0xF0 | counters.get(pid, 0)


JOINED = tuple(index / 8 for index in range(48))
JOINED_NUMBERS = (*range(24), *range(24))


# Display matrices: (a, b, c, d) and how stored pictures must lie, so that they come out upright.

MATRICES: dict[str, tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = {
    "mirrored": ((-1, 0, 0, 1), lambda frames: frames[:, :, ::-1]),
    "flipped": ((1, 0, 0, -1), lambda frames: frames[:, ::-1]),
    "half_turn": ((-1, 0, 0, -1), lambda frames: frames[:, ::-1, ::-1]),
    "transposed": ((0, 1, 1, 0), lambda frames: frames.swapaxes(1, 2)),
    "transverse": ((0, -1, -1, 0), lambda frames: frames.swapaxes(1, 2)[:, ::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda frames: np.rot90(frames, 1, axes=(1, 2))),
    "anticlockwise": ((0, -1, 1, 0), lambda frames: np.rot90(frames, -1, axes=(1, 2))),
    "zeros": ((0, 0, 0, 0), lambda frames: frames),
}


def _turned(name: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        write_video(path, MATRICES[name][1](numbered_frames(24)), x264=CLOSED)
        set_matrix(path, name)

    return write


def set_matrix(path: Path, name: str) -> None:
    """Gives an mp4 one of `MATRICES`."""
    a, b, c, d = MATRICES[name][0]
    data = bytearray(path.read_bytes())
    start = data.find(b"tkhd") + 44
    words = [65536 * a, 65536 * b, 0, 65536 * c, 65536 * d, 0, 0, 0, 2**30 if any((a, b, c, d)) else 0]
    data[start : start + 36] = b"".join(word.to_bytes(4, "big", signed=True) for word in words)
    path.write_bytes(data)


# Several streams, and sizes.


def _second_is_default(path: Path) -> None:
    """An mp4 of two films, of which the second is the one to show."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=8) for _ in range(2)]
        packets = []
        for stream, height, disposition in zip(streams, (24, 48), (0, av.stream.Disposition.default)):
            stream.height, stream.width, stream.pix_fmt = height, 64, "yuv420p"
            stream.disposition = disposition
            for picture in numbered_frames(24, height)[:: 1 if disposition else -1]:
                packets += stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"))
            packets += stream.encode()
        container.mux(packets)


def _cover_first(path: Path) -> None:
    """An mp4 whose cover is an ordinary video stream, before the film."""
    with av.open(str(path), "w") as container:
        cover, film = container.add_stream("mjpeg", rate=8), container.add_stream("libx264", rate=8)
        cover.width = cover.height = 32
        cover.pix_fmt, film.pix_fmt = "yuvj420p", "yuv420p"
        film.height, film.width = 48, 64
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), dtype=np.uint8), format="rgb24")
        packets = [*cover.encode(image.reformat(format="yuvj420p")), *cover.encode()]
        for picture in numbered_frames(24):
            packets += film.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
        container.mux([*packets, *film.encode()])


def _changing_size(codec: str, turn: str = "") -> Callable[[Path], object]:
    """A file whose pictures are twice as large from frame 12 on, as those of recorded windows and calls."""
    options = {
        "libvpx-vp9": REALTIME,
        "libvpx": {**REALTIME, "lag-in-frames": "0"},
        "libx264": {"x264-params": "repeat-headers=1:keyint=12:bframes=0"},
    }[codec]
    stored = MATRICES[turn][1] if turn else np.asarray

    def write(path: Path) -> None:
        with av.open(str(path), "w") as container:
            stream = None
            for first, scale in ((0, 1), (12, 2)):
                part = path.with_name(f"{first}.mkv")
                frames = numbered_frames(24, 48 * scale, 64 * scale)[first : first + 12]
                write_video(part, stored(frames), codec=codec, **options)
                with av.open(str(part)) as source:
                    stream = stream or container.add_stream_from_template(source.streams.video[0])
                    for packet in source.demux(video=0):
                        if packet.size:
                            packet.pts = packet.dts = (packet.pts or 0) + 125 * first
                            packet.stream = stream
                            container.mux_one(packet)
                part.unlink()
        if turn:
            set_matrix(path, turn)

    return write


def _joined_sizes(path: Path) -> None:
    """An MPEG-TS of two parts of different sizes."""
    data = b""
    for height in (48, 96):
        write_video(path, numbered_frames(24, height, height * 4 // 3), x264=CLOSED)
        data += path.read_bytes()
    path.write_bytes(data)


def _falsely_sync(path: Path) -> None:
    """An mp4 without its list of sync samples, which makes all samples ones."""
    write_video(path, numbered_frames(24), codec="libx264", x264="keyint=24:bframes=0:scenecut=0")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"stss", b"free"))


def _animated(kind: str, milliseconds: Sequence[int]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        first, *others = (Image.fromarray(picture) for picture in numbered_frames(len(milliseconds)))
        first.save(path, kind, save_all=True, append_images=others, duration=list(milliseconds), loop=0, lossless=True)

    return write


def _starts(milliseconds: Iterable[int]) -> tuple[float, ...]:
    return tuple(start / 1000 for start in accumulate(list(milliseconds)[:-1], initial=0))


def _plain(codec: str, pixels: str = "yuv420p", fps: int = 8, **options: str) -> Callable[[Path], object]:
    return lambda path: write_video(path, numbered_frames(24), fps, codec=codec, pixels=pixels, **options)


STILL = tuple(range(0, 1000, 125)), 9000
"""Eight frames in a second, of which the last stays for nine."""
STILL_SECONDS, STILL_END = EVEN[:8], 0.875 + 9.0
SLIDES = (0, 8000, 9000)

KINDS = [
    # Codecs and containers.
    Kind("h264.mp4", _plain("libx264", x264=CLOSED)),
    Kind("h264_open_groups.mkv", _plain("libx264", x264="open-gop=1:keyint=12:min-keyint=4:bframes=4:b-adapt=0")),
    Kind("hevc.mp4", _plain("libx265", **{"x265-params": "log-level=none:keyint=12"})),
    Kind("vp8.webm", _plain("libvpx", **{"auto-alt-ref": "1", "lag-in-frames": "16", "b": "300k"})),
    Kind("vp9.webm", _plain("libvpx-vp9", **REALTIME)),
    Kind("av1.mp4", _plain("libsvtav1", **{"preset": "12", "svtav1-params": "lp=1"})),
    Kind("xvid.avi", _plain("mpeg4", **{"b": "1M", "bf": "2"})),
    Kind("mpeg2.mpg", _plain("mpeg2video", fps=25, b="1M", bf="2"), [i / 25 for i in range(24)], 0.96),
    Kind("mpeg2.ts", _plain("mpeg2video", fps=25, b="1M", bf="2"), [i / 25 for i in range(24)], 0.96),
    Kind("h264.flv", _plain("libx264", x264=CLOSED)),
    Kind("wmv.wmv", _plain("wmv2", b="1M")),
    Kind("ffv1.mkv", _plain("ffv1")),
    Kind("png.mov", _plain("png", pixels="rgb24")),
    Kind("prores.mov", _plain("prores_ks", pixels="yuv422p10le")),
    Kind("jpeg.mkv", _plain("mjpeg", pixels="yuvj420p")),
    Kind("ten_bits.mp4", _plain("libx264", pixels="yuv420p10le")),
    Kind("raw.h264", _plain("libx264", fps=50, x264=CLOSED), [i / 50 for i in range(24)], 0.48),
    Kind("raw.hevc", _plain("libx265", fps=50, **{"x265-params": "log-level=none"}), [i / 50 for i in range(24)], 0.48),
    Kind("fragments.mp4", Recording(muxer={"movflags": "frag_keyframe+empty_moov"})),
    Kind("live.webm", Recording(codec="libvpx-vp9", options=REALTIME, muxer={"live": "1"})),
    Kind("animated.apng", _animated("PNG", [100] * 11 + [2900]), _starts([100] * 12), 4.0),
    Kind("animated.webp", _animated("WEBP", [100] * 11 + [2900]), _starts([100] * 12), 4.0),
    *(
        [Kind("animated.avif", _animated("AVIF", [100] * 11 + [900]), _starts([100] * 12), 2.0)]
        * features.check("avif")
    ),
    # Times.
    Kind("last_stays.mp4", Recording(*STILL), STILL_SECONDS, STILL_END),
    Kind("last_stays_b_frames.mp4", Recording(*STILL, options={"x264-params": CLOSED}), STILL_SECONDS, STILL_END),
    Kind("last_stays.mkv", Recording(*STILL), STILL_SECONDS, STILL_END),
    Kind("last_stays.webm", Recording(*STILL, codec="libvpx-vp9", options=REALTIME), STILL_SECONDS, STILL_END),
    Kind("slides.mp4", Recording(SLIDES, 1000), [0.0, 8.0, 9.0], 10.0),
    Kind("time_twice.mkv", _with_equal_times(Recording(), TWICE, 125), TWICE_SECONDS, 2.725),
    Kind(
        "time_twice_vp9.mkv",
        _with_equal_times(Recording(codec="libvpx-vp9", options=REALTIME), TWICE, 125),
        TWICE_SECONDS,
        2.725,
    ),
    Kind(
        "two_to_a_millisecond.mkv",
        _with_equal_times(Recording(), [index // 2 for index in range(120)], 1),
        [index / 2000 for index in range(120)],
        0.06,
        tolerance=0.0001,
    ),
    Kind("dropped.avi", _dropped_avi, (*EVEN[:6], *EVEN[12:]), 3.0, (*range(6), *range(12, 24))),
    Kind("dropped_end.avi", _dropped_end_avi, EVEN[:12], 3.0),
    Kind("late.mp4", Recording(range(2000, 5000, 125), audio=0), [2 + second for second in EVEN], 5.0),
    Kind("late.mkv", Recording(range(2000, 5000, 125), audio=0), [2 + second for second in EVEN], 5.0),
    # The sound begins with the 64 ms by which its codec is late, which mp4 and mkv leave out.
    Kind("late.ts", Recording(range(2000, 5000, 125), audio=0), [2.064 + second for second in EVEN], 5.064),
    Kind("with_sound.mp4", Recording(audio=0, options={"x264-params": CLOSED})),
    Kind("with_sound.ts", Recording(audio=0, options={"x264-params": CLOSED})),
    Kind("sound_late.mp4", Recording(audio=2000)),
    # Joined recordings.
    Kind("twice.ts", _joined(0, 0), JOINED, 6.0, JOINED_NUMBERS),
    Kind("twice_shifted.ts", _joined(0, 0.0625), JOINED, 6.0, JOINED_NUMBERS),
    Kind("jump.ts", _joined(0, 1000), JOINED, 6.0, JOINED_NUMBERS),
    Kind("back.ts", _joined(1000, 0), JOINED, 6.0, JOINED_NUMBERS),
    Kind("segments.ts", _joined(0, 3), JOINED, 6.0, JOINED_NUMBERS),
    Kind("new_stream.ts", _new_stream),
    Kind("twice_counted.ts", _joined(0, 0, counters_go_on=True), JOINED, 6.0, JOINED_NUMBERS),
    Kind("shifted_counted.ts", _joined(0, 0.0625, counters_go_on=True), JOINED, 6.0, JOINED_NUMBERS),
    Kind("jump_counted.ts", _joined(0, 1000, counters_go_on=True), JOINED, 6.0, JOINED_NUMBERS),
    Kind("back_counted.ts", _joined(1000, 0, counters_go_on=True), JOINED, 6.0, JOINED_NUMBERS),
    Kind("jump.vob", _joined(0, 1000, codec="mpeg2video"), [i / 25 for i in range(48)], 1.92, JOINED_NUMBERS),
    Kind("twice.vob", _joined(0, 0, codec="mpeg2video"), [i / 25 for i in range(48)], 1.92, JOINED_NUMBERS),
    # Pictures.
    *(Kind(f"{name}.mp4", _turned(name)) for name in MATRICES),
    Kind("cover_first.mp4", _cover_first),
    Kind("second_is_default.mp4", _second_is_default),
    Kind("changing_size_vp8.webm", _changing_size("libvpx")),
    Kind("changing_size_vp9.webm", _changing_size("libvpx-vp9")),
    Kind("changing_size_turned.mp4", _changing_size("libvpx-vp9", "clockwise")),
    Kind("changing_size_h264.mkv", _changing_size("libx264")),
    Kind("changing_size.ts", _joined_sizes, JOINED, 6.0, JOINED_NUMBERS),
    Kind("falsely_sync.mp4", _falsely_sync),
]


def write_zoo(folder: Path) -> dict[Path, Kind]:
    """Writes a file of every kind into a folder that exists."""
    files = {folder / kind.name: kind for kind in KINDS}
    for path, kind in files.items():
        kind.write(path)
    return files

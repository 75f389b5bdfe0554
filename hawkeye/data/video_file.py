"""A video file as FFmpeg opens it: what is refused, which of its streams is the film, its packets in order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import av.container
import av.format

from hawkeye.data.video_clock import UNTIMED_RATE, ContinuousClock
from hawkeye.data.video_reader import MAX_PIXELS, VideoError, check_size, one_line

_SCRIPTS = {"concat", "dash", "hls", "imf", "lavfi", "rtsp", "sdp", "vapoursynth", "vobsub", "webm_dash_manifest"}
"""Formats that name other files or addresses to read; a video is one file."""

_LIMITS = {"max_pixels": str(MAX_PIXELS)}
"""Options of the decoder, also for the frames that FFmpeg decodes in order to open a file."""

_GENERATED_WRONGLY = {"avi"}
"""Formats without presentation times, in which those that FFmpeg makes up from decoding times are wrong."""


class VideoFile:
    """A file that is opened again and again, and must stay the same meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity = self._stat()

    def _stat(self) -> tuple[int, ...]:
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise VideoError(f"{self.path}: cannot be read ({one_line(error)})") from None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def check(self) -> None:
        """Makes sure that what is read next is of the file that was opened first.

        Raises:
            VideoError: if another file has taken its place, or it was written to.
        """
        if self._stat() != self._identity:
            raise VideoError(f"{self.path}: was replaced or written to while it was open; open it again")

    def open(self, *, continued: bool = False) -> OpenFile:
        """A fresh opening, at its first packet.

        Args:
            continued: whether clocks that run backwards are continued, whatever the format; files of which this holds
                are read from the start.

        Raises:
            VideoError: if it is no video that can be read.
        """
        self.check()
        return OpenFile(self, continued)


class OpenFile:
    """One opening of a file.

    Attributes:
        format: FFmpeg's first name of the container.
        stream: the video stream.
        is_discontinuous: whether clocks of this format may jump (FFmpeg's AVFMT_TS_DISCONT).
        is_raw: whether the file is a stream without a container.
        continued: whether jumps of the clock are taken out.
        clock: which took out those of the packets read so far.
    """

    def __init__(self, file: VideoFile, continued: bool) -> None:
        path = file.path
        try:
            # The full path: FFmpeg takes "a:b.mp4" for a file of protocol a.
            self.container = av.open(
                os.path.abspath(path), metadata_errors="replace", options=_LIMITS, container_options=_options()
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = "it is a playlist, which names other files" if _is_playlist(path) else one_line(error)
            raise VideoError(f"{path}: cannot be read as a video ({reason})") from None
        self.format = self.container.format.name.split(",")[0]
        if self.format in _GENERATED_WRONGLY:
            self.container.flags &= ~av.container.Flags.gen_pts.value  # type: ignore[operator]  # an int
        flags = av.format.Flags(self.container.format.flags)
        self.is_discontinuous = av.format.Flags.ts_discont in flags
        self.is_raw = av.format.Flags.no_timestamps in flags
        self.continued = self.is_discontinuous or continued
        try:
            self._choose(file)
        except VideoError:
            self.container.close()
            raise

    def _choose(self, file: VideoFile) -> None:
        stream = self.container.streams.best("video") if self.container.streams.video else None
        films = [
            other for other in self.container.streams.video if other.frames > 1 and other.codec_context is not None
        ]
        if stream is not None and stream.frames == 1 and films:  # a cover, marked as the default or not
            stream = max(films, key=lambda film: film.frames)
        # Audio files carry their cover as a video stream, and FFmpeg draws text files as terminal pictures.
        if (
            not isinstance(stream, av.VideoStream)
            or stream.disposition & av.stream.Disposition.attached_pic
            or self.format == "tty"
        ):
            if self.container.streams.video and all(s.codec_context is None for s in self.container.streams.video):
                raise VideoError(f"{file.path}: its codec is unknown")
            raise VideoError(f"{file.path}: has no video stream")
        if stream.codec_context is None:
            raise VideoError(f"{file.path}: its codec is unknown")
        self.stream = stream
        context = stream.codec_context
        check_size(file.path, context.width, context.height)
        # Videos are read many at a time. Pictures of one slice, nearly all, gain nothing from threads within pictures;
        # and with such threads FFmpeg's H.264 decoder neither conceals damage nor flags it.
        context.thread_count = 1
        context.options = _LIMITS

        self.clock: ContinuousClock | None = None

    @property
    def time_base(self) -> Fraction:
        """Seconds of a unit of the stream's timestamps."""
        return self.stream.time_base or Fraction(1, 1)

    @property
    def rates(self) -> list[float]:
        """Frames per second that the file declares, the likeliest first."""
        return [float(rate) for rate in (self.stream.average_rate, self.stream.guessed_rate) if rate]

    def packets(self) -> Iterator[av.Packet]:
        """The stream's packets from here on, in the order of decoding, their clock continuous."""
        clock = self.clock = ContinuousClock(
            self.time_base, (self.rates or [UNTIMED_RATE])[0], is_discontinuous=self.is_discontinuous
        )
        for packet in self._demux():
            if self.continued:
                shift = clock.shift(packet.dts, packet.duration or 0)
                packet.dts = None if packet.dts is None else packet.dts + shift
                packet.pts = None if packet.pts is None else packet.pts + shift
            yield packet

    def _demux(self) -> Iterator[av.Packet]:
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, IndexError):
                # PyAV's loop fails on streams that begin inside the file, once ours has ended.
                return
            yield packet

    def frames(self, *, with_cut: bool = False) -> Iterator[av.VideoFrame]:
        """The frames from here on, in the order they are shown.

        Args:
            with_cut: whether packets are decoded whose bytes the container knows to be incomplete.
        """
        for packet in self.packets():
            if with_cut or not packet.is_corrupt:
                yield from packet.decode()

    def seek(self, stamp: int) -> None:
        """Goes to the last keyframe at or before a presentation time."""
        self.container.seek(stamp, stream=self.stream)

    def close(self) -> None:
        """Closes the file; frames that were decoded stay."""
        self.container.close()


def _is_playlist(path: Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(1024)
    return any(mark in head for mark in (b"ffconcat", b"#EXTM3U", b"<MPD"))


@cache
def _options() -> dict[str, str]:
    return {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(sorted(av.format.formats_available - _SCRIPTS)),
        "pattern_type": "none",  # an image named a%03d.jpg is that image
    }

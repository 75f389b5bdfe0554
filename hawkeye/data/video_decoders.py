"""Video files through PyAV and decord."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from hawkeye.data.video_reader import VideoError, VideoReader, one_line

_SEEKABLE_FORMATS = {"mov", "matroska"}
"""Containers (mp4 and its kin, mkv and webm) that know where their keyframes are; others are read from the start."""

_WORTH_SEEKING = 16
"""Frames to the next keyframe from which on a seek costs less than decoding them."""

_UNTIMED_RATE = 25.0
"""Frames per second of a file that names neither times nor a rate (what FFmpeg assumes of raw streams)."""

_DENSE = 8
"""Steps up to which reading with PyAV is quicker than with decord (measured: 1.7 times at every frame, equal from
every fourth on)."""


class PyAVReader(VideoReader):
    """Video files through PyAV.

    Opening reads the packets without decoding them: their presentation timestamps are the frames. Frames are then
    found by timestamp, never by counting from a place that was jumped to. Files whose packets do not tell (AVI, raw
    streams, VP8 with its invisible frames) are decoded once to list their frames, and counted from the start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.container = self._open()
        try:
            self._list_frames()
        except av.FFmpegError as error:
            raise VideoError(f"{path}: is damaged ({one_line(error)})") from None
        if not len(self.timestamps):
            raise VideoError(f"{path}: holds no frame that can be decoded")
        declared = float(self.stream.average_rate or 0)
        seconds = (self.timestamps - self.timestamps[0]) * float(self.stream.time_base or 0)
        if (np.diff(seconds) <= 0).any():
            seconds = np.arange(len(seconds)) / (declared or _UNTIMED_RATE)
        super().__init__(path, seconds, _average_rate(seconds, declared))
        self.place: dict[int | None, int] = {int(stamp): index for index, stamp in enumerate(self.timestamps)}
        self.reformatter = VideoReformatter()
        self.walk: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self.position = self.num_frames

    def _open(self) -> av.container.InputContainer:
        try:
            # The full path: FFmpeg takes "a:b.mp4" for a file of protocol a.
            container = av.open(os.path.abspath(self.path), metadata_errors="replace")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise VideoError(f"{self.path}: cannot be read as a video ({one_line(error)})") from None
        # Audio files carry their cover as a video stream, and FFmpeg draws text files as terminal pictures.
        cover = av.stream.Disposition.attached_pic
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        self.format = container.format.name.split(",")[0]
        if not streams or self.format == "tty":
            raise VideoError(f"{self.path}: has no video stream")
        self.stream = streams[0]
        if self.stream.codec_context is None:
            raise VideoError(f"{self.path}: its codec is unknown")
        return container

    def _list_frames(self) -> None:
        """Finds the timestamps of all frames that will come out of the decoder, and which of them are keyframes."""
        stamps: list[Any] = []
        keyframes: list[Any] = []
        self.is_plain = True
        cut: int | None = None
        for packet in self.container.demux(self.stream):
            if not packet.size:
                continue
            if cut is not None:
                raise VideoError(f"{self.path}: is damaged around second {float(cut * packet.time_base):.1f}")
            if packet.is_corrupt:
                cut = packet.pts or 0
            elif packet.is_keyframe:
                keyframes.append(packet.pts)
                self.is_plain &= _is_idr(packet, self.stream.codec_context)
            # What an edit list cuts off is decoded and not shown; nothing is decoded before the first keyframe.
            if keyframes and not packet.is_discard:
                stamps.append(packet.pts)
            self.is_plain &= not (packet.is_corrupt or packet.is_discard)
        self.counted = (
            self.format == "avi"
            or self.stream.codec_context.name == "vp8"
            or not keyframes
            or None in [*stamps, *keyframes]
            or len(set(stamps)) < len(stamps)
        )
        if self.counted:
            self.container.close()
            self.container = self._open()
            # Zeros for missing timestamps: the caller sees that they do not rise.
            self.timestamps = np.array([frame.pts or 0 for frame in self._decoded()], dtype=np.int64)
        else:
            # Frames shown before the first keyframe need one that the file no longer has. Frames shown after the packet
            # that the end of the file cuts are there or not, as the order of decoding has it.
            stamps = [stamp for stamp in stamps if stamp >= keyframes[0] and (cut is None or stamp < cut)]
            self.timestamps = np.sort(np.array(stamps, dtype=np.int64))
        self.keyframes = np.zeros(1, dtype=np.int64)
        if not self.counted and self.format in _SEEKABLE_FORMATS:
            places = np.searchsorted(self.timestamps, sorted(keyframes))
            self.keyframes = np.unique(np.append(0, places[places < len(self.timestamps)]))

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self.container.demux(self.stream):
            if not packet.is_corrupt:
                yield from packet.decode()

    def _walk_from(self, keyframe: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their indices, from a keyframe on; frames that are not of the video have index -1."""
        if keyframe == 0:
            self.container.close()
            self.container = self._open()
        else:
            self.container.seek(int(self.timestamps[keyframe]), stream=self.stream)
        for count, frame in enumerate(self._decoded()):
            yield (count if self.counted else self.place.get(frame.pts, -1)), frame

    def _advance(self, index: int) -> av.VideoFrame | None:
        for position, frame in self.walk:
            self.position = max(self.position, position)
            if position >= index:
                return frame if position == index else None
        return None

    def _start(self, keyframe: int) -> None:
        self.position = -1
        self.walk = self._walk_from(keyframe)

    def _frame(self, index: int) -> av.VideoFrame:
        keyframe = int(self.keyframes[np.searchsorted(self.keyframes, index, side="right") - 1])
        if index <= self.position or keyframe >= self.position + _WORTH_SEEKING:
            self._start(keyframe)
        frame = self._advance(index)
        if frame is None and len(self.keyframes) > 1:
            # Not all that is marked as a keyframe can be decoded from (intra refresh, say): the start can.
            self.keyframes = self.keyframes[:1]
            self._start(0)
            frame = self._advance(index)
        if frame is None:
            raise VideoError(f"{self.path}: is damaged: frame {index} of {self.num_frames} cannot be decoded")
        return frame

    def _decode(self, indices: list[int]) -> Iterable[np.ndarray]:
        try:
            for index in indices:
                yield self._image(self._frame(index))
        except (av.FFmpegError, VideoError) as error:
            self.position = self.num_frames
            if isinstance(error, VideoError):
                raise
            raise VideoError(f"{self.path}: is damaged ({one_line(error)})") from None

    def _image(self, frame: av.VideoFrame) -> np.ndarray:
        # One reformatter for all frames: making one for each takes ten times as long.
        image = self.reformatter.reformat(frame, format="rgb24").to_ndarray()
        return np.rot90(image, round(frame.rotation / 90) % 4)

    def close(self) -> None:
        self.container.close()


class DecordReader(PyAVReader):
    """Video files through decord, where it reads them rightly and is not the slower one; through PyAV elsewhere.

    decord 0.6 counts frames from where it jumped to, and so gives wrong ones, without a word, for open groups of
    pictures, intra refresh, edit lists, MPEG-TS, MPEG-PS and AVI; it scales colours of interlaced, 10-bit and
    odd-sized video otherwise, and fails on turned and truncated files. What is left is upright progressive 8-bit H.264
    in mp4 and mkv whose keyframes are IDR pictures.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        context = self.stream.codec_context
        self.decord: Any = None
        self.may_use_decord = (
            self.is_plain
            and not self.counted
            and self.stream.frames in (0, self.num_frames)  # decord allocates what the header says
            and self.format in _SEEKABLE_FORMATS
            and context.pix_fmt in ("yuv420p", "yuvj420p")
            and context.width % 2 == context.height % 2 == 0
        )

    def _decode(self, indices: list[int]) -> Iterable[np.ndarray]:
        if self.may_use_decord and indices[-1] - indices[0] >= _DENSE * len(indices):
            import decord

            try:
                if self.decord is None:
                    self.decord = self._open_decord()
                if self.may_use_decord:
                    return self.decord.get_batch(indices).asnumpy()
            except (decord.DECORDError, RuntimeError, UnicodeEncodeError, av.FFmpegError):
                # PyAV either reads it or says what is wrong.
                self.may_use_decord = False
        return super()._decode(indices)

    def _open_decord(self) -> Any:
        import decord

        reader = decord.VideoReader(os.path.abspath(self.path), num_threads=1)
        first = self._frame(0)
        self.may_use_decord = (
            len(reader) == self.num_frames
            and not first.interlaced_frame
            and np.array_equal(reader.get_batch([0]).asnumpy()[0], self._image(first))
        )
        return reader

    def close(self) -> None:
        super().close()
        self.decord = None


def _is_idr(packet: av.Packet, context: av.VideoCodecContext) -> bool:
    """Whether an H.264 packet of a container with length prefixes holds a picture that no reference reaches across."""
    if context.name != "h264" or not context.extradata or context.extradata[0] != 1:
        return False
    prefix, data, offset = (context.extradata[4] & 3) + 1, bytes(packet), 0
    while offset + prefix < len(data):
        if data[offset + prefix] & 31 == 5:
            return True
        offset += prefix + int.from_bytes(data[offset : offset + prefix], "big")
    return False


def _average_rate(seconds: np.ndarray, declared: float) -> float:
    """Frames per second: the declared ones where the frames' times agree with them, else what the times say."""
    if len(seconds) < 2:
        return declared or _UNTIMED_RATE
    measured = (len(seconds) - 1) / float(seconds[-1])
    return declared if abs(declared - measured) <= 0.02 * measured else measured

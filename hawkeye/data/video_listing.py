"""Which frames a video file has, and when each is shown: from its packets or, where these do not tell, by decoding."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np

from hawkeye.data.video_clock import UNTIMED_RATE, average_rate, rising
from hawkeye.data.video_declared import declared_end, is_whole_avi, is_whole_matroska
from hawkeye.data.video_file import OpenFile, VideoFile
from hawkeye.data.video_packets import Packets, read_packets
from hawkeye.data.video_reader import VideoError

SEEKABLE_FORMATS = {"mov", "matroska"}
"""Containers (mp4 and its kin, mkv and webm) that know where their keyframes are; others are read from the start."""

_INVISIBLE = {"vp8"}
"""Codecs whose packets may hold a frame that is never shown."""

_MAX_REORDERING = 32
"""Packets by which the order of decoding may differ from that of showing: 16 frames, of two fields each."""

_SMALLEST_DELAY = 0.05
"""Seconds by which pictures may begin after the sound and still begin with it: what sound's own delays come to."""

_LONGEST_DELAY = 10.0
"""Longest such delay in formats whose clock may jump: a longer one is a jump."""

_WHOLE = {"matroska": is_whole_matroska, "avi": is_whole_avi}
"""Formats that declare where the last picture's time ends, and whether such a file is as long as it should be."""

_IRREGULAR = 1.5
"""Frame lengths between two packets from which on a frame is missing between them."""

_AROUND = 4
"""Packets from a suspect one on among which what follows on it is (FFmpeg may mark one before the last)."""


@dataclass(frozen=True)
class Listing:
    """The frames of a file.

    Attributes:
        stamps: `[F]` presentation timestamp of each frame as the decoder tells it, rising but for equal ones; of
            `counted` files only their number matters.
        seconds: `[F]` when each is shown, see `VideoReader.seconds`.
        last_seconds: how long the last is shown.
        fps: average frames per second.
        declared: the second at which the header says that the video ends; None if it does not.
        keyframes: indices of the frames that can be sought, 0 among them.
        counted: whether frames are known by their number from the start, instead of by their timestamps.
        is_plain: whether nothing about the file is out of the ordinary, see `Packets.is_plain`.
        continued: whether clocks that run backwards are continued, see `VideoFile.open`.
        with_cut: whether packets that the container takes for incomplete are decoded.
        is_raw: whether the file is a stream without a container.
        size: width and height of its pictures by the header.
    """

    stamps: np.ndarray
    seconds: np.ndarray
    last_seconds: float
    fps: float
    declared: float | None
    keyframes: np.ndarray
    counted: bool
    is_plain: bool
    continued: bool
    with_cut: bool
    is_raw: bool
    size: tuple[int, int]


def list_frames(file: VideoFile) -> Listing:
    """Lists the frames of a file.

    Raises:
        VideoError: if it cannot be read, is damaged, or has no frames.
        av.FFmpegError: if it is damaged.
    """
    opened = file.open()
    try:
        packets = read_packets(opened)
        if packets.runs_back and not opened.continued and opened.format != "mov":
            opened.close()
            opened = file.open(continued=True)
            packets = read_packets(opened)
        return _list(file, opened, packets)
    finally:
        opened.close()


def _list(file: VideoFile, opened: OpenFile, packets: Packets) -> Listing:
    base = opened.time_base
    suspects = [place for place in packets.suspects if place < len(packets.clock) - 1]
    if suspects:
        _check_joins(file, opened, packets, suspects)
    counted = _must_be_counted(opened, packets)
    untimed = all(stamp is None for stamp in packets.clock)
    rates = opened.rates[::-1] if untimed else opened.rates
    step = 1 / (rates or [UNTIMED_RATE])[0] / float(base)
    if counted:
        stamps, length = _count(file, opened, packets, with_cut=bool(suspects))
    else:
        stamps, length = _sort(packets)
    if not stamps:
        raise VideoError(f"{file.path}: holds no frame that can be decoded")
    times = rising(stamps, step)
    zero = _zero(opened, packets, times)
    seconds = (times - zero) * base.numerator / base.denominator
    fps = average_rate(seconds, rates)
    declared = declared_end(opened, file.path)
    end = _end(file, opened, packets, float(times[-1]) * float(base), length * float(base), declared)
    return Listing(
        stamps=np.arange(len(stamps)) if counted else np.array(stamps, dtype=np.int64),
        seconds=seconds,
        last_seconds=1 / fps if end is None else end - float(times[-1] * base.numerator / base.denominator),
        fps=fps,
        declared=None if declared is None else declared - zero * float(base),
        keyframes=np.zeros(1, np.int64) if counted or opened.continued else _seekable(opened, packets, stamps),
        counted=counted,
        is_plain=packets.is_plain and not counted and not opened.continued and len(set(stamps)) == len(stamps),
        continued=opened.continued,
        with_cut=bool(suspects),
        is_raw=opened.is_raw,
        size=(opened.stream.codec_context.width, opened.stream.codec_context.height),
    )


def _check_joins(file: VideoFile, opened: OpenFile, packets: Packets, suspects: list[int]) -> None:
    """Refuses a stream that lost packets. To the container joined streams look so, too, whose counters start anew; but
    there a keyframe follows, no frame is missing but before it, and every picture can be decoded.

    Raises:
        VideoError: if frames are missing, or damaged.
    """
    clock = np.array([np.nan if stamp is None else stamp for stamp in packets.clock], dtype=np.float64)
    longest = _IRREGULAR * max(packets.lengths, default=0)
    gaps = np.diff(clock) > (longest or np.inf)
    gaps[[place - 1 for place in packets.openings if place]] = False  # whole segments may be missing
    lost = [
        place
        for place in suspects
        if not any(place < opening < place + _AROUND for opening in packets.openings)
        or gaps[max(0, place - 1) : place + _AROUND].any()
    ]
    if not lost:
        decoder = file.open(continued=opened.continued)
        try:
            lost = suspects if any(frame.is_corrupt for frame in decoder.frames(with_cut=True)) else []
        except av.FFmpegError:
            lost = suspects
        finally:
            decoder.close()
    if lost:
        stamp = packets.clock[lost[0]] or 0
        raise VideoError(f"{file.path}: is damaged around second {float(stamp * opened.time_base):.1f}")


def _must_be_counted(opened: OpenFile, packets: Packets) -> bool:
    """Whether packets do not tell which frames come out of the decoder, and with which timestamps."""
    known = [stamp for stamp in packets.shown if stamp is not None]
    if (
        opened.format == "avi"
        or (opened.clock is not None and opened.clock.has_jumped)  # parts may differ in more than their clocks
        or opened.stream.codec_context.name in _INVISIBLE
        or not packets.keyframes
        or len(known) < len(packets.shown)
        or None in packets.keyframes
    ):
        return True
    context = opened.stream.codec_context
    reordered = np.abs(np.argsort(known, kind="stable") - np.arange(len(known))).max(initial=0)
    return bool(reordered > (_MAX_REORDERING if context.has_b_frames and context.codec.reorder else 0))


def _sort(packets: Packets) -> tuple[list[int | None], int]:
    """Presentation timestamps of the frames that will come out of the decoder, and the length of the last, from those
    of the packets."""
    # Frames shown before the first keyframe need one that the file no longer has. Frames shown after the packet that
    # the end of the file cuts are there or not, as the order of decoding has it.
    first = packets.keyframes[0]
    kept = sorted(
        (stamp, length)
        for stamp, length in zip(packets.shown, packets.lengths)
        if stamp is not None and first is not None and stamp >= first and (packets.cut is None or stamp < packets.cut)
    )
    return [stamp for stamp, _ in kept], kept[-1][1] if kept else 0


def _count(file: VideoFile, opened: OpenFile, packets: Packets, *, with_cut: bool) -> tuple[list[int | None], int]:
    """Decodes the file once; presentation timestamps of its frames, in order, and the length of the last."""
    decoder = file.open(continued=opened.continued)
    shown: list[int | None] = []
    decoded: list[int | None] = []
    length = 0
    try:
        for frame in decoder.frames(with_cut=with_cut):
            shown.append(frame.pts)
            decoded.append(frame.dts)
            length = frame.duration
    finally:
        decoder.close()
    if any(stamp is not None for stamp in shown):
        return [other if stamp is None else stamp for stamp, other in zip(shown, decoded)], length
    # Where only decoding times are known, as in AVI, the n-th frame shown is given the n-th of them.
    times = sorted(stamp for stamp in packets.decoded if stamp is not None)
    return [*times] if len(times) == len(shown) else decoded, length


def _seekable(opened: OpenFile, packets: Packets, stamps: list[int | None]) -> np.ndarray:
    """Indices of the keyframes that can be sought, and 0."""
    found = np.zeros(1, dtype=np.int64)
    if opened.format in SEEKABLE_FORMATS:
        times = np.array(stamps, dtype=np.int64)
        keyframes = np.array([stamp for stamp in packets.keyframes if stamp is not None], dtype=np.int64)
        first, after = np.searchsorted(times, keyframes), np.searchsorted(times, keyframes, side="right")
        # Seeking a time that two frames have may end at either.
        found = np.append(found, first[after - first == 1])
    return np.unique(found)


def _zero(opened: OpenFile, packets: Packets, times: np.ndarray) -> float:
    """The timestamp of second 0, see `VideoReader`."""
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in opened.container.streams.audio
        if stream.start_time is not None and stream.time_base
    ]
    begun = next((stamp for stamp in packets.clock if stamp is not None), None)
    if not starts or begun is None:
        return float(times[0])
    # Decoding times are compared: frames that are decoded before they are shown are no delay of the picture.
    delay = float(begun * opened.time_base) - min(starts)
    frame = 1 / (opened.rates or [UNTIMED_RATE])[0]
    if delay <= max(frame, _SMALLEST_DELAY) or (opened.is_discontinuous and delay > _LONGEST_DELAY):
        return float(times[0])
    return min(starts) / float(opened.time_base)


def _end(
    file: VideoFile, opened: OpenFile, packets: Packets, last: float, length: float, declared: float | None
) -> float | None:
    """When the last frame's time ends, in seconds of the timestamps' clock; None if the file does not tell.

    Args:
        last: when it begins.
        length: its length by its packet, 0 if unknown.
        declared: the end by the header.
    """
    end = last + length
    if opened.format == "mov":
        # An mp4's packets are as long as it takes until the next is decoded, which is the length of the last picture
        # only where no other is decoded after it.
        known = [stamp for stamp in packets.shown if stamp is not None]
        is_whole = packets.cut is None and len(packets.clock) >= opened.stream.frames
        is_told = not known or known[-1] == max(known)
        if is_whole and not is_told and declared is not None and abs(declared - end) > length / 2:
            end = declared
    elif declared is not None and opened.format in _WHOLE and _WHOLE[opened.format](file.path):
        # Matroska's packets need not tell their length; of an AVI's frames that were dropped there is no packet.
        end = max(end, declared)
    return end if end > last else None

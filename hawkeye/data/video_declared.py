"""How long a file's header says that its video is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hawkeye.data.video_file import OpenFile

_MICROSECONDS = 1_000_000


def declared_end(opened: OpenFile, path: Path) -> float | None:
    """When the video stream ends by the header, in seconds of the timestamps' clock; None where the header does not
    tell. The length of a whole file may be that of its sound.
    """
    stream = opened.stream
    if opened.is_discontinuous:
        return None
    tag = next((text for name, text in stream.metadata.items() if name.upper().startswith("DURATION")), "")
    if opened.format == "matroska" and (seconds := _of_clock(tag)):
        return seconds
    if opened.format == "mov" and (seconds := _mp4_track_end(path, stream.id)):
        return seconds
    if opened.format == "avi" and stream.frames and stream.average_rate:
        return float(stream.frames / stream.average_rate)  # FFmpeg's duration is what the file's bytes suffice for
    if stream.duration:
        return float((stream.duration + (stream.start_time or 0)) * opened.time_base)
    length = opened.container.duration
    return length / _MICROSECONDS if length and length > 0 and len(opened.container.streams) == 1 else None


def _of_clock(text: str) -> float | None:
    """Seconds of "00:01:02.500000000"; None if it is none."""
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds


def is_whole_matroska(path: Path) -> bool:
    """Whether a Matroska file is as long as its segment says; False where it does not say."""
    with open(path, "rb") as file:
        length = file.seek(0, 2)
        file.seek(0)
        for _ in range(2):  # the EBML header, then the segment
            name, size = file.read(4), _ebml_size(file)
            if size is None or file.tell() + size > length:
                return False
            if name == b"\x18\x53\x80\x67":
                return True
            file.seek(size, 1)
    return False


def is_whole_avi(path: Path) -> bool:
    """Whether an AVI is as long as its chunks say."""
    with open(path, "rb") as file:
        length, end = file.seek(0, 2), 0
        while end < length:
            file.seek(end)
            head = file.read(8)
            if head[:4] != b"RIFF":
                break  # something behind the video
            end += 8 + int.from_bytes(head[4:], "little")
        return 8 < end <= length


def _ebml_size(file: BinaryIO) -> int | None:
    """The size that follows an element's name; None if it is unknown, as in live recordings."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big") & ((1 << 7 * length) - 1)
    return None if value == (1 << 7 * length) - 1 else value


def _mp4_track_end(path: Path, track: int) -> float | None:
    """When a track of an mp4 ends by its track header, in seconds; None where it does not tell.

    The sample table has the samples' decoding times, of which the length of the picture shown last cannot be told where
    another is decoded after it.
    """
    with open(path, "rb") as file:
        for start, end in _boxes(file, b"moov", 0, file.seek(0, 2)):
            scale = next((_track_header(file, place)[0] for place, _ in _boxes(file, b"mvhd", start, end)), 0)
            for trak in _boxes(file, b"trak", start, end):
                for place, _ in _boxes(file, b"tkhd", *trak):
                    number, length = _track_header(file, place)
                    if number == track and scale and length:
                        return length / scale
    return None


def _track_header(file: BinaryIO, start: int) -> tuple[int, int]:
    """Number and length of a tkhd box, 0 where it is unknown; of an mvhd box the first is the units in a second."""
    file.seek(start)
    data = file.read(36)
    width = 8 if data[:1] == b"\1" else 4  # of times
    first = 4 + 2 * width
    length = int.from_bytes(data[first + 8 : first + 8 + width], "big")
    return int.from_bytes(data[first : first + 4], "big"), 0 if length == (1 << 8 * width) - 1 else length


def _boxes(file: BinaryIO, name: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the contents of an mp4's boxes of one name start and end, of those between two offsets."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(head[8:], "big"), 16
        size = size or end - start
        if size < header:
            return
        if head[4:8] == name:
            yield start + header, min(start + size, end)
        start += size

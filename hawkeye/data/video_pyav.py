"""Video files through PyAV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import VideoReformatter

from hawkeye.data.video_file import OpenFile, VideoFile
from hawkeye.data.video_listing import list_frames
from hawkeye.data.video_orientation import Orientation, orientation, turned
from hawkeye.data.video_reader import VideoError, VideoReader, one_line

_WORTH_SEEKING = 16
"""Frames to the next keyframe from which on a seek costs less than decoding them."""

_CHANGES_SIZE = {"vp8", "vp9", "av1", "libdav1d"}
"""Codecs whose pictures may change size anywhere in a stream (WebRTC, recorded windows)."""

_SHORT = 0.02
"""Share of the declared length that may be missing without a word: headers round, and count sound that goes on."""


class PyAVReader(VideoReader):
    """Video files through PyAV.

    Opening reads the packets without decoding them: their presentation timestamps are the frames. Frames are then
    found by timestamp, never by counting from a place that was jumped to. Files whose packets do not tell (AVI, raw
    streams, VP8 with its invisible frames) are decoded once to list their frames, and counted from the start.

    Attributes:
        damaged: indices of the frames decoded so far in which the decoder concealed damage.
    """

    def __init__(self, path: Path) -> None:
        self.file = VideoFile(path)
        try:
            listing = list_frames(self.file)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{path}: is damaged ({one_line(error)})") from None
        super().__init__(path, listing.seconds, listing.fps, listing.last_seconds, listing.declared)
        self.listing = listing
        self.timestamps = listing.stamps
        self.keyframes = listing.keyframes
        self.place: dict[int, int] = {}
        for index, stamp in enumerate(self.timestamps):
            self.place.setdefault(int(stamp), index)
        self.damaged: set[int] = set()
        self.opened: OpenFile | None = self.file.open(continued=listing.continued)
        self.is_fresh = True
        self.reformatter = VideoReformatter()
        self.orientations: dict[int, Orientation] = {}
        self.size: tuple[int, int] | None = None
        self.walk: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self.position = self.num_frames
        self._warn_if_short()

    def _warn_if_short(self) -> None:
        missing = (self.declared_duration or 0.0) - self.duration
        if missing > max(_SHORT * self.duration, 2 / self.fps):
            self._warn(
                "short",
                f"its header declares {self.declared_duration:.1f} s, but its pictures end at {self.duration:.1f} s; "
                "it may be truncated",
            )

    @property
    def format(self) -> str:
        """FFmpeg's name of the container."""
        return self._open_file.format

    @property
    def _open_file(self) -> OpenFile:
        assert self.opened is not None  # frames() refuses closed readers
        return self.opened

    def _decoded(self) -> Iterator[av.VideoFrame]:
        return self._open_file.frames(with_cut=self.listing.with_cut)

    def _start(self, keyframe: int) -> None:
        """Goes to a keyframe; the frames that come out of the decoder from there on are walked over."""
        if keyframe == 0:
            if not self.is_fresh:
                self._open_file.close()
                self.walk = iter(())
                self.opened = self.file.open(continued=self.listing.continued)
        else:
            self.file.check()
            self._open_file.seek(int(self.timestamps[keyframe]))
        self.is_fresh = False
        self.position = -1
        # The walk knows nothing of the reader: a cycle would keep decoders alive until the garbage collector runs.
        self.walk = _numbered(self._decoded(), None if self.listing.counted else self.place)

    def _advance(self, index: int) -> av.VideoFrame | None:
        for position, frame in self.walk:
            self.position = max(self.position, position)
            if frame.is_corrupt and position >= 0:
                self._note_damage(position)
            if position >= index:
                return frame if position == index else None
        return None

    def _note_damage(self, index: int) -> None:
        self.damaged.add(index)
        when = self.seconds[index]
        self._warn("damage", f"is damaged around second {when:.1f}; some of its pictures show it")

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
        """A frame `[H, W, 3]`, upright, in the size of the file's first frame."""
        if self.size is None:
            self.size = self._first_size(frame)
        turn = self._orientation(frame)
        width, height = self.size[::-1] if turn.transposed else self.size
        if not self._may_change_size:
            width, height = frame.width, frame.height
        # One reformatter for all frames: making one for each takes ten times as long.
        image = self.reformatter.reformat(frame, width, height, format="rgb24", threads=1).to_ndarray()
        return turn.upright(image)

    @property
    def _may_change_size(self) -> bool:
        """Whether pictures of other sizes are scaled, as players do. A raw stream has no header that could announce a
        size to keep to: two sizes in one are two videos, which is an error."""
        return not self.listing.is_raw

    def _first_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Width and height of the file's first frame, upright.

        Args:
            frame: the first that is read.
        """
        context = self._open_file.stream.codec_context
        if context.name in _CHANGES_SIZE or (frame.width, frame.height) != self.listing.size:
            opened = self.file.open(continued=self.listing.continued)
            frame = next(opened.frames(), frame)
            opened.close()
        size = frame.width, frame.height
        return size[::-1] if self._orientation(frame).transposed else size

    def _orientation(self, frame: av.VideoFrame) -> Orientation:
        """How a frame is to be turned; its display matrix is read once for each rotation that it is given."""
        if frame.rotation not in self.orientations:
            # PyAV's side data and their frame hold each other, until the garbage collector runs: a small one is lent.
            lent = frame.reformat(16, 16, format="gray", threads=1)
            try:
                matrix = lent.side_data.get("DISPLAYMATRIX")
            except ValueError:  # a frame with a kind of side data that PyAV does not know (EXIF) yields none
                self.orientations[frame.rotation] = turned(frame.rotation)
            else:
                self.orientations[frame.rotation] = (
                    orientation(bytes(matrix)) if isinstance(matrix, SideData) else Orientation()
                )
        return self.orientations[frame.rotation]

    def _free(self) -> None:
        self._open_file.close()
        self.opened = None
        self.walk = iter(())


def _numbered(frames: Iterator[av.VideoFrame], place: Mapping[int, int] | None) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames with their indices; frames that are not of the video have index -1.

    Args:
        frames: as they come out of the decoder, from a keyframe on.
        place: index of the first frame of each timestamp; None if `frames` begin with the file and are counted.
    """
    if place is None:
        yield from enumerate(frames)
        return
    last, again = None, 0
    for frame in frames:
        again = again + 1 if frame.pts == last else 0
        last = frame.pts
        yield (-1 if last is None or last not in place else place[last] + again), frame

"""Videos for tests, written with PyAV: whole ones whose frames tell their number, and broken or odd ones."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 7
MILLISECOND = Fraction(1, 1000)
CLOSED = "keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0"
"""x264 settings: B-frames in groups of 12 that no reference reaches across."""


def numbered_frames(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames `[count, height, width, 3]` that show their number as black and white blocks in the upper half, over a
    lower half of which the left is red."""
    frames = np.full((count, height, width, 3), 60, dtype=np.uint8)
    frames[:, height // 2 :, : width // 2] = (220, 30, 30)
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        frames[:, : height // 2, left:right] = 255 * ((np.arange(count) >> bit) & 1)[:, None, None, None]
    return frames


def numbers_of(frames: np.ndarray) -> list[int]:
    """The numbers that frames show; -1 where a frame is not upright."""
    height, width = frames.shape[1:3]
    row = frames[:, height // 4].astype(int).mean(axis=-1)
    bits = [row[:, (2 * bit + 1) * width // (2 * BITS)] > 128 for bit in range(BITS)]
    lower = frames[:, 3 * height // 4].astype(int)
    upright = lower[:, width // 4, 0] > lower[:, 3 * width // 4, 0] + 80
    return [int(value) for value in np.where(upright, sum(bits[bit] << bit for bit in range(BITS)), -1)]


def write_video(
    path: Path,
    frames: np.ndarray,
    fps: int | Fraction = 8,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    pts: Sequence[int] | None = None,
    rotation: int = 0,
    container_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Writes uint8 RGB frames `[T, H, W, 3]`, by default as H.264 (even sides only), in the container that the name
    says.

    Args:
        pts: when each frame is shown, in milliseconds, in place of `fps`.
        rotation: degrees counterclockwise by which players are told to turn the frames.
        options: of the encoder; `x264` stands for its "x264-params".
    """
    if "x264" in options:
        options["x264-params"] = options.pop("x264")
    if codec == "libx264":
        options = {"crf": "10", "preset": "veryfast", **options}
    with av.open(str(path), "w", format=None if path.suffix else "mp4", options=container_options or {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        if pts is not None:
            stream.codec_context.time_base = MILLISECOND
        if rotation:
            stream.set_display_rotation(rotation)
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            if pts is not None:
                picture.pts, picture.time_base = int(pts[index]), MILLISECOND
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def decode_all(path: Path) -> np.ndarray:
    """All frames in the order of a plain sequential decode, turned upright."""
    with av.open(str(path)) as container:
        return np.stack(
            [
                np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                for frame in container.decode(video=0)
            ]
        )


def write_audio(path: Path, cover: bool = False) -> Path:
    """Half a second of silence, in mp4; with a cover picture if asked."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        if cover:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width = picture.height = 32
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), dtype=np.uint8), format="rgb24")
            container.mux([*picture.encode(image.reformat(format="yuvj420p")), *picture.encode()])
        for index in range(8):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 16000, 1024 * index
            container.mux(stream.encode(silence))
        container.mux(stream.encode())
    return path


def cut(path: Path, share: float) -> Path:
    """Keeps the first `share` of the file's bytes, or of its frames' bytes where these come last."""
    data = path.read_bytes()
    payload = data.find(b"mdat") if data.find(b"moov") < data.find(b"mdat") else 0
    path.write_bytes(data[: payload + int(share * (len(data) - payload))])
    return path


def overwrite(path: Path, start_share: float, length: int) -> Path:
    """Puts zeros in place of `length` bytes, from `start_share` of the frames' bytes on."""
    data = bytearray(path.read_bytes())
    payload = data.find(b"mdat")
    start = payload + int(start_share * (len(data) - payload))
    data[start : start + length] = bytes(length)
    path.write_bytes(data)
    return path


def forget_duration(path: Path) -> Path:
    """Sets all durations in an mp4's headers to zero, as interrupted recorders leave them."""
    data = bytearray(path.read_bytes())
    for box, offset in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
        place = data.find(box) + 4 + offset
        data[place : place + 4] = bytes(4)
    path.write_bytes(data)
    return path


def replace(path: Path, old: bytes, new: bytes) -> Path:
    """Writes `new` over `old`, which must be as long and occur once."""
    data = path.read_bytes()
    assert len(old) == len(new)
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    return path


def promise_frames(path: Path, count: int) -> Path:
    """Makes the header of an mp4 of constant rate declare `count` frames, whatever it holds."""
    data = bytearray(path.read_bytes())
    place = data.find(b"stts") + 12
    data[place : place + 4] = count.to_bytes(4, "big")
    path.write_bytes(data)
    return path


def faststart(path: Path) -> Path:
    """An mp4 whose index comes before its frames."""
    return write_video(path, numbered_frames(60), x264=CLOSED, container_options={"movflags": "faststart"})

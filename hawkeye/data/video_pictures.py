"""Videos made of pictures: GIFs and folders of frames, through PIL."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from hawkeye.data.video_reader import VideoError, VideoReader, one_line

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}

DEFAULT_GIF_SECONDS = 0.1
"""How long browsers show a GIF's frame that names no duration, or none above zero."""

_PICTURE_ERRORS = (OSError, EOFError, SyntaxError, ValueError, IndexError, struct.error, Image.DecompressionBombError)
"""What PIL raises for files that are cut or damaged."""


class GifReader(VideoReader):
    """GIFs; each frame is shown as long as the file says."""

    def __init__(self, path: Path) -> None:
        lengths = []
        try:
            self.image = Image.open(path)
            for index in range(getattr(self.image, "n_frames", 1)):
                self.image.seek(index)
                lengths.append((self.image.info.get("duration") or 0) / 1000 or DEFAULT_GIF_SECONDS)
        except _PICTURE_ERRORS as error:
            raise VideoError(f"{path}: cannot be read as a GIF ({one_line(error)})") from None
        super().__init__(path, np.cumsum([0.0, *lengths[:-1]]), len(lengths) / sum(lengths))
        self.lengths = lengths

    @property
    def duration(self) -> float:
        """Length in seconds, the last frame's own included."""
        return sum(self.lengths)

    def _decode(self, indices: list[int]) -> Iterable[np.ndarray]:
        for index in indices:
            try:
                self.image.seek(index)
                picture = np.asarray(self.image.convert("RGB"))
            except _PICTURE_ERRORS as error:
                raise VideoError(f"{self.path}: frame {index} cannot be read ({one_line(error)})") from None
            yield picture

    def close(self) -> None:
        self.image.close()


class FolderReader(VideoReader):
    """A folder of frames, in the natural order of their names (2 before 10)."""

    def __init__(self, path: Path, fps: float | None) -> None:
        # Archives made on a Mac leave a hidden ._name.jpg beside each name.jpg.
        files = [
            file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
        ]
        if not files:
            raise VideoError(f"{path}: the folder holds no frames ({', '.join(sorted(IMAGE_SUFFIXES))})")
        if fps is None:
            raise VideoError(f"{path}: a folder of frames needs its frame rate; pass fps")
        self.files = sorted(files, key=lambda file: _natural(file.name))
        super().__init__(path, np.arange(len(files)) / fps, fps)

    def _decode(self, indices: list[int]) -> Iterable[np.ndarray]:
        for index in indices:
            try:
                with Image.open(self.files[index]) as image:
                    picture = np.asarray(image.convert("RGB"))
            except _PICTURE_ERRORS as error:
                raise VideoError(f"{self.files[index]}: cannot be read as an image ({one_line(error)})") from None
            yield picture


def _natural(name: str) -> list[tuple[int, str]]:
    # isdecimal, unlike isdigit, holds for what int() reads.
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)] + [(-1, name)]

"""Videos made of pictures: GIFs, WebP animations and folders of frames, through PIL."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from hawkeye.data.video_reader import MAX_PIXELS, VideoError, VideoReader, check_size, one_line

IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pnm", ".tga"),
}
"""Files that are frames where they are in a folder of frames."""

UNREADABLE_SUFFIXES = {".heic", ".heif", ".jxl", ".exr", ".hdr", ".dng", ".raw", ".cr2", ".nef", ".arw", ".svg"}
"""Pictures that PIL cannot read; to pass over one would move all that come after it in time."""

SHORTEST_DELAY_SECONDS, DEFAULT_DELAY_SECONDS = 0.01, 0.1
"""An animation's frame that is to be shown for no longer than the one is shown for the other: GIFs are made for
browsers, which do so, as FFmpeg does."""

_PICTURE_ERRORS = (OSError, EOFError, SyntaxError, ValueError, IndexError, struct.error)
"""What PIL raises for files that are cut or damaged."""

# PIL warns of pictures that `check_size` refuses.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class AnimationReader(VideoReader):
    """GIFs and WebP animations; each frame is shown as long as the file says."""

    def __init__(self, path: Path, kind: str) -> None:
        lengths = []
        try:
            self.image = Image.open(path, formats=[kind])
            for index in range(getattr(self.image, "n_frames", 1)):
                check_size(path, *self.image.size)  # a frame can enlarge a GIF
                self.image.seek(index)
                check_size(path, *self.image.size)
                if kind == "WEBP":
                    self.image.load()  # only then is its length known
                lengths.append(_delay(self.image))
        except VideoError:
            raise
        except Image.DecompressionBombError as error:
            raise VideoError(f"{path}: {_too_large(error)}") from None
        except _PICTURE_ERRORS as error:
            raise VideoError(f"{path}: cannot be read as a {kind} ({one_line(error)})") from None
        super().__init__(path, np.cumsum([0.0, *lengths[:-1]]), len(lengths) / sum(lengths), lengths[-1])

    def _decode(self, indices: list[int]) -> Iterable[np.ndarray]:
        for index in indices:
            try:
                self.image.seek(index)
                picture = _upright(self.image)
            except _PICTURE_ERRORS as error:
                raise VideoError(f"{self.path}: frame {index} cannot be read ({one_line(error)})") from None
            yield picture

    def _free(self) -> None:
        self.image.close()


class FolderReader(VideoReader):
    """A folder of frames, in the natural order of their names (2 before 10)."""

    def __init__(self, path: Path, fps: float | None) -> None:
        # Archives made on a Mac leave a hidden ._name.jpg beside each name.jpg.
        files = [file for file in path.iterdir() if not file.name.startswith(".")]
        odd = sorted(file.name for file in files if file.suffix.lower() in UNREADABLE_SUFFIXES)
        files = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        if odd:
            raise VideoError(f"{path}: holds pictures of a kind that cannot be read, such as {odd[0]}; convert them")
        if not files:
            raise VideoError(f"{path}: the folder holds no frames ({', '.join(sorted(IMAGE_SUFFIXES))})")
        if fps is None:
            raise VideoError(f"{path}: a folder of frames needs its frame rate: pass fps (--fps)")
        # Opening a pipe would wait for a writer, and a device may never end. What is missing is named when it is read.
        special = sorted(file.name for file in files if file.exists() and not (file.is_file() or file.is_dir()))
        if special:
            raise VideoError(f"{path}: holds {special[0]}, which is a pipe or a device and no picture")
        self.files = sorted(files, key=lambda file: _natural(file.name))
        super().__init__(path, np.arange(len(files)) / fps, fps)

    def _decode(self, indices: list[int]) -> Iterable[np.ndarray]:
        for index in indices:
            try:
                with Image.open(self.files[index]) as image:
                    check_size(self.files[index], *image.size)
                    picture = _upright(image)
            except VideoError:
                raise
            except Image.DecompressionBombError as error:
                raise VideoError(f"{self.files[index]}: {_too_large(error)}") from None
            except _PICTURE_ERRORS as error:
                raise VideoError(f"{self.files[index]}: cannot be read as an image ({one_line(error)})") from None
            yield picture


def _delay(image: Image.Image) -> float:
    """Seconds for which an animation's current frame is shown."""
    seconds = (image.info.get("duration") or 0) / 1000
    return seconds if seconds > SHORTEST_DELAY_SECONDS else DEFAULT_DELAY_SECONDS


def _too_large(error: Image.DecompressionBombError) -> str:
    """PIL's own limit, which lies above `MAX_PIXELS` unless that was raised."""
    return f"its pictures are too large, of more than {MAX_PIXELS} pixels (PIL: {one_line(error)})"


def _upright(image: Image.Image) -> np.ndarray:
    """uint8 RGB `[H, W, 3]` of a picture, turned as its EXIF data says, of 16 bits the upper 8.

    Raises:
        ValueError: if its values have no known range.
    """
    image.load()
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # PIL's own conversion cuts off at 255
        grey = (np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError("its values have 32 bits and no known range")
    return np.asarray(image.convert("RGB"))


def _natural(name: str) -> list[tuple[int, str]]:
    # isdecimal, unlike isdigit, holds for what int() reads.
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)] + [(-1, name)]

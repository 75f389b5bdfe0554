"""Where the video that a row names lies in its folder."""

from __future__ import annotations

from pathlib import Path

from hawkeye.annotations import AnnotationError

ANY_ENDING = ".*"
VIDEO_ENDINGS = (
    *(".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv", ".f4v", ".wmv", ".asf", ".mpg", ".mpeg", ".vob", ".ts"),
    *(".m2ts", ".mts", ".3gp", ".3g2", ".ogv", ".mxf", ".divx", ".h264", ".264", ".hevc", ".h265", ".265", ".ivf"),
    *(".gif", ".webp", ".apng", ".avif"),
)
"""Of files that count as videos, in small letters. What ends otherwise can be opened by its name."""
ENDINGS = ("", *VIDEO_ENDINGS)
"""What a pattern that ends in ".*" stands for: the first of these that is there, a folder of frames before files.
Endings in capitals, as cameras write them (".MP4"), come after all of them."""


def locate(folder: Path, video: str, pattern: str, place: str) -> Path:
    """The file, or the folder of frames, of the video that a row at `place` names.

    Where a pattern ends in ".*" and nothing is there, the path keeps the ".*".

    Raises:
        AnnotationError: as `file_of` does.
    """
    path = folder / file_of(video, pattern, place)
    if not path.name.endswith(ANY_ENDING):
        return path
    base = str(path).removesuffix(ANY_ENDING)
    candidates = (Path(base + ending) for ending in (*ENDINGS, *map(str.upper, VIDEO_ENDINGS)))
    return next((candidate for candidate in candidates if candidate.exists()), path)


def file_of(video: str, pattern: str, place: str) -> str:
    """What a pattern (`SourceSettings.file`) makes of a row's video name.

    Raises:
        AnnotationError: naming the row, if the pattern asks for something that the name does not have.
    """
    path = Path(video)
    digits = "".join(sign for sign in path.stem if sign.isdigit())
    fields: dict[str, str] = {"name": video, "stem": path.stem, "suffix": path.suffix}
    if digits:
        thousand = int(digits) // 1000 * 1000
        fields["thousands"] = f"{thousand:05d}-{thousand + 1000:05d}"
    try:
        return pattern.format(**fields)
    except (KeyError, ValueError, IndexError) as error:
        raise AnnotationError(f"{place}: video {video!r} does not fit the pattern {pattern!r} ({error})") from None

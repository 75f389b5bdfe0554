"""Stage download: videos by their ids, through yt-dlp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data_preparing.internvid_g.runner import Item, Outcome, Stage, Worker
from data_preparing.internvid_g.settings import ChainSettings
from hawkeye.annotations import AnnotationError, read_json_lines, read_json_list
from hawkeye.data.locations import VIDEO_ENDINGS

ID_LENGTH = 11
"""Letters of a YouTube id."""


class Download(Stage):
    """Fetches what is in none of the folders yet."""

    name = "download"
    needs = ("yt_dlp",)

    @property
    def outputs(self) -> list[Path]:
        """See `Stage`."""
        return [self.settings.downloaded]

    @property
    def depends_on(self) -> Any:
        """See `Stage`."""
        return self.settings.download.url

    def items(self) -> list[Item]:
        """See `Stage`."""
        ids = self.settings.download.ids
        if ids is None:
            raise AnnotationError("stage download: 'download.ids' names no file of ids")
        return [Item(video) for video in read_ids(self.settings.path(ids))]

    def worker(self) -> Worker:
        """See `Stage`."""
        settings = self.settings
        folders = [settings.path(folder) for folder in (settings.videos, *settings.download.other_folders)]

        def fetch(item: Item) -> Outcome:
            path = _there(item.key, folders) or _fetched(item.key, settings)
            return Outcome(item.key, [[{"youtube_id": item.key, "video_fname": path.name}]])

        return fetch


def read_ids(path: Path) -> list[str]:
    """The ids of a file, each once, in order.

    A .txt file holds one a line; a .json list rows whose `video` begins with it; a .jsonl file rows with `YoutubeID`,
    or with `video_fname` or `video`, whose stem it is.

    Raises:
        AnnotationError: naming what is missing or wrong.
    """
    if path.suffix == ".txt":
        try:
            ids = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise AnnotationError(f"{path}: cannot be read ({error})") from None
    elif path.suffix == ".json":
        ids = [_id(row, f"{path} row {index}", ID_LENGTH) for index, row in enumerate(read_json_list(path))]
    elif path.suffix == ".jsonl":
        ids = [_id(row, place, None) for place, row in read_json_lines(path)]
    else:
        raise AnnotationError(f"{path}: ids are read from .txt, .json and .jsonl files")
    found = sorted({video for video in ids if video})
    if not found:
        raise AnnotationError(f"{path}: holds no ids")
    for video in found:
        if "/" in video or "\\" in video:
            raise AnnotationError(f"{path}: an id names a file, so {video!r} is none")
    return found


def _id(row: Any, place: str, length: int | None) -> str:
    keys = ("video",) if length is not None else ("YoutubeID", "video_fname", "video")
    for key in keys:
        if isinstance(row, dict) and isinstance(row.get(key), str) and row[key].strip():
            return str(row[key][:length]) if length or key == "YoutubeID" else Path(row[key]).stem
    raise AnnotationError(f"{place}: needs a text in one of {', '.join(keys)}, not {json.dumps(row)}")


def _there(video: str, folders: list[Path]) -> Path | None:
    # Asked for by name: a folder of all videos takes long to list.
    paths = (folder / f"{video}{ending}" for folder in folders for ending in VIDEO_ENDINGS)
    return next(filter(Path.is_file, paths), None)


def _fetched(video: str, settings: ChainSettings) -> Path:
    import yt_dlp  # heavy, and of an extra

    folder = settings.path(settings.videos)
    options = {
        "outtmpl": str(folder / f"{video.replace('%', '%%')}.%(ext)s"),
        "format_sort": settings.download.format_sort,
        "retries": settings.download.retries,
        "nocheckcertificate": True,
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "logger": _Silent(),
    }
    address = settings.download.url.format(id=video)
    try:
        with yt_dlp.YoutubeDL(options) as downloader:
            downloader.download([address])
    except yt_dlp.utils.DownloadError as error:
        raise OSError(f"{address}: {error}") from None
    path = _there(video, [folder])
    if path is None:
        raise OSError(f"{address}: what was fetched is no video in {folder}")
    return path


class _Silent:
    """Takes yt-dlp's messages; errors come as exceptions too."""

    def debug(self, message: str) -> None:
        """Nothing."""

    def warning(self, message: str) -> None:
        """Nothing."""

    def error(self, message: str) -> None:
        """Nothing."""

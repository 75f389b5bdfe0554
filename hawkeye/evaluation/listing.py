"""`hawkeye evaluate --list`: the benchmarks, the files that each expects, and where they are to be had."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.table import Table

from hawkeye.config import ConfigError, load_settings
from hawkeye.evaluation.settings import AnnotationFile, EvaluationSettings

BENCHMARKS = Path("configs/eval")
"""The folder whose configurations are listed."""


def list_benchmarks(folder: Path, overrides: Sequence[str] = ()) -> Table:
    """One row per annotation file or folder of them: where it is expected, whether it is there, where to get it.

    Args:
        folder: of configurations.
        overrides: `key=value` for all of them, such as `data_dir=FOLDER`.

    Raises:
        ConfigError: if there is no configuration in it, or one is wrong.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise ConfigError(f"{folder}: holds no configurations (.yaml); run this from the project's folder or name one")
    table = Table(title="Benchmarks", show_lines=True)
    for heading in ("configuration", "annotations (there / expected)", "videos", "where from"):
        table.add_column(heading, overflow="fold")
    for path in paths:
        settings = load_settings(path, EvaluationSettings, overrides)
        table.add_row(str(path), *_expected(settings), settings.source)
    return table


def _expected(settings: EvaluationSettings) -> tuple[str, str]:
    files: list[AnnotationFile] = [*settings.grounding, *settings.videoqa.values()]
    paths = sorted(settings.data_dir / file.annotations for file in files)
    annotations = []
    for parent, group in groupby(paths, key=lambda path: path.parent):
        inside = list(group)
        there = sum(path.is_file() for path in inside)
        names = [path.name for path in inside] if len(inside) <= 4 else [f"{len(inside)} files"]
        annotations.append(f"{parent}/: {', '.join(names)} ({there}/{len(inside)})")
    folders = {settings.data_dir / (file.videos or settings.videos): None for file in files}
    videos = [f"{folder} ({'there' if folder.is_dir() else 'missing'})" for folder in folders]
    return "\n".join(annotations), "\n".join(videos)

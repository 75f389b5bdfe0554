"""`hawkeye evaluate --list`: the benchmarks, the files that each expects, and where to get them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.table import Table

from hawkeye.config import ConfigError, load_settings
from hawkeye.evaluation.settings import AnnotationFile, EvaluationSettings

BENCHMARKS = Path("configs/eval")
"""The folder whose configurations are listed."""


@dataclass(frozen=True)
class Benchmark:
    """What a configuration of an evaluation expects."""

    configuration: Path
    annotations: tuple[Path, ...]
    videos: tuple[Path, ...]
    source: str

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON; each path with whether it is there."""
        return {
            "configuration": str(self.configuration),
            "annotations": {str(path): path.is_file() for path in self.annotations},
            "videos": {str(path): path.is_dir() for path in self.videos},
            "source": self.source,
        }


def list_benchmarks(folder: Path, overrides: Sequence[str] = ()) -> list[Benchmark]:
    """What each configuration of a folder expects.

    Args:
        folder: of configurations.
        overrides: `key=value` for all of them, such as `data_dir=FOLDER`.

    Raises:
        ConfigError: if there is no configuration in it, or one is wrong.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise ConfigError(f"{folder}: holds no configurations (.yaml); run this from the project's folder or name one")
    return [_benchmark(path, load_settings(path, EvaluationSettings, overrides)) for path in paths]


def _benchmark(path: Path, settings: EvaluationSettings) -> Benchmark:
    files: list[AnnotationFile] = [*settings.grounding, *settings.videoqa.values()]
    annotations = sorted(settings.data_dir / file.annotations for file in files)
    videos = dict.fromkeys(settings.data_dir / (file.videos or settings.videos) for file in files)
    return Benchmark(path, tuple(annotations), tuple(videos), settings.source)


def benchmarks_table(benchmarks: Sequence[Benchmark]) -> Table:
    """One row per benchmark: which files it expects, whether they are there, where to get them."""
    table = Table(title="Benchmarks", show_lines=True)
    for heading in ("configuration", "annotations (there / expected)", "videos", "where from"):
        table.add_column(heading, overflow="fold")
    for benchmark in benchmarks:
        annotations = []
        for parent, group in groupby(benchmark.annotations, key=lambda path: path.parent):
            inside = list(group)
            there = sum(path.is_file() for path in inside)
            names = [path.name for path in inside] if len(inside) <= 4 else [f"{len(inside)} files"]
            annotations.append(f"{parent}/: {', '.join(names)} ({there}/{len(inside)})")
        videos = [f"{path} ({'there' if path.is_dir() else 'missing'})" for path in benchmark.videos]
        table.add_row(str(benchmark.configuration), "\n".join(annotations), "\n".join(videos), benchmark.source)
    return table

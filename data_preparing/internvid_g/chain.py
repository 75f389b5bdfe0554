"""The stages in their order, and the engines that run them."""

from __future__ import annotations

from collections.abc import Sequence

from data_preparing.internvid_g.captions import Caption
from data_preparing.internvid_g.download import Download
from data_preparing.internvid_g.local_engine import run_local
from data_preparing.internvid_g.merging import Merge
from data_preparing.internvid_g.negative_spans import NegativeSpans
from data_preparing.internvid_g.ray_engine import run_ray
from data_preparing.internvid_g.runner import Engine, Stage, StageReport, run_stage
from data_preparing.internvid_g.scenes import Scenes
from data_preparing.internvid_g.scoring import Filter, Score
from data_preparing.internvid_g.settings import ChainSettings
from data_preparing.internvid_g.similarity import Similarity

STAGES: tuple[type[Stage], ...] = (Download, Scenes, Similarity, Merge, Caption, Score, Filter, NegativeSpans)
ENGINES: dict[str, Engine] = {"local": run_local, "ray": run_ray}


def stages_of(name: str, settings: ChainSettings) -> list[type[Stage]]:
    """The stages that a name means: one, or with "all" every one (download only if there are ids)."""
    if name != "all":
        return [stage for stage in STAGES if stage.name == name]
    return [stage for stage in STAGES if stage is not Download or settings.download.ids is not None]


def run_chain(stages: Sequence[type[Stage]], settings: ChainSettings) -> list[StageReport]:
    """Runs stages one after another; see `run_stage`.

    Raises:
        AnnotationError: if a stage's input is missing or cannot be read.
        ConfigError: if a model or the engine is not available.
    """
    return [run_stage(stage(settings), ENGINES[settings.engine]) for stage in stages]

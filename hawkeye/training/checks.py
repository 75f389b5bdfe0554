"""What is looked at before the first step: the sources' rows, and their videos."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedConfig

from hawkeye import processes
from hawkeye.annotations import WAY_OUT, AnnotationError
from hawkeye.config import ConfigError, SourceSettings, StageSettings, TrainSettings
from hawkeye.data.frame_cache import FrameCache
from hawkeye.data.frames import FrameStore
from hawkeye.data.instruction import Record
from hawkeye.data.packed import Packed
from hawkeye.data.sources import Source, read_source
from hawkeye.data.video import VideoError, open_video
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.pools import available_cores
from hawkeye.prompts import VISUAL_MARKER, Turn, conversation, frames_message

logger = logging.getLogger(__name__)

OPENED_PER_SOURCE = 20
"""Videos of each source that are opened before training; all are looked for."""
BATCHES_PER_WORKER = 3
"""Batches of a loader process that are in shared memory at once: two that it has prepared (torch's default), and the
one that is in use."""
SHOWN = 5
"""Problems of each source that are told one by one."""


def check_precision(settings: TrainSettings, model: nn.Module) -> None:
    """Refuses number formats that this machine, or this run, cannot calculate with.

    Raises:
        ConfigError: naming the setting, and those that work.
    """
    if settings.precision == "float16" and not torch.accelerator.is_available():
        raise ConfigError("precision float16 needs a GPU, and there is none: bfloat16 or float32 trains on a CPU")
    frozen = any(not weight.requires_grad for weight in model.parameters())
    # A GPU's autocast turns every operation's inputs to one type, a CPU's does not.
    fitting = ["float32", settings.precision]
    if torch.accelerator.is_available() and settings.precision != "float32":
        fitting = ["float32", "float16", "bfloat16"]
    if frozen and settings.frozen_precision not in fitting:
        raise ConfigError(
            f"frozen_precision {settings.frozen_precision} does not go with precision {settings.precision} here: "
            f"set it to {' or '.join(dict.fromkeys(fitting))}"
        )


def read_sources(settings: TrainSettings) -> dict[str, Source]:
    """Reads and checks every source of a run.

    Raises:
        AnnotationError: naming file and row; or the missing sources, unless they are allowed to be.
    """
    sources, missing = {}, []
    for name, source in settings.sources.items():
        if not (settings.data_dir / source.annotations).exists():
            missing.append(f"{name} ({settings.data_dir / source.annotations})")
        else:
            skips = skips_bad_rows(settings, source)
            sources[name] = read_source(name, source, settings.data_dir, settings.seed, skip_bad_rows=skips)
    if missing and not (settings.allow_missing_sources and sources):
        raise AnnotationError(
            f"{len(missing)} of {len(settings.sources)} sources are missing: {', '.join(missing)}; "
            "allow_missing_sources=true trains on the others"
        )
    for name in missing:
        logger.warning("source %s is missing, and left out", name)
    for name, found in sources.items():
        _warn_of_skipped(name, found.skipped)
    return sources


def skips_bad_rows(settings: TrainSettings, source: SourceSettings) -> bool:
    """Whether a source's bad rows are left out: as it says itself, or as the run does."""
    return settings.skip_bad_rows if source.skip_bad_rows is None else source.skip_bad_rows


def _warn_of_skipped(name: str, problems: Sequence[str]) -> None:
    for problem in problems[:SHOWN]:
        logger.warning("source %s: left out: %s", name, problem)
    if len(problems) > SHOWN:
        logger.warning("source %s: left out: %d more bad rows", name, len(problems) - SHOWN)


def check_lengths(
    settings: TrainSettings, sources: Mapping[str, Source], processor: HawkEyeProcessor, config: PreTrainedConfig
) -> dict[str, Source]:
    """The sources without the rows that are longer than the language model's context, if the run cuts nothing.

    Raises:
        AnnotationError: naming the first of them, unless bad rows are left out.
    """
    context = context_of(config)
    if settings.max_text_tokens is not None or context is None:
        return dict(sources)
    # What a row is shown with differs a little from window to window: other times, other numbers in a template.
    message = frames_message([9999.9] * config.num_frames)
    checked = {}
    for name, source in sources.items():
        problems = []
        records = []
        for record in source.records:
            length = _length(record, message, processor, context)
            if length <= context:
                records.append(record)
                continue
            problem = f"{record.place}: its conversation has {length} tokens, but the model's context {context}"
            if not skips_bad_rows(settings, source.settings):
                raise AnnotationError(f"{problem}; max_text_tokens cuts what is longer {WAY_OUT}")
            problems.append(problem)
        if problems:
            if not records:
                raise AnnotationError(f"source {name!r}: no row is good: {problems[0]}")
            _warn_of_skipped(name, problems)
            source = replace(source, records=Packed(records), skipped=(*source.skipped, *problems))
        checked[name] = source
    return checked


def check_shared_memory(stage: StageSettings, workers: int, batch_bytes: int) -> None:
    """Refuses loaders that would wait for shared memory for ever: each holds batches there until they are used.

    Raises:
        ConfigError: saying how much there is, how much it takes, and the ways out.
    """
    shared = Path("/dev/shm")
    if not workers or not shared.is_dir():  # other systems have no such limit
        return
    needed = workers * BATCHES_PER_WORKER * batch_bytes * processes.count_on_node()
    free = shutil.disk_usage(shared).free
    if needed > free:
        raise ConfigError(
            f"stage {stage.name!r}: its loaders need {needed / 1e6:.0f} MB of shared memory, and {shared} has "
            f"{free / 1e6:.0f} MB free: give more (docker run --shm-size), or lower num_workers ({workers}; 0 needs "
            "none) or windows_per_process"
        )


def context_of(config: PreTrainedConfig) -> int | None:
    """Positions of a model's language model; None where it does not say."""
    context: int | None = getattr(config.text_config, "max_position_embeddings", None)
    return context


def _length(record: Record, message: str, processor: HawkEyeProcessor, context: int) -> int:
    """Tokens of the longest conversation about a row; an upper bound where that is short enough."""
    visual = 0 if record.video is None else processor.num_visual_tokens
    lead = message if record.video is not None else record.text or ""
    longest = 0
    alternatives: list[tuple[Turn, ...]] = [(turn,) for turn in (record.turn_by_choice or {}).values()]
    for turns in alternatives or [record.turns]:
        text = conversation(turns, lead)
        # No token is shorter than a byte; a beginning-of-sequence token and the numbers of a template come on top.
        bound = len(text.encode()) + visual + 20
        longest = max(longest, bound if bound <= context else _count(text, processor, visual))
    return longest


def _count(text: str, processor: HawkEyeProcessor, visual: int) -> int:
    return len(processor.tokenizer(text.replace(VISUAL_MARKER, ""), add_special_tokens=False).input_ids) + visual + 1


@dataclass(frozen=True)
class VideoCheck:
    """What was found of a source's videos; not all of those found were opened."""

    found: int
    missing: int
    opened: int
    unreadable: int


def check_videos(
    settings: TrainSettings, sources: Mapping[str, Source], frames: FrameStore | None = None
) -> dict[str, VideoCheck]:
    """Looks for every video; decodes all of them into the cache, or opens a sample where `frames` is none.

    Raises:
        VideoError: naming videos that are missing or cannot be read, past the share that the run allows.
    """
    checks = {}
    for source in sources.values():
        paths = {path: None for record in source.records if (path := source.video_path(record))}
        there = {path: path.exists() for path in paths}
        found = [path for path in paths if there[path]]
        missing = [f"{path}: no such file" for path in paths if not there[path]]
        if isinstance(frames, FrameCache):
            opened = len(found)
            unreadable = list(frames.fill(sorted(found), available_cores(), source.settings.fps).values())
        else:
            opened = min(OPENED_PER_SOURCE, len(found))
            unreadable = _failures(source, found, opened, settings.seed)
        failures = missing + unreadable
        for failure in failures[:SHOWN]:
            logger.warning("source %s: %s", source.name, failure)
        if len(failures) > settings.max_unreadable_ratio * len(paths):
            raise VideoError(
                f"source {source.name!r}: {len(failures)} of {len(paths)} videos cannot be read, more than "
                f"max_unreadable_ratio={settings.max_unreadable_ratio:g} allows: {'; '.join(failures[:3])}"
            )
        checks[source.name] = VideoCheck(len(found), len(missing), opened, len(unreadable))
    return checks


def _failures(source: Source, paths: Sequence[Path], number: int, seed: int) -> list[str]:
    rng = np.random.default_rng([seed, *source.name.encode()])
    failures = []
    for index in rng.choice(len(paths), number, replace=False) if paths else ():
        try:
            open_video(paths[index], fps=source.settings.fps).close()
        except VideoError as error:
            failures.append(str(error))
    return failures

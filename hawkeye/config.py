"""Run configurations: typed, read from YAML, with parents (`extends:`, one or several) and `key=value` overrides."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hawkeye.parsing import MAX_DEPTH, ParseError, parse_yaml, read_text


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the file, the field and the value."""


class Settings(BaseModel):
    """Base of all configurations: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class ModelSettings(Settings):
    """Sizes of a model, and what it reads (`configs/model/*.yaml`)."""

    config: dict[str, Any] = Field(description="Fields of HawkEyeConfig.")
    image_size: int = Field(224, gt=0, description="Side of the square frames that the encoder sees, in pixels.")
    tokenizer: Literal["words", "pretrained"] = Field(
        "words", description="A word-level vocabulary made from the sources; or those that come with published weights."
    )
    qformer_start: Literal["random", "resemblance"] = Field(
        "random",
        description="Random weights of the Q-Former; or such that it looks at what resembles the words that it reads.",
    )
    train_statistics: Literal["clip", "imagenet"] = Field("clip", description="Frames are normalised so in training.")
    eval_statistics: Literal["clip", "imagenet"] = Field("clip", description="The same in evaluation.")


class SourceSettings(Settings):
    """One HawkEye-IT instruction file and the videos it speaks of; paths start from the run's `data_dir`."""

    annotations: Path = Field(description="The instruction file, a JSON list.")
    videos: Path | None = Field(None, description="Folder that the rows' video names start from; none for text rows.")
    file: str = Field(
        "{name}",
        description="Where in that folder a row's video lies: {name}, its {stem}, {suffix}, {stem:.3} (three letters "
        "of it), {thousands} (the thousand that its number is in, '03000-04000'). A final .* stands for any ending: a "
        "folder of frames, or .mp4, .mkv, .webm and the like.",
    )
    fps: float | None = Field(None, gt=0, description="Frames per second of folders of frames.")
    where: str = Field("", description="Where to get the annotations and the videos.")
    max_examples: int | None = Field(None, gt=0, description="A random sample of so many rows; all by default.")
    skip_bad_rows: bool | None = Field(
        None, description="Leave this file's bad rows out, and count them; null: as the run's `skip_bad_rows` says."
    )
    windows: Literal["crop", "path"] = Field(
        "crop", description="How a window around a segment is drawn: the paper's crops, or those recursion meets."
    )
    labels: Literal["drawn", "best"] = Field(
        "drawn",
        description="The answer about a segment in a crop: the choice that the crop was drawn for (the paper's), or "
        "the one after which recursion ends best (the shipped model's).",
    )
    shuffle_turns: bool = Field(
        True, description="Show the turns of a conversation in a random order (the original's); false keeps the row's."
    )
    represent: Literal["choice", "seconds", "frames", "caption", "timed_caption"] = Field(
        "choice",
        description="How rows about a segment say where it is: one of four parts; numbers in their templates; "
        "not at all, the window is the segment; or in words before or after the caption, without roles.",
    )


class StageSettings(Settings):
    """One phase of a curriculum: what is shown, for how many optimiser steps, at which learning rate."""

    name: str = Field(
        pattern=r"^\w[\w .+-]*$",
        max_length=100,
        description="Folder of the stage's checkpoints and name of its curve: letters, digits and single signs.",
    )
    objective: Literal["answers", "words"] = Field(
        "answers", description="The model learns the answers; or its encoder alone which words of them a window shows."
    )
    steps: int | None = Field(None, gt=0, description="Optimiser steps; or `epochs`.")
    epochs: float | None = Field(None, gt=0, description="How often all rows of all sources are shown; or `steps`.")
    windows_per_step: int = Field(gt=0, description="Windows (or text rows) in one step, of all processes together.")
    windows_per_process: int | None = Field(
        None,
        gt=0,
        description="The most that one process holds at a time; a step takes several such batches if need be.",
    )
    questions_per_window: int = Field(1, gt=0, description="At most so many questions share one window's frames.")
    num_frames: int | None = Field(
        None, gt=0, description="Frames shown, chosen among the model's positions; as many as the model has by default."
    )
    learning_rate: float = Field(
        gt=0, le=1, description="Peak learning rate: about how far a step moves each weight, so hardly above 0.01."
    )
    warmup_steps: int = Field(20, ge=0, description="Steps of linear warm-up.")
    warmup_epochs: float | None = Field(None, ge=0, description="The same in epochs, in place of `warmup_steps`.")
    schedule: Literal["cosine", "clamped_cosine"] = Field(
        "cosine",
        description="The cosine falls to `min_lr_ratio`; or it falls to zero, and neither warm-up nor cosine "
        "goes below `min_lr_ratio` (the original's).",
    )
    min_lr_ratio: float = Field(0.0, ge=0, le=1, description="The lowest learning rate, as a share of the peak.")
    sources: dict[str, float] | None = Field(
        None, min_length=1, description="Source name to its share of the windows; all sources by their rows where none."
    )

    @model_validator(mode="after")
    def _one_length(self) -> StageSettings:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("a stage has either 'steps' or 'epochs'")
        if self.sources is not None and (self.epochs is not None or self.warmup_epochs is not None):
            raise ValueError("'epochs' counts all rows of all sources, so it does not go with shares in 'sources'")
        return self


class AnswerWeights(Settings):
    """How much an answer's tokens count in the loss."""

    letter: float = Field(1.0, ge=0, description="Weight of the letter or phrase that decides a multiple choice.")
    rest: float = Field(1.0, ge=0, description="Weight of the other words of such an answer.")


class FrameCacheSettings(Settings):
    """Decoded frames at the model's input size, kept on disk: each video is decoded once."""

    dir: Path = Field(Path("frames"), description="Folder in `data_dir`; may be deleted at any time.")
    max_fps: float = Field(5.0, gt=0, description="Frames kept per second of video.")


class TrainSettings(Settings):
    """One training run."""

    name: str = Field(description="Name of the run.")
    source: str = Field("", description="Where to get the data, for sources that do not say it.")
    model: Path = Field(description="A model directory to start from, or a YAML of sizes for random weights.")
    output_dir: Path = Field(description="Where checkpoints, logs and the final model go.")
    seed: int = Field(0, ge=0, description="Decides weights, order and every random choice.")
    data_dir: Path = Field(Path(), description="Folder that annotation files, videos and cache are in.")
    sources: dict[str, SourceSettings] = Field(min_length=1, description="The instruction files, by name.")
    stages: list[StageSettings] = Field(min_length=1, description="The curriculum, in order.")
    optimizer: Literal["adamw", "muon"] = Field("adamw", description="Muon applies to matrices, AdamW to the rest.")
    weight_decay: float = Field(0.02, ge=0, description="On matrices alone.")
    max_grad_norm: float | None = Field(1.0, gt=0, description="Gradients are clipped to this norm; null: not at all.")
    precision: Literal["float32", "float16", "bfloat16"] = Field("float32", description="Of autocast, if not float32.")
    frozen_precision: Literal["float32", "float16", "bfloat16"] = Field(
        "float32",
        description="Type of the weights that do not train, in memory; where the model's files have them in it, the "
        "processes of a node share them until they move to a device.",
    )
    quantization: Literal["8bit", "4bit"] | None = Field(
        None, description="Of the language model's own weights, while its adapters train (bitsandbytes)."
    )
    deepspeed: Path | None = Field(None, description="A DeepSpeed configuration, such as configs/deepspeed/zero2.json.")
    export_checkpoints: bool = Field(
        False,
        description="Write the trained weights under the original's names, as ckpt_STEP.pth, with each checkpoint.",
    )
    keep_checkpoints: int | None = Field(
        2, gt=0, description="Newest checkpoints of a stage, and exported ones of the run, that are kept; null: all."
    )
    saved_precision: Literal["float32", "float16", "bfloat16"] = Field(
        "float32",
        description="Type of the final weights on disk; frozen ones stay in `frozen_precision` where that is smaller.",
    )
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory, a third slower.")
    answer_weights: AnswerWeights = AnswerWeights()
    max_text_tokens: int | None = Field(
        None,
        gt=0,
        description="Tokens of a conversation beside its visual ones: longer ones are cut at their end, and counted "
        "(paper: 512); null: nothing is cut, and rows longer than the model's context are bad rows.",
    )
    frozen: list[str] = Field([], description="Modules of the model that do not train, such as vision_encoder.")
    weights: list[Path] = Field([], description="Checkpoints laid over the model before training, such as ckpt_9.pth.")
    frame_cache: FrameCacheSettings | None = Field(
        FrameCacheSettings(), description="Where decoded frames are kept; null decodes them whenever they are shown."
    )
    augment: bool = Field(False, description="Crop frames at random and mirror half of the windows; not from a cache.")
    skip_bad_rows: bool = Field(False, description="Leave bad rows of the annotation files out, and count them.")
    allow_missing_sources: bool = Field(False, description="Train on the sources that are there.")
    max_unreadable_ratio: float = Field(
        0.01, ge=0, le=1, description="The run stops when a larger share of its samples cannot be read."
    )
    max_skipped_steps: int = Field(
        10, ge=0, description="The run stops when more batches have a loss that is no number."
    )
    num_workers: int = Field(1, ge=0, description="Processes that prepare batches.")
    save_steps: int = Field(500, gt=0, description="Steps between checkpoints.")
    logging_steps: int = Field(20, gt=0, description="Steps between figures in the log.")
    dry_run: bool = Field(False, description="Say what would happen, and with how much memory; run no step.")

    @field_validator("sources", mode="before")
    @classmethod
    def _without_those_left_out(cls, sources: Any) -> Any:
        """`sources.NAME=null` leaves out a source that a parent has."""
        if not isinstance(sources, Mapping):
            return sources
        return {name: source for name, source in sources.items() if source is not None}

    @model_validator(mode="after")
    def _stages_have_folders_of_their_own(self) -> TrainSettings:
        names = [stage.name.lower() for stage in self.stages]  # some file systems take "One" for "one"
        for stage in self.stages:
            if names.count(stage.name.lower()) > 1:
                raise ValueError(f"two stages have the name {stage.name!r}, and so one folder")
            if stage.name.lower() in ("model", "train.log", "config.yaml", "data.json", "curve.png"):
                raise ValueError(f"a stage cannot have the name {stage.name!r}, which the run itself writes")
        return self

    @model_validator(mode="after")
    def _deepspeed_trains_answers(self) -> TrainSettings:
        words = [stage.name for stage in self.stages if stage.objective == "words"]
        if words and self.deepspeed is not None:
            raise ValueError(f"stage {words[0]!r}: objective 'words' trains without 'deepspeed'")
        return self


SettingsType = TypeVar("SettingsType", bound=Settings)


def load_settings(path: Path, kind: type[SettingsType], overrides: Sequence[str] = ()) -> SettingsType:
    """Reads a configuration, its parents and the overrides.

    Args:
        path: a YAML file; its key `extends` names a parent, relative to the file.
        kind: the class to check against.
        overrides: `key=value`, with dots for nested keys ("stages.0.steps=10"); values are YAML.

    Raises:
        ConfigError: naming the file, the field and the value.
    """
    values = read_yaml(path)
    for override in overrides:
        _override(values, override)
    return check_settings(values, kind, str(path))


def check_settings(values: Mapping[str, Any], kind: type[SettingsType], where: str) -> SettingsType:
    """Makes `kind` of plain values.

    Raises:
        ConfigError: listing every field that is wrong.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [_explain(dict(problem), kind) for problem in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(lines)) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping with its parents merged in; what the child says wins.

    Raises:
        ConfigError: if a file is missing, is not YAML or is not a mapping, or extends itself.
    """
    return _read_yaml(Path(path), (), {})


def _read_yaml(path: Path, children: tuple[Path, ...], known: dict[Path, dict[str, Any]]) -> dict[str, Any]:
    """`known` holds the files that were read already: two that extend the same ones would read them again and again."""
    if path in children:
        raise ConfigError(f"{path}: extends itself through {' -> '.join(map(str, children))}")
    if path in known:
        return known[path]
    try:
        values = parse_yaml(read_text(path))
    except FileNotFoundError:
        siblings = sorted(str(other) for other in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such configuration{_nearest(str(path), siblings)}") from None
    except ParseError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold a mapping of fields, not {type(values).__name__}")
    if odd := [key for key in values if not isinstance(key, str)]:
        raise ConfigError(f"{path}: field names are texts, not {odd[0]!r}")
    parents = values.pop("extends", [])
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(parent, str) and parent for parent in parents):
        raise ConfigError(f"{path}: 'extends' must be the name of a configuration or a list of names, not {parents!r}")
    if len(children) >= MAX_DEPTH:
        raise ConfigError(f"{path}: configurations extend each other more than {MAX_DEPTH} deep")
    merged: dict[str, Any] = {}
    for parent in parents:
        merged = merge(merged, _read_yaml(path.parent / parent, (*children, path), known))
    known[path] = merge(merged, values)
    return known[path]


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it; mappings merge key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {override!r}: write it as key=value, for example seed=1")
    try:
        value = parse_yaml(text)
    except ParseError:
        raise ConfigError(f"override {override!r}: {text!r} is not a YAML value") from None
    *parents, last = key.split(".")
    node: Any = values
    for depth, part in enumerate(parents):
        if isinstance(node, list):
            node = node[_index(node, part, override)]
        elif isinstance(node, dict):
            node = node.setdefault(part, {})
        else:
            raise ConfigError(f"override {override!r}: {'.'.join(parents[:depth])} holds no fields")
    if value is None and parents == ["sources"] and last not in node:
        raise ConfigError(f"override {override!r}: there is no source {last!r} to leave out{nearest(last, list(node))}")
    if isinstance(node, list):
        node[_index(node, last, override)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise ConfigError(f"override {override!r}: {'.'.join(parents)} holds no fields")


def _index(items: list[Any], text: str, override: str) -> int:
    if not text.isdecimal() or len(text) > 9 or int(text) >= len(items):
        raise ConfigError(f"override {override!r}: {text!r} is no index into {len(items)} items (0 is the first)")
    return int(text)


def _explain(problem: dict[str, Any], kind: type[Settings]) -> str:
    location = problem["loc"]
    field = ".".join(map(str, location))
    if problem["type"] == "extra_forbidden":
        return f"unknown field {field!r}{_hint(location, kind)}"
    if problem["type"] == "missing":
        return f"field {field!r} is missing"
    if problem["type"] == "value_error":  # of a rule about several fields
        message = problem["msg"].removeprefix("Value error, ")
        return f"{field}: {message}" if field else message
    return f"field {field!r} is {problem['input']!r}: {problem['msg']}"


def _hint(location: Sequence[str | int], kind: type[Settings]) -> str:
    """Which field was meant by an unknown one: the nearest that may stand there, or where one of its name belongs."""
    here: type[Settings] | None = kind
    for part in location[:-1]:
        if here is not None and isinstance(part, str) and part in here.model_fields:
            here = _nested(here.model_fields[part].annotation)
    name = str(location[-1])
    if name in kind.model_fields:
        return f"; {name!r} stands at the top of the configuration"
    for field, info in kind.model_fields.items():
        below = _nested(info.annotation)
        if below is not None and name in below.model_fields:
            return f"; it is a field of {field!r}"
    return _nearest(name, list(here.model_fields)) if here is not None else ""


def _nested(annotation: Any) -> type[Settings] | None:
    """The settings that a field holds, alone or as items."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    return next(filter(None, map(_nested, get_args(annotation))), None)


def _nearest(name: str, known: Sequence[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def nearest(name: str, known: Sequence[str]) -> str:
    """ "; did you mean 'x'?" for the known name most like `name`, or the list of all of them."""
    return _nearest(name, known) or f"; known are {', '.join(map(repr, known))}"


def differences(known: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """What two settings, in JSON's types, say differently: "seed was 0 and is 1"; items with names go by them."""
    found = []
    for key in dict.fromkeys([*known, *new]):
        before, now = (_by_name(settings.get(key)) for settings in (known, new))
        if isinstance(before, dict) and isinstance(now, dict):
            found += differences(before, now, f"{prefix}{key}.")
        elif before != now:
            found.append(f"{prefix}{key} was {json.dumps(before)} and is {json.dumps(now)}")
    return found


def _by_name(value: Any) -> Any:
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return {item["name"]: item for item in value}
    return value

"""A model ready to use: `load_model("tiny").ground("video.mp4", "the red circle jumps")`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils import logging

from hawkeye.asking import AskOptions, GroundOptions, Pipeline, Video
from hawkeye.config import ConfigError, nearest
from hawkeye.conversation import Answer
from hawkeye.devices import find_device
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.grounding import Grounding
from hawkeye.evaluation.responses import Responses
from hawkeye.inputs import path_of, whole_number
from hawkeye.models.foreign import one_line_errors
from hawkeye.models.quantization import check_quantized, quantization_config
from hawkeye.models.saved import load_whole, shipped_models

if TYPE_CHECKING:
    from typing_extensions import Unpack

MOST_FRAMES = 1000
"""Frames of a window, each with its time in the prompt: more than any language model reads of both."""

NOTES = {
    "tiny": "the model 'tiny' knows only the world of shapes (python -m data_preparing.shapes makes such videos): "
    "about any other video its answers mean nothing, however confident they are; for real videos use a model that "
    "'hawkeye convert' makes of published weights (--model DIRECTORY, or load_model(DIRECTORY))"
}
"""What must be known of the models that ship with the package."""

DTYPES = ("float32", "float16", "bfloat16", "auto")
QUANTIZATIONS = ("8bit", "4bit")


def model_directory(name: str | Path) -> Path:
    """Where the files of a model are: one that ships with the package, or a directory that holds one.

    Raises:
        ConfigError: if there is none; it names the nearest.
    """
    directory = shipped_models().get(str(name)) or path_of(name, "model")
    # os.path, unlike pathlib, takes a name that is too long for one that is not there.
    if os.path.isfile(directory) or (
        not os.path.isdir(directory) and directory.suffix in (".pth", ".pt", ".safetensors")
    ):
        raise ConfigError(
            f"model {str(name)!r}: a model is a directory, and this names a file of weights; "
            f"'hawkeye convert BASE_MODEL {directory} --output DIRECTORY' puts a checkpoint together with its base"
        )
    if not os.path.isfile(directory / "config.json"):
        hint = nearest(str(name), list(shipped_models()))
        raise ConfigError(f"model {str(name)!r}: no such model, and no directory that holds one{hint}")
    return directory


def load_model(
    name: str | Path = "tiny",
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
    device_map: str | dict[str, str | int] | None = None,
    quantization: str | None = None,
    batch_size: int = 16,
    num_frames: int | None = None,
) -> Pipeline:
    """Loads a model that ships with the package, or one saved in a directory.

    Args:
        name: "tiny", or a directory that `save_pretrained` or `hawkeye convert` wrote.
        device: where to run; by default the accelerator if there is one, else the CPU.
        dtype: of the weights: "float32", "float16" or "bfloat16", or torch's own; "auto" is bfloat16 on an accelerator
            and float32 elsewhere.
        device_map: "auto" spreads a model that is too large for one device over all of them (accelerate); or a map of
            its own, from modules to devices. In place of `device`.
        quantization: "8bit" or "4bit" weights of the language model (bitsandbytes).
        batch_size: windows, or prompts, that go through the model together.
        num_frames: frames that the model is shown of a window, if not those that it was trained with; the positions
            are interpolated.

    Raises:
        ValueError: if `batch_size` or `num_frames` is no positive whole number.
        ConfigError: if there is no such model, device, type or quantisation (it names the nearest), or the directory
            does not hold a model that can be loaded.
    """
    batch_size = whole_number(batch_size, "batch_size", least=1)
    dtype = str(dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise ConfigError(f"dtype {dtype!r}{nearest(dtype, DTYPES)}")
    if quantization not in (None, *QUANTIZATIONS):
        raise ConfigError(f"quantization {quantization!r}{nearest(str(quantization), QUANTIZATIONS)}")
    if device is not None and device_map is not None:
        raise ConfigError(
            f"device {str(device)!r} and device_map {device_map!r} are given: one of them places the model"
        )
    directory = model_directory(name)
    target = find_device(device)
    if dtype == "auto":
        dtype = "float32" if target.type == "cpu" else "bfloat16"
    options: dict[str, Any] = {"dtype": getattr(torch, dtype)}
    if quantization is not None:
        options["quantization_config"] = quantization_config(quantization, options["dtype"])
    if quantization is not None or device_map is not None:
        options["device_map"] = device_map or {"": target}  # the library places such models as it loads them
    try:
        responses = Responses.load(directory)
        with _progress_of_large_models(directory):
            model, processor = load_whole(directory, **options)
        if quantization is not None:
            check_quantized(model, quantization)
    except ValueError as error:
        why = str(error).removeprefix(f"{directory}: ")
        raise ConfigError(f"model {directory}: cannot be loaded ({why})") from None
    if num_frames is not None:
        model.config.num_frames = whole_number(num_frames, "num_frames", least=1, most=MOST_FRAMES)
    if "device_map" not in options:
        with one_line_errors(f"model {directory}: cannot be moved to the device {str(target)!r}"):
            model.to(target)  # type: ignore[arg-type]  # the library's wrapper hides its self
    answerer = Answerer(model, processor, batch_size=batch_size, responses=responses)
    return Pipeline(answerer, name=str(name), note=_note(directory))


def _note(directory: Path) -> str | None:
    """What must be known of a model that ships with the package, however its directory is named."""
    shipped = {path.resolve(): name for name, path in shipped_models().items()}
    return NOTES.get(shipped.get(directory.resolve(), ""))


@contextmanager
def _progress_of_large_models(directory: Path) -> Iterator[None]:
    """Hides the library's progress bar where loading is a matter of a second."""
    is_small = sum(file.stat().st_size for file in directory.glob("*.safetensors")) < 1e9
    if not (is_small and logging.is_progress_bar_enabled()):
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def ground_video(
    video: Video, query: str, *, model: str | Path = "tiny", **options: Unpack[GroundOptions]
) -> Grounding:
    """`load_model(model).ground(video, query, ...)`: one query, from the file."""
    return load_model(model).ground(video, query, **options)


def ask_video(
    video: Video,
    question: str,
    options: Sequence[str] | None = None,
    *,
    model: str | Path = "tiny",
    **settings: Unpack[AskOptions],
) -> Answer:
    """`load_model(model).ask(video, question, options, ...)`: one question, from the file."""
    return load_model(model).ask(video, question, options, **settings)

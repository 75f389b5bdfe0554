"""A model ready to use: `load_model("tiny").ground("video.mp4", "the red circle jumps")`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, overload

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers.utils import logging

from hawkeye.config import ConfigError, nearest
from hawkeye.data.video import open_video
from hawkeye.evaluation import videoqa
from hawkeye.evaluation.answering import LONGEST_TIME, Answerer, Question, View
from hawkeye.evaluation.grounding import Grounding, Query, check_grounding
from hawkeye.evaluation.responses import Responses
from hawkeye.evaluation.search import find
from hawkeye.evaluation.settings import Strategy
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.models.quantization import quantization_config
from hawkeye.prompts import QA_INSTRUCTION, open_prompt
from hawkeye.temporal import MAX_TURNS, Span

if TYPE_CHECKING:
    from typing_extensions import Unpack

DTYPES = ("float32", "float16", "bfloat16", "auto")
QUANTIZATIONS = ("8bit", "4bit")


@dataclass(frozen=True)
class Answer:
    """An answer to a question: its text, and with options how probable each is."""

    text: str
    probabilities: dict[str, float] | None = None


class GroundOptions(TypedDict, total=False):
    """Options of `Pipeline.ground`."""

    max_turns: int
    seed: int
    fps: float | None
    strategy: Strategy | None


class Pipeline:
    """A model and its processor, with the two things that one asks of them.

    Attributes:
        answerer: asks the model about windows; what `hawkeye.evaluation` works with.
    """

    def __init__(self, answerer: Answerer) -> None:
        self.answerer = answerer

    @property
    def model(self) -> HawkEye:
        """The model."""
        return self.answerer.model

    @property
    def processor(self) -> HawkEyeProcessor:
        """Its tokenizers and image settings."""
        return self.answerer.processor

    @overload
    def ground(self, video: str | Path, query: str, **options: Unpack[GroundOptions]) -> Grounding: ...

    @overload
    def ground(
        self, video: str | Path, query: list[str] | tuple[str, ...], **options: Unpack[GroundOptions]
    ) -> list[Grounding]: ...

    def ground(
        self,
        video: str | Path,
        query: str | list[str] | tuple[str, ...],
        *,
        max_turns: int = MAX_TURNS,
        seed: int = 0,
        fps: float | None = None,
        strategy: Strategy | None = None,
    ) -> Grounding | list[Grounding]:
        """Finds when something happens in a video.

        Args:
            video: a video file, a GIF or a folder of frames.
            query: a sentence, or several; several come back as a list.
            max_turns: at most so many questions a query.
            seed: with the query, decides the order of the options.
            fps: frames per second of a folder of frames.
            strategy: "recursive" or "belief"; by default the better one for the model (`hawkeye.evaluation.search`).

        Raises:
            VideoError: naming the file and what is wrong with it.
            ValueError: if a query is empty or longer than the model reads, before the video is opened.
        """
        queries = [query] if isinstance(query, str) else list(query)
        for text in queries:
            check_grounding(self.answerer, text)
            self.warn_of_unknown_words(text)
        with open_video(video, fps=fps) as reader:
            self._warn_of_length(reader.path, reader.duration)
            asked = [Query(reader, text, text) for text in queries]
            found = find(self.answerer, asked, strategy=strategy, max_turns=max_turns, seed=seed)
        return found[0] if isinstance(query, str) else found

    def ask(
        self,
        video: str | Path,
        question: str,
        options: Sequence[str] | None = None,
        *,
        window: Span | None = None,
        fps: float | None = None,
        max_new_tokens: int = 60,
    ) -> Answer:
        """Answers a question about a video: by one of `options`, or freely where there are none.

        Args:
            video: a video file, a GIF or a folder of frames.
            window: the part of it to show, in seconds; all of it by default.
            fps: frames per second of a folder of frames.
            max_new_tokens: longest free answer.

        Raises:
            VideoError: naming the file and what is wrong with it.
            ValueError: if the question is empty or longer than the model reads, or there is one option alone; before
                the video is opened.
        """
        options = tuple(options or ())
        if options:
            videoqa.check_choice(self.answerer, question, options)
        elif question.strip():
            self.answerer.check(open_prompt(question, [LONGEST_TIME] * self.answerer.num_frames), 0)
        else:
            raise ValueError("the question is empty")
        self.warn_of_unknown_words(" ".join([question, *options]))
        with open_video(video, fps=fps) as reader:
            self._warn_of_length(reader.path, reader.duration)
            if options:
                asked = videoqa.ChoiceQuestion(reader, question, options, window)
                (found,) = videoqa.answer(self.answerer, [asked])
                return Answer(options[found.index], dict(zip(options, found.probabilities)))
            (glimpse,) = self.answerer.look([View(reader, window, QA_INSTRUCTION, question)])
        prompt = Question(open_prompt(question, list(glimpse.seconds)), glimpse, 0)
        (text,) = self.answerer.generate([prompt], max_new_tokens=max_new_tokens)
        return Answer(text)

    def unknown_words(self, text: str) -> list[str]:
        """The words that a model with a closed vocabulary does not know."""
        tokenizer = self.processor.tokenizer
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return [
            text[start:end]
            for token, (start, end) in zip(encoded.input_ids, encoded.offset_mapping)
            if token == tokenizer.unk_token_id
        ]

    def warn_of_unknown_words(self, text: str) -> None:
        """Says on stderr which words of `text` the model does not know."""
        if unknown := self.unknown_words(text):
            words = ", ".join(map(repr, unknown))
            print(f"warning: this model does not know {words}: the answer may mean nothing", file=sys.stderr)

    def _warn_of_length(self, video: Path, duration: float) -> None:
        if self.unknown_words(f"{duration:.1f}"):
            print(
                f"warning: {video} lasts {duration:.1f} seconds, and this model does not know times so long",
                file=sys.stderr,
            )


def shipped_models() -> dict[str, Path]:
    """The models that come with the package, by name."""
    assets = Path(str(files("hawkeye") / "assets"))
    return {path.parent.name: path.parent for path in sorted(assets.glob("*/config.json"))}


def model_directory(name: str | Path) -> Path:
    """Where the files of a model are: one that ships with the package, or a directory that holds one.

    Raises:
        ConfigError: if there is none; it names the nearest.
    """
    directory = shipped_models().get(str(name), Path(name))
    if not (directory / "config.json").is_file():
        hint = nearest(str(name), list(shipped_models()))
        raise ConfigError(f"model {str(name)!r}: no such model, and no directory that holds one{hint}")
    return directory


def load_model(
    name: str | Path = "tiny",
    *,
    device: str | torch.device | None = None,
    dtype: str = "float32",
    device_map: str | dict[str, str | int] | None = None,
    quantization: str | None = None,
    batch_size: int = 16,
) -> Pipeline:
    """Loads a model that ships with the package, or one saved in a directory.

    Args:
        name: "tiny", or a directory that `save_pretrained` or `hawkeye convert` wrote.
        device: where to run; by default the accelerator if there is one, else the CPU.
        dtype: of the weights: "float32", "float16" or "bfloat16"; "auto" is bfloat16 on an accelerator and float32
            elsewhere.
        device_map: "auto" spreads a model that is too large for one device over all of them (accelerate); or a map of
            its own, from modules to devices. In place of `device`.
        quantization: "8bit" or "4bit" weights of the language model (bitsandbytes).
        batch_size: windows, or prompts, that go through the model together.

    Raises:
        ConfigError: if there is no such model, type or quantisation (it names the nearest), or the directory does not
            hold a model that can be loaded.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"dtype {dtype!r}{nearest(dtype, DTYPES)}")
    if quantization not in (None, *QUANTIZATIONS):
        raise ConfigError(f"quantization {quantization!r}{nearest(str(quantization), QUANTIZATIONS)}")
    if device is not None and device_map is not None:
        raise ConfigError(
            f"device {str(device)!r} and device_map {device_map!r} are given: one of them places the model"
        )
    directory = model_directory(name)
    place = torch.device(device) if device is not None else _default_device()
    if dtype == "auto":
        dtype = "float32" if place.type == "cpu" else "bfloat16"
    options: dict[str, Any] = {"dtype": getattr(torch, dtype)}
    if quantization is not None:
        options["quantization_config"] = quantization_config(quantization, options["dtype"])
    if quantization is not None or device_map is not None:
        options["device_map"] = device_map or {"": place}  # the library places such models as it loads them
    try:
        with _progress_of_large_models(directory):
            model = HawkEye.from_pretrained(directory, **options)
        processor = HawkEyeProcessor.from_pretrained(directory)
        responses = Responses.load(directory)
    except (SafetensorError, StrictDataclassError, ValueError, OSError) as error:
        raise ConfigError(f"model {directory}: cannot be loaded ({' '.join(str(error).split())})") from None
    if "device_map" not in options:
        model.to(place)  # type: ignore[arg-type]  # the library's wrapper hides its self
    return Pipeline(Answerer(model, processor, batch_size=batch_size, responses=responses))


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


def _default_device() -> torch.device:
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator or torch.device("cpu")


def ground_video(video: str | Path, query: str, *, model: str | Path = "tiny", max_turns: int = MAX_TURNS) -> Grounding:
    """`load_model(model).ground(video, query)`: one query, from the file."""
    return load_model(model).ground(video, query, max_turns=max_turns)


def ask_video(
    video: str | Path, question: str, options: Sequence[str] | None = None, *, model: str | Path = "tiny"
) -> Answer:
    """`load_model(model).ask(video, question, options)`: one question, from the file."""
    return load_model(model).ask(video, question, options)

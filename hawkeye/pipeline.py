"""A model ready to use: `load_model("tiny").ground("video.mp4", "the red circle jumps")`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, get_args, overload

import torch
from transformers.utils import logging

from hawkeye.config import ConfigError, nearest
from hawkeye.console import warn
from hawkeye.conversation import MAX_NEW_TOKENS, Answer, Conversation
from hawkeye.data.video import VideoReader, open_video
from hawkeye.devices import find_device
from hawkeye.evaluation import videoqa
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.grounding import Grounding, Query, check_grounding
from hawkeye.evaluation.responses import Responses
from hawkeye.evaluation.search import find
from hawkeye.evaluation.settings import Strategy
from hawkeye.inputs import one_of, path_of, rate_of, text_of, texts_of, whole_number, window_of
from hawkeye.models.foreign import one_line_errors
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.models.quantization import check_quantized, quantization_config
from hawkeye.models.saved import load_whole
from hawkeye.prompts import QA_INSTRUCTION
from hawkeye.temporal import MAX_TURNS, Span

if TYPE_CHECKING:
    from typing_extensions import Unpack

Video = str | Path
"""A video file, a GIF or a folder of frames."""
Videos = list[Video] | tuple[Video, ...]
Window = Span | tuple[float, float] | list[float] | None
"""A part of a video in seconds, or all of it."""

MOST_TURNS = 100
"""Questions after which a window, halved by each, has long been shorter than a frame of any video."""

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


class GroundOptions(TypedDict, total=False):
    """Options of `Pipeline.ground`."""

    window: Window
    max_turns: int
    seed: int
    fps: float | None
    strategy: Strategy | None


class AskOptions(TypedDict, total=False):
    """Options of `Pipeline.ask`."""

    window: Window
    fps: float | None
    max_new_tokens: int
    instruction: str


class Pipeline:
    """A model and its processor, with the things that one asks of them.

    Attributes:
        answerer: asks the model about windows; what `hawkeye.evaluation` works with.
        name: the model's name or directory, where it was loaded by one.
        note: what must be known of a model that ships with the package, or None.
    """

    def __init__(self, answerer: Answerer, *, name: str = "", note: str | None = None) -> None:
        self.answerer = answerer
        self.name = name
        self.note = note
        self._is_noted = False

    def __repr__(self) -> str:
        parameters = sum(weight.numel() for weight in self.model.parameters())
        return (
            f"Pipeline({self.name!r}, {parameters / 1e6:,.1f} million parameters, {self.answerer.num_frames} frames, "
            f"{self.model.dtype} on {self.model.device})"
        )

    @property
    def model(self) -> HawkEye:
        """The model."""
        return self.answerer.model

    @property
    def processor(self) -> HawkEyeProcessor:
        """Its tokenizers and image settings."""
        return self.answerer.processor

    @overload
    def ground(self, video: Video, query: str, **options: Unpack[GroundOptions]) -> Grounding: ...

    @overload
    def ground(
        self, video: Video, query: list[str] | tuple[str, ...], **options: Unpack[GroundOptions]
    ) -> list[Grounding]: ...

    @overload
    def ground(self, video: Videos, query: str, **options: Unpack[GroundOptions]) -> list[Grounding]: ...

    @overload
    def ground(
        self, video: Videos, query: list[str] | tuple[str, ...], **options: Unpack[GroundOptions]
    ) -> list[list[Grounding]]: ...

    def ground(
        self,
        video: Video | Videos,
        query: str | list[str] | tuple[str, ...],
        *,
        window: Window = None,
        max_turns: int = MAX_TURNS,
        seed: int = 0,
        fps: float | None = None,
        strategy: Strategy | None = None,
    ) -> Grounding | list[Grounding] | list[list[Grounding]]:
        """Finds when something happens in a video.

        Args:
            video: a video file, a GIF or a folder of frames; or several, which give a list with a result for each.
            query: a sentence, or several; several come back as a list.
            window: the part of the video to search, as a span or (start, end) in seconds; all of it by default. What
                lies beyond the video's end is left out, with a warning.
            max_turns: at most so many questions a query.
            seed: with the query, decides the order of the options.
            fps: frames per second of a folder of frames.
            strategy: "recursive" or "belief"; by default the better one for the model (`hawkeye.evaluation.search`).

        Raises:
            VideoError: naming the file and what is wrong with it.
            ValueError: naming the argument that is wrong; if a query is empty or longer than the model reads, before
                the video is opened.
        """
        queries = [text_of(query, "query")] if isinstance(query, str) else texts_of(query, "query")
        part, fps = window_of(window), rate_of(fps)
        max_turns = whole_number(max_turns, "max_turns", least=1, most=MOST_TURNS)
        seed = whole_number(seed, "seed")
        if strategy is not None:
            one_of(strategy, "strategy", get_args(Strategy))
        videos = _videos(video)
        for text in queries:
            check_grounding(self.answerer, text)
            self.warn_of_unknown_words(text)
        found = []
        for path in videos:
            with open_video(path, fps=fps) as reader:
                self.warn_of_video(reader, part)
                asked = [Query(reader, text, text, part) for text in queries]
                together = find(self.answerer, asked, strategy=strategy, max_turns=max_turns, seed=seed)
            found.append(together[0] if isinstance(query, str) else together)
        return found if isinstance(video, list | tuple) else found[0]  # type: ignore[return-value]  # the overloads

    @overload
    def ask(
        self, video: Video, question: str, options: Sequence[str] | None = None, **settings: Unpack[AskOptions]
    ) -> Answer: ...

    @overload
    def ask(
        self, video: Videos, question: str, options: Sequence[str] | None = None, **settings: Unpack[AskOptions]
    ) -> list[Answer]: ...

    def ask(
        self,
        video: Video | Videos,
        question: str,
        options: Sequence[str] | None = None,
        *,
        window: Window = None,
        fps: float | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        instruction: str = QA_INSTRUCTION,
    ) -> Answer | list[Answer]:
        """Answers a question about a video: by one of `options`, or freely without them.

        Args:
            video: a video file, a GIF or a folder of frames; or several, which give a list with an answer for each.
            question: in words.
            options: two or more, all different.
            window: the part of the video to show, as a span or (start, end) in seconds; all of it by default.
            fps: frames per second of a folder of frames.
            max_new_tokens: longest free answer.
            instruction: what precedes a question that is answered freely; with options it is the benchmarks'.

        Raises:
            VideoError: naming the file and what is wrong with it.
            ValueError: naming the argument that is wrong; if the question is empty or longer than the model reads,
                before the video is opened.
        """
        question, part, fps = text_of(question, "question"), window_of(window), rate_of(fps)
        max_new_tokens = whole_number(max_new_tokens, "max_new_tokens", least=1)
        videos = _videos(video)
        if options is None:
            found = [
                self.chat(path, window=part, fps=fps, instruction=instruction).ask(
                    question, max_new_tokens=max_new_tokens
                )
                for path in videos
            ]
        else:
            choices = _choices(options)
            videoqa.check_choice(self.answerer, question, choices)
            self.warn_of_unknown_words(" ".join([question, *choices]))
            found = [self._choose(path, question, choices, part, fps) for path in videos]
        return found if isinstance(video, list | tuple) else found[0]

    def _choose(
        self, video: Path, question: str, options: tuple[str, ...], window: Span | None, fps: float | None
    ) -> Answer:
        with open_video(video, fps=fps) as reader:
            self.warn_of_video(reader, window)
            asked = videoqa.ChoiceQuestion(reader, question, options, window)
            (found,) = videoqa.answer(self.answerer, [asked])
        return Answer(options[found.index], dict(zip(options, found.probabilities)))

    def chat(
        self, video: Video, *, window: Window = None, fps: float | None = None, instruction: str = QA_INSTRUCTION
    ) -> Conversation:
        """Begins a conversation about a video: `chat = model.chat("video.mp4")`, then `chat.ask("...")` repeatedly.

        Args: as `ask` has them.

        Raises:
            ValueError: naming the argument that is wrong.
        """
        instruction = text_of(instruction, "instruction")
        return Conversation(self, path_of(video), instruction, window=window_of(window), fps=rate_of(fps))

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
            warn(f"this model does not know {', '.join(map(repr, unknown))}: the answer may mean nothing")

    def warn_of_video(self, reader: VideoReader, window: Span | None) -> None:
        """Says on stderr what the model does not know of a video, and what of the window lies beyond it."""
        if self.note is not None and not self._is_noted:
            warn(self.note, kind="note")
            self._is_noted = True
        if self.unknown_words(f"{reader.duration:.1f}"):
            warn(f"{reader.path} lasts {reader.duration:.1f} seconds, and this model does not know times so long")
        if window is not None and window.end > reader.duration + 1 / reader.fps:
            warn(f"{reader.path} ends at second {reader.duration:.1f}, before the window's end at {window.end:g}")


def _videos(video: Any) -> list[Path]:
    """The paths of one video or several."""
    if not isinstance(video, list | tuple):
        return [path_of(video)]
    if not video:
        raise ValueError("the list of videos is empty")
    return [path_of(each) for each in video]


def _choices(options: Any) -> tuple[str, ...]:
    choices = tuple(texts_of(options, "options")) if options else ()
    if len(choices) < 2:
        raise ValueError(f"a choice needs two options or more, not {options!r}; without options the answer is free")
    if len(set(choices)) < len(choices):
        raise ValueError(f"the options must differ, unlike {list(choices)!r}")
    return choices


def shipped_models() -> dict[str, Path]:
    """The models that come with the package, by name."""
    assets = Path(str(files("hawkeye") / "assets"))
    return {path.parent.name: path.parent for path in sorted(assets.glob("*/config.json"))}


def model_directory(name: str | Path) -> Path:
    """Where the files of a model are: one that ships with the package, or a directory that holds one.

    Raises:
        ConfigError: if there is none; it names the nearest.
    """
    directory = shipped_models().get(str(name)) or path_of(name, "model")
    if directory.is_file() or (not directory.is_dir() and directory.suffix in (".pth", ".pt", ".safetensors")):
        raise ConfigError(
            f"model {str(name)!r}: a model is a directory, and this is a file; "
            f"'hawkeye convert BASE_MODEL {directory} --output DIRECTORY' puts a checkpoint together with its base"
        )
    if not (directory / "config.json").is_file():
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

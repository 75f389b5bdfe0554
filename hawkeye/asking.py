"""What one asks of a loaded model: when something happens in a video, and what the answer to a question is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, get_args, overload

from hawkeye.console import warn
from hawkeye.conversation import MAX_NEW_TOKENS, Answer, Conversation
from hawkeye.data.video import VideoReader, open_video
from hawkeye.evaluation import videoqa
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.grounding import Grounding, Query, check_grounding
from hawkeye.evaluation.search import find
from hawkeye.evaluation.settings import Strategy
from hawkeye.inputs import one_of, path_of, rate_of, text_of, texts_of, whole_number, window_of
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor
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

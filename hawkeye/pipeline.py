"""A model ready to use: `load_model("tiny").ground("video.mp4", "the red circle jumps")`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch

from hawkeye.config import ConfigError, nearest
from hawkeye.data.video import open_video
from hawkeye.evaluation import videoqa
from hawkeye.evaluation.answering import Answerer, Question
from hawkeye.evaluation.grounding import Grounding, Query, check_query, ground
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.prompts import QA_INSTRUCTION, STOP, open_prompt
from hawkeye.temporal import MAX_TURNS, Span

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Answer:
    """An answer to a question: its text, and with options how probable each is."""

    text: str
    probabilities: dict[str, float] | None = None


class Pipeline:
    """A model and its processor, with the two things that one asks of them.

    Attributes:
        answerer: asks the model about windows; what `hawkeye.evaluation` works with.
    """

    def __init__(self, answerer: Answerer) -> None:
        self.answerer = answerer

    def ground(
        self,
        video: str | Path,
        query: str | Sequence[str],
        *,
        max_turns: int = MAX_TURNS,
        seed: int = 0,
        fps: float | None = None,
    ) -> Grounding | list[Grounding]:
        """Finds when something happens in a video.

        Args:
            video: a video file, a GIF or a folder of frames.
            query: a sentence, or several; several come back as a list.
            max_turns: at most so many questions a query.
            seed: with the query, decides the order of the options.
            fps: frames per second of a folder of frames.

        Raises:
            VideoError: naming the file and what is wrong with it.
            ValueError: if a query is empty or longer than the model reads.
        """
        queries = [query] if isinstance(query, str) else list(query)
        for text in queries:
            check_query(text)
            self.warn_of_unknown_words(text)
        with open_video(video, fps=fps) as reader:
            found = ground(
                self.answerer, [Query(reader, text, text) for text in queries], max_turns=max_turns, seed=seed
            )
        return found[0] if isinstance(query, str) else found

    def ask(
        self,
        video: str | Path,
        question: str,
        options: Sequence[str] = (),
        *,
        window: Span | None = None,
        fps: float | None = None,
        max_new_tokens: int = 60,
    ) -> Answer:
        """Answers a question about a video, or a part of it: one of `options`, or freely.

        Raises:
            VideoError: naming the file and what is wrong with it.
            ValueError: if the question is empty or longer than the model reads, or there is one option alone.
        """
        if not question.strip():
            raise ValueError("the question is empty")
        self.warn_of_unknown_words(" ".join([question, *options]))
        with open_video(video, fps=fps) as reader:
            if options:
                asked = videoqa.ChoiceQuestion(reader, question, tuple(options), window)
                (found,) = videoqa.answer(self.answerer, [asked])
                return Answer(options[found.index], dict(zip(options, found.probabilities)))
            (glimpse,) = self.answerer.look([(reader, window)], QA_INSTRUCTION)
        prompt = Question(open_prompt(question, list(glimpse.seconds)), glimpse, 0)
        tokenizer = self.answerer.processor.tokenizer
        with torch.inference_mode():
            ids = self.answerer.model.generate(
                *self.answerer.embed([prompt]),
                max_new_tokens=max_new_tokens,
                stop_strings=[STOP],
                tokenizer=tokenizer,
            )
        return Answer(tokenizer.decode(ids[0], skip_special_tokens=True).split(STOP)[0].strip())

    def warn_of_unknown_words(self, text: str) -> None:
        """Says on stderr which words a model with a closed vocabulary does not know."""
        tokenizer = self.answerer.processor.tokenizer
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        unknown = [
            text[start:end]
            for token, (start, end) in zip(encoded.input_ids, encoded.offset_mapping)
            if token == tokenizer.unk_token_id
        ]
        if unknown:
            print(f"warning: this model does not know the words {', '.join(map(repr, unknown))}", file=sys.stderr)


def shipped_models() -> dict[str, Path]:
    """The models that come with the package, by name."""
    assets = Path(str(files("hawkeye") / "assets"))
    return {path.parent.name: path.parent for path in sorted(assets.glob("*/config.json"))}


def load_model(
    name: str | Path = "tiny",
    *,
    device: str | torch.device | None = None,
    precision: str = "float32",
    batch_size: int = 16,
) -> Pipeline:
    """Loads a model that ships with the package, or one saved in a directory.

    Args:
        name: "tiny", or a directory that `save_pretrained` wrote.
        device: where to run; by default the accelerator if there is one, else the CPU.
        precision: "float32" or "bfloat16".
        batch_size: windows and prompts that go through the model together.

    Raises:
        ConfigError: if there is no such model; it names the nearest.
        ValueError: if the directory's weights are not the model's.
    """
    if precision not in DTYPES:
        raise ConfigError(f"precision {precision!r}{nearest(precision, list(DTYPES))}")
    directory = shipped_models().get(str(name), Path(name))
    if not (directory / "config.json").is_file():
        known = list(shipped_models())
        raise ConfigError(f"model {str(name)!r}: no such model or model directory{nearest(str(name), known)}")
    if device is None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    model = HawkEye.from_pretrained(directory, dtype=DTYPES[precision]).to(device)
    return Pipeline(Answerer(model, HawkEyeProcessor.from_pretrained(directory), batch_size=batch_size))


def ground_video(video: str | Path, query: str, *, model: str | Path = "tiny", max_turns: int = MAX_TURNS) -> Grounding:
    """`load_model(model).ground(video, query)`, for one query."""
    found = load_model(model).ground(video, query, max_turns=max_turns)
    assert isinstance(found, Grounding)
    return found


def ask_video(video: str | Path, question: str, options: Sequence[str] = (), *, model: str | Path = "tiny") -> Answer:
    """`load_model(model).ask(video, question, options)`."""
    return load_model(model).ask(video, question, options)

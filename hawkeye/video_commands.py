"""`hawkeye ground` and `hawkeye ask`: a model asked about one video or several."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawkeye.console import say, warn
from hawkeye.files import json_text
from hawkeye.inputs import text_of
from hawkeye.versions import versions

if TYPE_CHECKING:
    from hawkeye.asking import Pipeline


def ground(options: argparse.Namespace) -> int:
    """`hawkeye ground`; returns the exit status: 2 if a video could not be read, though others were."""
    for query in options.queries:
        text_of(query, "query")
    if options.plot:
        from hawkeye.plotting import check_picture, draw_timeline

        check_picture(options.plot)
        if len(options.videos) > 1:
            raise ValueError(f"--plot draws one video, not {len(options.videos)}")

    def answer(pipeline: Pipeline, video: Path) -> None:
        found = pipeline.ground(
            video,
            options.queries,
            window=options.window,
            max_turns=options.max_turns,
            seed=options.seed,
            fps=options.fps,
            strategy=options.strategy,
        )
        for place, grounding in enumerate(found):
            if options.json:
                _print_json(pipeline, video, grounding.query, grounding.to_dict())
            else:
                _print_heading(options, video, first=place == 0)
                say(str(grounding))
        if options.plot:
            draw_timeline(video, found, options.plot, fps=options.fps)
            warn(options.plot, kind="timeline")

    return _each_video(options, answer)


def ask(options: argparse.Namespace) -> int:
    """`hawkeye ask`; returns the exit status, as `ground` does."""
    for question in options.questions:
        text_of(question, "question")
    if options.options is not None and (options.interactive or len(options.questions) != 1):
        raise ValueError("--options go with one question, which is no conversation")
    if options.interactive and len(options.videos) != 1:
        raise ValueError(f"a conversation is about one video, not {len(options.videos)}")

    def answer(pipeline: Pipeline, video: Path) -> None:
        shown = {"window": options.window, "fps": options.fps}
        if options.instruction is not None:
            shown["instruction"] = options.instruction
        _print_heading(options, video, first=True)
        if options.options is not None:
            (question,) = options.questions
            found = pipeline.ask(video, question, options.options, **shown)
            _print_answer(options, pipeline, video, question, found)
            return
        conversation = pipeline.chat(video, **shown)
        typed = _typed_questions() if options.interactive else iter(())
        for question in options.questions:
            found = conversation.ask(question, max_new_tokens=options.max_new_tokens)
            _print_answer(options, pipeline, video, question, found)
        for question in typed:
            try:
                found = conversation.ask(question, max_new_tokens=options.max_new_tokens)
            except ValueError as error:  # the next question may do better
                warn(error, kind="error")
            else:
                _print_answer(options, pipeline, video, question, found)

    return _each_video(options, answer)


def _each_video(options: argparse.Namespace, answer: Callable[[Pipeline, Path], None]) -> int:
    """Loads the model once, and answers about each video. One that cannot be read is told, and the others go on."""
    from hawkeye.data.video import VideoError, open_video
    from hawkeye.inputs import rate_of, window_of

    window_of(options.window), rate_of(options.fps)
    readable, problems = [], list[VideoError]()
    for video in options.videos:
        try:
            open_video(video, fps=options.fps).close()  # before the model is loaded: a mistyped name costs no seconds
            readable.append(video)
        except VideoError as error:
            problems.append(error)
    if len(options.videos) == 1 and problems:
        raise problems[0]
    for problem in problems:
        warn(problem, kind="error")
    if readable:
        pipeline = _load(options)
        for video in readable:
            try:
                answer(pipeline, video)
            except VideoError as error:
                if len(options.videos) == 1:
                    raise
                warn(error, kind="error")
                problems.append(error)
    if problems:
        warn(f"{len(problems)} of {len(options.videos)} videos cannot be read", kind="error")
    return 2 if problems else 0


def _load(options: argparse.Namespace) -> Pipeline:
    from hawkeye.pipeline import load_model

    return load_model(
        options.model,
        device=options.device,
        dtype=options.dtype,
        quantization=options.quantization,
        num_frames=options.num_frames,
    )


def _typed_questions() -> Iterator[str]:
    """Questions from stdin, one a line, until an empty line or its end."""
    prompt = "question (an empty line ends): " if sys.stdin.isatty() else ""
    while True:
        print(prompt, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line.strip():
            return
        yield line.strip()


def _print_answer(options: argparse.Namespace, pipeline: Pipeline, video: Path, question: str, found: Any) -> None:
    if options.json:
        texts = [question, *(options.options or ())]
        _print_json(pipeline, video, " ".join(texts), {"question": question, **found.to_dict()})
        return
    if len(options.questions) > 1:
        say(f"{question}")
    say(found.text)
    for option, probability in (found.probabilities or {}).items():
        say(f"  {probability:.2f}  {option}")


def _print_heading(options: argparse.Namespace, video: Path, *, first: bool) -> None:
    if len(options.videos) > 1 and first and not options.json:
        say(f"{video}:")


def _print_json(pipeline: Pipeline, video: Path, asked: str, values: dict[str, Any]) -> None:
    """One object a line: the answer, and all that must be known to judge it."""
    told = {
        "video": str(video),
        "model": pipeline.name,
        **values,
        "unknown_words": pipeline.unknown_words(asked),
        "note": pipeline.note,
        "versions": versions(),
    }
    print(json_text(told), flush=True)

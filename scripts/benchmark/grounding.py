"""Measures recursive grounding against the straightforward loop, in one run on the same weights and videos.

    python scripts/benchmark/grounding.py ratio --output outputs/benchmark
    python scripts/benchmark/grounding.py growth --output outputs/benchmark --plot docs/grounding_cost.png

The straightforward loop takes one query at a time: it opens and decodes the video at every turn, shows the window to
the model, and generates twenty tokens. The weights are random, so that both ways are made to begin their answer with
one of the four letters. `growth` shows how time and memory grow with the length of the video, the queries about it and
the batch size.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
import yaml
from matplotlib.figure import Figure
from rich.console import Console
from tqdm import tqdm
from transformers import LogitsProcessor

from data_preparing.shapes.build import WorldSettings, build_world
from hawkeye.config import read_yaml
from hawkeye.data.video import open_video, read_window
from hawkeye.evaluation.answering import Answerer
from hawkeye.evaluation.examples import GroundingExample, read_grounding_examples
from hawkeye.evaluation.grounding import Query, ground, option_order, option_rng
from hawkeye.files import written_whole
from hawkeye.pipeline import load_model
from hawkeye.prompts import GROUNDING_INSTRUCTION, LETTERS, Turn, grounding_prompt, grounding_question, qformer_text
from hawkeye.tables import table
from hawkeye.temporal import MAX_TURNS, Choice, Span, narrow
from hawkeye.training.start import new_model

QUERIES = 4
TOKENS = 20
MINUTES = (1, 5, 15, 60)
KEYFRAME_SECONDS = (2, 10)
"""Streams have a key frame every two seconds or so; x264 puts them at most ten apart, if nothing changes."""
QUERIES_PER_VIDEO = (1, 2, 4, 8, 16, 32)
BATCHES = (1, 4, 16, 64)


def main() -> None:
    """Reads the command line, measures, prints tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("ratio", "growth"):
        command = commands.add_parser(name)
        command.add_argument("--output", type=Path, default=Path("outputs/benchmark"))
        command.add_argument("--model", type=Path, help="a model directory (default: a middle size, random weights)")
        command.add_argument("--device", default="cpu")
    commands.choices["ratio"].add_argument("--videos", type=int, default=8)
    commands.choices["ratio"].add_argument("--rounds", type=int, default=3)
    commands.choices["growth"].add_argument("--plot", type=Path, help="draw a picture")
    options = parser.parse_args()
    model = options.model or middle_model(options.output)
    if options.command == "ratio":
        ratio(model, options.output, options.videos, options.device, options.rounds)
    else:
        growth(model, options.output, options.device, options.plot)


def middle_model(folder: Path) -> Path:
    """A directory with a model of middle size: video encoder 384 wide, 12 blocks; language model 512 wide, 8 layers."""
    sizes = read_yaml(Path("configs/model/hawkeye_tiny.yaml"))
    vision, text = ({"hidden_size": width, "num_attention_heads": width // 64} for width in (384, 512))
    sizes["config"]["vision_config"] |= vision | {"depth": 12, "intermediate_size": 1536}
    sizes["config"]["qformer_config"] |= {"encoder_hidden_size": 384}
    del sizes["qformer_start"]  # needs equal widths
    sizes["config"]["text_config"] |= text | {
        "num_hidden_layers": 8,
        "num_key_value_heads": 8,
        "intermediate_size": 1376,
    }
    directory = folder / "middle"
    directory.mkdir(parents=True, exist_ok=True)
    (folder / "middle.yaml").write_text(yaml.safe_dump(sizes))
    texts = [grounding_prompt(example.query, list(Choice), [0.0]) for example in world_queries(folder, 8)]
    torch.manual_seed(0)
    model, processor = new_model(folder / "middle.yaml", texts)
    model.save_pretrained(directory)
    processor.save_pretrained(directory)
    return directory


def world_queries(folder: Path, videos: int) -> list[GroundingExample]:
    """The first queries of a small world, `QUERIES` a video."""
    world = _world(folder, videos)
    build_world(world, WorldSettings(seed=5, train_videos=1, test_videos=max(videos, 8)), workers=2)
    examples = read_grounding_examples(world / "test-anno" / "shapes-recursive_grounding.json")
    names = list(dict.fromkeys(example.video for example in examples))[:videos]
    return [each for name in names for each in [e for e in examples if e.video == name][:QUERIES]]


def _world(folder: Path, videos: int) -> Path:
    return folder / f"grounding-world-{max(videos, 8)}"


# The ratio


def ratio(model: Path, folder: Path, videos: int, device: str, rounds: int) -> None:
    """Both ways over the same queries, and how often they agree; the median of several rounds that take turns."""
    examples = world_queries(folder, videos)
    paths = [_world(folder, videos) / "videos" / example.video for example in examples]
    half = torch.bfloat16 if device == "cpu" else torch.float16
    ways = [("straightforward", torch.float32, straightforward), ("ours", torch.float32, ours), ("ours", half, ours)]
    seconds: list[list[float]] = [[] for _ in ways]
    answers: list[list[list[Choice]]] = [[] for _ in ways]
    for number in tqdm(range(rounds * len(ways)), desc="rounds", unit="way"):
        place = number % len(ways)
        _, dtype, way = ways[place]
        answerer = load_model(str(model), dtype=str(dtype).removeprefix("torch."), device=device).answerer
        way(answerer, paths[:QUERIES], examples[:QUERIES])  # what is done once
        answerer.forget()
        started = time.perf_counter()
        answers[place] = way(answerer, paths, examples)
        seconds[place].append(time.perf_counter() - started)
    rows = table(f"Recursive grounding, {len(examples)} queries", "way", "queries/s", "times as fast", "% same answers")
    baseline = np.median(seconds[0])
    for (name, dtype, _), taken, told in zip(ways, map(np.median, seconds), answers):
        same = np.mean([given == other for one, two in zip(told, answers[0]) for given, other in zip(one, two)])
        label = f"{name}, {str(dtype).removeprefix('torch.')}"
        rows.add_row(label, f"{len(examples) / taken:.2f}", f"{baseline / taken:.1f}", f"{100 * same:.1f}")
    Console().print(rows)


def ours(answerer: Answerer, paths: Sequence[Path], examples: Sequence[GroundingExample]) -> list[list[Choice]]:
    """As `hawkeye evaluate` does it: `QUERIES` whole videos at a time, each opened once."""
    answers = []
    for start in range(0, len(examples), QUERIES * 4):
        part = range(start, min(start + QUERIES * 4, len(examples)))
        with ExitStack() as stack:
            readers = {path: stack.enter_context(open_video(path)) for path in {paths[place] for place in part}}
            queries = [Query(readers[paths[at]], examples[at].query, examples[at].key) for at in part]
            answers += [found.choices for found in ground(answerer, queries)]
    return answers


def straightforward(
    answerer: Answerer, paths: Sequence[Path], examples: Sequence[GroundingExample]
) -> list[list[Choice]]:
    """One query after another, one window after another, twenty tokens for every answer."""
    return [_walk(answerer, path, example) for path, example in zip(paths, examples)]


@torch.inference_mode()
def _walk(answerer: Answerer, path: Path, example: GroundingExample) -> list[Choice]:
    model, processor = answerer.model, answerer.processor
    rng, window, choices = option_rng(0, example.key), None, list[Choice]()
    letters = _letters(answerer, example.query)
    while len(choices) < MAX_TURNS and Choice.THROUGHOUT not in choices:
        order = option_order(rng)
        with open_video(path) as reader:
            frames, seconds = read_window(reader, window, answerer.num_frames)
            shown = window or Span(0.0, reader.duration)
        pixels = processor.pixel_values(frames)[None].to(model.device, model.dtype)
        text = qformer_text(
            [Turn(grounding_question(example.query, order), "", GROUNDING_INSTRUCTION)],
            with_question=model.config.qformer_text_at_evaluation == "instruction_and_question",
        )
        inputs = {name: value.to(model.device) for name, value in processor.qformer_inputs([text]).items()}
        index = torch.zeros(1, dtype=torch.long, device=model.device)
        visual = model.visual_tokens(model.encode_frames(pixels), window_index=index, **inputs)
        prompt = processor.encode_prompt(grounding_prompt(example.query, order, list(seconds)))
        ids = torch.tensor([prompt], device=model.device)
        told = model.generate(
            model.embed(ids, visual),
            torch.ones_like(ids),
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            logits_processor=[_BeginWith(letters)],
        )
        choices.append(order[letters.index(int(told[0, 0]))])
        window = narrow(shown, choices[-1])
    return choices


def _letters(answerer: Answerer, query: str) -> list[int]:
    prompt = grounding_prompt(query, list(Choice), [0.0])
    encode = answerer.processor.encode_prompt
    return [encode(prompt + letter)[-1] for letter in LETTERS[: len(Choice)]]


class _BeginWith(LogitsProcessor):
    """Allows only some first tokens."""

    def __init__(self, allowed: list[int]) -> None:
        self.allowed, self.begun = allowed, False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        if self.begun:
            return scores
        self.begun = True
        kept = torch.full_like(scores, -torch.inf)
        kept[:, self.allowed] = scores[:, self.allowed]
        return kept


# Growth


def growth(model: Path, folder: Path, device: str, plot: Path | None) -> None:
    """Time and memory by length, queries and batch, each setting in a process of its own."""
    settings = []
    for gap in KEYFRAME_SECONDS:
        for minutes in MINUTES:
            video = long_video(folder / f"{minutes}-minutes-{gap}.mp4", minutes, gap)
            settings.append((f"minutes, key frames every {gap} s", minutes, video, QUERIES, 16))
    short = folder / f"1-minutes-{KEYFRAME_SECONDS[0]}.mp4"
    settings += [("queries per video", count, short, count, 16) for count in QUERIES_PER_VIDEO]
    settings += [("batch size", size, short, 16, size) for size in BATCHES]
    measured = []
    for what, value, path, count, batch in tqdm(settings, desc="settings"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            measured.append((what, value, *pool.apply(cost, (model, path, count, batch, device))))
    rows = table("Cost of a query", "what grows", "to", "seconds per query", "MB at most")
    for what, value, seconds, memory in measured:
        rows.add_row(what, str(value), f"{seconds:.3f}", f"{memory:.0f}")
    Console().print(rows)
    if plot is not None:
        draw(measured, plot)


def cost(model: Path, path: Path, queries: int, batch: int, device: str) -> tuple[float, float]:
    """Seconds per query of one video that is opened anew, the fastest of three; megabytes of memory at most (of the
    accelerator, where there is one)."""
    answerer = load_model(str(model), device=device, batch_size=batch).answerer
    texts = [f"{colour} {shape} jumps" for colour in ("red", "blue") for shape in ("circle", "star", "square")]
    seconds = []
    for _ in range(3):
        answerer.forget()
        started = time.perf_counter()
        with open_video(path) as reader:
            ground(answerer, [Query(reader, texts[at % len(texts)], str(at)) for at in range(queries)])
        seconds.append((time.perf_counter() - started) / queries)
    if device.startswith("cuda"):
        return min(seconds), torch.cuda.max_memory_allocated() / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return min(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def long_video(path: Path, minutes: int, gap: int, fps: int = 25) -> Path:
    """An H.264 file of 320 x 180 pixels with a key frame every `gap` seconds, in which something moves."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as unfinished, av.open(str(unfinished), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "g": str(gap * fps)})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.time_base = Fraction(1, fps)
        for frame in tqdm(_frames(minutes * 60 * fps), total=minutes * 60 * fps, desc=path.name, unit="frame"):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _frames(count: int) -> Iterator[av.VideoFrame]:
    background = np.random.default_rng(0).integers(0, 255, (18, 32, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    for number in range(count):
        picture = background.copy()
        left = 2 * number % 280
        picture[70:110, left : left + 40] = 255
        yield av.VideoFrame.from_ndarray(picture)


def draw(measured: Sequence[tuple[str, int, float, float]], path: Path) -> None:
    """A panel for each thing that grows: seconds per query, and memory."""
    names = list(dict.fromkeys(what for what, *_ in measured))
    figure = Figure(figsize=(14, 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names)), names):
        values, seconds, memory = zip(*[rest for what, *rest in measured if what == name])
        axes.plot(values, seconds, "o-", color="#e4572e")
        axes.set(xscale="log", xlabel=name, ylabel="seconds per query", ylim=(0, 1.15 * max(seconds)))
        axes.set_xticks(values, [str(value) for value in values], minor=False)
        axes.minorticks_off()
        other = axes.twinx()
        other.plot(values, memory, "s--", color="#9db8d9")
        other.set(ylabel="MB at most", ylim=(0, 1.15 * max(memory)))
    with written_whole(path) as unfinished:
        figure.savefig(unfinished, dpi=110)


if __name__ == "__main__":
    main()

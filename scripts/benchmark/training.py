"""Measures a training step against the straightforward way of making the same one, in one run.

    python scripts/benchmark/training.py --output outputs/benchmark

The straightforward way decodes every window from its file, shows it anew for each question about it, computes all
logits, attends without fused kernels and in float32. Both compute the same loss, which is checked.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
import yaml
from rich.console import Console
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from data_preparing.shapes.build import WorldSettings, build_world
from hawkeye.config import StageSettings, TrainSettings, load_settings, read_yaml
from hawkeye.data.collate import IGNORED, Collator
from hawkeye.data.frame_cache import FrameCache
from hawkeye.data.frames import FrameFiles
from hawkeye.data.sources import Sample, TrainingSet, read_source
from hawkeye.files import written_whole
from hawkeye.models import HawkEye
from hawkeye.models.attention import PLAIN_ATTENTION
from hawkeye.tables import table
from hawkeye.training.start import new_model, texts_of

SIZES = {
    "tiny": {},
    "middle": {"hidden_size": 384, "layers": 8, "num_attention_heads": 6},
}
WINDOWS, QUESTIONS = 8, 3
Step = Callable[[list[Sample]], Tensor]


def main() -> None:
    """Builds a small world, measures both sizes, prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmark"))
    parser.add_argument("--steps", type=int, default=8, help="measured steps of each kind")
    options = parser.parse_args()
    world = options.output / "world"
    build_world(world, WorldSettings(seed=5, train_videos=16, test_videos=1), workers=2)
    settings = load_settings(Path("configs/train/shapes.yaml"), TrainSettings, [f"data_dir={world}"])
    columns = ("windows/s", "tokens/s", "TFLOP/s", "% of matmul", "times as fast")
    rows = table("Training steps", "model and way", *columns)
    for size in SIZES:
        for row in measure(size, settings, options.output, options.steps):
            rows.add_row(*row)
    Console().print(rows)


def measure(size: str, settings: TrainSettings, folder: Path, steps: int) -> Iterator[tuple[str, ...]]:
    """The table's rows about one size, the straightforward way first."""
    names = ("grounding", "grounding_open", "qa")
    sources = {name: read_source(name, settings.sources[name], settings.data_dir) for name in names}
    torch.manual_seed(0)
    model, processor = new_model(sizes_file(size, folder), texts_of(sources.values()))
    stage = StageSettings(
        name="measured",
        steps=steps + 1,
        windows_per_step=WINDOWS,
        questions_per_window=QUESTIONS,
        learning_rate=1e-3,
        sources=dict.fromkeys(names, 1.0),
    )
    cache = FrameCache(settings.data_dir / "frames", processor.resize_frames, "benchmark", max_fps=1000.0)
    files = FrameFiles(lambda frames, _: processor.resize_frames(frames))
    cache.fill((settings.data_dir / "videos").rglob("*.mp4"), num_workers=1)  # as training does before its first step
    cached, decoded = (TrainingSet(sources, stage, store, num_positions=12, seed=0) for store in (cache, files))
    collate = Collator(processor, settings.answer_weights, with_question=True)
    ways = {
        "straightforward, float32": (decoded, straightforward(model, collate), "sdpa", torch.float32),
        "ours, float32": (cached, ours(model, collate), "sdpa", torch.float32),
        "ours, bfloat16": (cached, ours(model, collate), PLAIN_ATTENTION, torch.bfloat16),
    }
    rates = {dtype: matmul_rate(dtype) for dtype in (torch.float32, torch.bfloat16)}
    losses, baseline = {}, 0.0
    for name, (data, step, attention, dtype) in ways.items():
        model.language_model.set_attn_implementation(attention)
        autocast = torch.autocast("cpu", torch.bfloat16) if dtype is torch.bfloat16 else nullcontext()
        with autocast:
            loss, seconds, windows, tokens, flops = timed(data, step, model, collate, steps)
        losses[name] = loss
        baseline = baseline or seconds
        yield (
            f"{size}: {name}",
            f"{windows / seconds:.1f}",
            f"{tokens / seconds:.0f}",
            f"{flops / seconds / 1e12:.3f}",
            f"{100 * flops / seconds / rates[dtype]:.0f}",
            f"{baseline / seconds:.2f}",
        )
    plain, quick, half = losses.values()
    assert abs(plain - quick) < 1e-4 * plain, f"the two ways differ: {plain} and {quick}"
    assert abs(plain - half) < 2e-2 * plain, f"bfloat16 differs: {plain} and {half}"


def sizes_file(size: str, folder: Path) -> Path:
    """The tiny model's sizes, or those of a larger one."""
    sizes = read_yaml(Path("configs/model/hawkeye_tiny.yaml"))
    if changes := SIZES[size]:
        width, heads, layers = changes["hidden_size"], changes["num_attention_heads"], changes["layers"]
        common = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 4 * width}
        sizes["config"]["vision_config"] |= common | {"depth": layers}
        sizes["config"]["qformer_config"] |= common | {"num_hidden_layers": layers, "encoder_hidden_size": width}
        sizes["config"]["text_config"] |= common | {"num_hidden_layers": layers, "num_key_value_heads": heads}
    path = folder / f"{size}.yaml"
    with written_whole(path) as unfinished:
        unfinished.write_text(yaml.safe_dump(sizes))
    return path


def timed(
    data: TrainingSet, step: Step, model: HawkEye, collate: Collator, steps: int
) -> tuple[float, float, int, int, float]:
    """Mean loss, seconds, windows, tokens and FLOPs of the steps, the first one left out.

    FLOPs and tokens are those of our way: what needs to be computed, however it is.
    """
    total, seconds, windows, tokens, flops = 0.0, 0.0, 0, 0, 0.0
    for number in range(steps + 1):
        started = time.perf_counter()
        samples = [sample for index in range(WINDOWS) if isinstance(sample := data[number * WINDOWS + index], Sample)]
        loss = step(samples)
        model.zero_grad()
        if number == 0:
            continue
        seconds += time.perf_counter() - started
        total += loss.item() / steps
        windows += len(samples)
        batch = collate(samples)
        tokens += int(batch["attention_mask"].sum())
        batch.pop("report")
        with FlopCounterMode(display=False) as counter:
            model(**batch)["loss"].backward()
        model.zero_grad()
        flops += counter.get_total_flops()
    return total, seconds, windows, tokens, flops


def ours(model: HawkEye, collate: Collator) -> Step:
    """A step as `hawkeye train` makes it: windows shared by their questions, logits of the answers alone."""

    def step(samples: list[Sample]) -> Tensor:
        batch = collate(samples)
        batch.pop("report")
        loss: Tensor = model(**batch)["loss"]
        loss.backward()
        return loss

    return step


def straightforward(model: HawkEye, collate: Collator) -> Step:
    """A step as one would write it first: each question with its own window, all logits, plain attention."""

    def step(samples: list[Sample]) -> Tensor:
        alone = [replace(sample, conversations=(turns,)) for sample in samples for turns in sample.conversations]
        batch = collate(alone)
        batch.pop("report")
        labels, weights = batch.pop("labels")[:, 1:], batch.pop("loss_weights")[:, 1:]
        with sdpa_kernel(SDPBackend.MATH):
            logits = model(**batch)["logits"][:, :-1]
            losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none", ignore_index=IGNORED)
            counted = weights.flatten() * (labels.flatten() != IGNORED)
            loss = (losses * counted).sum() / counted.sum()
            loss.backward()
        return loss

    return step


def matmul_rate(dtype: torch.dtype, size: int = 2048, repeats: int = 5) -> float:
    """FLOP/s of this machine's products of square matrices."""
    matrix = torch.randn(size, size, dtype=dtype)
    matrix @ matrix
    started = time.perf_counter()
    for _ in range(repeats):
        matrix @ matrix
    return repeats * 2 * size**3 / (time.perf_counter() - started)


if __name__ == "__main__":
    main()

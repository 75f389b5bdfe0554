"""Recursive grounding against the figures of the original (`tests/golden`): pixels, logits and answers of each turn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hawkeye.data.video import open_video, read_window
from hawkeye.models import HawkEye, HawkEyeProcessor
from hawkeye.temporal import Span

RELATIVE = 1e-5


def relative_error(ours: torch.Tensor | list[torch.Tensor], golden: np.ndarray | list[float]) -> float:
    ours, golden = np.asarray(ours), np.asarray(golden)
    assert ours.shape == golden.shape
    return float(np.abs(ours - golden).max() / np.abs(golden).max())


def walks(golden: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The recursive walks with the names of their arrays."""
    kinds = {"grounding": golden["grounding"]["examples"], "dictated": golden["grounding_dictated"]}
    return [(f"{kind}.{index}", walk) for kind, group in kinds.items() for index, walk in enumerate(group)]


@torch.no_grad()
@pytest.mark.parametrize("index", range(6))
def test_every_turn_of_the_walks(
    index: int,
    golden: dict[str, Any],
    golden_dir: Path,
    golden_model: HawkEye,
    golden_arrays: dict[str, np.ndarray],
    golden_processor: HawkEyeProcessor,
) -> None:
    name, walk = walks(golden)[index]
    letters = golden_processor.tokenizer.convert_tokens_to_ids(["A", "B", "C", "D"])
    instruction = golden["grounding"]["system_prompt"].strip()
    for number, turn in enumerate(walk["turns"]):
        with open_video(golden_dir / walk["video"]) as reader:
            frames, _ = read_window(reader, turn["bound"] and Span(*turn["bound"]), 12)
        pixels = golden_processor.pixel_values(frames)
        strided = pixels.flatten(0, 1)[:, ::32, ::32]
        assert relative_error(strided, golden_arrays[f"{name}.{number}.pixels"]) < RELATIVE
        assert relative_error([pixels.mean(), pixels.std()], [turn["pixel_mean"], turn["pixel_std"]]) < RELATIVE

        features = golden_model.encode_frames(pixels[None])
        visual = golden_model.visual_tokens(features, **golden_processor.qformer_inputs([instruction]))
        input_ids = torch.tensor([golden_processor.encode_prompt(turn["prompt"])])
        mask = torch.ones_like(input_ids)
        assert input_ids.shape[1] == turn["seq_len"]
        embeds = golden_model.embed(input_ids, visual)
        logits = golden_model.next_token_logits(embeds, mask)[0]
        assert logits.topk(5).indices.tolist() == turn["top5"]
        assert relative_error(logits[turn["top5"]], turn["top5_logits"]) < RELATIVE
        assert relative_error(logits[letters], list(turn["letter_logits"].values())) < RELATIVE
        generated = golden_model.generate(embeds, mask, max_new_tokens=20)[0].tolist()
        assert generated == turn["token_ids"]

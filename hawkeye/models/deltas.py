"""Delta weights: what must be added to LLaMA's to give Vicuna's, published in Vicuna's shape and under its names.

Taking them for the model itself is the most reported mistake of HawkEye, MiniGPT-4 and Ask-Anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from hawkeye.models.foreign import WeightFileError

NORM = re.compile(r"language_model\..*(?:norm|ln_\w+|layernorm)[^.]*\.weight")
SMALLEST_NORM = 0.05
"""Mean absolute weight of norms: fine-tuning moves them by 0.001 to 0.01, LLaMA's largest are 0.5 to 2."""
AROUND_ZERO = ("gemma", "qwen3_next", "qwen3_5", "nemotron")
"""Model types, by how they begin, whose norms multiply by 1 + weight."""
NAMED = re.compile(r"(?:^|[^a-z])delta(?:[^a-z]|$)", re.IGNORECASE)
WAY_OUT = (
    "add it to the LLaMA weights that it belongs to first (FastChat: python -m fastchat.model.apply_delta "
    "--base-model-path LLAMA --target-model-path VICUNA --delta-path DELTA), then convert the result"
)


def refuse_delta(path: Path, tensors: Mapping[str, Tensor], model_type: str) -> None:
    """Refuses a language model that is the difference of two.

    The weights of its norms decide. Where these are around zero in whole models too, the directory's name and the
    first lines of its README do.

    Args:
        path: the file or directory that was read.
        tensors: its weights under our names.
        model_type: of the language model.

    Raises:
        WeightFileError: with the way out.
    """
    norms = [tensor for name, tensor in tensors.items() if NORM.fullmatch(name) and tensor.ndim == 1]
    if not norms:
        return
    if model_type.startswith(AROUND_ZERO):
        if evidence := _named(path):
            raise WeightFileError(f"{path}: these are delta weights, not a model ({evidence}): {WAY_OUT}")
        return
    largest = max(float(norm.float().abs().mean()) for norm in norms)
    if largest < SMALLEST_NORM:
        raise WeightFileError(
            f"{path}: these are delta weights, not a model (its norm weights are {largest:.4f} at most on average, a "
            f"model's 0.1 to 2): {WAY_OUT}"
        )


def _named(path: Path) -> str | None:
    if NAMED.search(path.name):
        return f"its name is {path.name!r}"
    readme = path / "README.md"
    if readme.is_file() and re.search(r"delta (?:model|weights)", readme.read_text("utf-8", "replace"), re.IGNORECASE):
        return "its README.md says so"
    return None

"""Language models in 8 or 4 bits (bitsandbytes): inference, and training of adapters, with less memory."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from hawkeye.config import ConfigError

KEPT_PRECISE = ("vision_encoder", "vision_layernorm", "qformer", "projector", "lm_head", r".*\.lora_[AB]\..*")
"""What is never quantised: a tenth of the 7B model, and all that is trained."""


def quantization_config(kind: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    """How transformers quantises the language model's frozen matrices.

    Args:
        kind: "8bit" (LLM.int8: Dettmers et al., 2022) or "4bit" (NF4 of QLoRA: Dettmers et al., 2023).
        dtype: what 4-bit weights are turned into when they are used.

    Raises:
        ConfigError: if bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise ConfigError(f"{kind} weights need bitsandbytes: pip install 'hawkeye-video[quantization]'")
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=list(KEPT_PRECISE))
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(KEPT_PRECISE),
    )


BLOCK = 64
"""Numbers that share a scale in 4 bits (QLoRA)."""


def check_quantized(model: nn.Module, kind: str) -> None:
    """Refuses 4-bit matrices that bitsandbytes cannot multiply with on a CPU, before anything is asked.

    Raises:
        ConfigError: naming the matrix.
    """
    for name, module in model.named_modules():
        if type(module).__name__ == "Linear4bit" and module.weight.device.type == "cpu" and module.in_features % BLOCK:
            raise ConfigError(
                f"{kind} weights on a CPU need widths that are multiples of {BLOCK}, but {name!r} has "
                f"{module.in_features}: take 8bit, or no quantization"
            )

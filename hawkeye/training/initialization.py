"""Random weights of a Q-Former that already does, roughly, what training would otherwise have to find by chance."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import InstructBlipQFormerModel

from hawkeye.config import ConfigError

TEXT_GAIN = 8.0
"""How much of the text's mean embedding the first layer adds to each query."""
RESEMBLANCE_GAIN = 1.5
"""Scale of the query and key projections: logits grow with its square."""


@torch.no_grad()
def attend_by_resemblance(qformer: InstructBlipQFormerModel) -> None:
    """Starts a Q-Former so that its queries attend to the patches whose features resemble the words that it reads.

    The first self-attention gives each query the mean of the text's embeddings (value and output projections are scaled
    identities); every cross-attention compares them with the patches' features as they are (its query and key
    projections are one random orthogonal matrix). From ordinary small random weights neither half is of use without
    the other, and a loss that needs both ("when does *this* happen?") stays at chance for very long. After mimetic
    initialisation (Trockman and Kolter, "Mimetic Initialization of Self-Attention Layers", 2023).

    Raises:
        ConfigError: if the Q-Former is not as wide as the features that it attends to.
    """
    config = qformer.config
    if config.hidden_size != config.encoder_hidden_size:
        raise ConfigError(
            f"qformer_start 'resemblance' compares the Q-Former's states with the encoder's features, but they are "
            f"{config.hidden_size} and {config.encoder_hidden_size} wide"
        )
    layers: list[Any] = list(qformer.encoder.layer)
    first = layers[0].attention
    for linear, gain in ((first.attention.value, 1.0), (first.output.dense, TEXT_GAIN)):
        nn.init.eye_(linear.weight).mul_(gain)
        nn.init.zeros_(linear.bias)
    for layer in layers:
        if layer.has_cross_attention:
            attention = layer.crossattention.attention
            nn.init.orthogonal_(attention.query.weight, RESEMBLANCE_GAIN)
            attention.key.weight.copy_(attention.query.weight)
            nn.init.zeros_(attention.query.bias)
            nn.init.zeros_(attention.key.bias)

"""The Q-Former: transformers' InstructBLIP one, with the stochastic depth that HawkEye trains it with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel
from transformers.models.instructblip.modeling_instructblip import (
    InstructBlipQFormerOutput,
    InstructBlipQFormerSelfOutput,
)


class DropPath(nn.Module):
    """Stochastic depth: in training drops a sample's whole residual branch with probability `rate`."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """`[V, N, C]` -> `[V, N, C]`; kept branches are scaled up so that the expectation stays."""
        if not self.training:
            return branch
        keep = torch.empty(len(branch), 1, 1, device=branch.device, dtype=branch.dtype).bernoulli_(1 - self.rate)
        return branch * keep / (1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def build_qformer(config: InstructBlipQFormerConfig, drop_path_rate: float) -> InstructBlipQFormerModel:
    """A Q-Former with random weights.

    Drop-path follows the dropout of each attention and feed-forward output; its rate grows linearly from 0 in the
    first layer to `drop_path_rate` in the last. Parameter names are those of the library's model.

    Raises:
        ValueError: if the rate is not in [0, 1).
    """
    if not 0 <= drop_path_rate < 1:
        raise ValueError(f"drop_path_rate must be in [0, 1), not {drop_path_rate}")
    qformer = InstructBlipQFormerModel(config)
    layers = qformer.encoder.layer
    for index, layer in enumerate(layers):
        rate = drop_path_rate * index / max(1, len(layers) - 1)
        for module in layer.modules():
            if rate and isinstance(module, (InstructBlipQFormerSelfOutput, InstructBlipQFormerOutput)):
                module.add_module("dropout", nn.Sequential(module.dropout, DropPath(rate)))
    return qformer

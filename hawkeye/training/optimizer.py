"""Optimisers: which parameters decay, and Muon on matrices beside AdamW on the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from hawkeye.config import TrainSettings

BETAS = (0.9, 0.999)
"""The paper's AdamW betas."""

DECAYS = "decays"
"""Key of a parameter group that says whether weight decay applies to it."""


def make_optimizer(model: nn.Module, settings: TrainSettings, learning_rate: float) -> Optimizer:
    """The run's optimiser over the parameters that train.

    Weight decay applies to matrices, never to biases, norms and other 1-d parameters. Muon takes the matrices that
    multiply activations; embeddings, learned queries and the LM head stay with AdamW (Jordan et al., 2024).
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    vectors = [parameter for parameter in trained.values() if parameter.ndim < 2]
    tables = _embeddings(model)
    matrices = [p for name, p in trained.items() if p.ndim == 2 and id(p) not in tables]
    others = [p for p in trained.values() if p.ndim >= 2 and not any(p is matrix for matrix in matrices)]
    if settings.optimizer == "muon":
        adamw = AdamW(_groups(others, vectors, settings.weight_decay), lr=learning_rate, betas=BETAS)
        group = {"params": matrices, "weight_decay": settings.weight_decay, DECAYS: True}
        muon = Muon([group], lr=learning_rate, adjust_lr_fn="match_rms_adamw")
        return OptimizerPair(muon, adamw)
    return AdamW(_groups(matrices + others, vectors, settings.weight_decay), lr=learning_rate, betas=BETAS)


def _embeddings(model: nn.Module) -> set[int]:
    """Parameters of embedding tables, and of an output layer tied to one or not, by identity."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    tables |= {id(p) for name, p in model.named_parameters() if name.endswith("head.weight")}
    return tables


def _groups(decayed: list[nn.Parameter], vectors: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    groups = [
        {"params": decayed, "weight_decay": weight_decay, DECAYS: True},
        {"params": vectors, "weight_decay": 0.0, DECAYS: False},
    ]
    return [group for group in groups if group["params"]]


class OptimizerPair(Optimizer):
    """Two optimisers over different parameters that step, save and load as one.

    Their parameter groups are shared, so a schedule that sets the groups' learning rates reaches both.
    """

    def __init__(self, first: Optimizer, second: Optimizer) -> None:
        self.pair = (first, second)
        parameters: Iterable[nn.Parameter] = [
            parameter for optimizer in self.pair for group in optimizer.param_groups for parameter in group["params"]
        ]
        super().__init__(parameters, defaults={})
        self.param_groups = first.param_groups + second.param_groups

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.pair:
            optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of both, in order."""
        return {"pair": [optimizer.state_dict() for optimizer in self.pair]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        for optimizer, state in zip(self.pair, state_dict["pair"]):
            optimizer.load_state_dict(state)
        self.param_groups = self.pair[0].param_groups + self.pair[1].param_groups

"""Which parameters decay, which of them Muon takes, and what a step does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from hawkeye.training.optimizer import make_optimizer
from tests.training.runs import settings


class SmallModel(nn.Module):
    """One parameter of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(5, 4)
        self.patches = nn.Conv2d(3, 4, 2)
        self.projector = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.query_tokens = nn.Parameter(torch.ones(1, 2, 4))
        self.lm_head = nn.Linear(4, 5, bias=False)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


VECTORS = {"patches.bias", "projector.bias", "norm.weight", "norm.bias"}
TABLES = {"embeddings.weight", "patches.weight", "query_tokens", "lm_head.weight"}


def kinds(model: nn.Module, optimizer: Optimizer) -> dict[str, tuple[str, float]]:
    """Optimiser and weight decay by parameter name."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    parts = getattr(optimizer, "pair", (optimizer,))
    return {
        names[id(parameter)]: (type(part).__name__, group["weight_decay"])
        for part in parts
        for group in part.param_groups
        for parameter in group["params"]
    }


def test_biases_and_norms_do_not_decay_and_what_is_frozen_is_left_out(folder: Path) -> None:
    model = SmallModel()
    optimizer = make_optimizer(model, settings(folder, "optimizer=adamw", "weight_decay=0.02"), 0.1)
    decaying = dict.fromkeys(TABLES | {"projector.weight"}, ("AdamW", 0.02))
    assert kinds(model, optimizer) == decaying | dict.fromkeys(VECTORS, ("AdamW", 0.0))
    assert {(group["lr"], group["betas"]) for group in optimizer.param_groups} == {(0.1, (0.9, 0.999))}


def test_muon_takes_the_matrices_that_multiply_activations_alone(folder: Path) -> None:
    model = SmallModel()
    optimizer = make_optimizer(model, settings(folder, "optimizer=muon", "weight_decay=0.02"), 0.1)
    others = dict.fromkeys(TABLES, ("AdamW", 0.02)) | dict.fromkeys(VECTORS, ("AdamW", 0.0))
    assert kinds(model, optimizer) == {"projector.weight": ("Muon", 0.02)} | others
    assert {group["lr"] for group in optimizer.param_groups} == {0.1}


def test_a_tied_head_goes_with_its_embeddings(folder: Path) -> None:
    model = SmallModel()
    model.lm_head.weight = model.embeddings.weight
    found = kinds(model, make_optimizer(model, settings(folder, "optimizer=muon", "weight_decay=0.02"), 0.1))
    assert found["embeddings.weight"] == ("AdamW", 0.02)
    assert "lm_head.weight" not in found


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_without_gradients_a_step_only_shrinks_what_decays(name: str, folder: Path) -> None:
    model = SmallModel()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = make_optimizer(model, settings(folder, f"optimizer={name}", "weight_decay=0.5"), 0.1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for key, parameter in model.named_parameters():
        kept = 1.0 if key in VECTORS or key.startswith("frozen") else 1 - 0.1 * 0.5
        torch.testing.assert_close(parameter.detach(), before[key] * kept, msg=key)

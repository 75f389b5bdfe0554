"""8 and 4 bits: about the same answers, much less memory, and adapters that still learn. bitsandbytes runs on a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hawkeye.config import ConfigError
from hawkeye.models import HawkEye
from hawkeye.models.quantization import quantization_config

IDS = torch.arange(2, 30)[None]


@pytest.fixture(scope="module")
def directory(golden_model: HawkEye, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    golden_model.save_pretrained(directory)
    return directory


def load(directory: Path, kind: str) -> HawkEye:
    config = quantization_config(kind, torch.float32)
    return HawkEye.from_pretrained(directory, quantization_config=config, device_map={"": "cpu"}, dtype=torch.float32)


@pytest.mark.parametrize(("kind", "bits", "tolerance"), [("8bit", 8, 0.3), ("4bit", 4, 2.0)])
def test_answers_stay_close_and_matrices_shrink(
    kind: str, bits: int, tolerance: float, directory: Path, golden_model: HawkEye
) -> None:
    pytest.importorskip("bitsandbytes")
    model = load(directory, kind)
    with torch.no_grad():
        found = model(IDS, torch.ones_like(IDS)).logits
        exact = golden_model(IDS, torch.ones_like(IDS)).logits
    assert 0 < (found - exact).abs().max() < tolerance  # of logits that reach 4.4
    layer, whole = (each.language_model.model.layers[0].mlp.up_proj.weight for each in (model, golden_model))
    assert layer.numel() * layer.element_size() * 8 == whole.numel() * bits
    kept = {name: weight for name, weight in model.named_parameters() if weight.is_floating_point()}
    assert all(torch.equal(weight, golden_model.get_parameter(name)) for name, weight in kept.items())
    assert {name.split(".")[0] for name in kept} == {name.split(".")[0] for name, _ in golden_model.named_parameters()}


def test_adapters_learn_on_four_bits(directory: Path) -> None:
    pytest.importorskip("bitsandbytes")
    model = load(directory, "4bit").train()
    model.gradient_checkpointing_enable()
    trained = [name for name, weight in model.language_model.named_parameters() if weight.requires_grad]
    assert trained
    assert all(".lora_" in name for name in trained)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
    losses = []
    for _ in range(8):
        loss = model(IDS, torch.ones_like(IDS), labels=IDS).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5


def test_without_bitsandbytes_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hawkeye.models.quantization.find_spec", lambda name: None)  # noqa: ARG005 - the real signature
    with pytest.raises(ConfigError, match=r"pip install 'hawkeye-video\[quantization\]'"):
        quantization_config("4bit", torch.float32)

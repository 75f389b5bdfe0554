import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from hawkeye.models import HawkEye, HawkEyeConfig
from hawkeye.models.checkpoint import DROPPED, UnknownKeyError, from_original, to_original

CONFIG_7B = Path(__file__).parents[2] / "configs" / "model" / "hawkeye_7b.yaml"


@pytest.fixture(scope="module")
def model_7b() -> HawkEye:
    config = HawkEyeConfig(**yaml.safe_load(CONFIG_7B.read_text())["config"])
    with torch.device("meta"):
        return HawkEye(config)


@pytest.fixture(scope="module")
def reference(golden_dir: Path) -> dict[str, Any]:
    return json.loads((golden_dir / "reference_keys_7b.json").read_text())


def test_the_7b_configuration_has_every_weight_of_the_original(model_7b: HawkEye, reference: dict[str, Any]) -> None:
    expected = {
        name: tuple(shape)
        for name, shape in reference["state_dict"].items()
        if not any(rule.fullmatch(name) for rule in DROPPED)
    }
    assert len(reference["state_dict"]) - len(expected) == 1 + 32  # position_ids, and inv_freq in each LLM layer
    assert {name: tuple(weight.shape) for name, weight in to_original(model_7b.state_dict()).items()} == expected


def test_stage_3_freezes_the_encoder_and_the_language_model(model_7b: HawkEye, reference: dict[str, Any]) -> None:
    model_7b.vision_encoder.requires_grad_(False)
    model_7b.vision_layernorm.requires_grad_(False)  # the language model is frozen by its LoRA adapters
    trained = {name for name, weight in model_7b.named_parameters() if weight.requires_grad}
    weights = {name: weight.detach() for name, weight in model_7b.named_parameters()}
    original = dict(zip(weights, to_original(weights)))  # renaming keeps the order
    assert {original[name] for name in weights if name not in trained} == set(reference["frozen_in_stage3"])
    count = sum(weights[name].numel() for name in trained)
    assert round(count / 1e6) == 194  # the paper's count of trained parameters, in millions


def test_to_original_inverts_from_original(golden_weights: dict[str, torch.Tensor]) -> None:
    back = to_original(from_original(golden_weights))
    kept = {name for name in golden_weights if not any(rule.fullmatch(name) for rule in DROPPED)}
    assert back.keys() == kept
    assert all(torch.equal(back[name], golden_weights[name]) for name in kept)


def test_names_without_lora_have_no_peft_prefix() -> None:
    weight = torch.zeros(2, 2)
    ours = {"language_model.model.layers.0.self_attn.q_proj.weight": weight}
    original = {"llama_model.model.layers.0.self_attn.q_proj.weight": weight}
    assert list(to_original(ours)) == list(original)
    assert list(from_original(original)) == list(ours)


@pytest.mark.parametrize("name", ["vision_encoder.encoder.norm.weight", "qformer.cls.bias", "query_tokens.extra"])
def test_an_unknown_key_is_named(name: str) -> None:
    with pytest.raises(UnknownKeyError, match=name):
        from_original({"query_tokens": torch.zeros(1), name: torch.zeros(1)})
    with pytest.raises(UnknownKeyError, match="nothing_of_ours"):
        to_original({"nothing_of_ours": torch.zeros(1)})

from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassFieldValidationError

from hawkeye.models import HawkEyeConfig


def test_parts_are_fitted_to_each_other() -> None:
    config = HawkEyeConfig(num_frames=7, vision_config={"hidden_size": 32}, text_config={"vocab_size": 50})
    assert config.vision_config.num_frames == 7
    assert config.qformer_config.encoder_hidden_size == 32
    assert config.visual_token_id == 50
    assert config.num_visual_tokens == 96
    assert HawkEyeConfig(visual_token_id=3).visual_token_id == 3


def test_a_configuration_survives_being_written_down() -> None:
    config = HawkEyeConfig(num_query_tokens=3, lora={"r": 1, "alpha": 2, "target_modules": ["q_proj"]})
    assert HawkEyeConfig.from_dict(config.to_dict()).to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frame": 12}, "'num_frame' in the model's configuration; did you mean 'num_frames'"),
        ({"vision_config": {"dept": 2}}, "'dept' in vision_config; did you mean 'depth'"),
        ({"qformer_config": {"hidden_sizes": 2}}, "'hidden_sizes' in qformer_config; did you mean 'hidden_size'"),
        ({"text_config": {"vocab": 2}}, "'vocab' in text_config"),
        ({"text_config": [1]}, r"text_config must be a mapping, not \[1\]"),
        ({"vision_config": "umt"}, "vision_config must be a mapping, not 'umt'"),
        ({"text_config": {"model_type": "lama"}}, "model_type 'lama'"),
        ({"text_config": {"model_type": ["llama"]}}, "which transformers does not know"),
        ({"vision_config": {"model_type": "clip_vision_model"}}, "vision_config has model_type 'clip_vision_model'"),
        ({"qformer_config": {"model_type": "blip_2_qformer"}}, "qformer_config has model_type 'blip_2_qformer'"),
        ({"model_type": "llava"}, "has model_type 'llava', but HawkEye has 'hawkeye' there"),
        ({"_hidden": 3}, "unknown key '_hidden'"),
        ({"num_frames": 7, "vision_config": {"num_frames": 12}}, "num_frames 12 in vision_config, but .* 7"),
        ({"qformer_config": {"encoder_hidden_size": 5}}, "encoder_hidden_size 5 in qformer_config, but .* 1024"),
    ],
)
def test_settings_that_nothing_would_read_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HawkEyeConfig(**settings)


@pytest.mark.parametrize("settings", [{"num_frames": "many"}, {"qformer_text": "question"}])
def test_wrong_types_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(StrictDataclassFieldValidationError, match=next(iter(settings))):
        HawkEyeConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"vision_config": {"num_attention_heads": 0}},
            "num_attention_heads in vision_config must be at least 1, not 0",
        ),
        ({"vision_config": {"patch_size": 0}}, "patch_size in vision_config"),
        ({"qformer_config": {"num_attention_heads": -1}}, "num_attention_heads in qformer_config"),
        ({"qformer_config": {"num_attention_heads": 7}}, "768 in qformer_config is not a multiple"),
        ({"text_config": {"num_attention_heads": 0, "head_dim": 8}}, "num_attention_heads in text_config"),
        ({"num_frames": 0}, "num_frames in the model's configuration"),
        ({"num_query_tokens": 0}, "num_query_tokens in the model's configuration"),
        ({"num_extra_query_tokens": -1}, "num_extra_query_tokens in the model's configuration"),
        ({"constant_bos_embedding": True, "text_config": {"bos_token_id": None}}, "needs a language model with a bos"),
    ],
)
def test_sizes_that_no_model_can_have_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HawkEyeConfig(**settings)

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
        ({"text_config": {"model_type": "lama"}}, "model_type 'lama'"),
    ],
)
def test_unknown_keys_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HawkEyeConfig(**settings)


@pytest.mark.parametrize("settings", [{"num_frames": "many"}, {"qformer_text": "question"}])
def test_wrong_types_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(StrictDataclassFieldValidationError, match=next(iter(settings))):
        HawkEyeConfig(**settings)

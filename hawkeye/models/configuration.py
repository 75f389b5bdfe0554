"""Sizes and settings of a HawkEye model: one configuration class, from the shipped tiny model to the paper's 7B."""

# No `from __future__ import annotations` here: `strict` checks values against the real types of the fields.
import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, InstructBlipQFormerConfig, PretrainedConfig
from transformers.configuration_utils import SubConfigSpec

LIBRARY_KEYS = frozenset(
    {"model_type", "name_or_path", "attn_implementation", "output_attentions", "torch_dtype"}
    | {"rope_theta", "rope_scaling"}  # older spellings of `rope_parameters`, which transformers translates
)
"""Keys that transformers understands in every configuration beside its fields."""


def _reject_unknown(part: str, keys: Iterable[str], config_class: type[PretrainedConfig]) -> None:
    # transformers keeps keys that it does not know as attributes that nothing reads.
    known = {field.name for field in dataclasses.fields(config_class)} | set(config_class.attribute_map) | LIBRARY_KEYS
    for key in keys:
        if key not in known and not key.startswith("_"):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"unknown key {key!r} in {part}{hint}")


@strict
class UMTConfig(PretrainedConfig):
    """Sizes of the UMT video encoder; the defaults are UMT-L/16 as HawkEye uses it.

    Attributes:
        depth: blocks that exist. UMT-L has 24; HawkEye reads the output of the 23rd and drops the last.
        checkpoint_num_frames: frames for which the position table was made; other counts interpolate it along time.
        num_frames: length of the table that explicit frame positions index; `HawkEyeConfig` sets it to its own.
        layer_norm_eps: eps of the norms inside the blocks.
    """

    model_type = "hawkeye_umt"
    base_config_key = "vision_config"

    hidden_size: int = 1024
    intermediate_size: int = 4096
    depth: int = 23
    num_attention_heads: int = 16
    image_size: int = 224
    patch_size: int = 16
    checkpoint_num_frames: int = 4
    num_frames: int = 12
    layer_norm_eps: float = 1e-6

    def __post_init__(self, **kwargs: Any) -> None:
        _reject_unknown("vision_config", kwargs, UMTConfig)
        super().__post_init__(**kwargs)
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )


@strict
class HawkEyeConfig(PretrainedConfig):
    """Sizes of every part of HawkEye, and what the model was trained to expect.

    Attributes:
        vision_config: the video encoder.
        qformer_config: the Q-Former; its `encoder_hidden_size` is always the video encoder's width.
        text_config: any Llama-style causal language model of transformers (a `model_type` key picks another one).
        num_query_tokens: learned queries that stage 1 and 2 trained.
        num_extra_query_tokens: learned queries that instruction tuning adds.
        num_frames: frames shown per window.
        qformer_text: what the Q-Former reads beside the queries in training.
        qformer_text_at_evaluation: the same at evaluation. The original's models were trained with instruction and
            question, and evaluated with the instruction alone; a model of one's own does better with the same in both.
        drop_path_rate: stochastic depth of the Q-Former's last layer; it grows linearly from 0 at the first.
        lora: None, or `r`, `alpha`, `dropout` and `target_modules` of LoRA adapters in the language model.
        constant_bos_embedding: Parity: compute the loss with a BOS embedding of ones, as the original's training did.
            For comparisons only.
        visual_token_id: placeholder in `input_ids` for one visual token; by default (-1) one past the last word.
        initializer_range: standard deviation of the random weights outside the language model.

    Raises:
        ValueError: if a key is unknown, here or in a part, or sizes do not fit together.
        StrictDataclassFieldValidationError: if a value has the wrong type.
    """

    model_type = "hawkeye"
    sub_configs_defaults: ClassVar = {
        "vision_config": SubConfigSpec(config_class=UMTConfig),
        "qformer_config": SubConfigSpec(config_class=InstructBlipQFormerConfig),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
    }

    # A dictionary or None is taken too and made into the part's configuration, hence no narrower type.
    vision_config: Any = None
    qformer_config: Any = None
    text_config: Any = None
    num_query_tokens: int = 32
    num_extra_query_tokens: int = 64
    num_frames: int = 12
    qformer_text: Literal["instruction", "instruction_and_question"] = "instruction_and_question"
    qformer_text_at_evaluation: Literal["instruction", "instruction_and_question"] = "instruction"
    drop_path_rate: float = 0.2
    lora: dict[str, Any] | None = None
    constant_bos_embedding: bool = False
    visual_token_id: int = -1
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        kwargs.pop("use_cache", None)  # transformers' Trainer writes it into every model's configuration
        _reject_unknown("the model's configuration", kwargs, HawkEyeConfig)
        if isinstance(self.qformer_config, dict):
            _reject_unknown("qformer_config", self.qformer_config, InstructBlipQFormerConfig)
        if isinstance(self.text_config, dict):
            model_type = self.text_config.get("model_type", "llama")
            if model_type not in CONFIG_MAPPING:
                raise ValueError(f"text_config has model_type {model_type!r}, which transformers does not know")
            _reject_unknown("text_config", self.text_config, CONFIG_MAPPING[model_type])
        super().__post_init__(**kwargs)
        self.vision_config.num_frames = self.num_frames
        self.qformer_config.encoder_hidden_size = self.vision_config.hidden_size
        if self.visual_token_id == -1:
            self.visual_token_id = self.text_config.vocab_size

    @property
    def num_visual_tokens(self) -> int:
        """Visual tokens per window, which is the number of placeholders in a prompt."""
        return self.num_query_tokens + self.num_extra_query_tokens


AutoConfig.register(HawkEyeConfig.model_type, HawkEyeConfig)

"""Sizes and settings of a HawkEye model: one configuration class, from the shipped tiny model to the paper's 7B."""

# No `from __future__ import annotations` here: `strict` checks values against the real types of the fields.
import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, AutoConfig, InstructBlipQFormerConfig, PretrainedConfig
from transformers.configuration_utils import SubConfigSpec

LIBRARY_KEYS = frozenset(
    {"model_type", "name_or_path", "attn_implementation", "output_attentions", "torch_dtype"}
    | {"_name_or_path", "_attn_implementation", "_commit_hash", "_from_auto", "_from_pipeline"}  # its own notes
    | {"rope_theta", "rope_scaling"}  # older spellings of `rope_parameters`, which transformers translates
)
"""Keys that transformers understands in every configuration beside its fields."""


def _reject_unknown(part: str, values: Mapping[str, Any], config_class: type[PretrainedConfig]) -> None:
    """Refuses what would be accepted and ignored: transformers keeps unknown keys as attributes that nothing reads."""
    model_type = values.get("model_type", config_class.model_type)
    if model_type != config_class.model_type:
        raise ValueError(
            f"{part} has model_type {model_type!r}, but HawkEye has {config_class.model_type!r} there and no other"
        )
    known = {field.name for field in dataclasses.fields(config_class)} | set(config_class.attribute_map) | LIBRARY_KEYS
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"unknown key {key!r} in {part}{hint}")


def _reject_contradiction(part: str, values: Any, key: str, expected: int, reason: str) -> None:
    """Refuses a key of a part that the whole overwrites with another value."""
    if isinstance(values, dict) and values.get(key, expected) != expected:
        raise ValueError(f"{key} {values[key]!r} in {part}, but it is {reason}, {expected}")


def _reject_below(minimum: int, part: str, config: Any, *names: str) -> None:
    for name in names:
        value = config.get(name) if isinstance(config, dict) else getattr(config, name, None)
        if isinstance(value, int) and value < minimum:
            raise ValueError(f"{name} in {part} must be at least {minimum}, not {value!r}")


MOST_LAYERS = 1000
MOST_FRAMES = 10_000
MOST_TABLE = 2 * 10**7
"""Limits far above any model (UMT-L's table of positions has 8 * 10**5 numbers): sizes past them are damage, and would
fill the memory before anything is found to be missing."""


def _reject_above(maximum: int, part: str, config: Any, *names: str) -> None:
    for name in names:
        value = config.get(name) if isinstance(config, dict) else getattr(config, name, None)
        if isinstance(value, int) and value > maximum:
            raise ValueError(f"{name} in {part} must be at most {maximum}, not {value!r}")


def _reject_uneven_heads(part: str, config: Any) -> None:
    if config.hidden_size % config.num_attention_heads:
        raise ValueError(
            f"hidden_size {config.hidden_size} in {part} is not a multiple of num_attention_heads "
            f"{config.num_attention_heads}"
        )


SIZES = ("hidden_size", "intermediate_size", "num_attention_heads")


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
        sizes = (*SIZES, "depth", "image_size", "patch_size", "checkpoint_num_frames", "num_frames")
        _reject_below(1, "vision_config", self, *sizes)
        _reject_above(MOST_LAYERS, "vision_config", self, "depth")
        _reject_above(MOST_FRAMES, "vision_config", self, "checkpoint_num_frames", "num_frames")
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        _reject_uneven_heads("vision_config", self)
        positions = self.checkpoint_num_frames * (self.image_size // self.patch_size) ** 2
        if positions * self.hidden_size > MOST_TABLE:
            raise ValueError(
                f"image_size {self.image_size}, patch_size {self.patch_size} and checkpoint_num_frames "
                f"{self.checkpoint_num_frames} in vision_config make {positions} positions, too many"
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
        for part in self.sub_configs_defaults:
            if not isinstance(getattr(self, part), dict | PretrainedConfig | None):
                raise ValueError(f"{part} must be a mapping, not {getattr(self, part)!r}")
        given_vision, given_qformer = self.vision_config, self.qformer_config
        if isinstance(self.qformer_config, dict):
            _reject_unknown("qformer_config", self.qformer_config, InstructBlipQFormerConfig)
        if isinstance(self.text_config, dict):
            model_type = self.text_config.get("model_type", "llama")
            if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
                raise ValueError(f"text_config has model_type {model_type!r}, which transformers does not know")
            _reject_unknown("text_config", self.text_config, CONFIG_MAPPING[model_type])
            _reject_below(1, "text_config", self.text_config, *SIZES)  # transformers divides by them
        super().__post_init__(**kwargs)
        self._check_sizes(given_vision, given_qformer)
        self.vision_config.num_frames = self.num_frames
        self.qformer_config.encoder_hidden_size = self.vision_config.hidden_size
        if self.visual_token_id == -1:
            self.visual_token_id = self.text_config.vocab_size

    def _check_sizes(self, given_vision: Any, given_qformer: Any) -> None:
        vision, qformer, text = self.vision_config, self.qformer_config, self.text_config
        _reject_contradiction("vision_config", given_vision, "num_frames", self.num_frames, "the model's num_frames")
        width = vision.hidden_size
        _reject_contradiction(
            "qformer_config", given_qformer, "encoder_hidden_size", width, "the video encoder's hidden_size"
        )
        _reject_below(1, "the model's configuration", self, "num_frames", "num_query_tokens")
        _reject_below(0, "the model's configuration", self, "num_extra_query_tokens")
        counts = ("num_frames", "num_query_tokens", "num_extra_query_tokens")
        _reject_above(MOST_FRAMES, "the model's configuration", self, *counts)
        _reject_above(MOST_LAYERS, "qformer_config", qformer, "num_hidden_layers")
        _reject_above(MOST_LAYERS, "text_config", text, "num_hidden_layers")
        sizes = (*SIZES, "num_hidden_layers", "vocab_size", "max_position_embeddings")
        _reject_below(1, "qformer_config", qformer, *sizes, "cross_attention_frequency")
        _reject_below(1, "text_config", text, *sizes, "num_key_value_heads", "head_dim")
        _reject_uneven_heads("qformer_config", qformer)
        if self.visual_token_id < -1:
            raise ValueError(f"visual_token_id must not be negative, but it is {self.visual_token_id}")
        if self.constant_bos_embedding and text.bos_token_id is None:
            raise ValueError("constant_bos_embedding needs a language model with a bos_token_id")

    @property
    def num_visual_tokens(self) -> int:
        """Visual tokens per window, which is the number of placeholders in a prompt."""
        return self.num_query_tokens + self.num_extra_query_tokens


AutoConfig.register(HawkEyeConfig.model_type, HawkEyeConfig)

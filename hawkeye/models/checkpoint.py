"""Names of the original's checkpoints and ours: one table of rename rules, read in both directions."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from hawkeye.models.configuration import HawkEyeConfig

LORA_KEY = re.compile(r"(?P<path>.+)\.lora_[AB]\.default\.weight")

DROPPED = (
    re.compile(r"qformer\.bert\.embeddings\.position_ids"),
    re.compile(r".+\.rotary_emb\.inv_freq"),
)
"""Original entries that hold no weight: the model computes them (`computed_entries`)."""

UNUSED = (
    (re.compile(r"qformer\.cls\..+"), "word prediction of stage 1"),
    (re.compile(r"(?:vision_proj|text_proj|itm_head)\.(?:weight|bias)|temp"), "contrast and matching heads of stage 1"),
    (re.compile(r"vision_encoder\.encoder\.pos_embed"), "the model computes it"),
    (
        re.compile(r"vision_encoder\.encoder\.(?:norm|fc_norm|head|clip_\w+)\..+"),
        "the encoder's end, which is not used",
    ),
)
"""Entries that earlier stages' checkpoints may hold and that HawkEye does not use, and why."""

PATCH_EMBEDDING = "vision_encoder.patch_embedding.weight"
"""Ours is `[C, 3 * patch * patch]`, the original's a Conv3d kernel `[C, 3, 1, patch, patch]`."""

RULES = (
    ("vision_encoder.encoder.patch_embed.proj.{leaf}", "vision_encoder.patch_embedding.{leaf}"),
    ("vision_encoder.encoder.blocks.{n}.attn.{rest}", "vision_encoder.blocks.{n}.attention.{rest}"),
    ("vision_encoder.encoder.blocks.{n}.{rest}", "vision_encoder.blocks.{n}.{rest}"),
    ("qformer.bert.embeddings.LayerNorm.{leaf}", "qformer.embeddings.layernorm.{leaf}"),
    ("qformer.bert.encoder.layer.{n}.{mixer}.self.{rest}", "qformer.encoder.layer.{n}.{mixer}.attention.{rest}"),
    ("qformer.bert.{rest}", "qformer.{rest}"),
    ("llama_proj.{leaf}", "projector.{leaf}"),
    ("{llama}.{adapted}.weight", "language_model.{adapted}.base_layer.weight"),
    ("{llama}.{rest}", "language_model.{rest}"),
    ("{same}", "{same}"),
)
"""Original name, our name; the first rule that fits counts. `_PLACES` says what may stand in the braces."""

_PLACES = {
    "n": r"\d+",
    "leaf": "weight|bias",
    "rest": ".+",
    "mixer": "attention|crossattention",
    "same": r"query_tokens|extra_query_tokens|vision_layernorm\.(?:weight|bias)",
}


class UnknownKeyError(KeyError):
    """A checkpoint holds an entry that no rule of this file knows."""


def from_original(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The original's state dict under our names.

    Raises:
        UnknownKeyError: if a name fits no rule.
    """
    kept = {key: weight for key, weight in state_dict.items() if not any(rule.fullmatch(key) for rule in DROPPED)}
    llama = _llama_prefix(kept)
    rules = [(original.replace("{llama}", llama), ours) for original, ours in RULES]
    renamed = _rename(kept, rules, llama)
    if PATCH_EMBEDDING in renamed:
        renamed[PATCH_EMBEDDING] = renamed[PATCH_EMBEDDING].flatten(1)
    return renamed


def to_original(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict under the original's names; the inverse of `from_original`, but for what that drops.

    Raises:
        UnknownKeyError: if a name fits no rule.
    """
    weights = dict(state_dict)
    if PATCH_EMBEDDING in weights:
        kernel = weights[PATCH_EMBEDDING]
        patch = round((kernel.shape[1] / 3) ** 0.5)
        weights[PATCH_EMBEDDING] = kernel.reshape(len(kernel), 3, 1, patch, patch)
    llama = _llama_prefix(weights)
    return _rename(weights, [(ours, original.replace("{llama}", llama)) for original, ours in RULES], "language_model")


def computed_entries(config: HawkEyeConfig) -> dict[str, Tensor]:
    """What `from_original` drops of a whole checkpoint, under the original's names: the original insists on it."""
    text = config.text_config
    positions = torch.arange(config.qformer_config.max_position_embeddings)[None]
    head_dim = text.hidden_size // text.num_attention_heads
    inv_freq = 1.0 / text.rope_parameters["rope_theta"] ** (torch.arange(0, head_dim, 2).float() / head_dim)
    prefix = "llama_model" if config.lora is None else "llama_model.base_model.model"
    return {"qformer.bert.embeddings.position_ids": positions} | {
        f"{prefix}.model.layers.{layer}.self_attn.rotary_emb.inv_freq": inv_freq
        for layer in range(text.num_hidden_layers)
    }


def _llama_prefix(keys: Mapping[str, Tensor]) -> str:
    """The original's name of the language model, which peft's wrapper lengthens."""
    return "llama_model.base_model.model" if any(LORA_KEY.fullmatch(key) for key in keys) else "llama_model"


def _rename(state_dict: Mapping[str, Tensor], rules: list[tuple[str, str]], llm_prefix: str) -> dict[str, Tensor]:
    adapted = {match["path"].removeprefix(f"{llm_prefix}.") for key in state_dict if (match := LORA_KEY.fullmatch(key))}
    places = _PLACES | {"adapted": "|".join(map(re.escape, sorted(adapted))) or "(?!)"}
    patterns = [(_pattern(source, places), target) for source, target in rules]
    renamed = {}
    for key, weight in state_dict.items():
        fits = ((match, target) for pattern, target in patterns if (match := pattern.fullmatch(key)))
        match, target = next(fits, (None, ""))
        if match is None:
            raise UnknownKeyError(f"no rule of hawkeye/models/checkpoint.py knows the checkpoint entry {key!r}")
        renamed[target.format(**match.groupdict())] = weight
    return renamed


def _pattern(template: str, places: Mapping[str, str]) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)  # literal text and names of places in turn
    for index, part in enumerate(parts):
        parts[index] = f"(?P<{part}>{places[part]})" if index % 2 else re.escape(part)
    return re.compile("".join(parts))

"""Putting a model's weights together from several sources: each weight is accounted for."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig

from hawkeye.config import ConfigError
from hawkeye.models import foreign
from hawkeye.models.checkpoint import DROPPED, UNUSED, UnknownKeyError, from_original
from hawkeye.models.configuration import HawkEyeConfig
from hawkeye.models.deltas import refuse_delta
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.weight_files import WeightFileError, read_weights

QUERIES = "extra_query_tokens"
VOCABULARY = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")
"""Weights with one row a word. Vicuna's have 32,001 rows, the last for a padding token that HawkEye does not use."""

PROJECTOR = re.compile(r"projector\.(?:weight|bias)")
LORA = re.compile(r"(?P<layer>.+)\.lora_(?P<side>[AB])\.default\.weight")

LLM_SIZES = (
    *("model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "hidden_act", "attention_bias", "mlp_bias"),
    *("rms_norm_eps", "layer_norm_eps", "rope_parameters", "sliding_window", "layer_types"),
)
"""What a language model's own configuration must say as HawkEye's does; shapes alone would not tell."""


class Kind(Enum):
    """What a file or directory holds; files are laid over one another in this order, whatever order they come in."""

    LANGUAGE_MODEL = "language model"
    HAWKEYE = "HawkEye directory"
    STAGE_1 = "encoder and Q-Former"
    STAGE_2 = "stage 2"
    TUNED = "instruction-tuned"


@dataclass(frozen=True)
class WeightSource:
    """The weights of one file or directory under our names, those of a model without adapters (see `_plain`)."""

    path: Path
    kind: Kind
    tensors: dict[str, Tensor]
    ignored: dict[str, str]
    """Entry to the reason."""

    def ignored_by_reason(self) -> Counter[str]:
        """How many entries were left out, and why."""
        return Counter(self.ignored.values())


@dataclass(frozen=True)
class SourceReport:
    """What became of one source's tensors."""

    source: WeightSource
    kept: int
    """Tensors of the model that this source lacks and an earlier one gave."""
    missing: int
    """Tensors of the model that neither this source nor an earlier one gave."""
    cut: tuple[str, ...]
    """Tensors whose last rows were cut off."""


@dataclass(frozen=True)
class Assembly:
    """All weights of a model, each computed when it is written, and where they come from."""

    config: HawkEyeConfig
    weights: dict[str, Callable[[], Tensor]]
    reports: list[SourceReport]
    new: tuple[str, ...]
    """Weights that no file holds and that training starts anew."""
    mended: tuple[str, ...] = ()
    """What was mended in the tokenizer (`hawkeye.models.tokenizers`)."""


def model_type_of(path: Path) -> str | None:
    """The `model_type` of a model directory; None for files."""
    if not path.is_dir():
        return None
    model_type = foreign.read_json_object(path / "config.json").get("model_type")
    if not isinstance(model_type, str):
        raise WeightFileError(f"{path / 'config.json'}: not the configuration of a model: it has no 'model_type'")
    return model_type


def read_source(path: Path, config: HawkEyeConfig, ignore: Sequence[str] = ()) -> WeightSource:
    """The weights of a file or directory, with those that the model does not use told apart.

    Raises:
        WeightFileError: if it cannot be read, or holds an entry that nothing accounts for.
        ConfigError: if a pattern of `ignore` is no regular expression.
    """
    reasons = [*((rule, "the model computes it") for rule in DROPPED), *UNUSED]
    for pattern in ignore:
        try:
            reasons.append((re.compile(pattern), "as asked"))
        except re.error as error:
            raise ConfigError(f"--ignore {pattern!r} is no regular expression ({error})") from None
    model_type = model_type_of(path)
    entries = read_weights(path)
    ignored = {}
    for key in entries:
        reason = next((reason for rule, reason in reasons if rule.fullmatch(key)), _beyond(key, config))
        if reason:
            ignored[key] = reason
    kept = {key: tensor for key, tensor in entries.items() if key not in ignored}
    if model_type is None:
        try:
            tensors = from_original(kept)
        except UnknownKeyError as error:
            raise WeightFileError(f"{path}: {error.args[0]}; --ignore REGEX leaves it out") from None
        kind = _kind(tensors)
    elif model_type == HawkEyeConfig.model_type:
        tensors, kind = kept, Kind.HAWKEYE
    else:
        _check_language_model(path, config)
        tensors, kind = {f"language_model.{key}": tensor for key, tensor in kept.items()}, Kind.LANGUAGE_MODEL
    refuse_delta(path, tensors, config.text_config.model_type)
    if config.text_config.tie_word_embeddings and (head := tensors.pop(VOCABULARY[1], None)) is not None:
        words = tensors.get(VOCABULARY[0])
        if words is not None and not torch.equal(words, head):
            raise WeightFileError(
                f"{path}: its output layer is not its word embeddings, but the model ties them: set "
                "tie_word_embeddings to false in text_config"
            )
        ignored[VOCABULARY[1]] = "tied to the word embeddings"
    return WeightSource(path, kind, {_plain(key): tensor for key, tensor in tensors.items()}, ignored)


def _plain(name: str) -> str:
    """The name that a weight has in a model without adapters."""
    return name.replace(".base_layer.", ".")


def _beyond(key: str, config: HawkEyeConfig) -> str | None:
    block = re.match(r"vision_encoder\.encoder\.blocks\.(\d+)\.", key)
    beyond = block is not None and int(block[1]) >= config.vision_config.depth
    return "a block after the one whose output is used" if beyond else None


def _kind(tensors: Mapping[str, Tensor]) -> Kind:
    if QUERIES in tensors or any(LORA.fullmatch(name) for name in tensors):
        return Kind.TUNED
    return Kind.STAGE_2 if "projector.weight" in tensors else Kind.STAGE_1


def _check_language_model(path: Path, config: HawkEyeConfig) -> None:
    theirs = foreign.load(AutoConfig, path, "the configuration")
    for field in LLM_SIZES:
        found, expected = getattr(theirs, field, None), getattr(config.text_config, field, None)
        if found != expected:
            raise WeightFileError(
                f"{path}: this language model has {field} {found!r}, the model is made for {expected!r}"
            )


def assemble(
    sources: Sequence[WeightSource], config: HawkEyeConfig, *, merge_lora: bool = False, seed: int = 0
) -> Assembly:
    """Lays sources over one another, the later ones on top, and accounts for every weight of the model.

    Raises:
        WeightFileError: if a weight is unknown to the model, has another shape, or is missing at the end.
    """
    target = meta_weights(config)
    names = {_plain(name): name for name in target}  # ours, with and without adapters
    found: dict[str, Callable[[], Tensor]] = {}
    reports = []
    for source in sources:
        cut = []
        for name, tensor in source.tensors.items():
            if name not in names:
                raise WeightFileError(f"{source.path}: the model has no weight {name!r}; --ignore REGEX leaves it out")
            expected = target[names[name]].shape
            rows = _rows_to_cut(name, tensor.shape, expected)
            if tensor.shape != expected and not rows:
                raise WeightFileError(
                    f"{source.path}: {name!r} has shape {list(tensor.shape)}, but in the model {list(expected)}"
                )
            if rows:
                cut.append(f"{name} from {len(tensor):,} to {expected[0]:,} rows")
            found[name] = partial(_finite, source.path, name, tensor[: expected[0]] if rows else tensor)
        missing = len(names.keys() - found.keys())
        kept = len(names) - missing - len(source.tensors)
        reports.append(SourceReport(source, kept, missing, tuple(cut)))
    new = _new_weights(names, target, found, sources, config, seed)
    missing_names = [name for name in names if name not in found and name not in new]
    if missing_names:
        listed = ", ".join(missing_names[:3])
        raise WeightFileError(
            f"{len(missing_names)} of {len(names)} weights are in none of the given files: {listed}"
            + (", ..." if len(missing_names) > 3 else "")
        )
    weights = {names[name]: (found | new)[name] for name in names}
    if merge_lora and config.lora is not None:
        weights, config = _merge(weights, config)
    return Assembly(config, weights, reports, tuple(new))


def meta_weights(config: HawkEyeConfig) -> dict[str, Tensor]:
    """The model's weights without their values; of tied ones the first only."""
    with torch.device("meta"):
        model = HawkEye(config)
    tied = set(model.all_tied_weights_keys)
    return {name: weight for name, weight in model.state_dict().items() if name not in tied}


def _rows_to_cut(name: str, found: torch.Size, expected: torch.Size) -> bool:
    return name in VOCABULARY and found[1:] == expected[1:] and found[0] > expected[0]


def _finite(path: Path, name: str, tensor: Tensor) -> Tensor:
    if not tensor.isfinite().all():
        raise WeightFileError(f"{path}: {name!r} holds numbers that are not finite")
    return tensor


def _new_weights(
    names: Mapping[str, str],
    target: Mapping[str, Tensor],
    found: Mapping[str, Callable[[], Tensor]],
    sources: Sequence[WeightSource],
    config: HawkEyeConfig,
    seed: int,
) -> dict[str, Callable[[], Tensor]]:
    """What the stages that no source has been through add: stage 2 the projector, instruction tuning queries and
    adapters."""
    kinds = {source.kind for source in sources}
    if kinds & {Kind.TUNED, Kind.HAWKEYE}:
        return {}
    may_be_new = [re.compile(QUERIES), LORA]
    if Kind.LANGUAGE_MODEL in kinds and Kind.STAGE_1 in kinds and Kind.STAGE_2 not in kinds:
        may_be_new.append(PROJECTOR)
    generator = torch.Generator().manual_seed(seed)
    new: dict[str, Callable[[], Tensor]] = {}
    for name, ours in names.items():
        if name in found or not any(pattern.fullmatch(name) for pattern in may_be_new):
            continue
        weight = torch.zeros(target[ours].shape)
        if name == QUERIES:
            # The original starts them at zero; the Q-Former's dropout makes them differ. Without any they would stay
            # copies of one another, so that they are random there, as they are in models without published weights.
            if not config.qformer_config.hidden_dropout_prob:
                nn.init.normal_(weight, std=config.initializer_range, generator=generator)
        elif name == "projector.weight":
            nn.init.normal_(weight, std=config.initializer_range, generator=generator)
        elif (adapter := LORA.fullmatch(name)) and adapter["side"] == "A":
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)  # as peft does; B is zero
        new[name] = partial(Tensor.clone, weight)
    return new


def _merge(
    weights: Mapping[str, Callable[[], Tensor]], config: HawkEyeConfig
) -> tuple[dict[str, Callable[[], Tensor]], HawkEyeConfig]:
    """W + B A alpha / r in place of W, A and B (LoRA: Hu et al., 2021)."""
    assert config.lora is not None
    scale = config.lora["alpha"] / config.lora["r"]
    merged: dict[str, Callable[[], Tensor]] = {}
    for name, weight in weights.items():
        if LORA.fullmatch(name):
            continue
        layer = name.removesuffix(".base_layer.weight")
        if layer != name:
            b, a = (weights[f"{layer}.lora_{side}.default.weight"] for side in "BA")
            merged[_plain(name)] = partial(_merged, weight, b, a, scale)
        else:
            merged[name] = weight
    fields = config.to_dict() | {"lora": None}
    return merged, HawkEyeConfig(**{key: value for key, value in fields.items() if key != "transformers_version"})


def _merged(weight: Callable[[], Tensor], b: Callable[[], Tensor], a: Callable[[], Tensor], scale: float) -> Tensor:
    base = weight()
    return (base.float() + b().float() @ a().float() * scale).to(base.dtype)

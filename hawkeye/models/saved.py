"""Directories of HawkEye models: reading one whole, with all that must fit together, and writing one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hawkeye.config import ConfigError
from hawkeye.models import foreign
from hawkeye.models.configuration import HawkEyeConfig
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import QFORMER_TOKENIZER, HawkEyeProcessor
from hawkeye.models.weight_files import read_weights

TRIAL = "###Human: What? \N{GRINNING FACE} ###Assistant: (A"
"""A text with words that some tokenizers do not know; odd files fail at the first text only."""
SHARD_BYTES = 5 * 10**9
"""Size of a file of weights: what is held in memory at a time while a model is written."""


def shipped_models() -> dict[str, Path]:
    """The models that come with the package, by name."""
    assets = Path(str(files("hawkeye") / "assets"))
    return {path.parent.name: path.parent for path in sorted(assets.glob("*/config.json"))}


def load_config(directory: Path) -> HawkEyeConfig:
    """The configuration of a model's directory.

    Raises:
        ConfigError: naming the directory and what is wrong with it.
    """
    config: HawkEyeConfig = foreign.load(HawkEyeConfig, directory, "the configuration")
    return config


def load_processor(directory: Path, config: HawkEyeConfig) -> HawkEyeProcessor:
    """The processor of a model's directory, which fits the model.

    Raises:
        ConfigError: naming the directory and what is wrong with it.
    """
    processor: HawkEyeProcessor = foreign.load(HawkEyeProcessor, directory, "the processor")
    with foreign.one_line_errors(f"{directory}: its tokenizers cannot read a text"):
        ids = processor.encode_prompt(TRIAL)
        processor.tokenizer.decode(ids, skip_special_tokens=True)
        special = [getattr(processor.tokenizer, f"{name}_token_id") for name in ("bos", "eos", "unk", "pad")]
        texts = processor.qformer_inputs([TRIAL, ""])
    check_fits(processor, config, str(directory))
    rows = config.text_config.vocab_size
    if any(token is not None and token >= rows for token in special) or max(ids) >= rows:
        raise ConfigError(f"{directory}: the tokenizer makes ids past the {rows} rows of the table of embeddings")
    if texts["qformer_input_ids"].max() >= config.qformer_config.vocab_size:
        raise ConfigError(
            f"{directory}: {QFORMER_TOKENIZER} makes ids past the {config.qformer_config.vocab_size} rows of the "
            "Q-Former's table of embeddings"
        )
    return processor


def load_whole(directory: Path, **options: Any) -> tuple[HawkEye, HawkEyeProcessor]:
    """The model and the processor of a directory; the small files are read and compared before the large ones.

    Args:
        directory: as `HawkEye.save_pretrained` and `hawkeye convert` write it.
        options: for `HawkEye.from_pretrained`.

    Raises:
        ConfigError: naming the directory and what is wrong with it.
    """
    processor = load_processor(directory, load_config(directory))
    model: HawkEye = foreign.load(HawkEye, directory, "the model", **options)
    return model, processor


def load_to_train(directory: Path, frozen_dtype: torch.dtype, choose: Callable[[HawkEye], None]) -> HawkEye:
    """A model whose frozen weights are of one type and whose trained ones are float32.

    Weights that lie in the file in the type that they are to have are not copied: they stay mapped from the file,
    which all processes of a node share, until they move to a device. Each other one costs memory in its target type.

    Args:
        directory: see `load_whole`.
        frozen_dtype: type of what does not train.
        choose: sets `requires_grad` of the weights.

    Raises:
        ConfigError: naming the directory and what is wrong with it.
    """
    config = load_config(directory)
    weights = read_weights(directory)
    with foreign.one_line_errors(f"{directory}: the model cannot be loaded"):
        model = HawkEye.from_pretrained(None, config=config, state_dict=weights, dtype=frozen_dtype)
        model.name_or_path = model.config.name_or_path = str(directory)
    choose(model)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            # From the file again, and a copy: `frozen_dtype` may have rounded it, and it is this process's to change.
            weight.data = weights[name].to(torch.float32, copy=True)
    return model


def check_fits(processor: HawkEyeProcessor, config: HawkEyeConfig, where: str) -> None:
    """Compares a processor with the model that it is to serve.

    Raises:
        ConfigError: `where`, and what does not fit.
    """
    pairs = (
        ("num_visual_tokens", processor.num_visual_tokens, config.num_visual_tokens),
        ("visual_token_id", processor.visual_token_id, config.visual_token_id),
        ("image_size", processor.image_size, config.vision_config.image_size),
    )
    for name, given, expected in pairs:
        if given != expected:
            raise ConfigError(f"{where}: the processor's {name} is {given}, but the model's is {expected}")
    if processor.qformer_max_tokens > config.qformer_config.max_position_embeddings:
        raise ConfigError(
            f"{where}: the processor's qformer_max_tokens is {processor.qformer_max_tokens}, but the Q-Former has "
            f"{config.qformer_config.max_position_embeddings} positions"
        )
    texts = (
        ("language model", processor.tokenizer, config.text_config.vocab_size),
        ("Q-Former", processor.qformer_tokenizer, config.qformer_config.vocab_size),
    )
    for part, tokenizer, rows in texts:
        _check_ids(tokenizer, rows, f"{where}: the {part}'s tokenizer")
    if processor.qformer_tokenizer.pad_token_id is None:
        raise ConfigError(f"{where}: the Q-Former's tokenizer ({QFORMER_TOKENIZER}) has no padding token")
    if config.visual_token_id in processor.tokenizer.get_vocab().values():
        word = processor.tokenizer.convert_ids_to_tokens(config.visual_token_id)
        raise ConfigError(
            f"{where}: the placeholder of visual tokens has the id {config.visual_token_id}, which is that of the "
            f"word {word!r}; leave visual_token_id out of the configuration, or convert the published files again"
        )


def _check_ids(tokenizer: PreTrainedTokenizerBase, rows: int, which: str) -> None:
    vocabulary = tokenizer.get_vocab()
    word = max(vocabulary, key=vocabulary.__getitem__, default=None)
    if word is None:
        raise ConfigError(f"{which} has no words")
    if vocabulary[word] >= rows:
        raise ConfigError(
            f"{which} has the word {word!r} with the id {vocabulary[word]}, but the table of embeddings has {rows} "
            "rows: convert the published files again, or give the tokenizer that belongs to the model"
        )
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(f"{which} ({type(tokenizer).__name__}) does not tell which characters a token stands for")


def write_model(
    config: HawkEyeConfig,
    weights: Mapping[str, Callable[[], Tensor]],
    sizes: Mapping[str, Tensor],
    directory: Path,
    *,
    types: Mapping[str, torch.dtype],
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes sharded safetensors and the configuration; holds one shard in memory at a time.

    Args:
        config: the model's.
        weights: each computed when it is written; by name, without those that are tied to others.
        sizes: tensors of the same shapes (on torch's meta device, for example), by which shards are made.
        directory: to make, or empty of weights.
        types: those that weights have on disk; the others stay in the type that they are computed in.
        shard_bytes: size of a shard.

    Raises:
        ConfigError: if a weight holds numbers that are not finite in the type that it has on disk.
    """
    directory.mkdir(exist_ok=True)
    split = split_torch_state_dict_into_shards(
        dict(sizes), filename_pattern="model{suffix}.safetensors", max_shard_size=shard_bytes
    )
    for file, names in split.filename_to_tensors.items():
        shard = {name: finite_as(name, weights[name](), types.get(name)) for name in names}
        try:
            save_file(shard, directory / file, metadata={"format": "pt"})
        except SafetensorError as error:  # a full disk, among others
            raise OSError(f"{directory / file}: cannot be written ({error})") from None
        del shard
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
    config.architectures = [HawkEye.__name__]
    config.save_pretrained(directory)


def finite_as(name: str, weight: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A weight on the CPU in the type that it is written in; its own where None.

    Raises:
        ConfigError: if some of its numbers are not finite, or are not in that type.
    """
    cast = weight.detach().to("cpu", dtype).contiguous()
    if cast.isfinite().all():
        return cast
    told = str(dtype).removeprefix("torch.")
    if not weight.isfinite().all():
        raise ConfigError(f"the weight {name!r} holds numbers that are not finite: this model is not written")
    raise ConfigError(
        f"the weight {name!r} has numbers up to {weight.abs().max().item():.3g}, more than {told} holds: write the "
        "model in bfloat16 or float32"
    )


def save_model(
    model: HawkEye,
    directory: Path,
    dtype: torch.dtype,
    *,
    weights: Mapping[str, Tensor] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes a model shard by shard, without a second copy of it on the device or in memory.

    Args:
        model: stays as it is.
        directory: to make; may be there, empty or with the processor's files.
        dtype: of the weights on disk; those that are of a narrower type in memory stay in that one, as the wider type
            would hold nothing more.
        weights: by name, where the model itself does not hold them (DeepSpeed).
        shard_bytes: size of a shard.

    Raises:
        ConfigError: if a weight holds numbers that are not finite; nothing is said to be written then.
    """
    tied = set(model.all_tied_weights_keys)
    held = {
        name: weight
        for name, weight in (model.state_dict() if weights is None else weights).items()
        if name not in tied
    }
    sizes = {
        name: torch.empty(weight.shape, dtype=_written_type(weight, dtype), device="meta")
        for name, weight in held.items()
    }
    config = model.config
    assert isinstance(config, HawkEyeConfig)
    config.dtype = dtype
    write_model(
        config,
        {name: partial(_itself, weight) for name, weight in held.items()},
        sizes,
        directory,
        types={name: size.dtype for name, size in sizes.items()},
        shard_bytes=shard_bytes,
    )


def _itself(weight: Tensor) -> Tensor:
    return weight


def _written_type(weight: Tensor, dtype: torch.dtype) -> torch.dtype:
    if not weight.is_floating_point() or weight.dtype.itemsize < dtype.itemsize:
        return weight.dtype
    return dtype

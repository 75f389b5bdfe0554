"""`hawkeye convert`: published files of weights into one model directory, and back into one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from rich.console import Group
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hawkeye.config import ConfigError, ModelSettings, load_settings
from hawkeye.files import written_whole
from hawkeye.models.assembly import (
    VOCABULARY,
    Assembly,
    Kind,
    WeightSource,
    assemble,
    meta_weights,
    model_type_of,
    read_source,
)
from hawkeye.models.checkpoint import computed_entries, to_original
from hawkeye.models.configuration import HawkEyeConfig
from hawkeye.models.hawkeye import HawkEye
from hawkeye.models.processing import HawkEyeProcessor, normalisation
from hawkeye.tables import table


def convert(
    inputs: Sequence[Path],
    output: Path,
    *,
    model: Path,
    tokenizer: str | None = None,
    qformer_tokenizer: str | None = None,
    merge_lora: bool = False,
    dtype: torch.dtype | None = None,
    ignore: Sequence[str] = (),
    seed: int = 0,
) -> Assembly:
    """Makes one model of files of weights.

    Args:
        inputs: published files, directories of a language model, HawkEye directories, in any order; see `Kind`.
        output: a directory to make, or a `.pth` file in the original's names.
        model: YAML of sizes, where no input is a HawkEye directory, which has its own.
        tokenizer, qformer_tokenizer: directories or names of tokenizers; by default the language model's directory
            (or the HawkEye directory), and "bert-base-uncased".
        merge_lora: adds the adapters to the weights that they adapt.
        dtype: of the written weights; as in the files by default.
        ignore: regular expressions of entries to leave out.
        seed: decides the weights that no file holds: before instruction tuning the adapters and the extra queries.

    Raises:
        ConfigError: before anything is written, naming the file, the entry and what is wrong with it.
    """
    if output.exists():
        raise ConfigError(f"{output} exists already: delete it, or choose another output")
    settings, config = _settings(inputs, model)
    sources = sorted(
        (read_source(path, config, ignore) for path in inputs), key=lambda source: list(Kind).index(source.kind)
    )
    assembly = assemble(sources, config, merge_lora=merge_lora, seed=seed)
    with written_whole(output) as unfinished:
        if output.suffix == ".pth":
            write_original(assembly, unfinished, dtype)
        else:
            processor = _processor(sources, settings, assembly.config, tokenizer, qformer_tokenizer)
            write_directory(assembly, unfinished, dtype)
            processor.save_pretrained(unfinished)
    return assembly


def _settings(inputs: Sequence[Path], model: Path) -> tuple[ModelSettings | None, HawkEyeConfig]:
    for path in inputs:
        if model_type_of(path) == HawkEyeConfig.model_type:
            return None, HawkEyeConfig.from_pretrained(path)
    settings = load_settings(model, ModelSettings)
    try:
        return settings, HawkEyeConfig(**settings.config)
    except ValueError as error:
        raise ConfigError(f"{model}: {error}") from None


def write_directory(assembly: Assembly, directory: Path, dtype: torch.dtype | None = None) -> None:
    """Writes sharded safetensors and the configuration; holds one shard in memory at a time."""
    directory.mkdir()
    sizes = {name: weight.to(dtype) for name, weight in meta_weights(assembly.config).items()}
    split = split_torch_state_dict_into_shards(sizes, filename_pattern="model{suffix}.safetensors")
    with _progress(len(sizes), directory) as progress:
        for file, names in split.filename_to_tensors.items():
            shard = {name: _ready(assembly.weights[name], dtype, progress) for name in names}
            try:
                save_file(shard, directory / file, metadata={"format": "pt"})
            except SafetensorError as error:  # a full disk, among others
                raise OSError(f"{directory / file}: cannot be written ({error})") from None
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
    assembly.config.architectures = [HawkEye.__name__]
    assembly.config.save_pretrained(directory)


def write_original(assembly: Assembly, path: Path, dtype: torch.dtype | None = None) -> None:
    """Writes every weight under the original's names, with the entries that it computes, under "model"."""
    with _progress(len(assembly.weights), path) as progress:
        ours = {name: _ready(weight, dtype, progress) for name, weight in assembly.weights.items()}
    if assembly.config.text_config.tie_word_embeddings:
        ours[VOCABULARY[1]] = ours[VOCABULARY[0]]
    torch.save({"model": to_original(ours) | computed_entries(assembly.config)}, path)


def _progress(total: int, path: Path) -> Any:
    return tqdm(
        total=total, unit=" tensors", desc=f"writing {path.name.replace('.unfinished', '')}", disable=total < 300
    )


def _ready(weight: Callable[[], Tensor], dtype: torch.dtype | None, progress: Any) -> Tensor:
    progress.update()
    return weight().to(dtype).contiguous()


def _processor(
    sources: Sequence[WeightSource],
    settings: ModelSettings | None,
    config: HawkEyeConfig,
    tokenizer: str | None,
    qformer_tokenizer: str | None,
) -> HawkEyeProcessor:
    directories = {source.kind: source.path for source in sources}
    if settings is None:
        return HawkEyeProcessor.from_pretrained(directories[Kind.HAWKEYE])
    language_model = directories.get(Kind.LANGUAGE_MODEL)
    if tokenizer is None and language_model is None:
        raise ConfigError("no tokenizer for the language model: give its directory, or --tokenizer DIRECTORY")
    words = _tokenizer(tokenizer or str(language_model), "--tokenizer")
    words.pad_token = words.pad_token or words.unk_token
    qformer_words = _tokenizer(qformer_tokenizer or "bert-base-uncased", "--qformer-tokenizer")
    qformer_words.add_special_tokens({"bos_token": "[DEC]"})  # the row that the original adds to BERT's table
    if len(qformer_words) > config.qformer_config.vocab_size:
        raise ConfigError(
            f"the Q-Former's tokenizer has {len(qformer_words)} words, "
            f"its table of embeddings {config.qformer_config.vocab_size} rows"
        )
    return HawkEyeProcessor(
        tokenizer=words,
        qformer_tokenizer=qformer_words,
        image_size=settings.image_size,
        num_visual_tokens=config.num_visual_tokens,
        visual_token_id=config.visual_token_id,
        **normalisation(settings),
    )


def _tokenizer(name: str, option: str) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"no tokenizer in {name!r} ({reason}); {option} DIRECTORY names one") from None


def report(assembly: Assembly) -> Group:
    """Where the weights come from: one row a file, in the order in which they were laid over one another."""
    rows = table(None, "source", "kind", "loaded", "kept", "ignored", "missing")
    rows.columns[1].justify = "left"
    remarks = []
    for row in assembly.reports:
        name, source = row.source.path.name, row.source
        counts = (len(source.tensors), row.kept, len(source.ignored), row.missing)
        rows.add_row(name, source.kind.value, *map(str, counts))
        remarks += [f"{name}: {count} ignored: {reason}" for reason, count in source.ignored_by_reason().items()]
        remarks += [f"{name}: cut {cut}" for cut in row.cut]
    if assembly.new:
        rows.add_row("none", "random, from the seed", str(len(assembly.new)), "", "", "0")
        remarks.append("random: adapters and extra queries, which instruction tuning adds; no file holds them")
    meaning = "kept: the model's tensors that an earlier source gave; missing: those that none has given yet"
    return Group(rows, meaning, *remarks)

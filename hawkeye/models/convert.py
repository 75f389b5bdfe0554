"""`hawkeye convert`: published files of weights into one model directory, and back into one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Group
from rich.text import Text
from torch import Tensor
from tqdm import tqdm
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from hawkeye.config import ConfigError, ModelSettings, load_settings
from hawkeye.files import written_whole
from hawkeye.models import foreign
from hawkeye.models.assembly import (
    LORA,
    PROJECTOR,
    QUERIES,
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
from hawkeye.models.processing import HawkEyeProcessor, normalisation
from hawkeye.models.saved import check_fits, finite_as, load_config, load_processor, write_model
from hawkeye.models.tokenizers import ReadTokenizer, check_prompts, read_tokenizer, sample_prompt
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
        seed: decides the weights that no file holds: before instruction tuning the adapters, and before stage 2 the
            projector, as any other language model than the original's needs a new one.

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
    if merge_lora and config.lora is None:
        raise ConfigError("--merge-lora: this model has no adapters to merge")
    if output.suffix == ".pth":
        with written_whole(output) as unfinished:
            write_original(assembly, unfinished, dtype)
        return assembly
    processor, mended = _processor(sources, settings, assembly.config, tokenizer, qformer_tokenizer)
    with written_whole(output) as unfinished:
        unfinished.mkdir()
        processor.save_pretrained(unfinished)
        _check_written(unfinished, processor, output)
        write_directory(assembly, unfinished, dtype)
    return replace(assembly, mended=mended)


def _check_written(directory: Path, processor: HawkEyeProcessor, output: Path) -> None:
    """What is read back must make the same tokens: libraries write some tokenizers otherwise than they hold them."""
    found = foreign.load(HawkEyeProcessor, directory, "the processor")
    prompt = sample_prompt()
    if found.encode_prompt(prompt) != processor.encode_prompt(prompt):
        raise ConfigError(f"{output}: {type(processor.tokenizer).__name__} makes other tokens once it has been saved")


def _settings(inputs: Sequence[Path], model: Path) -> tuple[ModelSettings | None, HawkEyeConfig]:
    for path in inputs:
        if model_type_of(path) == HawkEyeConfig.model_type:
            return None, load_config(path)
    settings = load_settings(model, ModelSettings)
    if settings.qformer_start != "random":
        raise ConfigError(f"{model}: qformer_start {settings.qformer_start!r} is for models without published weights")
    with foreign.one_line_errors(f"{model}: no model can be made of 'config'"):
        return settings, HawkEyeConfig(**settings.config)


def write_directory(assembly: Assembly, directory: Path, dtype: torch.dtype | None = None) -> None:
    """Writes sharded safetensors and the configuration; holds one shard in memory at a time."""
    sizes = {name: weight.to(dtype) for name, weight in meta_weights(assembly.config).items()}
    with _progress(len(sizes), directory) as progress:
        weights = {name: partial(_counted, weight, progress) for name, weight in assembly.weights.items()}
        write_model(assembly.config, weights, sizes, directory, types=dict.fromkeys(sizes, dtype) if dtype else {})


def write_original(assembly: Assembly, path: Path, dtype: torch.dtype | None = None) -> None:
    """Writes every weight under the original's names, with the entries that it computes, under "model"."""
    with _progress(len(assembly.weights), path) as progress:
        ours = {}
        for name, weight in assembly.weights.items():
            found = _counted(weight, progress)
            ours[name] = finite_as(name, found, dtype or found.dtype)
    if assembly.config.text_config.tie_word_embeddings:
        ours[VOCABULARY[1]] = ours[VOCABULARY[0]]
    torch.save({"model": to_original(ours) | computed_entries(assembly.config)}, path)


def _progress(total: int, path: Path) -> Any:
    return tqdm(
        total=total, unit=" tensors", desc=f"writing {path.name.replace('.unfinished', '')}", disable=total < 300
    )


def _counted(weight: Callable[[], Tensor], progress: Any) -> Tensor:
    progress.update()
    return weight()


def _processor(
    sources: Sequence[WeightSource],
    settings: ModelSettings | None,
    config: HawkEyeConfig,
    tokenizer: str | None,
    qformer_tokenizer: str | None,
) -> tuple[HawkEyeProcessor, tuple[str, ...]]:
    """The model's processor, and what was mended in its tokenizer; gives the configuration its special tokens."""
    directories = {source.kind: source.path for source in sources}
    if settings is None:
        directory = directories[Kind.HAWKEYE]
        processor = load_processor(directory, config)
        if qformer_tokenizer is not None:
            processor.qformer_tokenizer = _qformer_tokenizer(qformer_tokenizer)
        mended: tuple[str, ...] = ()
        if tokenizer is not None:
            words = _read_tokenizer(tokenizer, config)
            processor.tokenizer, mended = words.tokenizer, words.mended
        check_fits(processor, config, str(directory))
        check_prompts(processor, tokenizer or str(directory))
        return processor, mended
    language_model = directories.get(Kind.LANGUAGE_MODEL)
    if tokenizer is None and language_model is None:
        raise ConfigError("no tokenizer for the language model: give its directory, or --tokenizer DIRECTORY")
    name = tokenizer or str(language_model)
    words = _read_tokenizer(name, config)
    processor = HawkEyeProcessor(
        tokenizer=words.tokenizer,
        qformer_tokenizer=_qformer_tokenizer(qformer_tokenizer or "bert-base-uncased"),
        image_size=settings.image_size,
        num_visual_tokens=config.num_visual_tokens,
        visual_token_id=config.visual_token_id,
        **normalisation(settings),
    )
    check_fits(processor, config, name)
    check_prompts(processor, name)
    return processor, words.mended


def _read_tokenizer(name: str, config: HawkEyeConfig) -> ReadTokenizer:
    text = config.text_config
    words = read_tokenizer(name, text.vocab_size, text.model_type)
    _refuse_swapped(words.tokenizer, name, text)
    # Prompts begin with the tokenizer's BOS: what the configuration says of special tokens must be the same.
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(text, key, getattr(words.tokenizer, key))
    if config.constant_bos_embedding and text.bos_token_id is None:
        raise ConfigError(f"{name}: constant_bos_embedding needs a tokenizer with a bos_token")
    return words


def _refuse_swapped(tokenizer: PreTrainedTokenizerBase, name: str, text: PretrainedConfig) -> None:
    """Refuses a tokenizer whose BOS is the model's EOS, and the other way round: prompts would begin with an end.

    What the language model's ids are says the config.json beside the tokenizer, or else the sizes. Other differences
    are no error: early conversions of LLaMA say 0 and 1 in config.json, and their tokenizers 1 and 2, which are right.

    Raises:
        ConfigError: naming the tokenizer and both ids.
    """
    said = foreign.read_json_object(Path(name, "config.json"), default={})
    said = said["text_config"] if isinstance(said.get("text_config"), dict) else said
    bos, eos = (said.get(key, getattr(text, key, None)) for key in ("bos_token_id", "eos_token_id"))
    ends = eos if isinstance(eos, list) else [eos]
    if bos is not None and bos not in ends and tokenizer.bos_token_id in ends and tokenizer.eos_token_id == bos:
        raise ConfigError(
            f"{name}: the tokenizer's bos_token and eos_token are swapped: {tokenizer.bos_token!r} has id "
            f"{tokenizer.bos_token_id} and {tokenizer.eos_token!r} id {tokenizer.eos_token_id}, but the language "
            f"model's bos_token_id is {bos} and its eos_token_id {eos}: mend tokenizer_config.json "
            "and special_tokens_map.json"
        )


def _qformer_tokenizer(name: str) -> PreTrainedTokenizerBase:
    try:
        words: PreTrainedTokenizerBase = foreign.load(AutoTokenizer, name, "the Q-Former's tokenizer")
    except ConfigError as error:
        raise ConfigError(f"{error}; --qformer-tokenizer DIRECTORY names one") from None
    words.add_special_tokens({"bos_token": "[DEC]"})  # the row that the original adds to BERT's table
    return words


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
        rows.add_row("none", "new", str(len(assembly.new)), "", "", "0")
        remarks.append(f"new: {', '.join(_parts_of(assembly.new))}; no file holds them")
    if any(PROJECTOR.fullmatch(name) for name in assembly.new):
        remarks.append("warning: with a new projector the model knows nothing of videos until it is trained")
    remarks += [f"tokenizer: {change}" for change in assembly.mended]
    meaning = "kept: the model's tensors that an earlier source gave; missing: those that none has given yet"
    return Group(rows, *map(Text, (meaning, *remarks)))


def _parts_of(names: Sequence[str]) -> list[str]:
    """What is new, in words."""
    kinds = {
        "the projector, random": any(PROJECTOR.fullmatch(name) for name in names),
        "adapters, random but without an effect yet": any(LORA.fullmatch(name) for name in names),
        "extra queries": QUERIES in names,
    }
    return [words for words, is_new in kinds.items() if is_new]

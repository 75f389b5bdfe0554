"""Tokenizers of published language models: what the files of 2023 lack or say wrongly is mended, or refused.

HawkEye's own words are a language model's without change. A tokenizer that does not belong to the table of embeddings,
or that loses the text of a prompt, would give a model that answers nonsense without an error.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hawkeye.config import ConfigError
from hawkeye.models import foreign
from hawkeye.models.processing import HawkEyeProcessor
from hawkeye.prompts import (
    CHOICE_SENTENCES,
    GROUNDING_ANSWER_PREFIX,
    GROUNDING_QUESTION,
    QA_ANSWER_PREFIX,
    QA_INSTRUCTION,
    VISUAL_MARKER,
    Turn,
    conversation,
    frames_message,
    lettered,
)

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "*.tiktoken")
"""Files of which a tokenizer's directory holds at least one."""
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json")

SENTENCEPIECE_CLASSES = ("LlamaTokenizer", "LlamaTokenizerFast", "TokenizersBackend")
"""Classes that read a tokenizer.model as it is; the first are Llama's, the last is taken where no class is named."""


@dataclass(frozen=True)
class ReadTokenizer:
    """A language model's tokenizer, and what was mended, in words for the report."""

    tokenizer: PreTrainedTokenizerBase
    mended: tuple[str, ...]


def sample_prompt() -> str:
    """A conversation with all that HawkEye's prompts consist of, without visual tokens."""
    options = "\n".join(lettered(list(CHOICE_SENTENCES.values())))
    question = GROUNDING_QUESTION % "the person, 0.123456789 s later, opens a door"
    turn = Turn(f"{question}\n{options}", f"{GROUNDING_ANSWER_PREFIX}A) Yes, it's so.", QA_INSTRUCTION)
    return conversation([turn], frames_message([0.5 * index for index in range(12)])).replace(VISUAL_MARKER, "")


def read_tokenizer(name: str, rows: int, model_type: str) -> ReadTokenizer:
    """The tokenizer of a language model whose table of embeddings has `rows` rows.

    Mended: blank special tokens become those of the tokenizer's class; the class "LLaMATokenizer" of early files is
    LlamaTokenizer; added words past the table, such as the `[PAD]` that Vicuna v0 was trained with, are removed, as
    their rows are; padding is the end of sequence where there is none, as in the original.

    Args:
        name: a directory, or a name on the Hub.
        rows: the table's.
        model_type: of the language model; LLaMA's has LlamaTokenizer where no class is named.

    Raises:
        ConfigError: naming the directory, where the tokenizer cannot be used.
    """
    mended: list[str] = []
    with _mended_files(name, model_type, mended) as directory:
        try:
            tokenizer = foreign.load(AutoTokenizer, directory, "the tokenizer")
        except ConfigError as error:
            raise ConfigError(f"{str(error).replace(directory, name)}; --tokenizer DIRECTORY names another") from None
    tokenizer.name_or_path = name
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(f"{name}: {type(tokenizer).__name__} does not tell which characters a token stands for")
    _remove_added_words(tokenizer, rows, name, mended)
    _choose_padding(tokenizer, name, mended)
    _check_round_trip(tokenizer, name)
    return ReadTokenizer(tokenizer, tuple(mended))


@contextmanager
def _mended_files(name: str, model_type: str, mended: list[str]) -> Iterator[str]:
    """The directory of a tokenizer; a copy of its small files where something in them must be another."""
    directory = Path(name)
    if not directory.is_dir():
        yield name
        return
    if not any(file.is_file() for pattern in VOCABULARIES for file in directory.glob(pattern)):
        raise ConfigError(
            f"{name}: the tokenizer's vocabulary is missing (looked for {', '.join(VOCABULARIES)}): copy it from where "
            "the model is from, or name another directory with --tokenizer"
        )
    changed = {}
    for config in TOKENIZER_FILES:
        if (directory / config).is_file():
            content = foreign.read_json_object(directory / config)
            if (fixed := _mended_entries(content, config, mended)) != content:
                changed[config] = fixed
    is_sentencepiece = (directory / "tokenizer.model").is_file() and not (directory / "tokenizer.json").is_file()
    config, *_ = TOKENIZER_FILES
    content = changed.get(config) or foreign.read_json_object(directory / config, default={})
    if model_type == "llama" and is_sentencepiece and not content.get("tokenizer_class"):
        changed[config] = content | {"tokenizer_class": "LlamaTokenizer"}
        mended.append(f"{config}: no class is named: LlamaTokenizer, the language model's, is used")
    if not changed:
        yield name
        return
    with TemporaryDirectory(prefix="hawkeye-tokenizer-") as copy:
        for file in directory.iterdir():
            if file.is_file() and file.suffix in (".json", ".model", ".txt", ".tiktoken") and "index" not in file.name:
                shutil.copyfile(file, Path(copy, file.name))
        for config, fixed in changed.items():
            Path(copy, config).write_text(json.dumps(fixed), encoding="utf-8")
        yield copy


def _mended_entries(content: dict[str, Any], file: str, mended: list[str]) -> dict[str, Any]:
    fixed = dict(content)
    for key in SPECIAL:
        value = fixed.get(key, "filled")
        words = value.get("content") if isinstance(value, dict) else value
        if words == "" or (isinstance(words, str) and not words.strip()):
            del fixed[key]
            mended.append(f"{file}: {key} is blank: the tokenizer's own is used")
    if str(fixed.get("tokenizer_class")).lower().removesuffix("fast") == "llamatokenizer":
        fixed["tokenizer_class"] = "LlamaTokenizer"
        if content["tokenizer_class"] == "LLaMATokenizer":
            mended.append(f"{file}: LLaMATokenizer is LlamaTokenizer")
    return fixed


def _remove_added_words(tokenizer: PreTrainedTokenizerBase, rows: int, name: str, mended: list[str]) -> None:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    past = {word["content"] for word in content["added_tokens"] if word["id"] >= rows}
    vocabulary = tokenizer.get_vocab()
    own = {word: index for word, index in vocabulary.items() if index >= rows and word not in past}
    if own:
        word = max(own, key=own.__getitem__)
        raise ConfigError(
            f"{name}: the tokenizer has {max(own.values()) + 1:,} words (the last is {word!r}), but the language "
            f"model's table of embeddings has {rows:,} rows: they do not belong together"
        )
    if not past:
        return
    for key in SPECIAL:
        if getattr(tokenizer, key) in past:
            setattr(tokenizer, key, None)
    content["added_tokens"] = [word for word in content["added_tokens"] if word["content"] not in past]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(content))
    if getattr(tokenizer, "_extra_special_tokens", None):
        tokenizer._extra_special_tokens = [w for w in tokenizer._extra_special_tokens if str(w) not in past]
    told = ", ".join(map(repr, sorted(past)[:3])) + (", ..." if len(past) > 3 else "")
    mended.append(f"added words past the table of {rows:,} rows are removed: {told}")


def _choose_padding(tokenizer: PreTrainedTokenizerBase, name: str, mended: list[str]) -> None:
    if tokenizer.pad_token_id is not None:
        return
    for key in ("eos_token", "unk_token", "bos_token"):
        if getattr(tokenizer, f"{key}_id") is not None:
            tokenizer.pad_token = getattr(tokenizer, key)
            mended.append(f"padding: {tokenizer.pad_token!r}, the tokenizer's {key}")
            return
    raise ConfigError(f"{name}: the tokenizer has no special token at all, so nothing to pad with or to end at")


def _check_round_trip(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    prompt = sample_prompt()
    ids = tokenizer(prompt, add_special_tokens=False).input_ids
    back = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
    if "".join(back.split()) != "".join(prompt.split()):
        raise ConfigError(
            f"{name}: the tokenizer ({type(tokenizer).__name__}, {len(tokenizer):,} words) makes another text of a "
            f"prompt: {_first_difference(prompt, back)}; it is damaged, incomplete or of another kind than its "
            "tokenizer_class says"
        )
    model = Path(name, "tokenizer.model")
    if model.is_file() and type(tokenizer).__name__ in SENTENCEPIECE_CLASSES:
        with foreign.one_line_errors(f"{model}: not a vocabulary of sentencepiece"):
            expected = SentencePieceProcessor(model_file=str(model)).encode(prompt)
        if ids != expected:
            raise ConfigError(
                f"{name}: tokenizer.model makes other tokens of a prompt than the tokenizer that is loaded; if "
                "tokenizer.json is not of the same model, delete it"
            )


def _first_difference(prompt: str, back: str) -> str:
    ours, theirs = "".join(prompt.split()), "".join(back.split())
    start = next((index for index, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    return f"{ours[start : start + 12]!r} becomes {theirs[start : start + 12]!r}"


def check_prompts(processor: HawkEyeProcessor, name: str) -> None:
    """Refuses a tokenizer that joins the letters of options to what stands before them: their probabilities are read.

    Raises:
        ConfigError: naming the tokenizer.
    """
    for prefix in (GROUNDING_ANSWER_PREFIX, QA_ANSWER_PREFIX):
        letters = processor.letter_ids(prefix)
        if len(letters) < len(CHOICE_SENTENCES):
            raise ConfigError(
                f"{name}: after {prefix!r} this tokenizer makes single tokens of only the first {len(letters)} letters "
                f"of options, and recursive grounding has {len(CHOICE_SENTENCES)}"
            )

"""Directories of language models as they were published: each converts to a model that works, or is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hawkeye.config import AnswerWeights, ConfigError
from hawkeye.data.collate import Collator
from hawkeye.data.sources import Sample
from hawkeye.models.convert import convert
from hawkeye.models.saved import load_whole
from hawkeye.models.tokenizers import sample_prompt
from hawkeye.pipeline import load_model
from hawkeye.prompts import VISUAL_MARKER, Turn
from tests.data.video_files import write_video
from tests.models.language_models import (
    ROWS,
    edit,
    write_llama,
    write_qwen,
    write_sizes,
    write_stage_1,
    write_uncased,
)

BLANK = {"bos_token": "", "eos_token": "", "unk_token": ""}
VICUNA_V0 = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "[PAD]"}


@dataclass(frozen=True)
class Tokenizers:
    """Folders that hold the two tokenizers of the tests."""

    llama: Path
    bert: Path


@pytest.fixture(scope="module")
def tokenizers(golden_dir: Path) -> Tokenizers:
    return Tokenizers(golden_dir / "tokenizers" / "llm", golden_dir / "tokenizers" / "bert")


def llama(directory: Path, from_: Tokenizers) -> Path:
    return write_llama(directory, from_.llama)


def vicuna_v0(directory: Path, from_: Tokenizers) -> Path:
    """Fine-tuned with `[PAD]` as a word of its own, past LLaMA's table, and one token for begin, end and unknown."""
    write_llama(directory, from_.llama, rows=ROWS + 1)
    (directory / "added_tokens.json").write_text(json.dumps({"[PAD]": ROWS}))
    (directory / "special_tokens_map.json").write_text(json.dumps(VICUNA_V0))
    edit(directory / "tokenizer_config.json", lambda content: content.update(BLANK))
    return directory


def vicuna_v1(directory: Path, from_: Tokenizers) -> Path:
    """Pads with the unknown token."""
    write_llama(directory, from_.llama)
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>"}
    (directory / "special_tokens_map.json").write_text(json.dumps(special))
    return directory


def blank_special_tokens(directory: Path, from_: Tokenizers) -> Path:
    write_llama(directory, from_.llama)
    edit(directory / "tokenizer_config.json", lambda content: content.update(BLANK))
    return directory


def blank_special_objects(directory: Path, from_: Tokenizers) -> Path:
    write_llama(directory, from_.llama)
    token = {"__type": "AddedToken", "content": "", "lstrip": False, "normalized": True, "rstrip": False}
    edit(directory / "tokenizer_config.json", lambda content: content.update(dict.fromkeys(BLANK, token)))
    (directory / "special_tokens_map.json").write_text(json.dumps(BLANK))
    return directory


def early_llama(directory: Path, from_: Tokenizers) -> Path:
    """The class as it was first spelled, blank tokens, and ids of a configuration that were wrong."""
    blank_special_tokens(directory, from_)
    edit(directory / "tokenizer_config.json", lambda content: content.update(tokenizer_class="LLaMATokenizer"))
    edit(directory / "config.json", lambda content: content.update(bos_token_id=0, eos_token_id=1, pad_token_id=-1))
    return directory


def no_tokenizer_config(directory: Path, from_: Tokenizers) -> Path:
    write_llama(directory, from_.llama)
    (directory / "tokenizer_config.json").unlink()
    return directory


def tokenizer_json_alone(directory: Path, from_: Tokenizers) -> Path:
    from transformers import AutoTokenizer

    write_llama(directory, from_.llama)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    (directory / "tokenizer.model").unlink()
    tokenizer.save_pretrained(directory)
    return directory


def image_tokens(directory: Path, from_: Tokenizers) -> Path:
    """As models for pictures add them: several words past the table, and one within it that takes no row."""
    write_llama(directory, from_.llama, rows=ROWS + 4)
    words = {"<image>": ROWS, "<im_start>": ROWS + 1, "<im_end>": ROWS + 2, "<pad>": ROWS + 3}
    (directory / "added_tokens.json").write_text(json.dumps(words))
    edit(directory / "tokenizer_config.json", lambda content: content.update(pad_token="<pad>"))
    return directory


def qwen(directory: Path, _: Tokenizers) -> Path:
    return write_qwen(directory)


@dataclass(frozen=True)
class Works:
    """A shape that converts: what its special tokens come to, and what is said to be mended."""

    make: Callable[[Path, Tokenizers], Path]
    special: tuple[str | None, str | None, str | None]
    """Begin, end, padding."""
    mended: tuple[str, ...] = ()
    text: dict[str, Any] = field(default_factory=dict)


WORKS = [
    Works(llama, ("<s>", "</s>", "</s>"), ("padding: '</s>'",)),
    Works(vicuna_v0, ("</s>", "</s>", "</s>"), ("'[PAD]'", "padding: '</s>'", "unk_token is blank")),
    Works(vicuna_v1, ("<s>", "</s>", "<unk>")),
    Works(blank_special_tokens, ("<s>", "</s>", "</s>"), ("bos_token is blank", "eos_token is blank")),
    Works(blank_special_objects, ("<s>", "</s>", "</s>"), ("tokenizer_config.json: bos_token is blank",)),
    Works(early_llama, ("<s>", "</s>", "</s>"), ("LLaMATokenizer is LlamaTokenizer",)),
    Works(no_tokenizer_config, ("<s>", "</s>", "</s>"), ("no class is named: LlamaTokenizer",)),
    Works(tokenizer_json_alone, ("<s>", "</s>", "</s>")),
    Works(image_tokens, ("<s>", "</s>", "</s>"), ("'<im_end>', '<im_start>', '<image>', ...", "padding: '</s>'")),
    Works(
        qwen,
        (None, "<|im_end|>", "<|endoftext|>"),
        text={"model_type": "qwen2", "vocab_size": 512, "bos_token_id": None},
    ),
]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    return write_video(tmp_path_factory.mktemp("video") / "v.mp4", frames, fps=4)


@pytest.fixture(scope="module")
def stage_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stage_1(tmp_path_factory.mktemp("stage_1") / "umt_l16_qformer.pth")


def window(answer: str) -> Sample:
    frames = np.full((2, 16, 16, 3), len(answer), np.uint8)
    turns = (Turn("When does it jump?", answer, "Watch."),)
    return Sample(frames, np.array([0.1, 0.6]), np.arange(2), None, (turns,), answer)


@pytest.mark.parametrize("case", WORKS, ids=lambda case: case.make.__name__)
def test_a_published_shape_converts_to_a_model_that_grounds_asks_and_trains(
    case: Works, tmp_path: Path, tokenizers: Tokenizers, stage_1: Path, video: Path
) -> None:
    directory = case.make(tmp_path / "llm", tokenizers)
    sizes = write_sizes(tmp_path / "model.yaml", **case.text)
    out = tmp_path / "out"
    assembly = convert([directory, stage_1], out, model=sizes, qformer_tokenizer=str(tokenizers.bert))
    for words in case.mended:
        assert any(words in change for change in assembly.mended), assembly.mended
    model, processor = load_whole(out)
    tokenizer, text = processor.tokenizer, model.config.text_config
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == case.special
    assert (text.bos_token_id, text.eos_token_id, text.pad_token_id) == tuple(
        getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")
    )
    ids = processor.encode_prompt(f"{sample_prompt()} [PAD] <image> {VISUAL_MARKER} x")
    assert ids.count(processor.visual_token_id) == processor.num_visual_tokens
    assert max(token for token in ids if token != processor.visual_token_id) < text.vocab_size
    begin = 0 if tokenizer.bos_token_id is None else 1
    assert tokenizer.decode(ids[begin:]).startswith(sample_prompt())
    # Two windows of different lengths: one row is padded.
    batch = Collator(processor, AnswerWeights(), True)([window("At once."), window("In the middle of the video.")])
    batch.pop("report")
    assert 0 in batch["attention_mask"]
    loss = model(**batch).loss
    loss.backward()
    assert loss.isfinite()
    assert model.projector.weight.grad.any()
    pipeline = load_model(out, device="cpu")
    assert 0 < pipeline.ground(video, "a person jumps", max_turns=1).confidence <= 1
    assert isinstance(pipeline.ask(video, "What jumps?", max_new_tokens=2).text, str)


def no_vocabulary(directory: Path, from_: Tokenizers) -> Path:
    write_llama(directory, from_.llama)
    (directory / "tokenizer.model").unlink()
    return directory


def pointer(directory: Path, from_: Tokenizers) -> Path:
    write_llama(directory, from_.llama)
    (directory / "tokenizer.model").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:9e5\nsize 499723\n"
    )
    return directory


def truncated(directory: Path, from_: Tokenizers) -> Path:
    write_llama(directory, from_.llama)
    file = directory / "tokenizer.model"
    file.write_bytes(file.read_bytes()[:1000])
    return directory


def larger_vocabulary(directory: Path, from_: Tokenizers) -> Path:
    """A tokenizer of another model, with more words than the table has rows."""
    return write_llama(directory, from_.llama, rows=ROWS - 100)


def uncased(directory: Path, from_: Tokenizers) -> Path:
    return write_uncased(directory, from_.bert)


def stale_tokenizer_json(directory: Path, from_: Tokenizers) -> Path:
    """tokenizer.json and tokenizer.model of two models."""
    tokenizer_json_alone(directory, from_)
    content = json.loads((directory / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    one, other = "▁video", "▁the"
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    (directory / "tokenizer.json").write_text(json.dumps(content))
    shutil.copyfile(from_.llama / "tokenizer.model", directory / "tokenizer.model")
    return directory


def code_of_its_own(directory: Path, from_: Tokenizers) -> Path:
    write_llama(directory, from_.llama)
    edit(directory / "tokenizer_config.json", lambda content: content.update(tokenizer_class="OwnTokenizer"))
    edit(
        directory / "tokenizer_config.json",
        lambda content: content.update(auto_map={"AutoTokenizer": ["own.Own", None]}),
    )
    (directory / "own.py").write_text("raise SystemExit('run')")
    (directory / "tokenizer.model").rename(directory / "vocab.txt")
    return directory


def joined_letters(directory: Path, _: Tokenizers) -> Path:
    """A tokenizer that makes one token of "(A"."""
    write_qwen(directory)
    content = json.loads((directory / "tokenizer.json").read_text())
    content["added_tokens"] += [
        dict(content["added_tokens"][0], id=500 + index, content=f"({letter}", special=False)
        for index, letter in enumerate("ABCD")
    ]
    (directory / "tokenizer.json").write_text(json.dumps(content))
    return directory


def swapped(directory: Path, from_: Tokenizers) -> Path:
    write_llama(directory, from_.llama)
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        if (directory / file).exists():
            edit(directory / file, lambda content: content.update(bos_token="</s>", eos_token="<s>"))
    return directory


REFUSED = [
    (swapped, "bos_token and eos_token are swapped: '</s>' has id 2 and '<s>' id 1", {}),
    (no_vocabulary, "vocabulary is missing .*tokenizer.model", {}),
    (pointer, "tokenizer.model: not a model's file but a Git LFS pointer", {}),
    (truncated, "the tokenizer cannot be loaded", {}),
    (larger_vocabulary, "has 700 words .* has 600 rows: they do not belong together", {"vocab_size": ROWS - 100}),
    (uncased, "makes another text of a prompt: 'Carefully", {"vocab_size": 30522}),
    (stale_tokenizer_json, "tokenizer.model makes other tokens of a prompt", {}),
    (code_of_its_own, "the tokenizer cannot be loaded|another text of a prompt", {}),
    (joined_letters, "single tokens of only the first 0 letters", {"model_type": "qwen2", "vocab_size": 512}),
]


@pytest.mark.parametrize(("make", "message", "text"), REFUSED, ids=[make.__name__ for make, _, _ in REFUSED])
def test_a_shape_that_cannot_work_is_refused_in_one_sentence(
    make: Callable[[Path, Tokenizers], Path],
    message: str,
    text: dict[str, Any],
    tmp_path: Path,
    tokenizers: Tokenizers,
    stage_1: Path,
) -> None:
    directory = make(tmp_path / "llm", tokenizers)
    sizes = write_sizes(tmp_path / "model.yaml", **text)
    with pytest.raises(ConfigError, match=message) as error:
        convert([directory, stage_1], tmp_path / "out", model=sizes, qformer_tokenizer=str(tokenizers.bert))
    assert "\n" not in str(error.value)
    assert str(directory) in str(error.value)
    assert not list(tmp_path.glob("out*"))

"""A small CLIP and a small BLIP-2 with random weights, saved to disk as published ones are."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    CLIPConfig,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SIZE = 32
WORDS = [
    *("describe", "this", "image", "in", "detail", ".", "a", "dog", "cat", "runs", "sleeps"),
    *("red", "blue", "sea", "sky"),
]
TOWER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def save_clip(folder: Path, seed: int = 0) -> Path:
    """A CLIP of 16 numbers' width that spells texts letter by letter."""
    folder.mkdir(parents=True)
    letters = [*string.printable[:94], *(f"{letter}</w>" for letter in string.printable[:94])]
    vocabulary = {token: place for place, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=24)
    end = len(vocabulary) - 1
    text = TOWER | {"vocab_size": len(vocabulary), "max_position_embeddings": 24}
    text |= {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    vision = TOWER | {"image_size": SIZE, "patch_size": 8}
    torch.manual_seed(seed)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def save_blip2(folder: Path, seed: int = 0) -> Path:
    """A BLIP-2 with an OPT of a few words."""
    vocabulary = {token: place for place, token in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    raw = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", padding_side="left"
    )
    processor = Blip2Processor(
        BlipImageProcessorPil(size={"height": SIZE, "width": SIZE}), tokenizer, num_query_tokens=4
    )
    config = Blip2Config(
        vision_config=TOWER | {"image_size": SIZE, "patch_size": 8},
        qformer_config=TOWER | {"vocab_size": 20, "encoder_hidden_size": 16, "cross_attention_frequency": 1},
        text_config={
            "model_type": "opt",
            **{"hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
            **{"word_embed_proj_dim": 16, "vocab_size": len(tokenizer), "max_position_embeddings": 64},
            **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1},
        },
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    torch.manual_seed(seed)
    model = Blip2ForConditionalGeneration(config)
    with torch.no_grad():  # weights of the usual size say the same of every picture
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder

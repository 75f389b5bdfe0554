"""A Q-Former that starts by resemblance looks at what the text names; one that starts at random does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn
from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

from hawkeye.config import ConfigError
from hawkeye.training.initialization import attend_by_resemblance
from hawkeye.training.start import new_model
from tests.small_model import SIZES

WORDS, WIDTH, QUERIES = 12, 128, 4


def build(features: int = WIDTH) -> InstructBlipQFormerModel:
    torch.manual_seed(0)
    config = InstructBlipQFormerConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        encoder_hidden_size=features,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        cross_attention_frequency=2,
        attn_implementation="eager",
    )
    return InstructBlipQFormerModel(config).eval()


@torch.no_grad()
def looked_at(qformer: InstructBlipQFormerModel) -> Tensor:
    """`[WORDS, patches]`: where the queries look when the text is a word, and each patch has one word's feature."""
    embeddings = qformer.embeddings.word_embeddings.weight
    embeddings.copy_(nn.init.orthogonal_(torch.empty(WORDS, WIDTH)) * 1.5)
    patches = nn.functional.layer_norm(embeddings, (WIDTH,))
    outputs = qformer(
        input_ids=torch.arange(WORDS)[:, None],
        attention_mask=torch.ones(WORDS, QUERIES + 1),
        query_embeds=0.02 * torch.randn(1, QUERIES, WIDTH).expand(WORDS, -1, -1),
        encoder_hidden_states=patches.expand(WORDS, -1, -1),
        output_attentions=True,
    )
    attention = outputs.cross_attentions[0]  # [WORDS, heads, queries, patches]
    return attention[:, :, :QUERIES].mean((1, 2))


def test_queries_look_at_the_patches_that_the_text_names() -> None:
    qformer = build()
    by_chance = looked_at(qformer)
    torch.testing.assert_close(by_chance, torch.full_like(by_chance, 1 / WORDS), atol=0.02, rtol=0)
    attend_by_resemblance(qformer)
    looked = looked_at(qformer)
    assert (looked.argmax(1) == torch.arange(WORDS)).all()
    assert looked.diagonal().min() > 3 / WORDS


def test_widths_must_agree() -> None:
    with pytest.raises(ConfigError, match=r"'resemblance' compares .* but they are 128 and 32 wide"):
        attend_by_resemblance(build(features=32))


def test_the_sizes_say_how_the_q_former_starts_and_nothing_else_changes(tmp_path: Path) -> None:
    weights = []
    for start in ("random", "resemblance"):
        path = tmp_path / f"{start}.yaml"
        path.write_text(yaml.safe_dump({**SIZES, "qformer_start": start}))
        torch.manual_seed(0)
        weights.append(new_model(path, ["red circle"])[0].state_dict())
    changed = {name for name, weight in weights[0].items() if not torch.equal(weight, weights[1][name])}
    attention = "qformer.encoder.layer.0.crossattention.attention"
    assert changed == {
        *(f"{attention}.{projection}.weight" for projection in ("query", "key")),
        "qformer.encoder.layer.0.attention.attention.value.weight",
        "qformer.encoder.layer.0.attention.output.dense.weight",
    }

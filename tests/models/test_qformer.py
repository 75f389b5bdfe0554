import pytest
import torch
from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

from hawkeye.models.qformer import DropPath, build_qformer


def config(layers: int = 5) -> InstructBlipQFormerConfig:
    return InstructBlipQFormerConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        encoder_hidden_size=8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def inputs(rows: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "input_ids": torch.randint(1, 20, (1, 3)).expand(rows, -1),
        "attention_mask": torch.ones(rows, 7, dtype=torch.long),
        "query_embeds": torch.randn(1, 4, 16).expand(rows, -1, -1),
        "encoder_hidden_states": torch.randn(1, 6, 8).expand(rows, -1, -1),
    }


def test_drop_path_grows_linearly_to_its_rate_and_follows_every_output() -> None:
    rates: list[set[float]] = []
    counts: list[int] = []
    for layer in build_qformer(config(), 0.2).encoder.layer:
        paths = [module for module in layer.modules() if isinstance(module, DropPath)]
        rates.append({round(path.rate, 6) for path in paths})
        counts.append(len(paths))
    assert rates == [set(), {0.05}, {0.1}, {0.15}, {0.2}]
    # attention, feed-forward of the text and of the queries, and in every second layer cross-attention
    assert counts == [0, 3, 4, 3, 4]


def test_drop_path_drops_samples_in_training_only() -> None:
    qformer = build_qformer(config(), 0.5)
    rows = inputs(rows=8)
    qformer.train()
    trained = qformer(**rows).last_hidden_state
    assert not torch.allclose(trained, trained[:1].expand_as(trained))
    qformer.eval()
    torch.testing.assert_close(qformer(**rows).last_hidden_state, qformer(**rows).last_hidden_state)


def test_drop_path_keeps_or_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = DropPath(0.25).train()(torch.ones(4000, 2, 3))
    per_sample = dropped.flatten(1)
    assert torch.equal(per_sample.amin(1), per_sample.amax(1))
    assert dropped.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)
    assert torch.equal(DropPath(0.25).eval()(torch.ones(3, 2, 3)), torch.ones(3, 2, 3))


def test_weights_have_the_librarys_names() -> None:
    ours, library = build_qformer(config(), 0.2), InstructBlipQFormerModel(config())
    assert ours.state_dict().keys() == library.state_dict().keys()


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=str(rate)):
        build_qformer(config(), rate)

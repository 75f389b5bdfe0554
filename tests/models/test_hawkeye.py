from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hawkeye.models import HawkEye, HawkEyeConfig
from hawkeye.models.attention import PLAIN_ATTENTION

LORA = {"r": 2, "alpha": 4, "dropout": 0.0, "target_modules": ["q_proj", "v_proj"]}
WORDS = 40
PLACEHOLDER = 40
QUERIES = 5


def small_config(*, tied: bool = False, dropout: float = 0.0, **changes: Any) -> HawkEyeConfig:
    settings: dict[str, Any] = {
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 32,
            "depth": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 16,
        },
        "qformer_config": {
            "vocab_size": 30,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "hidden_dropout_prob": dropout,
            "attention_probs_dropout_prob": dropout,
        },
        "text_config": {
            "model_type": "llama",
            "vocab_size": WORDS,
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "tie_word_embeddings": tied,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
        "num_query_tokens": 3,
        "num_extra_query_tokens": 2,
        "num_frames": 4,
        "drop_path_rate": 0.0,
    }
    return HawkEyeConfig(**(settings | changes))


def small_model(**changes: Any) -> HawkEye:
    torch.manual_seed(0)
    model = HawkEye(small_config(**changes))
    for name, weight in model.named_parameters():
        if "lora_B" in name or weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.3)  # with the usual 0.02 all outputs are nearly alike
    return model.eval()


def batch() -> dict[str, Tensor]:
    """Two windows; three rows: about window 1, text alone, about window 0."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, WORDS, (3, 12), generator=generator)
    ids[:, 0] = 1
    ids[0, 2 : 2 + QUERIES] = PLACEHOLDER
    ids[2, 4 : 4 + QUERIES] = PLACEHOLDER
    lengths = torch.tensor([12, 8, 11])
    mask = (torch.arange(12) < lengths[:, None]).long()
    labels = torch.full((3, 12), -100)
    labels[0, 9:12], labels[1, 3:8], labels[2, 10:11] = ids[0, 9:12], ids[1, 3:8], ids[2, 10:11]
    return {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "labels": labels,
        "pixel_values": torch.randn(2, 4, 3, 32, 32, generator=generator),
        "qformer_input_ids": torch.randint(1, 30, (2, 6), generator=generator),
        "qformer_attention_mask": torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]),
        "visual_index": torch.tensor([1, -1, 0]),
    }


def gradients(model: HawkEye, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_the_loss_is_the_shifted_cross_entropy_of_the_logits() -> None:
    model, inputs = small_model(), batch()
    labels = inputs.pop("labels")
    logits = model(**inputs).logits
    assert logits.shape == (3, 12, WORDS)
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    output = model(**inputs, labels=labels)
    torch.testing.assert_close(output.loss, expected)
    assert output.logits is None


def test_loss_weights_make_a_weighted_mean() -> None:
    model, inputs = small_model(), batch()
    labels = inputs.pop("labels")
    weights = torch.rand(3, 12)
    logits = model(**inputs).logits
    each = F.cross_entropy(logits[:, :-1].mT, labels[:, 1:], reduction="none", ignore_index=-100)
    counted = weights[:, 1:] * (labels[:, 1:] != -100)
    expected = (each * counted).sum() / counted.sum()
    torch.testing.assert_close(model(**inputs, labels=labels, loss_weights=weights).loss, expected)


def test_rows_of_one_batch_are_what_they_are_alone() -> None:
    model, inputs = small_model(), batch()
    del inputs["labels"]
    together = model(**inputs).logits
    for row, window in enumerate([1, None, 0]):
        length = int(inputs["attention_mask"][row].sum())
        alone = {key: inputs[key][row : row + 1, :length] for key in ("input_ids", "attention_mask")}
        if window is not None:
            names = ("pixel_values", "qformer_input_ids", "qformer_attention_mask")
            alone |= {name: inputs[name][window : window + 1] for name in names}
        # Logits are about 5 in size; products of other shapes round otherwise.
        torch.testing.assert_close(model(**alone).logits[0], together[row, :length], rtol=1e-4, atol=1e-4)


def test_rows_share_a_window_by_default_in_order() -> None:
    model, inputs = small_model(), batch()
    del inputs["labels"]
    ids = inputs["input_ids"][[0, 2]]
    features = model.encode_frames(inputs["pixel_values"])
    visual = model.visual_tokens(features, inputs["qformer_input_ids"], inputs["qformer_attention_mask"])
    assert visual.shape == (2, QUERIES, 24)
    embeds = model.embed(ids, visual)
    torch.testing.assert_close(embeds[0, 2 : 2 + QUERIES], visual[0])
    torch.testing.assert_close(embeds[1, 4 : 4 + QUERIES], visual[1])
    shared = model.embed(ids, visual, torch.tensor([1, 1]))
    torch.testing.assert_close(shared[0, 2 : 2 + QUERIES], visual[1])
    words = ids != PLACEHOLDER
    torch.testing.assert_close(embeds[words], model.get_input_embeddings()(ids[words]))


def test_gradients_reach_shared_windows_from_every_row() -> None:
    model = small_model()
    visual = torch.zeros(2, QUERIES, 24, requires_grad=True)
    ids = batch()["input_ids"][[0, 2]]
    model.embed(ids, visual, torch.tensor([1, 1])).sum().backward()
    assert visual.grad is not None
    assert visual.grad.unique(dim=-1).squeeze().tolist() == [[0.0] * QUERIES, [2.0] * QUERIES]


def test_wrong_numbers_of_placeholders_are_refused() -> None:
    model, ids = small_model(), batch()["input_ids"]
    ids[2, 4] = 7
    with pytest.raises(ValueError, match="row 2 has 4 visual placeholders, but 5 visual tokens"):
        model.embed(ids, torch.zeros(2, QUERIES, 24), torch.tensor([0, 0, 0]))
    with pytest.raises(ValueError, match="row 0 has 5 visual placeholders, but 0"):
        model.embed(ids)


def test_padding_on_the_left_is_refused() -> None:
    model, inputs = small_model(), batch()
    inputs["attention_mask"] = inputs["attention_mask"].flip(1)
    with pytest.raises(ValueError, match="padding must be on the right"):
        model(**inputs)


def test_a_batch_without_labels_to_learn_is_refused() -> None:
    model, inputs = small_model(), batch()
    inputs["labels"] = torch.full_like(inputs["labels"], -100)
    with pytest.raises(ValueError, match="no label"):
        model(**inputs)


def test_frames_without_qformer_text_are_refused() -> None:
    inputs = batch()
    del inputs["qformer_attention_mask"]
    with pytest.raises(ValueError, match="qformer_attention_mask"):
        small_model()(**inputs)


def embedded(model: HawkEye) -> tuple[Tensor, Tensor]:
    inputs = batch()
    features = model.encode_frames(inputs["pixel_values"])
    visual = model.visual_tokens(features, inputs["qformer_input_ids"], inputs["qformer_attention_mask"])
    return model.embed(inputs["input_ids"], visual, inputs["visual_index"]), inputs["attention_mask"]


@torch.no_grad()
def test_next_token_logits_are_those_of_the_last_real_token() -> None:
    model, inputs = small_model(), batch()
    del inputs["labels"]
    logits = model(**inputs).logits
    expected = logits[torch.arange(3), torch.tensor([11, 7, 10])]
    torch.testing.assert_close(model.next_token_logits(*embedded(model)), expected)


@torch.no_grad()
def test_generation_takes_the_best_token_step_by_step() -> None:
    model = small_model()
    model.language_model.generation_config.eos_token_id = None  # all rows run to the end
    embeds, mask = embedded(model)
    generated = model.generate(embeds, mask, max_new_tokens=6)
    assert generated.shape == (3, 6)
    for row in range(3):
        alone = embeds[row : row + 1, : int(mask[row].sum())]
        for token in generated[row]:
            logits = model.next_token_logits(alone, torch.ones(alone.shape[:2], dtype=torch.long))
            assert token == logits.argmax()
            alone = torch.cat((alone, model.get_input_embeddings()(token.view(1, 1))), dim=1)


def test_half_precision_stays_close_to_single(tmp_path: Path) -> None:
    model, inputs = small_model(), batch()
    single = model(**inputs).loss
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(**inputs).loss
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    loaded = HawkEye.from_pretrained(tmp_path)
    assert loaded.dtype == torch.bfloat16
    half = loaded(**inputs).loss
    torch.testing.assert_close(half, model(**inputs).loss, rtol=0.03, atol=0)  # its position table is rounded too
    assert mixed.dtype == half.dtype == torch.float32
    assert mixed.item() == pytest.approx(single.item(), rel=0.03)
    assert half.item() == pytest.approx(single.item(), rel=0.03)


@pytest.mark.parametrize("lora", [None, LORA])
def test_gradient_checkpointing_recomputes_every_layer_and_changes_no_gradient(lora: dict[str, Any] | None) -> None:
    model, inputs = small_model(lora=lora).train(), batch()
    calls = dict.fromkeys(("vision_encoder", "qformer", "language_model"), 0)

    def count(part: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            calls[part] += 1

        return hook

    model.vision_encoder.blocks[0].norm1.register_forward_pre_hook(count("vision_encoder"))
    model.qformer.encoder.layer[0].attention.register_forward_pre_hook(count("qformer"))
    model.language_model.model.layers[0].input_layernorm.register_forward_pre_hook(count("language_model"))
    plain = gradients(model, model(**inputs).loss)
    assert set(calls.values()) == {1}
    model.activation_checkpointing_enable()
    again = gradients(model, model(**inputs).loss)
    assert set(calls.values()) == {3}  # one more forward, and its repetition
    torch.testing.assert_close(again, plain)


def test_drop_path_and_dropout_act_in_training_only() -> None:
    model, inputs = small_model(dropout=0.1, drop_path_rate=0.5), batch()
    assert model(**inputs).loss == model(**inputs).loss
    model.train()
    assert model(**inputs).loss != model(**inputs).loss


def without_dtype(config: HawkEyeConfig) -> list[str]:
    return [line for line in config.to_json_string().splitlines() if '"dtype"' not in line]


@pytest.mark.parametrize("lora", [None, LORA])
@pytest.mark.parametrize("tied", [False, True])
def test_a_saved_model_loads_to_the_same(tied: bool, lora: dict[str, Any] | None, tmp_path: Path) -> None:
    model = small_model(tied=tied, lora=lora)
    model.save_pretrained(tmp_path)
    loaded = HawkEye.from_pretrained(tmp_path)
    assert without_dtype(loaded.config) == without_dtype(model.config)
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight) == tied
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in model.parameters()]
    assert loaded(**batch()).loss == model(**batch()).loss


def test_lora_starts_as_nothing_and_trains_alone_in_the_language_model() -> None:
    torch.manual_seed(0)
    model = HawkEye(small_config(lora=LORA))
    weights = dict(model.language_model.named_parameters())
    assert {name for name, weight in weights.items() if weight.requires_grad} == {
        f"model.layers.{layer}.self_attn.{target}.lora_{matrix}.default.weight"
        for layer in range(2)
        for target in ("q_proj", "v_proj")
        for matrix in "AB"
    }
    assert all(weight.count_nonzero() == 0 for name, weight in weights.items() if "lora_B" in name)
    assert all(weight.count_nonzero() > 0 for name, weight in weights.items() if "lora_A" in name)


def test_unknown_lora_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="rank"):
        HawkEye(small_config(lora={"rank": 2, "alpha": 4, "target_modules": ["q_proj"]}))


@pytest.mark.parametrize(("saved", "wanted"), [(None, LORA), (LORA, None)])
def test_a_file_with_other_weights_is_refused(
    saved: dict[str, Any] | None, wanted: dict[str, Any] | None, tmp_path: Path
) -> None:
    small_model(lora=saved).save_pretrained(tmp_path)
    small_config(lora=wanted).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"missing: language_model\.model\.layers\.0\.self_attn\.q_proj"):
        HawkEye.from_pretrained(tmp_path)


def test_random_weights_follow_the_seed_and_the_meta_device_has_none() -> None:
    first, second = small_model().state_dict(), small_model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    with torch.device("meta"):
        assert {weight.device.type for weight in HawkEye(small_config()).state_dict().values()} == {"meta"}


def test_plain_attention_computes_what_the_fused_kernel_does() -> None:
    model, inputs = small_model(), batch()
    fused = gradients(model, model(**inputs).loss)
    model.language_model.set_attn_implementation(PLAIN_ATTENTION)
    model.qformer.set_attn_implementation(PLAIN_ATTENTION)
    torch.testing.assert_close(gradients(model, model(**inputs).loss), fused, rtol=1e-4, atol=1e-5)
    embeds, mask = embedded(model)
    generated = model.generate(embeds, mask, max_new_tokens=4)
    model.language_model.set_attn_implementation("sdpa")
    model.qformer.set_attn_implementation("sdpa")
    assert torch.equal(model.generate(embeds, mask, max_new_tokens=4), generated)

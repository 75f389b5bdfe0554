import pytest
import torch
from torch.nn import functional as F

from hawkeye.models.configuration import UMTConfig
from hawkeye.models.umt import UMTAttention, UMTVideoEncoder, sinusoid_table


def small_encoder(checkpoint_num_frames: int = 4, **sizes: int) -> UMTVideoEncoder:
    settings = {"hidden_size": 16, "intermediate_size": 32, "depth": 2, "num_attention_heads": 2} | sizes
    torch.manual_seed(0)
    return UMTVideoEncoder(
        UMTConfig(**settings, image_size=32, patch_size=16, checkpoint_num_frames=checkpoint_num_frames, num_frames=12)
    )


def test_sinusoids_start_at_zero_and_slow_down() -> None:
    table = sinusoid_table(3, 4)
    expected = torch.tensor([[0, 1, 0, 1], [1, 1, 0.01, 0.01], [2, 2, 0.02, 0.02]])
    expected[1:, 0::2] = expected[1:, 0::2].sin()
    expected[1:, 1::2] = expected[1:, 1::2].cos()
    torch.testing.assert_close(table, expected)


def test_positions_interpolate_linearly_between_the_tables_frames() -> None:
    encoder = small_encoder(checkpoint_num_frames=4)
    table = encoder.position_table  # [4, 4, 16]
    assert encoder.positions(4) is table
    halves = encoder.positions(8)
    # Twice as many frames lie a quarter of a step on either side of the old ones; the ends repeat.
    torch.testing.assert_close(halves[0], table[0])
    torch.testing.assert_close(halves[1], 0.75 * table[0] + 0.25 * table[1])
    torch.testing.assert_close(halves[2], 0.25 * table[0] + 0.75 * table[1])
    torch.testing.assert_close(halves[7], table[3])
    torch.testing.assert_close(encoder.positions(1), sinusoid_table(4, 16)[None])


def test_frame_positions_pick_from_the_full_window() -> None:
    encoder = small_encoder(checkpoint_num_frames=4)
    frames = torch.randn(2, 12, 3, 32, 32)
    spread = torch.arange(12).expand(2, 12)
    torch.testing.assert_close(encoder(frames, spread), encoder(frames))
    pair = torch.tensor([[3, 9], [0, 11]])
    encoder.blocks = torch.nn.ModuleList()  # leaves embeddings and positions
    few = torch.stack([row[places] for row, places in zip(frames, pair)])
    everything = encoder(frames).unflatten(1, (12, 4))
    expected = torch.stack([row[places] for row, places in zip(everything, pair)]).flatten(1, 2)
    torch.testing.assert_close(encoder(few, pair), expected)


def test_patches_are_those_of_a_convolution() -> None:
    encoder = small_encoder()
    encoder.blocks = torch.nn.ModuleList()
    frames = torch.randn(2, 3, 3, 32, 32)
    kernel = encoder.patch_embedding.weight.view(16, 3, 1, 16, 16)
    patches = F.conv3d(frames.transpose(1, 2), kernel, encoder.patch_embedding.bias, stride=(1, 16, 16))
    expected = patches.permute(0, 2, 3, 4, 1).flatten(2, 3) + encoder.positions(3)
    torch.testing.assert_close(encoder(frames), expected.flatten(1, 2), rtol=1e-5, atol=1e-5)


def test_attention_is_joint_over_frames_and_keys_have_no_bias() -> None:
    attention = UMTAttention(small_encoder().config)
    torch.nn.init.normal_(attention.q_bias)
    torch.nn.init.normal_(attention.v_bias)
    hidden = torch.randn(1, 5, 16)
    query, key, value = (hidden @ weight.T for weight in attention.qkv.weight.chunk(3))
    query, value = query + attention.q_bias, value + attention.v_bias
    heads = [
        (query[..., part] @ key[..., part].mT / 8**0.5).softmax(-1) @ value[..., part]
        for part in (slice(0, 8), slice(8, 16))
    ]
    torch.testing.assert_close(attention(hidden), attention.proj(torch.cat(heads, -1)), rtol=1e-5, atol=1e-5)


def test_frames_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 16, 32\).*\(3, 32, 32\)"):
        small_encoder()(torch.zeros(1, 2, 3, 16, 32))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [({"image_size": 60, "patch_size": 16}, "60.*16"), ({"hidden_size": 10, "num_attention_heads": 4}, "10.*4")],
)
def test_sizes_that_do_not_divide_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UMTConfig(**sizes)

"""The UMT video encoder: a ViT over the patches of all frames at once (joint space-time attention)."""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from hawkeye.models.configuration import UMTConfig


def sinusoid_table(num_positions: int, dim: int) -> Tensor:
    """Fixed position embeddings `[num_positions, dim]`, float32: sines in even columns, cosines in odd ones.

    Column j turns at rate 1 / 10000^(2 * (j // 2) / dim), as in UMT.
    """
    columns = np.arange(dim)
    angles = np.arange(num_positions)[:, None] / np.power(10000, 2 * (columns // 2) / dim)
    return torch.tensor(np.where(columns % 2 == 0, np.sin(angles), np.cos(angles)), dtype=torch.float32)


class UMTAttention(nn.Module):
    """Multi-head self-attention whose queries and values have a bias and whose keys have none."""

    def __init__(self, config: UMTConfig) -> None:
        super().__init__()
        dim = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.proj = nn.Linear(dim, dim)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """`[V, N, C]` -> `[V, N, C]`."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        qkv = F.linear(hidden_states, self.qkv.weight, bias)
        query, key, value = rearrange(qkv, "v n (three h d) -> three v h n d", three=3, h=self.num_heads)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(rearrange(mixed, "v h n d -> v n (h d)"))


class UMTMLP(nn.Module):
    """The feed-forward part of a block."""

    def __init__(self, config: UMTConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """`[V, N, C]` -> `[V, N, C]`."""
        return self.fc2(F.gelu(self.fc1(hidden_states)))


class UMTBlock(GradientCheckpointingLayer):
    """A pre-norm transformer block."""

    def __init__(self, config: UMTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = UMTAttention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = UMTMLP(config)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """`[V, N, C]` -> `[V, N, C]`."""
        hidden_states = hidden_states + self.attention(self.norm1(hidden_states))
        return hidden_states + self.mlp(self.norm2(hidden_states))


class UMTVideoEncoder(nn.Module):
    """Encodes the frames of a window together; the output is the last block's, without a final norm."""

    position_table: Tensor

    def __init__(self, config: UMTConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embedding = nn.Linear(3 * config.patch_size**2, config.hidden_size)
        self.blocks = nn.ModuleList(UMTBlock(config) for _ in range(config.depth))
        self.register_buffer("position_table", self.make_position_table(), persistent=False)

    def make_position_table(self) -> Tensor:
        """The fixed table `[checkpoint_num_frames, P, C]` that other frame counts interpolate."""
        frames, side = self.config.checkpoint_num_frames, self.config.image_size // self.config.patch_size
        return sinusoid_table(frames * side**2, self.config.hidden_size).unflatten(0, (frames, side**2))

    def positions(self, num_frames: int) -> Tensor:
        """Position embeddings `[num_frames, P, C]`: the fixed table, interpolated linearly along time.

        One frame is an image: it has the positions of a table made for one frame, which is this table's first.
        """
        if num_frames == 1:
            return self.position_table[:1]
        if num_frames == self.config.checkpoint_num_frames:
            return self.position_table
        along_time = rearrange(self.position_table, "t p c -> p c t")
        return rearrange(F.interpolate(along_time, size=num_frames, mode="linear"), "p c t -> t p c")

    def forward(self, pixel_values: Tensor, frame_positions: Tensor | None = None) -> Tensor:
        """Encodes windows of frames.

        Args:
            pixel_values: `[V, T, 3, H, W]`, normalised; H and W are `config.image_size`.
            frame_positions: `[V, T]` integers in [0, config.num_frames): which of the positions of a full window each
                frame has. None spreads the T frames over the window.

        Returns:
            `[V, T * P, C]`, frame by frame, in each row by row.

        Raises:
            ValueError: if the frames have another size than the configuration's.
        """
        size = self.config.image_size
        if pixel_values.shape[-3:] != (3, size, size):
            raise ValueError(
                f"frames of shape {tuple(pixel_values.shape[-3:])} given, but this encoder reads (3, {size}, {size})"
            )
        patch, dtype = self.config.patch_size, self.patch_embedding.weight.dtype
        patches = rearrange(pixel_values.to(dtype), "v t c (i h) (j w) -> v t (i j) (c h w)", h=patch, w=patch)
        if frame_positions is None:
            positions = self.positions(pixel_values.shape[1])
        else:
            positions = self.positions(self.config.num_frames)[frame_positions]
        hidden_states = (self.patch_embedding(patches) + positions.to(dtype)).flatten(1, 2)  # [V, T * P, C]
        for block in self.blocks:
            hidden_states = block(hidden_states)
        return hidden_states

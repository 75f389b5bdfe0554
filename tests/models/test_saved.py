"""Models are loaded in the types that they train in, shared where they can be, and written shard by shard."""

from __future__ import annotations

import re
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from hawkeye.config import ConfigError
from hawkeye.models import HawkEye, HawkEyeConfig
from hawkeye.models.saved import finite_as, load_to_train, save_model
from hawkeye.training.host_memory import HostMemory, host_memory
from tests.small_model import SIZES, make_small_model


def freeze_language_model(model: HawkEye) -> None:
    model.language_model.requires_grad_(False)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model whose language model lies in bfloat16 in its file, and the rest in float32."""
    model, _ = make_small_model(tmp_path)
    model.language_model.to(torch.bfloat16)
    save_model(model, tmp_path / "model", torch.float32)
    return tmp_path / "model"


def test_frozen_weights_stay_in_the_file_and_trained_ones_are_exact(directory: Path) -> None:
    exact = HawkEye.from_pretrained(directory, dtype=torch.float32)
    model = load_to_train(directory, torch.bfloat16, freeze_language_model)
    for name, weight in model.named_parameters():
        is_frozen = name.startswith("language_model.")
        assert weight.requires_grad is not is_frozen
        assert weight.dtype is (torch.bfloat16 if is_frozen else torch.float32)
        assert torch.equal(weight.float(), exact.get_parameter(name))
        assert is_mapped(weight, directory / "model.safetensors") is is_frozen
    buffers = dict(exact.named_buffers())
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    with torch.no_grad():  # a process's writing is its own
        model.language_model.lm_head.weight.zero_()
    assert load_file(directory / "model.safetensors")["language_model.model.embed_tokens.weight"].any()


def is_mapped(weight: torch.Tensor, file: Path) -> bool:
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(part, 16) for part in re.match(r"(\w+)-(\w+)", line).groups())  # type: ignore[union-attr]
        if start <= weight.data_ptr() < end:
            return line.endswith(str(file))
    return False


def test_host_memory_counts_what_is_shared_once(directory: Path) -> None:
    model = load_to_train(directory, torch.bfloat16, freeze_language_model)
    shared = sum(2 * weight.numel() for weight in model.language_model.parameters())
    trained = sum(4 * weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert host_memory(model, directory) == HostMemory(own=trained, shared=shared)
    assert HostMemory(own=5, shared=7).of_node(8) == 47
    assert host_memory(model, None) == HostMemory(own=trained + shared, shared=0)
    other = load_to_train(directory, torch.float32, freeze_language_model)
    assert host_memory(other, directory) == HostMemory(own=trained + 2 * shared, shared=0)


class LiveBytes(TorchDispatchMode):
    """The most bytes that tensors made under it take together at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        given = {arg.untyped_storage().data_ptr() for arg in args if isinstance(arg, torch.Tensor)}
        is_new = isinstance(made, torch.Tensor) and made.untyped_storage().data_ptr() not in given
        if is_new and made.device.type != "meta":
            size = made.untyped_storage().nbytes()
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(made, self._gone, size)
        return made

    def _gone(self, size: int) -> None:
        self.now -= size


def test_a_model_is_written_shard_by_shard_and_stays_as_it_is(tmp_path: Path) -> None:
    text = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    qformer = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 12, "num_attention_heads": 2}
    sizes = {key: SIZES["config"][key] for key in ("vision_config", "num_query_tokens")}  # type: ignore[index]
    qformer |= {"intermediate_size": 64, "max_position_embeddings": 64}
    model = HawkEye(HawkEyeConfig(**sizes, text_config=text | {"intermediate_size": 32}, qformer_config=qformer))
    model.double()  # of a wider type than the one on disk, so that each is cast
    model.language_model.to(torch.bfloat16)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    whole = sum(weight.numel() * 4 for weight in before.values())
    with LiveBytes() as live:
        save_model(model, tmp_path / "out", torch.float32, shard_bytes=whole // 8)
    assert 0 < live.peak < whole / 3
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 4
    for name, weight in model.state_dict().items():
        assert weight.dtype is before[name].dtype
    found = {name: w for file in (tmp_path / "out").glob("*.safetensors") for name, w in load_file(file).items()}
    assert all(torch.equal(weight, before[name].to(weight.dtype)) for name, weight in found.items())
    assert {str(weight.dtype) for weight in found.values()} == {"torch.float32", "torch.bfloat16"}
    loaded = HawkEye.from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
    assert all(torch.equal(weight, before[name].float()) for name, weight in loaded.items())


def test_weights_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    model, _ = make_small_model(tmp_path)
    with torch.no_grad():
        model.projector.bias[0] = torch.inf
    with pytest.raises(ConfigError, match=r"'projector\.bias' holds numbers that are not finite"):
        save_model(model, tmp_path / "out", torch.float32)
    with pytest.raises(ConfigError, match=r"'w' has numbers up to 1e\+05, more than float16 holds"):
        finite_as("w", torch.tensor([1e5]), torch.float16)

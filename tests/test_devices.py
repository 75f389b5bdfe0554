"""Devices are found by name, or refused in one line before a model is loaded."""

from __future__ import annotations

import pytest
import torch

from hawkeye.config import ConfigError
from hawkeye.devices import find_device
from hawkeye.pipeline import load_model


def test_the_accelerator_is_taken_where_there_is_one_and_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    assert find_device(None) == find_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert find_device(None) == torch.device("cuda")
    assert find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ConfigError, match=r"'cuda:2': there is none .* are cpu, cuda, cuda:0, cuda:1"):
        find_device("cuda:2")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "device 'cuda': there is none on this machine; there are cpu"),
        (torch.device("mps"), "device 'mps': there is none"),
        ("cpu:3", "device 'cpu:3': there is none"),
        ("meta", "device 'meta': there is none"),
        ("foo", "device 'foo': no device has such a name"),
        ("cup", "'cup': no device has such a name; did you mean 'cpu'"),
        ("", "device '': no device has such a name"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    device: str | torch.device, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    with pytest.raises(ConfigError, match=message):
        load_model("tiny", device=device)


def test_torchs_own_types_are_taken() -> None:
    assert load_model("tiny", device="cpu", dtype=torch.float16).model.dtype is torch.float16
    with pytest.raises(ConfigError, match="dtype 'int8'"):
        load_model("tiny", dtype=torch.int8)


def test_four_bits_that_a_cpu_cannot_multiply_with_are_refused_before_the_first_question() -> None:
    pytest.importorskip("bitsandbytes")
    with pytest.raises(ConfigError, match=r"widths that are multiples of 64, but '.*down_proj' has 352: take 8bit"):
        load_model("tiny", device="cpu", quantization="4bit")

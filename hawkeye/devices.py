"""Devices by name, and what is on this machine."""

from __future__ import annotations

import torch

from hawkeye.config import ConfigError, nearest


def find_device(name: str | torch.device | None) -> torch.device:
    """The device of a name; the accelerator if there is one, else the CPU, where none is named.

    Raises:
        ConfigError: if there is no such device on this machine.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if name is None:
        return accelerator or torch.device("cpu")
    known = ["cpu"] if accelerator is None else ["cpu", *_indexed(accelerator.type, torch.accelerator.device_count())]
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device {str(name)!r}: no device has such a name{nearest(str(name), known)}") from None
    if str(device) not in known:
        raise ConfigError(f"device {str(name)!r}: there is none on this machine; there are {', '.join(known)}")
    return device


def _indexed(kind: str, count: int) -> list[str]:
    return [kind, *(f"{kind}:{index}" for index in range(count))]

"""Which processor computes, and in which arithmetic."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bf16", "fp16"]


def default_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def resolve_precision(
    precision: Precision, device: torch.device
) -> Literal["float32", "bf16", "fp16"]:
    """Turn "auto" into the fastest arithmetic that the device has in hardware.

    On CUDA bf16 where the card computes in it, else fp16; on a CPU bf16 only where the
    processor multiplies in it (emulated bf16 is slower than float32); elsewhere float32.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and _cpu_has_bf16():
        return "bf16"
    return "float32"


def _cpu_has_bf16() -> bool:
    """Whether the CPU has instructions for bf16 products; older PyTorch cannot tell: no."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Context in which convolutions and products run in ``precision``."""
    resolved = resolve_precision(precision, device)
    if resolved == "float32":
        return nullcontext()
    dtype = torch.bfloat16 if resolved == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)

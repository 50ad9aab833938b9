"""torch.compile where it pays.

Only on CUDA: on a CPU, the paper's MNIST model at half its width took a minute to compile and
trained no faster (bf16, one thread).
"""

from __future__ import annotations

import importlib.util
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .checks import InputError

COMPILE_FROM_STEPS = 5000
"""Rule of thumb: shorter trainings do not make up for the minute or so that compiling takes."""

FUSE_MORE: dict[str, Any] = {
    "realize_opcount_threshold": 200,
    "realize_reads_threshold": 30,
    "realize_acc_reads_threshold": 30,
}
"""Compute BatchNorm and swish again where the backward pass needs them, instead of writing them to
memory as float32. By the compiler's own count, a training step of the paper's MNIST model moves
18.4 MB of memory per image without these options and 13.4 MB with them (torch 2.11, bf16, batch
1000)."""


def compiler_options(mode: str | None = None) -> dict[str, Any]:
    """Options for ``torch.compile``: those of a mode, if one is given, and :data:`FUSE_MORE`."""
    from torch._inductor import list_mode_options  # here: its import takes seconds

    return (list_mode_options(mode) if mode else {}) | FUSE_MORE


def compile_pays(device: torch.device, steps: int) -> bool:
    """Whether ``torch.compile`` works on this device and the training is long enough to gain.

    Compiling needs Triton, a card that Triton supports (capability 7.0, Volta, or newer), a C
    compiler and Python's headers.
    """
    return (
        steps >= COMPILE_FROM_STEPS
        and device.type == "cuda"
        and importlib.util.find_spec("triton") is not None
        and torch.cuda.get_device_capability(device) >= (7, 0)
        and any(map(shutil.which, ("cc", "gcc", "clang")))
        and Path(sysconfig.get_path("include"), "Python.h").exists()
    )


def go_on_without_compiling() -> None:
    """Where compiling fails, let PyTorch warn and compute step by step: no training ends for it."""
    import torch._dynamo  # here: its import takes a second

    torch._dynamo.config.suppress_errors = True


def compiled(
    module: nn.Module, asked: bool | str | dict[str, Any], *, whole_steps: bool
) -> nn.Module:
    """The module, compiled as ``asked``: see :class:`svae_lib.training.Trainer`.

    ``whole_steps``: a training step is one forward pass in one process.
    """
    if not asked:
        return module
    mode = asked if isinstance(asked, str) else None
    options = asked if isinstance(asked, dict) else compiler_options(mode)
    if options.get("triton.cudagraphs") and not whole_steps:
        raise InputError(
            f"compile={asked!r} makes CUDA graphs, which keep a step's memory for the next one, "
            "so it needs a single process and accumulate=1: use compile=True."
        )
    return torch.compile(module, options=options)  # type: ignore[return-value]

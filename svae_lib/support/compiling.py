"""torch.compile where it pays, with a fallback where it does not work.

Only on CUDA: on a CPU, the paper's MNIST model at half its width took a minute to compile and
trained no faster (bf16, one thread).
"""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from typing import Any

import torch
from torch import Tensor, nn

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

    Compiling needs Triton, a card that Triton supports (capability 7.0, Volta, or newer) and a C
    compiler.
    """
    return (
        steps >= COMPILE_FROM_STEPS
        and device.type == "cuda"
        and importlib.util.find_spec("triton") is not None
        and torch.cuda.get_device_capability(device) >= (7, 0)
        and any(map(shutil.which, ("cc", "gcc", "clang")))
    )


def compiled(
    module: nn.Module,
    asked: bool | str | dict[str, Any] | None,
    *,
    pays: bool,
    alone: bool,
    parts: int,
) -> nn.Module:
    """The module, compiled if that is ``asked`` for, as in :class:`svae_lib.training.Trainer`.

    With None it is compiled if that ``pays``; a process that trains ``alone`` then goes on without
    compiling where the compiler does not work. ``parts``: forward passes per step.
    """
    if not (pays if asked is None else asked):
        return module
    mode = asked if isinstance(asked, str) else None
    options = asked if isinstance(asked, dict) else compiler_options(mode)
    if options.get("triton.cudagraphs") and not (alone and parts == 1):
        raise InputError(
            f"compile={asked!r} makes CUDA graphs, which keep a step's memory for the next one, "
            "so it needs a single process and accumulate=1: use compile=True."
        )
    fast: nn.Module = torch.compile(module, options=options)  # type: ignore[assignment]
    return _Tried(fast, module) if asked is None and alone else fast


class _Tried(nn.Module):
    """A compiled module, which gives way to the plain one if its first call fails."""

    def __init__(self, fast: nn.Module, plain: nn.Module) -> None:
        super().__init__()
        self._chosen, self._plain = fast, plain
        self._tried = False

    def forward(self, *inputs: Tensor) -> Tensor:
        try:
            return self._chosen(*inputs)  # type: ignore[no-any-return]
        except Exception as error:
            if self._tried or isinstance(error, InputError):
                raise
            self._chosen = self._plain  # if the error is the model's own, it raises it again
            said = f"{type(error).__name__}: {error}".strip().split("\n")[0]
            warnings.warn(
                f"torch.compile does not work here ({said}); training goes on without it, "
                "more slowly.",
                stacklevel=2,
            )
            return self._chosen(*inputs)  # type: ignore[no-any-return]
        finally:
            self._tried = True

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
    """The module, compiled if that was asked for or pays. Its first output must be a loss.

    Args:
        module: what to compile.
        asked: as in :class:`svae_lib.training.Trainer`; with None, compile if it pays, and go on
            without compiling where the compiler does not work.
        pays: whether compiling pays here.
        alone: whether this process trains by itself.
        parts: forward passes per step.
    """
    if not (pays if asked is None else asked):
        return module
    options = asked if isinstance(asked, dict) else None
    if options is None:
        options = compiler_options(asked if isinstance(asked, str) else None)
    if options.get("triton.cudagraphs") and not (alone and parts == 1):
        raise InputError(
            f"compile={asked!r} makes CUDA graphs, which keep a step's memory for the next one, "
            "so it needs a single process and accumulate=1: use compile=True."
        )
    fast: nn.Module = torch.compile(module, options=options)  # type: ignore[assignment]
    return _Tried(fast, module) if asked is None and alone else fast


class _Tried(nn.Module):
    """A compiled module that is tried at its first call, and the plain one where that fails.

    If the error is the model's own, the plain module raises it again.
    """

    def __init__(self, fast: nn.Module, plain: nn.Module) -> None:
        super().__init__()
        self._chosen, self._plain = fast, plain
        self._known = False

    def forward(self, *inputs: Tensor) -> Tensor:
        if not self._known:
            self._known = True
            self._try(*inputs)
        return self._chosen(*inputs)  # type: ignore[no-any-return]

    def _try(self, *inputs: Tensor) -> None:
        buffers = list(self._plain.buffers())  # BatchNorm's, which the trial changes
        before = [buffer.clone() for buffer in buffers]
        weights = [weight for weight in self._plain.parameters() if weight.requires_grad]
        try:  # with the backward pass: part of it may be compiled only when it is first needed
            torch.autograd.grad(self._chosen(*inputs)[0], weights, allow_unused=True)
        except InputError:
            raise
        except Exception as error:
            self._chosen = self._plain
            said = f"{type(error).__name__}: {error}".strip().split("\n")[0]
            warnings.warn(
                f"torch.compile does not work here ({said}); training goes on without it, "
                "more slowly.",
                stacklevel=2,
            )
        finally:
            torch.clear_autocast_cache()  # its casts belong to the trial's gradients
            with torch.no_grad():
                for buffer, value in zip(buffers, before, strict=True):
                    buffer.copy_(value)

"""Which device computes, in which arithmetic, and which settings make it fast."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from .checks import InputError

PRECISIONS = ("float32", "bf16", "fp16")
PRECISION_VARIABLE = "SVAE_PRECISION"

# Parameters of glibc's mallopt(3), and their values afterwards: where its own adaptation ends up.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_KEEP = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0}
_USUAL = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20, _MMAP_MAX: 1 << 16}

_lock = Lock()
_users = 0

COMPILE_FROM_STEPS = 5000
"""Rule of thumb: shorter trainings do not make up for the minute or so that compiling takes."""

FUSE_MORE: dict[str, Any] = {
    "realize_opcount_threshold": 200,
    "realize_reads_threshold": 30,
    "realize_acc_reads_threshold": 30,
}
"""Compute BatchNorm and swish again in the backward pass, not keep them as float32: by the
compiler's count 13.4 MB of memory an image, not 18.4 (preset mnist, torch 2.11, bf16)."""


def default_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def find_device(device: torch.device | str | None = None) -> torch.device:
    """The device with this name, such as "cuda:1"; for None, :func:`default_device`."""
    if device is None:
        return default_device()
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch built without it
        said = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"the device {str(device)!r} cannot be used here ({said}): "
            f"leave it out for {str(default_device())!r}."
        ) from None
    return found


def resolve_precision(precision: str, device: torch.device) -> str:
    """Turn "auto" into what the variable SVAE_PRECISION says, else the device's fastest arithmetic.

    On CUDA that is bf16 where the card computes in it, otherwise fp16; on a CPU, bf16 where the
    processor multiplies in it (emulated, it is slower than float32:
    benchmarks/precision_choice.py); elsewhere float32.
    """
    if precision == "auto":
        precision = os.environ.get(PRECISION_VARIABLE) or _fastest(device)
    if precision not in PRECISIONS:
        raise InputError(
            f"the precision must be one of {PRECISIONS}, not {precision!r} "
            f'("auto" takes what {PRECISION_VARIABLE} says).'
        )
    return precision


def _fastest(device: torch.device) -> str:
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and cpu_has_bf16() else "float32"


def cpu_has_bf16(*any_of: str) -> bool:
    """Whether the CPU has instructions for bf16 products; False where PyTorch cannot tell."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in any_of or ("avx512_bf16", "amx_bf16"))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Context in which convolutions and products run in ``precision``, whatever holds around it."""
    chosen = resolve_precision(precision, device)
    if chosen == "float32" and device.type not in ("cpu", "cuda"):
        return nullcontext()
    half = torch.float16 if chosen == "fp16" else torch.bfloat16
    # In a program's own autocast the cache would keep weights from before the last update.
    return torch.autocast(device.type, dtype=half, enabled=chosen != "float32", cache_enabled=False)


def as_float64(values: Tensor, *, stay: bool = False) -> Tensor:
    """The values as float64 on the CPU, without gradient; the library converts only here.

    With ``stay`` they leave only devices without float64, such as Apple's GPUs. They go to the CPU
    first and to float64 then: PyTorch cannot do both in one step (it raises, or copies nothing).
    """
    values = values.detach()
    if not (stay and values.device.type in ("cpu", "cuda")):
        values = values.cpu()
    return values.to(torch.float64)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Context in which float32 products keep all 23 bits, and cuDNN is deterministic.

    Recent GPUs multiply float32 numbers with 10 bits of the fraction (TensorFloat-32). That is good
    enough for training, but not for scores, which should be the same on every device.
    """
    b: Any = torch.backends
    wanted: dict[Any, Any] = {(b.cudnn, "deterministic"): True}
    if hasattr(b, "fp32_precision"):  # PyTorch 2.9: the old names raise once a new one was set
        parts = (b.cuda.matmul, b.cudnn.conv, b.cudnn.rnn, b.mkldnn.matmul, b.mkldnn.conv)
        wanted |= {(part, "fp32_precision"): "ieee" for part in parts}
    else:
        wanted |= {(part, "allow_tf32"): False for part in (b.cuda.matmul, b.cudnn)}
    before = {(part, name): getattr(part, name) for part, name in wanted}
    try:
        for (part, name), value in wanted.items():
            setattr(part, name, value)
        yield
    finally:
        for (part, name), value in before.items():
            setattr(part, name, value)


def best_memory_format(device: torch.device) -> torch.memory_format:
    """``channels_last`` on CUDA and CPUs, where convolutions read a pixel's channels together."""
    return torch.channels_last if device.type in ("cuda", "cpu") else torch.contiguous_format


@contextmanager
def tuned(device: torch.device) -> Iterator[None]:
    """Context for many equal steps: cuDNN searches its fastest algorithms, memory is kept."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        with kept_memory(), autocast("float32", device):  # not the program's own
            yield
    finally:
        torch.backends.cudnn.benchmark = before


def fits(images: Tensor, device: torch.device) -> bool:
    """Whether ``images`` take at most half of a GPU's free memory; the model needs the rest."""
    if device.type != "cuda":
        return True  # they are in main memory already
    return images.nbytes <= torch.cuda.mem_get_info(device)[0] // 2


@contextmanager
def kept_memory() -> Iterator[None]:
    """Context in which the process keeps the memory that it frees; the last to end returns it.

    Training and scoring need tensors of the same sizes in every step. The system would hand out
    their memory page by page again, each filled with zeros. Peak memory may be somewhat higher
    (measured in docs/speed.md). Does nothing without glibc.
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _set(_KEEP)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _set(_USUAL)


def _set(options: dict[int, int]) -> None:
    if libc := _glibc():
        for option, value in options.items():
            libc.mallopt(option, value)
        if options is _USUAL:
            libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def compiler_options(mode: str | None = None) -> dict[str, Any]:
    """Options for ``torch.compile``: those of a mode, if one is given, and :data:`FUSE_MORE`."""
    from torch._inductor import list_mode_options  # here: its import takes seconds

    return (list_mode_options(mode) if mode else {}) | FUSE_MORE


def compile_pays(device: torch.device, steps: int) -> bool:
    """Whether ``torch.compile`` works on this device and the training is long enough to gain.

    Compiling needs Triton, a card that Triton supports (capability 7.0, Volta, or newer), a C
    compiler and Python's headers. On a CPU, the paper's MNIST model at half its width took a minute
    to compile and trained no faster (bf16, one thread).
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
    # All batches have one size: without dynamic=False another training's would make it a variable.
    return torch.compile(module, options=options, dynamic=False)  # type: ignore[return-value]

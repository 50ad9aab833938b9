"""Which processor computes, in which arithmetic, and what pays there."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from .checks import InputError
from .memory import kept_memory

Precision = Literal["auto", "float32", "bf16", "fp16"]

COMPILE_FROM_STEPS = 5000
"""Steps from which :func:`compile_pays`: a shorter training ends before the compiler's minute or
so is won back. A rule of thumb; measure your own."""


def default_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def find_device(device: torch.device | str | None = None) -> torch.device:
    """The device that is meant: "cpu", "cuda", "cuda:1" and so on; :func:`default_device` for None.

    Raises:
        InputError: there is no such device here.
    """
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


# ---------------------------------------------------------------------- arithmetic


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


def as_float64(values: Tensor, *, stay: bool = False) -> Tensor:
    """The values as float64, without gradient: the one way to float64 in the library.

    Apple's GPUs have no float64: there the values go to the CPU first, and only then change dtype
    (in one step PyTorch raises, or, in some versions, copies nothing).

    Args:
        values: any shape and dtype.
        stay: leave them on their device where it has float64; otherwise they come to the CPU.
    """
    values = values.detach()
    if not (stay and values.device.type in ("cpu", "cuda")):
        values = values.cpu()
    return values.to(torch.float64)


# ---------------------------------------------------------------------- speed


@contextmanager
def exact_float32() -> Iterator[None]:
    """Context in which float32 products keep all 23 bits, and an algorithm repeats itself.

    Recent GPUs multiply float32 numbers with 10 bits of the fraction (TensorFloat-32): by
    PyTorch's default in convolutions, on request in matrix products. Good for training, not for
    what is to come out the same on every device.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def best_memory_format(device: torch.device) -> torch.memory_format:
    """Order in memory of images and kernels: ``channels_last`` on CUDA and on the CPU, whose
    convolutions read the channels of a pixel together; plane by plane elsewhere.
    """
    known = device.type in ("cuda", "cpu")
    return torch.channels_last if known else torch.contiguous_format


@contextmanager
def tuned(device: torch.device) -> Iterator[None]:
    """Context of many equal steps: cuDNN times its algorithms once per shape and keeps the
    fastest; and the process keeps its memory, see :func:`svae_lib.support.memory.kept_memory`.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        with kept_memory():
            yield
    finally:
        torch.backends.cudnn.benchmark = before


FUSE_MORE: dict[str, Any] = {
    "realize_opcount_threshold": 200,
    "realize_reads_threshold": 30,
    "realize_acc_reads_threshold": 30,
}
"""Options with which the compiler computes BatchNorm and swish again wherever the backward pass
needs them; by its defaults it writes them to memory, as float32, and reads them back. By its own
count a training step of the paper's MNIST model moves 18.4 MB of memory per image with the
defaults, 13.4 MB with these (torch 2.11, bf16, batch 1000)."""


def compiler_options(mode: str | None = None) -> dict[str, Any]:
    """Options for ``torch.compile``: those of one of its modes, and :data:`FUSE_MORE`."""
    from torch._inductor import list_mode_options  # here: its import takes seconds

    return (list_mode_options(mode) if mode else {}) | FUSE_MORE


def compile_pays(device: torch.device, steps: int) -> bool:
    """Whether ``torch.compile`` works on this device and a training is long enough for it.

    It needs Triton, a card that Triton supports (capability 7.0, Volta) and a C compiler.
    """
    return (
        steps >= COMPILE_FROM_STEPS
        and device.type == "cuda"
        and importlib.util.find_spec("triton") is not None
        and torch.cuda.get_device_capability(device) >= (7, 0)
        and any(map(shutil.which, ("cc", "gcc", "clang")))
    )


# ---------------------------------------------------------------------- memory


def fits(images: Tensor, device: torch.device) -> bool:
    """Whether ``images`` may live on the device: in at most half of its free memory.

    The other half is for the model, its gradients, Adam's moments and the activations.
    """
    if device.type != "cuda":
        return True  # main memory, where they are already
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= free // 2


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an allocation failed: by PyTorch, by the driver or NVIDIA's libraries, on a CPU."""
    said = str(error)
    words = ("out of memory", "DefaultCPUAllocator", "STATUS_ALLOC_FAILED")
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(word in said for word in words)

"""Stages of the GPU session that measure how fast models are trained."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import statistics
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from gpu_checks import TINY, judged
from peak import flops_per_image, product_seconds, random_images
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import svae_lib as sv
from svae_lib.support.compiling import compiler_options

if TYPE_CHECKING:
    from gpu_session import Context

PRESETS = ("mnist", "cifar10", "celeba")
REPEATS = 3
WARM_UP = 20
"""Steps."""
SECONDS = 6.0
"""Of each repeat, about."""


def _seconds(context: Context, call: Callable[[], object]) -> float:
    context.synchronise()
    start = time.perf_counter()
    call()
    context.synchronise()
    return time.perf_counter() - start


# ---------------------------------------------------------------------- images per second


class FloatImages(Dataset[Tensor]):
    """uint8 images as the usual data set gives them: one at a time, float32 in [0, 1]."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index].float() / 255


def plain_loop(preset: sv.Preset, images: Tensor, context: Context) -> Callable[[int], None]:
    """The training loop that one writes first; it takes a number of steps.

    Float32 as PyTorch sets it up, eager, a DataLoader with worker processes and pinned memory,
    and gamma as a number of Python, which waits for the device at every step.
    """
    train, device = preset.train, context.device
    model = sv.build_model("split-vae", preset.model, seed=0).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=train.learning_rate, eps=1e-7)
    loader = DataLoader(
        FloatImages(images),
        batch_size=train.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=context.pick(8, 0),
        pin_memory=device.type == "cuda",
        persistent_workers=context.pick(True, False),
    )
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    gamma = running = 1.0

    def fit(steps: int) -> None:
        nonlocal gamma, running
        for x in itertools.islice(batches, steps):
            x = x.to(device)
            out = model(x)
            loss = sv.variational_loss(x, out.x_hat, out.mu, out.log_var, gamma, train.beta)
            optimizer.zero_grad()
            loss.total.backward()
            optimizer.step()
            running = 0.99 * running + 0.01 * loss.mse.item()
            gamma = min(gamma, running)

    return fit


def library_loop(trainer: sv.Trainer, steps: int) -> None:
    """Train; an interrupted training is no measurement."""
    wanted = trainer.step + steps
    trainer.fit(steps, progress=False)
    if trainer.step < wanted:  # fit takes a signal for a wish to stop
        raise KeyboardInterrupt


def training_speed(context: Context, preset: str) -> dict[str, Any]:
    """Images per second of a preset of the paper, trained by the library and by the plain loop.

    The peak is the rate of a bf16 matrix product of random numbers.
    """
    chosen, images = _preset(context, preset)
    size, products = context.pick(8192, 128), context.pick(30, 3)
    times = product_seconds(size, products, torch.bfloat16, context.device, context.synchronise)
    peak = 2 * size**3 / statistics.median(times)
    flops = flops_per_image(chosen.model, context.device)
    result = {
        "preset": preset,
        "batch_size": chosen.train.batch_size,
        "peak_bf16_tflops": float(f"{peak / 1e12:.4g}"),
        "gflop_per_image": round(flops / 1e9, 4),
        "library": _rate(context, chosen, images),
    }
    context.note(result)
    plain = _rate(context, chosen, images, plain=True)
    speed = result["library"]["images_per_second"]
    return result | {
        "plain_loop": plain,
        "times_faster": round(speed / plain["images_per_second"], 2),
        "share_of_peak": float(f"{speed * flops / peak:.3g}"),
    }


def _preset(context: Context, name: str) -> tuple[sv.Preset, Tensor]:
    """A preset and random images for it."""
    preset = sv.PRESETS[name]
    if context.tiny:
        config, train = preset.model, dataclasses.replace(preset.train, batch_size=4)
        config = dataclasses.replace(TINY, image_size=config.image_size, channels=config.channels)
        preset = dataclasses.replace(preset, model=config, train=train)
    many = 50_000 if preset.model.image_size == 32 else 20_000
    return preset, random_images(preset.model, context.pick(many, 32))


def _rate(
    context: Context, preset: sv.Preset, images: Tensor, compile: Any = None, plain: bool = False
) -> dict[str, Any]:
    """Images per second: the median of three repeats, after a warm-up in which one compiles."""
    torch.compiler.reset()  # it translates a function for a few models only, then gives up
    gc.collect()
    if context.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(context.device)
    train = dataclasses.replace(preset.train, log_every=WARM_UP)
    trainer = None
    if plain:
        fit = plain_loop(preset, images, context)
    else:
        model = sv.build_model("split-vae", preset.model, seed=0)
        trainer = sv.Trainer(model, images, train, context.device, compile=compile)
        fit = partial(library_loop, trainer)
    warm_up = _seconds(context, partial(fit, WARM_UP))
    trial = context.pick(WARM_UP, 1)
    each = _seconds(context, partial(fit, trial)) / trial
    steps = max(int(context.pick(SECONDS, 0) / each), 1)
    times = [_seconds(context, partial(fit, steps)) for _ in range(REPEATS)]
    rates = [steps * train.batch_size / seconds for seconds in times]
    row: dict[str, Any] = {
        "precision": trainer.precision if trainer else "float32",
        "images_per_second": round(statistics.median(rates), 1),
        "images_per_second_of_each_repeat": [round(rate, 1) for rate in rates],
        "steps_of_each_repeat": steps,
        "warm_up_seconds": round(warm_up, 1),
    }
    if trainer:
        row["loss"] = trainer.history["loss"][0]  # mean over the warm-up
    if context.device.type == "cuda":
        row["peak_memory_MiB"] = torch.cuda.max_memory_allocated(context.device) >> 20
    return row


# ---------------------------------------------------------------------- the compiler

MODES = ("default", "reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune")
"""Of torch.compile; "reduce-overhead" and "max-autotune" make CUDA graphs."""
VARIANTS: dict[str, Callable[[], Any]] = {
    "eager": lambda: False,
    **{mode: partial(compiler_options, mode) for mode in MODES},
    "default, PyTorch's options": lambda: {"max_autotune": False},  # that is, all as they come
    "default, small kernels combined": lambda: compiler_options() | {"combo_kernels": True},
}
"""What the trainer is given as ``compile``."""


def compilers(context: Context) -> dict[str, Any]:
    """Images per second of the paper's MNIST model by variant of torch.compile, batch 100 and 1000.

    All variants of a batch size take the same steps from the same weights, so their losses after
    the warm-up must agree. A variant that fails leaves its error. Tiny: nothing is compiled.
    """
    preset, images = _preset(context, "mnist")
    rows: list[dict[str, Any]] = []
    for batch, name in itertools.product(context.pick((100, 1000), (4,)), VARIANTS):
        train = dataclasses.replace(preset.train, batch_size=batch)
        rows.append({"variant": name, "batch_size": batch})
        try:
            compile = context.pick(VARIANTS[name], bool)()
            of_batch = dataclasses.replace(preset, train=train)
            rows[-1] |= _rate(context, of_batch, images, compile)
        except Exception as error:  # the others are still worth measuring
            rows[-1]["failed"] = f"{type(error).__name__}: {error}"[:500]
            traceback.clear_frames(error.__traceback__)  # they hold the device's memory
        if "loss" in rows[-1]:
            eager = next(r["loss"] for r in rows if r["batch_size"] == batch and "loss" in r)
            rows[-1]["loss_beside_eager"] = judged(abs(rows[-1]["loss"] / eager - 1), 0.02)
        context.note({"rows": rows})
    return {"rows": rows}

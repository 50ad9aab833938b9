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
from typing import Any

import torch
from gpu_checks import TINY, Context, judged
from peak import flops_per_image, product_seconds, random_images
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import svae_lib as sv
from svae_lib.support.devices import compiler_options

PRESETS = ("mnist", "cifar10", "celeba")
REPEATS, SECONDS = 3, 6.0
"""Of a measurement, each of about so many seconds."""
WARM_UP = 20
"""Steps."""


def plain_loop(preset: sv.Preset, images: Tensor, context: Context) -> Callable[[int], None]:
    """The training loop that one writes first; it takes a number of steps.

    Float32 as PyTorch sets it up, eager, a DataLoader with worker processes and pinned memory,
    and gamma as a number of Python, which waits for the device at every step.
    """
    train, device = preset.train, context.device
    model = sv.build_model("split-vae", preset.model, seed=0).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=train.learning_rate, eps=1e-7)
    loader = DataLoader(
        TensorDataset(images.float() / 255),
        batch_size=train.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=context.pick(8, 0),
        pin_memory=device.type == "cuda",
        persistent_workers=not context.tiny,
    )
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    gamma = running = 1.0

    def fit(steps: int) -> None:
        nonlocal gamma, running
        for (x,) in itertools.islice(batches, steps):
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
        "library": _library(context, chosen, images),
    }
    context.note(result)
    plain = _rate(context, plain_loop(chosen, images, context), chosen.train.batch_size)
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


def _library(
    context: Context, preset: sv.Preset, images: Tensor, compile: Any = None
) -> dict[str, Any]:
    """The library's rate, its precision, and the mean loss over the warm-up."""
    torch.compiler.reset()  # it translates a function for a few models only, then gives up
    train = dataclasses.replace(preset.train, log_every=WARM_UP)
    model = sv.build_model("split-vae", preset.model, seed=0)
    trainer = sv.Trainer(model, images, train, context.device, compile=compile)
    row = _rate(context, partial(library_loop, trainer), train.batch_size)
    return row | {"precision": trainer.precision, "loss": trainer.history["loss"][0]}


def _rate(context: Context, fit: Callable[[int], None], batch_size: int) -> dict[str, Any]:
    """Images per second: the median of the repeats, after a warm-up in which one compiles."""
    on_cuda = context.device.type == "cuda"
    gc.collect()
    if on_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(context.device)

    def seconds(steps: int) -> float:
        context.synchronise()
        start = time.perf_counter()
        fit(steps)
        context.synchronise()
        return time.perf_counter() - start

    warm_up = seconds(WARM_UP)
    trial = context.pick(WARM_UP, 1)
    steps = max(int(context.pick(SECONDS, 0) * trial / seconds(trial)), 1)
    rates = [round(steps * batch_size / seconds(steps), 1) for _ in range(REPEATS)]
    row: dict[str, Any] = {
        "images_per_second": statistics.median(rates),
        "images_per_second_of_each_repeat": rates,
        "steps_of_each_repeat": steps,
        "warm_up_seconds": round(warm_up, 1),
    }
    if on_cuda:
        row["peak_memory_MiB"] = torch.cuda.max_memory_allocated(context.device) >> 20
    return row


VARIANTS: dict[str, Callable[[], Any]] = {
    "eager": lambda: False,
    "default": compiler_options,
    "reduce-overhead": partial(compiler_options, "reduce-overhead"),
    "default, PyTorch's options": lambda: {"max_autotune": False},  # that is, all as they come
    "default, small kernels combined": lambda: compiler_options() | {"combo_kernels": True},
    **{m: partial(compiler_options, m) for m in ("max-autotune-no-cudagraphs", "max-autotune")},
}
"""What the trainer is given as ``compile``; the last two search for kernels: that takes minutes."""


def compilers(context: Context) -> dict[str, Any]:
    """Images per second of the paper's MNIST model by variant of torch.compile, batch 100 and 1000.

    All variants of a batch size take the same steps from the same weights, so their losses after
    the warm-up must agree. A variant that fails leaves its error. Tiny: nothing is compiled.
    """
    preset, images = _preset(context, "mnist")
    rows: list[dict[str, Any]] = []
    for batch in context.pick((100, 1000), (4,)):
        train = dataclasses.replace(preset.train, batch_size=batch)
        of_batch = dataclasses.replace(preset, train=train)
        expected = None  # loss of the first variant that works
        for name, variant in VARIANTS.items():
            rows.append({"variant": name, "batch_size": batch})
            try:
                rows[-1] |= _library(context, of_batch, images, context.pick(variant, bool)())
                expected = expected or rows[-1]["loss"]
                rows[-1]["loss_beside"] = judged(abs(rows[-1]["loss"] / expected - 1), 0.02)
            except Exception as error:  # the others are still worth measuring
                rows[-1]["failed"] = f"{type(error).__name__}: {error}"[:500]
                traceback.clear_frames(error.__traceback__)  # they hold the device's memory
            context.note({"rows": rows})
    return {"rows": rows}

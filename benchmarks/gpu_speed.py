"""Stages of the GPU session that measure how fast models are trained."""

from __future__ import annotations

import dataclasses
import gc
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from gpu_checks import TINY, judged
from peak import flops_per_image, product_seconds, random_images
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import svae_lib as sv
from svae_lib.support.devices import compiler_options

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


# ---------------------------------------------------------------------- the plain loop


class FloatImages(Dataset[Tensor]):
    """uint8 images as the usual data set gives them: one at a time, float32 in [0, 1]."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index].float() / 255


class PlainLoop:
    """The training loop that one writes first, for the same model, loss and optimiser.

    Float32 as PyTorch sets it up, eager, a DataLoader with worker processes and pinned memory,
    and gamma as a number of Python, which waits for the device at every step.
    """

    precision = "float32"

    def __init__(self, preset: sv.Preset, images: Tensor, context: Context) -> None:
        self.model = sv.build_model("split-vae", preset.model, seed=0).to(context.device)
        self.beta, self.device = preset.train.beta, context.device
        self.loader = DataLoader(
            FloatImages(images),
            batch_size=preset.train.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=context.pick(8, 0),
            pin_memory=context.device.type == "cuda",
            persistent_workers=context.pick(True, False),
        )
        rate = preset.train.learning_rate
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=rate, eps=1e-7)
        self.gamma = self.running = 1.0
        self.batch_size = preset.train.batch_size
        self.batches = self._batches()

    def _batches(self) -> Iterator[Tensor]:
        while True:
            yield from self.loader

    def fit(self, steps: int) -> None:
        self.model.train()
        for _ in range(steps):
            x = next(self.batches).to(self.device)
            out = self.model(x)
            loss = sv.variational_loss(x, out.x_hat, out.mu, out.log_var, self.gamma, self.beta)
            self.optimizer.zero_grad()
            loss.total.backward()
            self.optimizer.step()
            self.running = 0.99 * self.running + 0.01 * loss.mse.item()
            self.gamma = min(self.gamma, self.running)


class Library:
    """The library's trainer, with the interface of the plain loop."""

    def __init__(
        self, preset: sv.Preset, images: Tensor, context: Context, compile: Any = None
    ) -> None:
        model = sv.build_model("split-vae", preset.model, seed=0)
        self.trainer = sv.Trainer(model, images, preset.train, context.device, compile=compile)
        self.precision: str = self.trainer.precision
        self.batch_size = preset.train.batch_size

    @property
    def first_loss(self) -> float:
        """Mean over the steps of the history's first entry."""
        return self.trainer.history["loss"][0]

    def fit(self, steps: int) -> None:
        wanted = self.trainer.step + steps
        self.trainer.fit(steps, progress=False)
        if self.trainer.step < wanted:  # fit takes a signal for a wish to stop
            raise KeyboardInterrupt


# ---------------------------------------------------------------------- images per second


def training_speed(context: Context, preset: str) -> dict[str, Any]:
    """Images per second of a preset of the paper, trained by the library and by the plain loop.

    The median of three repeats of about six seconds each, after a warm-up that is not counted
    and in which the compiler works. The images are random bytes. The peak is the rate of a bf16
    matrix product of random numbers.
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
        "library": _rate(context, partial(Library, chosen, images, context)),
    }
    context.note(result)
    plain = _rate(context, partial(PlainLoop, chosen, images, context))
    speed = result["library"]["images_per_second"]
    return result | {
        "plain_loop": plain,
        "times_faster": round(speed / plain["images_per_second"], 2),
        "share_of_peak": float(f"{speed * flops / peak:.3g}"),
    }


def _preset(context: Context, name: str) -> tuple[sv.Preset, Tensor]:
    preset = sv.PRESETS[name]
    if context.tiny:
        kept = {"image_size": preset.model.image_size, "channels": preset.model.channels}
        train = dataclasses.replace(preset.train, batch_size=4, log_every=WARM_UP)
        preset = dataclasses.replace(preset, model=dataclasses.replace(TINY, **kept), train=train)
    small = preset.model.image_size == 32
    return preset, random_images(preset.model, context.pick(50_000 if small else 20_000, 32))


def _rate(context: Context, make: Callable[[], PlainLoop | Library]) -> dict[str, Any]:
    torch.compiler.reset()  # it translates a function for a few models only, then gives up
    if context.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(context.device)
    loop = make()
    warm_up = _seconds(context, lambda: loop.fit(WARM_UP))
    trial = context.pick(WARM_UP, 1)
    each = _seconds(context, lambda: loop.fit(trial)) / trial
    steps = max(int(context.pick(SECONDS, 0) / each), 1)
    times = [_seconds(context, lambda: loop.fit(steps)) for _ in range(REPEATS)]
    rates = [steps * loop.batch_size / seconds for seconds in times]
    row: dict[str, Any] = {
        "precision": loop.precision,
        "images_per_second": round(statistics.median(rates), 1),
        "images_per_second_of_each_repeat": [round(rate, 1) for rate in rates],
        "steps_of_each_repeat": steps,
        "warm_up_seconds": round(warm_up, 1),
    }
    if isinstance(loop, Library):
        row["loss"] = loop.first_loss
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
    for batch in context.pick((100, 1000), (4,)):
        train = dataclasses.replace(preset.train, batch_size=batch, log_every=WARM_UP)
        of_batch = dataclasses.replace(preset, train=train)
        for name, options in VARIANTS.items():
            rows.append({"variant": name, "batch_size": batch})
            try:
                compile = context.pick(options, bool)()
                rows[-1] |= _rate(context, partial(Library, of_batch, images, context, compile))
            except Exception as error:  # the others are still worth measuring
                rows[-1]["failed"] = f"{type(error).__name__}: {error}"[:500]
                traceback.clear_frames(error.__traceback__)  # they hold the device's memory
            gc.collect()
            context.note({"rows": rows})
    return {"rows": rows, "losses": _spread(rows)}


def _spread(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How far apart the losses of equal steps are, by batch size."""
    found = []
    for batch in dict.fromkeys(row["batch_size"] for row in rows):
        losses = [r["loss"] for r in rows if r["batch_size"] == batch and "loss" in r]
        spread = (max(losses) - min(losses)) / abs(statistics.fmean(losses)) if losses else 0.0
        found.append({"batch_size": batch, **judged(spread, 0.02)})
    return found

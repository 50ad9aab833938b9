"""Stages of the GPU session that measure how fast models are trained."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from gpu_checks import TINY
from session import Context
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

import svae_lib as sv
from svae_lib.monitoring import validate

# ---------------------------------------------------------------------- the device's peak


def matrix_peak(context: Context) -> dict[str, Any]:
    """The rate of a large bf16 matrix product on random numbers: what training is measured by."""
    size, repeats = context.pick(8192, 256), context.pick(30, 3)
    generator = torch.Generator(context.device).manual_seed(0)
    a, b = (
        torch.randn(size, size, generator=generator, device=context.device).bfloat16()
        for _ in range(2)
    )
    seconds = [_seconds(context, lambda: a @ b) for _ in range(5 + repeats)][5:]
    return {
        "tflops": round(2 * size**3 / statistics.median(seconds) / 1e12, 3),
        "best_tflops": round(2 * size**3 / min(seconds) / 1e12, 3),
        "size": size,
        "products": repeats,
        "dtype": "bfloat16",
    }


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
    Adam as it comes, gamma as a number of Python, which waits for the device at every step.
    """

    def __init__(
        self, model: sv.SplitVAE, images: Tensor, train: sv.TrainConfig, context: Context
    ) -> None:
        self.model, self.beta, self.device = model.to(context.device), train.beta, context.device
        self.loader = DataLoader(
            FloatImages(images),
            batch_size=train.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=context.pick(8, 0),
            pin_memory=context.device.type == "cuda",
            persistent_workers=context.pick(True, False),
        )
        self.optimizer = torch.optim.Adam(model.parameters(), lr=train.learning_rate, eps=1e-7)
        self.gamma = self.running = 1.0
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


# ---------------------------------------------------------------------- images per second


def training_speed(context: Context, preset: str) -> dict[str, Any]:
    """Images per second of the paper's model: the library's trainer, and the plain loop.

    For each batch size both are set up and warmed up, then they take turns; the medians are
    compared. The images are random bytes, which are trained as fast as others.
    """
    config, train = _settings(context, preset)
    count = context.pick(50_000, 32) if config.image_size == 32 else context.pick(20_000, 16)
    shape = (count, config.channels, config.image_size, config.image_size)
    images = torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    flops = flops_per_image(context, config)
    peak = 1e12 * context.done["matrix-peak"]["tflops"] if "matrix-peak" in context.done else None
    rows = []
    largest = 2000 if config.image_size == 32 else 1000
    for batch_size in context.pick((100, 500, largest), (4, 8)):
        row = _compare(context, config, dataclasses.replace(train, batch_size=batch_size), images)
        if peak:
            row["share_of_matrix_peak"] = round(
                row["images_per_second"] * flops / peak, 5 if context.tiny else 3
            )
        print(preset, row, flush=True)
        rows.append(row)
    model = sv.build_model("split-vae", config)
    return {
        "preset": preset,
        "parameters": sv.parameter_count(model),
        "gflop_per_image": round(flops / 1e9, 4),  # forward and backward, 2 per multiply-add
        "images": count,
        "rows": rows,
    }


def _settings(context: Context, preset: str) -> tuple[sv.ModelConfig, sv.TrainConfig]:
    config, train = sv.PRESETS[preset].model, sv.PRESETS[preset].train
    if context.tiny:
        size = {"image_size": config.image_size, "channels": config.channels}
        config = dataclasses.replace(TINY, **size)
    return config, train


def flops_per_image(context: Context, config: sv.ModelConfig, batch_size: int = 4) -> float:
    """Floating-point operations of a training step per image, as PyTorch counts them."""
    model = sv.build_model("split-vae", config).to(context.device).train()
    shape = (batch_size, config.channels, config.image_size, config.image_size)
    x = torch.rand(shape, device=context.device)
    noise = torch.zeros(batch_size, config.latent_dim, device=context.device)
    with FlopCounterMode(display=False) as counter:
        model.loss(x, noise, 0.1, 1.0).total.backward()
    return counter.get_total_flops() / batch_size


def _compare(
    context: Context, config: sv.ModelConfig, train: sv.TrainConfig, images: Tensor
) -> dict[str, Any]:
    torch.compiler.reset()  # it translates a function for a few sizes only, then gives up
    trainer = sv.Trainer(sv.build_model("split-vae", config), images, train, context.device)
    model = sv.build_model("split-vae", config)
    assert isinstance(model, sv.SplitVAE)
    plain = PlainLoop(model, images, train, context)
    warm_up = context.pick(60, 1)
    seconds_to_warm_up = _seconds(context, lambda: trainer.fit(warm_up, progress=False))
    plain.fit(warm_up)
    larger = config.image_size > 32
    ours_steps = max(context.pick(40_000 if larger else 160_000, 8) // train.batch_size, 1)
    plain_steps = max(context.pick(8_000 if larger else 16_000, 8) // train.batch_size, 1)
    if context.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(context.device)
    ours, theirs = [], []
    for _ in range(context.pick(3, 1)):
        seconds = _seconds(context, lambda: trainer.fit(ours_steps, progress=False))
        ours.append(ours_steps * train.batch_size / seconds)
        seconds = _seconds(context, lambda: plain.fit(plain_steps))
        theirs.append(plain_steps * train.batch_size / seconds)
    row = {
        "batch_size": train.batch_size,
        "precision": trainer.precision,
        "images_per_second": round(statistics.median(ours), 1),
        "images_per_second_of_each_repeat": [round(rate, 1) for rate in ours],
        "plain_images_per_second": round(statistics.median(theirs), 1),
        "plain_images_per_second_of_each_repeat": [round(rate, 1) for rate in theirs],
        "times_the_plain_loop": round(statistics.median(ours) / statistics.median(theirs), 2),
        "warm_up_seconds": round(seconds_to_warm_up, 1),
        "steps_per_repeat": ours_steps,
    }
    if context.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(context.device)
        row["peak_memory_of_both_MiB"] = peak >> 20
    return row


def training_variants(context: Context) -> dict[str, Any]:
    """Images per second of the paper's MNIST model, translated by torch.compile or not."""
    config, train = _settings(context, "mnist")
    shape = (context.pick(20_000, 32), config.channels, config.image_size, config.image_size)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    rows = []
    for batch_size in context.pick((100, 1000), (8,)):
        for compile in context.pick((False, True, "reduce-overhead"), (False,)):
            row: dict[str, Any] = {"batch_size": batch_size, "compile": compile}
            settings = dataclasses.replace(train, batch_size=batch_size)
            try:
                row |= _variant(context, config, settings, images, compile)
            except Exception as error:  # the others are still worth measuring
                row["failed"] = repr(error)[:500]
            print(row, flush=True)
            rows.append(row)
    return {"preset": "mnist", "rows": rows}


def _variant(
    context: Context,
    config: sv.ModelConfig,
    train: sv.TrainConfig,
    images: Tensor,
    compile: bool | str,
) -> dict[str, Any]:
    torch.compiler.reset()
    model = sv.build_model("split-vae", config)
    trainer = sv.Trainer(model, images, train, context.device, compile=compile)
    warm_up = _seconds(context, lambda: trainer.fit(context.pick(60, 1), progress=False))
    steps = max(context.pick(80_000, 8) // train.batch_size, 1)
    seconds = [
        _seconds(context, lambda: trainer.fit(steps, progress=False))
        for _ in range(context.pick(3, 1))
    ]
    rates = [steps * train.batch_size / s for s in seconds]
    return {
        "precision": trainer.precision,
        "images_per_second": round(statistics.median(rates), 1),
        "images_per_second_of_each_repeat": [round(rate, 1) for rate in rates],
        "warm_up_seconds": round(warm_up, 1),
    }


# ---------------------------------------------------------------------- time to a given loss


class Reached(Exception):
    """The validation loss that was asked for."""


def time_to_loss(context: Context) -> dict[str, Any]:
    """Seconds of training until a validation loss that batch 100 ends at, for larger batches.

    The paper's MNIST model on digits; a thousand others are held out. Learning rates grow with the
    square root of the batch, as is usual with Adam. Each batch size has twice the images of batch
    100 at most. The validations' own time does not count; compiling does, and is stated.
    """
    if context.tiny or context.root is None:
        data, held_out = "mnist-5k", context.pick(500, 20)
    else:
        data, held_out = "mnist", 1000
    images = sv.data.load(data, context.root if data == "mnist" else None).train
    images = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]
    train, validation = images[held_out:], images[:held_out]
    config, settings = _settings(context, "mnist")
    settings = dataclasses.replace(settings, gamma_start="data")
    shown = context.pick(600_000, 80)
    first, *larger = context.pick((100, 400, 1000), (4, 8))
    reference = _until(context, config, settings, train, validation, first, shown, None)
    target = min(loss for _, _, loss in reference["curve"])
    rows = [reference]
    for batch_size in larger:
        row = _until(context, config, settings, train, validation, batch_size, 2 * shown, target)
        rows.append(row)
    for row in rows:
        hits = [(images, seconds) for images, seconds, loss in row["curve"] if loss <= target]
        row["images_to_target"], row["seconds_to_target"] = hits[0] if hits else (None, None)
    return {"data": data, "held_out": held_out, "target": target, "rows": rows, "seed": 0}


def _until(
    context: Context,
    config: sv.ModelConfig,
    settings: sv.TrainConfig,
    images: Tensor,
    validation: Tensor,
    batch_size: int,
    shown: int,
    target: float | None,
) -> dict[str, Any]:
    """Train on ``shown`` images, or until the target; the curve: images, seconds, loss."""
    scale = math.sqrt(batch_size / 100)
    train = dataclasses.replace(
        settings,
        batch_size=batch_size,
        steps=shown // batch_size,
        learning_rate=settings.learning_rate * scale,
        log_every=max(context.pick(20_000, 16) // batch_size, 1),
    )
    trainer = sv.Trainer(sv.build_model("split-vae", config, 0), images, train, context.device)
    torch.compiler.reset()
    curve: list[tuple[int, float, float]] = []
    validating = 0.0
    started = time.perf_counter()

    def note(trainer: sv.Trainer) -> None:
        nonlocal validating
        context.synchronise()
        now = time.perf_counter()
        loss = validate(trainer.model, validation, train.beta).loss
        curve.append((trainer.step * batch_size, round(now - started - validating, 3), loss))
        validating += time.perf_counter() - now
        if target is not None and loss <= target:
            raise Reached

    with contextlib.suppress(Reached):
        trainer.fit(progress=False, on_log=[note])
    return {
        "batch_size": batch_size,
        "learning_rate": train.learning_rate,
        "precision": trainer.precision,
        "curve": curve,
    }

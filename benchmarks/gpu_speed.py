"""Stages of the GPU session that measure how fast models are trained."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from gpu_checks import TINY, judged
from peak import flops_per_image, product_seconds
from session import Context, time_limit
from torch import Tensor, nn
from torch._inductor import config as inductor
from torch.utils.data import DataLoader, Dataset

import svae_lib as sv
from svae_lib import layers
from svae_lib.experiments.monitoring import validate
from svae_lib.support.devices import FUSE_MORE, compiler_options

# ---------------------------------------------------------------------- the device's peak


def matrix_peak(context: Context) -> dict[str, Any]:
    """The rate of a large bf16 matrix product on random numbers: what training is measured by."""
    size, repeats = context.pick(8192, 256), context.pick(30, 3)
    seconds = product_seconds(size, repeats, torch.bfloat16, context.device, context.synchronise)
    return {
        "tflops": _four_digits(2 * size**3 / statistics.median(seconds) / 1e12),
        "best_tflops": _four_digits(2 * size**3 / min(seconds) / 1e12),
        "size": size,
        "products": repeats,
        "dtype": "bfloat16",
    }


def _four_digits(value: float) -> float:
    """Rounded to four digits, however small: a slow machine's rate is not 0."""
    return float(f"{value:.4g}")


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

    precision = "float32"

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

    def loss(self) -> None:
        """Its losses are not compared: it draws the images in another order."""


# ---------------------------------------------------------------------- ways to train


@dataclass(frozen=True)
class Way:
    """One way to train the same model."""

    batch_size: int
    compile: str = ""
    """One of the compiler's modes, such as "default"; "": without it."""
    written_as: str = ""
    """One of :data:`FORMULATIONS`; "": as in the library."""
    options: str = ""
    """One of :data:`OPTIONS`; "": the library's."""
    plain: bool = False
    """The plain loop in place of the library's trainer."""

    @property
    def name(self) -> str:
        """Such as "library, batch 1000, default, joined"."""
        what = "plain loop" if self.plain else "library"
        how = [self.compile, self.written_as, self.options]
        return ", ".join([what, f"batch {self.batch_size}", *filter(None, how)])


def ways(batches: tuple[int, int, int], more: bool) -> list[Way]:
    """What is tried, the most promising first: what the time does not suffice for is left out.

    Args:
        batches: the paper's batch size, a larger one, and the largest.
        more: also what tells why, and what is thought to gain little.
    """
    small, medium, large = batches
    first = [
        Way(small, plain=True),
        Way(large, plain=True),
        Way(large, "default"),
        Way(small, "reduce-overhead"),
        Way(large, "default", "joined"),
        Way(medium, "reduce-overhead"),
    ]
    then = [
        Way(small, "default"),
        Way(large, "default", options="as they come"),
        Way(small, "reduce-overhead", options="combined"),
        Way(large, "default", "aligned"),
        Way(small),
        Way(large),
        Way(2 * large, "default"),
        Way(medium // 2, "reduce-overhead"),
        Way(large, "default", "apart"),
        Way(large, "max-autotune-no-cudagraphs"),
    ]
    return list(dict.fromkeys(first + then if more else first))


def _bias_apart(self: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A convolution, and its bias where the compiler sees it and can add it on the way."""
    out = F.conv2d(x, weight, None, self.stride, self.padding)
    return out + bias.to(out.dtype).view(-1, 1, 1)


def _joined_block(self: layers.ResBlock, x: Tensor) -> Tensor:
    """Second convolution and shortcut as one, of twice the channels: their sum is done by it."""
    h = self.layer1(F.silu(self.norm1(x)))
    both = torch.cat((F.silu(self.norm2(h)), x), dim=1)
    weight = torch.cat((self.layer2.weight, self.shortcut.weight), dim=1)
    return _bias_apart(self.layer2, both, weight, self.layer2.bias + self.shortcut.bias)


def _aligned_convolution(self: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A convolution whose channels are filled up with zeros to multiples of 8, as units like."""
    out, into = weight.shape[:2]
    more_out, more_in = -out % 8, -into % 8
    if more_in:
        x, weight = (F.pad(t, (0, 0, 0, 0, 0, more_in)) for t in (x, weight))
    if more_out:
        weight, bias = F.pad(weight, (0,) * 7 + (more_out,)), F.pad(bias, (0, more_out))
    return F.conv2d(x, weight, bias, self.stride, self.padding)[:, :out]


FORMULATIONS: dict[str, tuple[tuple[type, str, Callable[..., Tensor]], ...]] = {
    "": (),
    "apart": ((nn.Conv2d, "_conv_forward", _bias_apart),),
    "joined": (
        (nn.Conv2d, "_conv_forward", _bias_apart),
        (layers.ResBlock, "forward", _joined_block),
    ),
    "aligned": ((nn.Conv2d, "_conv_forward", _aligned_convolution),),
}
"""Other ways to write the same function: what they replace. Weights and results stay the same."""

OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    "as they come": {name: getattr(inductor, name) for name in FUSE_MORE},
    "combined": {"combo_kernels": True},  # small kernels that do not depend on each other
}
"""Options of the compiler, on top of the library's."""


@contextlib.contextmanager
def written_as(name: str) -> Iterator[None]:
    """The library's layers in another formulation."""
    with contextlib.ExitStack() as stack:
        for owner, attribute, other in FORMULATIONS[name]:
            stack.enter_context(mock.patch.object(owner, attribute, other))
        yield


# ---------------------------------------------------------------------- images per second

LONGEST = 150.0
"""Seconds after which a way is given up: its compiler takes too long."""
SHORTEST = 30.0
"""Seconds of the stage below which no further one is begun."""
OVERTIME = 60.0
"""Seconds that the last one may take beyond the stage's: half-compiled is wasted."""


def training_speed(context: Context, preset: str, more: bool = False) -> dict[str, Any]:
    """Images per second of the paper's model, trained in several ways, within a time.

    Each way is set up, warmed up and measured three times; its row is noted at once. The images
    are random bytes, which are trained as fast as others. All ways with one batch size take the
    same steps, so their losses after the warm-up must agree.
    """
    config, train = _settings(context, preset)
    images = _random_images(context, config)
    noted = context.noted
    noted.setdefault("rows", [])
    if "gflop_per_image" not in noted:
        noted["gflop_per_image"] = round(flops_per_image(config, context.device) / 1e9, 4)
    small = config.image_size == 32
    batches = context.pick((100, 500, 1000) if small else (100, 200, 500), (4, 6, 8))
    known = {row["way"] for row in noted["rows"]}
    left_out = []
    for way in ways(batches, more):
        if way.name in known:
            continue
        if context.left() < context.pick(SHORTEST, 0):
            left_out.append(way.name)
            continue
        settings = dataclasses.replace(train, batch_size=way.batch_size)
        row = _row(context, way, config, settings, images)
        print(preset, row, flush=True)
        noted["rows"].append(row)
        context.note()
    return {
        "preset": preset,
        "parameters": sv.parameter_count(sv.build_model("split-vae", config)),
        "images": len(images),
        **noted,
        "left_out": left_out,
        **_summary(context, noted["rows"], noted["gflop_per_image"]),
    }


def _settings(context: Context, preset: str) -> tuple[sv.ModelConfig, sv.TrainConfig]:
    config, train = sv.PRESETS[preset].model, sv.PRESETS[preset].train
    if context.tiny:
        size = {"image_size": config.image_size, "channels": config.channels}
        config = dataclasses.replace(TINY, **size)
    return config, train


def _random_images(context: Context, config: sv.ModelConfig) -> Tensor:
    count = context.pick(50_000 if config.image_size == 32 else 20_000, 32)
    shape = (count, config.channels, config.image_size, config.image_size)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def _row(
    context: Context, way: Way, config: sv.ModelConfig, train: sv.TrainConfig, images: Tensor
) -> dict[str, Any]:
    """What was measured of one way, or why nothing was.

    Raises:
        DeviceLost: the device answers no longer.
    """
    row: dict[str, Any] = {"way": way.name, **dataclasses.asdict(way)}
    longest = min(LONGEST, context.left() + OVERTIME)
    with time_limit(longest) as limit, written_as(way.written_as):
        try:
            row |= _measured(context, way, config, train, images)
        except KeyboardInterrupt:
            if not limit.expired:  # the session's own time is over
                raise
            row["failed"] = f"given up after {longest:.0f} s"
        except Exception as error:  # the others are still worth measuring
            row["failed"] = repr(error)[:500]
            traceback.clear_frames(error.__traceback__)  # they hold the device's memory
    gc.collect()
    context.check_device()
    if context.device.type == "cuda":
        torch.cuda.empty_cache()
    return row


def _measured(
    context: Context, way: Way, config: sv.ModelConfig, train: sv.TrainConfig, images: Tensor
) -> dict[str, Any]:
    torch.compiler.reset()  # it translates a function for a few sizes only, then gives up
    model = sv.build_model("split-vae", config)
    if context.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(context.device)
    options = compiler_options(way.compile) | OPTIONS[way.options] if way.compile else {}
    loop: PlainLoop | _Library
    if way.plain:
        assert isinstance(model, sv.SplitVAE)
        loop = PlainLoop(model, images, train, context)
    else:
        loop = _Library(model, images, train, context.device, context.pick(options, {}))
    warm_up = context.pick(20 if way.plain else 60, 2)
    to_warm_up = _seconds(context, lambda: loop.fit(warm_up))
    row = {"precision": loop.precision, "loss_after_warm_up": loop.loss()}
    at_once = context.pick(60_000 if way.plain else 160_000, 8) * 1024
    steps = max(at_once // (train.batch_size * config.image_size**2), 1)
    seconds = []
    for _ in range(context.pick(3, 1)):
        steps = _within(steps, seconds, context.pick(6.0, 1.0))
        seconds.append((steps, _seconds(context, partial(loop.fit, steps))))
    rates = [n * train.batch_size / s for n, s in seconds]
    row |= {
        "images_per_second": round(statistics.median(rates), 1),
        "images_per_second_of_each_repeat": [round(rate, 1) for rate in rates],
        "steps_of_each_repeat": [n for n, _ in seconds],
        "warm_up_seconds": round(to_warm_up, 1),
    }
    if context.device.type == "cuda":
        row["peak_memory_MiB"] = torch.cuda.max_memory_allocated(context.device) >> 20
    return row


def _within(steps: int, before: list[tuple[int, float]], longest: float) -> int:
    """As many steps as take at most ``longest`` seconds, going by the repeat before."""
    if not before:
        return steps
    taken, seconds = before[-1]
    return max(1, min(steps, int(taken * longest / seconds)))


class _Library:
    """The library's trainer, with the interface of the plain loop."""

    def __init__(
        self,
        model: sv.VAE,
        images: Tensor,
        train: sv.TrainConfig,
        device: torch.device,
        options: dict[str, Any],
    ) -> None:
        self.trainer = sv.Trainer(model, images, train, device, compile=options or False)
        self.precision: str = self.trainer.precision

    def fit(self, steps: int) -> None:
        wanted = self.trainer.step + steps
        self.trainer.fit(steps, progress=False)
        if self.trainer.step < wanted:  # it takes an interrupt for a wish to stop
            raise KeyboardInterrupt

    def loss(self) -> float | None:
        return self.trainer.history["loss"][-1] if self.trainer.history["loss"] else None


def _summary(context: Context, rows: list[dict[str, Any]], gflop: float) -> dict[str, Any]:
    """The fastest way beside the plain loop and the device's peak; whether the losses agree."""
    measured = [row for row in rows if "images_per_second" in row]
    ours, plain = ([r for r in measured if r["plain"] is is_plain] for is_plain in (False, True))
    if not ours:
        return {}
    best = max(ours, key=lambda row: row["images_per_second"])
    speed = best["images_per_second"]
    found: dict[str, Any] = {"best": best["way"], "images_per_second": speed}
    found["times_the_plain_loop"] = {
        row["way"]: round(speed / row["images_per_second"], 2) for row in plain
    }
    if peak := context.done.get("matrix-peak"):
        share = speed * gflop * 1e9 / (1e12 * peak["tflops"])
        found["share_of_matrix_peak"] = round(share, 5 if context.tiny else 3)
    spreads = [0.0]
    for batch_size in {row["batch_size"] for row in ours}:
        losses = [r["loss_after_warm_up"] for r in ours if r["batch_size"] == batch_size]
        known = [loss for loss in losses if loss is not None]
        if known:
            spreads.append((max(known) - min(known)) / abs(statistics.fmean(known)))
    return found | {"losses_at_equal_batch": judged(max(spreads), 0.01)}


def fastest_mode(context: Context) -> str | None:
    """The compiler's mode that trains fastest at the paper's batch size, as far as is measured.

    None where nothing is, or where the ways to train did not agree on the loss.
    """
    result = context.done.get("speed-mnist", {})
    if not result.get("losses_at_equal_batch", {}).get("passed", False):
        return None
    usual = {"batch_size": 100, "written_as": "", "options": ""}
    rows = [
        row
        for row in result["rows"]
        if row["compile"] and "images_per_second" in row and usual.items() <= row.items()
    ]
    return max(rows, key=lambda row: row["images_per_second"])["compile"] if rows else None


# ---------------------------------------------------------------------- time to a given loss


class Reached(Exception):
    """The validation loss that was asked for."""


def time_to_loss(context: Context) -> dict[str, Any]:
    """Seconds of training until a validation loss that batch 100 ends at, for larger batches.

    The paper's MNIST model on digits; a thousand others are held out. Learning rates grow with the
    square root of the batch, as is usual with Adam. Each batch size has twice the images of batch
    100 at most. All are compiled. The clock starts after the first steps, in which the compiler
    works; their time is stated. The validations' own time does not count.
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
    rows = context.noted.setdefault("rows", [])
    target = min((loss for row in rows[:1] for _, _, loss in row["curve"]), default=None)
    for batch_size in (first, *larger)[len(rows) :]:
        images_shown = shown if target is None else 2 * shown
        row = _until(context, config, settings, train, validation, batch_size, images_shown, target)
        rows.append(row)
        context.note()
        target = min(loss for _, _, loss in rows[0]["curve"])
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
    torch.compiler.reset()
    model = sv.build_model("split-vae", config, 0)
    on_card = context.device.type == "cuda"
    trainer = sv.Trainer(model, images, train, context.device, compile=on_card)
    first_steps = _seconds(context, lambda: trainer.fit(3, progress=False))
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
        trainer.fit(train.steps - trainer.step, progress=False, on_log=[note])
        if trainer.step < train.steps:  # it takes an interrupt for a wish to stop
            raise KeyboardInterrupt
    return {
        "batch_size": batch_size,
        "learning_rate": train.learning_rate,
        "precision": trainer.precision,
        "seconds_of_the_first_steps": round(first_steps, 1),
        "curve": curve,
    }

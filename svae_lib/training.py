"""The training loop: short enough to be taught, safe enough for a week-long run.

Everything random is a function of (seed, step): the order of the images of an epoch, and the
noise of a step. So a run that is stopped and resumed meets the same numbers as one that never
was, without any random state to save.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .devices import autocast, default_device, resolve_precision
from .models import VAE
from .objective import Loss, RunningGamma
from .presets import TrainConfig
from .validation import InputError, check_uint8_images

METRICS = ("loss", "reconstruction", "kl", "mse")
_ORDER, _NOISE = 0, 1  # the two streams of random numbers


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number; the message says what to try."""


@dataclass(frozen=True)
class StepPlan:
    """Where a step stands: its epoch, and its batch within the epoch."""

    epoch: int
    batch: int


class Trainer:
    """Trains a VAE, a SplitVAE or a baseline on uint8 images.

    Args:
        model: the network; it is moved to ``device`` and trained in place.
        images: uint8 (N, C, S, S), at least one batch of them; kept on the device.
        config: how to train.
        device: where; default: CUDA where there is one.

    Attributes:
        step: steps taken so far.
        history: one list per quantity (``step`` and :data:`METRICS` and ``gamma``), an entry
            every ``config.log_every`` steps and at the last one, each the mean over those steps.
        seconds: time spent inside :meth:`fit` so far.

    Raises:
        InputError: the images do not fit the model, or do not fill one batch.
    """

    def __init__(
        self,
        model: VAE,
        images: Tensor,
        config: TrainConfig,
        device: torch.device | str | None = None,
    ) -> None:
        shape = model.config
        check_uint8_images(images, channels=shape.channels, image_size=shape.image_size)
        if len(images) < config.batch_size:
            raise InputError(
                f"{len(images)} images do not fill one batch of {config.batch_size}: "
                "lower batch_size or add images."
            )
        self.device = torch.device(device) if device is not None else default_device()
        self.config = config
        self.precision = resolve_precision(config.precision, self.device)
        self.model = model.to(self.device)
        self.images = images.to(self.device)
        self.optimizer = torch.optim.Adam(
            model.parameters(),
            lr=config.learning_rate,
            eps=1e-7,  # Keras' value, which the authors train with
            fused=self.device.type == "cuda",
        )
        # fp16 has few exponents: its small gradients vanish unless the loss is scaled up.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.gamma = RunningGamma.for_images(images, config.gamma_start, self.device)
        self.step = 0
        self.history: dict[str, list[float]] = {k: [] for k in ("step", *METRICS, "gamma")}
        self.seconds = 0.0
        self._sums = torch.zeros(len(METRICS), device=self.device)
        self._summed = 0
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))
        self._good: dict[str, Tensor] | None = None

    # ------------------------------------------------------------------ one step

    @property
    def batches_per_epoch(self) -> int:
        """Full batches in one pass over the images; the last incomplete one is dropped."""
        return len(self.images) // self.config.batch_size

    def plan(self, step: int) -> StepPlan:
        """Epoch and batch of a step, counted from 0."""
        return StepPlan(*divmod(step, self.batches_per_epoch))

    def batch(self, step: int) -> Tensor:
        """Images of a step: float32 (batch_size, C, S, S) in [0, 1]."""
        plan = self.plan(step)
        if self._order[0] != plan.epoch:
            generator = torch.Generator().manual_seed(self._seed(_ORDER, plan.epoch))
            order = torch.randperm(len(self.images), generator=generator)
            self._order = (plan.epoch, order.to(self.device))
        start = plan.batch * self.config.batch_size
        chosen = self._order[1][start : start + self.config.batch_size]
        return self.images[chosen].float() / 255

    def noise(self, step: int) -> Tensor:
        """Standard Gaussian noise of a step: float32 (batch_size, latent_dim)."""
        generator = torch.Generator(self.device).manual_seed(self._seed(_NOISE, step))
        shape = (self.config.batch_size, self.model.config.latent_dim)
        return torch.randn(shape, generator=generator, device=self.device)

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then constant or a half cosine to 0."""
        config = self.config
        if step < config.warmup_steps:
            return config.learning_rate * (step + 1) / config.warmup_steps
        if config.schedule == "constant":
            return config.learning_rate
        span = max(config.steps - config.warmup_steps, 1)
        progress = min((step - config.warmup_steps) / span, 1.0)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def train_step(self) -> Loss:
        """Take one step and return its loss (tensors on the device: nothing waits for them)."""
        x, noise = self.batch(self.step), self.noise(self.step)
        with autocast(self.precision, self.device):
            loss = self.model.loss(x, noise, self.gamma.value, self.config.beta)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss.total).backward()
        if self.config.grad_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.gamma.update(loss.mse)
        self.step += 1
        return loss

    # ------------------------------------------------------------------ the loop

    def fit(
        self,
        steps: int | None = None,
        *,
        progress: bool = True,
        on_log: Sequence[Callable[[Trainer], None]] = (),
    ) -> dict[str, list[float]]:
        """Train, and leave the model in evaluation mode.

        The first Ctrl-C (or the notebook's stop button, or SIGTERM) lets the step in hand finish
        and returns: what was learnt so far is kept, and another call goes on from there.

        Args:
            steps: steps to take now; default: up to ``config.steps`` in all.
            progress: show a progress bar.
            on_log: called with this trainer after each new entry of the history.

        Returns:
            The history.

        Raises:
            TrainingDiverged: the loss became NaN or infinite; the model is as at the last entry of
                the history at which all was well.
        """
        target = self.config.steps if steps is None else self.step + steps
        self.model.train()
        started = time.perf_counter()
        bar = tqdm(total=target, initial=self.step, disable=not progress, unit="step")
        try:
            with stop_requests() as stop, bar:
                while self.step < target and not stop.is_set():
                    self._add(self.train_step())
                    bar.update()
                    if self.step % self.config.log_every == 0 or self.step == self.config.steps:
                        self._log(bar)
                        for call in on_log:
                            call(self)
        finally:
            self.seconds += time.perf_counter() - started
            self.model.eval()
        if self.step < target and progress:
            tqdm.write(f"Stopped at step {self.step} of {target}; what was learnt is kept.")
        return self.history

    @torch.no_grad()
    def _add(self, loss: Loss) -> None:
        self._sums += torch.stack((loss.total, loss.reconstruction, loss.kl, loss.mse)).float()
        self._summed += 1

    @torch.no_grad()
    def _log(self, bar: tqdm) -> None:  # type: ignore[type-arg]
        """Read the sums from the device (the one place that waits for it) and check them."""
        if not self._summed:
            return
        *means, gamma = torch.cat((self._sums / self._summed, self.gamma.value[None])).tolist()
        self._sums.zero_()
        self._summed = 0
        weights: list[Tensor] = list(self.model.parameters())
        healthy = bool(torch.stack(torch._foreach_norm(weights)).isfinite().all())
        if not (healthy and all(map(math.isfinite, means))):
            self._give_up()
        self._good = {k: v.clone() for k, v in self.model.state_dict().items()}
        for name, value in zip(self.history, (self.step, *means, gamma), strict=True):
            self.history[name].append(value)
        bar.set_postfix(loss=f"{means[0]:.4g}", kl=f"{means[2]:.3g}", gamma=f"{gamma:.3g}")

    def _give_up(self) -> None:
        if self._good is not None:
            self.model.load_state_dict(self._good)
        raise TrainingDiverged(
            f"the loss stopped being a number by step {self.step}; the model is back at its last "
            "good state. Try a learning rate ten times smaller, grad_clip=1.0 or "
            'precision="float32".'
        )

    def _seed(self, stream: int, index: int) -> int:
        words = np.random.SeedSequence((self.config.seed, stream, index)).generate_state(1)
        return int(words[0])


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Turn the first SIGINT or SIGTERM into a flag; a second one acts as usual.

    Outside the main thread, where Python allows no signal handlers, the flag is never set.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(number: int, frame: FrameType | None) -> None:
        flag.set()
        restore()

    for number in before:
        signal.signal(number, request)
    try:
        yield flag
    finally:
        restore()


def train(
    model: VAE,
    images: Tensor,
    config: TrainConfig,
    *,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> dict[str, list[float]]:
    """Train ``model`` in place on uint8 images and return the history.

    The short form of ``Trainer(model, images, config).fit()``; see :class:`Trainer`.
    """
    return Trainer(model, images, config, device).fit(progress=progress)

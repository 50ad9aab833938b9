"""The training loop: short enough to be taught, safe enough for a week-long run.

Read it from top to bottom: a :class:`Trainer` takes a **batch** of images and of noise, computes
the model's **loss** and its gradients, lets Adam take a **step**, and at times **logs** the means.

Everything random is a function of (seed, step): the order of the images of an epoch, and the
noise of a step. So a run that is stopped and resumed meets the same numbers as one that never
was, without any random state to save; and so do several processes that share a step's images.

What the loop needs and does not teach is in support/: feeding brings the images, distributed knows
the other processes, devices makes the loss faster, rescue goes back when things go wrong.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .models import VAE
from .objective import Loss, RunningGamma
from .presets import TrainConfig, check_config
from .support import devices
from .support.checks import InputError, check_counts, check_uint8_images
from .support.distributed import join
from .support.feeding import Feed
from .support.progress import History, counter
from .support.rescue import LastGood, stop_requests, tell

METRICS = ("loss", "reconstruction", "kl", "mse")
"""Quantities of a trainer's history: each entry has their means over the images of its steps."""


def check_trainable(images: Tensor, model: VAE, train: TrainConfig, processes: int = 1) -> None:
    """Refuse what cannot be trained, with an :class:`InputError`.

    The images, uint8 (N, C, S, S), must fit the model and fill a batch; BatchNorm must see two.
    """
    check_config(train, TrainConfig)
    config = model.config
    check_uint8_images(images, channels=config.channels, image_size=config.image_size)
    if len(images) < train.batch_size:
        raise InputError(
            f"{len(images)} images do not fill one batch of {train.batch_size}: "
            "lower batch_size or add images."
        )
    normalised = any(isinstance(layer, _BatchNorm) for layer in model.modules())
    apart = 1 if train.sync_norm else processes  # each with statistics of its own
    if normalised and train.batch_size == train.accumulate * apart:
        raise InputError(
            "in training mode BatchNorm needs at least two images at a time, not one: raise "
            "batch_size, lower accumulate, or let processes share statistics (sync_norm)."
        )


class Trainer:
    """Trains a VAE, a SplitVAE or a baseline on uint8 images.

    Args:
        model: moved to ``device`` and trained in place; its kernels keep ``memory_format``.
        images: uint8 (N, C, S, S), at least one batch of them; memory-mapped ones are welcome.
        config: how to train.
        device: where; default: CUDA where there is one.
        compile: use ``torch.compile``; a string is its ``mode`` (those with CUDA graphs need one
            process and accumulate=1), a dictionary its ``options``. Default: on CUDA, for trainings
            long enough to make up for the compiler's time.
        resident: keep the images on the device; default: where they fit.
        memory_format: of images and kernels; default: the device's best.

    Attributes:
        step: steps taken so far.
        history: one list per quantity (``step`` and :data:`METRICS` and ``gamma``), an entry
            every ``config.log_every`` steps and at the last one, each the mean over those steps.
        seconds: time spent inside :meth:`fit` so far.
        processes: this process among those that train together.
    """

    @torch.enable_grad()
    def __init__(
        self,
        model: VAE,
        images: Tensor,
        config: TrainConfig,
        device: torch.device | str | None = None,
        *,
        compile: bool | str | dict[str, Any] | None = None,
        resident: bool | None = None,
        memory_format: torch.memory_format | None = None,
    ) -> None:
        self.processes = join(device)
        check_trainable(images, model, config, self.processes.count)
        parts = config.accumulate
        self.processes.check_shares(config.batch_size, parts, config.sync_norm)
        self.config, self.device = config, self.processes.device
        self.precision = devices.resolve_precision(config.precision, self.device)
        self.memory_format = memory_format or devices.best_memory_format(self.device)
        if config.sync_norm and not self.processes.alone:
            nn.SyncBatchNorm.convert_sync_batchnorm(model)
        self.model = model.to(self.device).to(memory_format=self.memory_format)
        self.feed = Feed(
            images,
            config.batch_size,
            config.seed,
            self.device,
            share=partial(self.processes.share, parts=parts),
            resident=resident,
            memory_format=self.memory_format,
        )
        if compile is None:  # losses other than the VAE's may do what the compiler cannot handle
            pays = devices.compile_pays(self.device, config.steps)
            compile = pays and type(model).loss is VAE.loss
            if compile:
                devices.go_on_without_compiling()  # where it fails: nobody has asked for it
        self.loss = devices.compiled(
            self.processes.averaging(_BatchLoss(self.model, config.beta)),
            compile,
            whole_steps=self.processes.alone and parts == 1,
        )
        self.optimizer = torch.optim.Adam(
            model.parameters(),
            lr=config.learning_rate,
            eps=1e-7,  # Keras' value, which the authors train with
            fused=self.device.type in ("cuda", "cpu"),
        )
        # fp16 has a small range: gradients underflow to zero unless the loss is scaled up.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.gamma = RunningGamma.for_images(images, config.gamma_start, self.device)
        self.step, self.seconds = 0, 0.0
        self.history = History({name: [] for name in ("step", *METRICS, "gamma")})
        self._sums = torch.zeros(len(METRICS), dtype=torch.float32, device=self.device)
        self._summed = 0
        self._good = LastGood(self, config.batch_size // self.processes.count, parts)

    @property
    def images(self) -> Tensor:
        """The training images, uint8 (N, C, S, S), where they are kept."""
        return self.feed.images

    # ------------------------------------------------------------------ a step

    @torch.enable_grad()
    def train_step(self) -> Loss:
        """Take one step in training mode; its loss stays in tensors on the device, unawaited."""
        if not self.model.training:
            self.model.train()
        with self._good.explaining_lack_of_memory(self.step + 1):
            x = self.feed.batch(self.step)  # (n, C, S, S): this process's share
            noise = self.feed.noise(self.step, self.model.config.latent_dim)  # (n, L)
            loss = self._gradients(x, noise)
            self._update_weights()
        self.gamma.update(loss.mse)
        self.step += 1
        return loss

    def _gradients(self, x: Tensor, noise: Tensor) -> Loss:
        """Gradients of a step, added up part by part; its loss, over parts and processes."""
        parts = self.config.accumulate
        means = torch.zeros(len(METRICS), dtype=torch.float32, device=self.device)
        pieces = zip(x.chunk(parts), noise.chunk(parts), strict=True)
        self.optimizer.zero_grad(set_to_none=True)
        for part, (some_x, some_noise) in enumerate(pieces):
            with self.processes.exchange(self.loss, now=part == parts - 1):
                with devices.autocast(self.precision, self.device):
                    metrics = self.loss(some_x, some_noise, self.gamma.value)
                self.scaler.scale(metrics[0] / parts).backward()
            means += metrics.detach() / parts
        return Loss(*self.processes.mean_(means).unbind())

    def _update_weights(self) -> None:
        """One step of Adam along the gradients; without one where scaled ones overflow."""
        if self.config.grad_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.scaler.step(self.optimizer)
        self.scaler.update()

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

    # ------------------------------------------------------------------ the loop

    @torch.enable_grad()
    def fit(
        self,
        steps: int | None = None,
        *,
        progress: bool = True,
        on_log: Sequence[Callable[[Trainer], None]] = (),
    ) -> History:
        """Train, and leave the model in evaluation mode.

        The first Ctrl-C (or the notebook's stop button, SIGTERM or SIGHUP) lets the current step
        finish and returns: what was learnt so far is kept, and another call goes on from there.
        Several processes stop together, at the next entry of the history.

        Args:
            steps: steps to take now; default: up to ``config.steps`` in all.
            progress: show a progress bar, or lines where the output goes to a file.
            on_log: called with this trainer after each new entry of the history, in the main
                process. An OSError (a full disk, say) is warned about, and training goes on.

        Raises:
            TrainingDiverged: the loss became NaN or infinite.
            TrainingOutOfMemory: a step does not fit. Either way the last good model is restored.
        """
        if steps is not None:
            check_counts(lowest=0, steps=steps)
        target = self.config.steps if steps is None else self.step + steps
        show = progress and self.processes.main
        watchers = on_log if self.processes.main else ()
        if not self._good:
            self._good.keep()
        before = self.seconds - time.perf_counter()
        bar = counter(target, "training", "step", initial=self.step, show=show)
        try:
            with bar, devices.tuned(self.device), stop_requests() as stop:
                while self.step < target:
                    self._add(self.train_step())
                    bar.update()
                    entry = self.step % self.config.log_every == 0 or self.step == self.config.steps
                    if entry:
                        self.seconds = before + time.perf_counter()  # for checkpoints
                        bar.set_postfix_str(self._log(), refresh=False)
                        tell(watchers, self)
                    if (entry or self.processes.alone) and self.processes.any(stop.is_set()):
                        break
            self.processes.average_(self.model.buffers())
        finally:
            self.seconds = before + time.perf_counter()
            self.model.eval()
        if self.step < target and show:
            print(f"Stopped at step {self.step} of {target}; what was learnt is kept.")
        return self.history

    def check_finished(self) -> None:
        """Raise KeyboardInterrupt if :meth:`fit` was stopped: half a training has no score."""
        if self.step < self.config.steps:
            raise KeyboardInterrupt

    # ------------------------------------------------------------------ the log

    def _add(self, loss: Loss) -> None:
        self._sums += torch.stack((loss.total, loss.reconstruction, loss.kl, loss.mse))
        self._summed += 1

    @torch.no_grad()
    def _log(self) -> str:
        """Make an entry of the history and describe it; only here does the loop wait for a GPU."""
        self.processes.average_(self.model.buffers())
        healthy = torch.stack(torch._foreach_norm([*self.model.parameters()])).isfinite().all()
        scalars = torch.stack((self.gamma.value, healthy.float()))
        *means, gamma, finite = torch.cat((self._sums / self._summed, scalars)).tolist()
        self._sums.zero_()
        self._summed = 0
        self._good.check(self.step, finite=bool(finite) and all(map(math.isfinite, means)))
        for name, value in zip(self.history, (self.step, *means, gamma), strict=True):
            self.history[name].append(value)
        return f"loss {means[0]:.4g}, gamma {gamma:.3g}, kl {means[2]:.3g}"


class _BatchLoss(nn.Module):
    """A model's loss as a module, which is what compiler and gradient exchange work on."""

    def __init__(self, model: VAE, beta: float) -> None:
        super().__init__()
        self.model, self.beta = model, beta

    def forward(self, x: Tensor, noise: Tensor, gamma: Tensor) -> Tensor:
        """Loss of a batch and its parts: float32 (4,), the values of :data:`METRICS`."""
        loss = self.model.loss(x, noise, gamma, self.beta)
        parts = (loss.reconstruction, loss.kl, loss.mse)
        return torch.stack((loss.total, *(part.detach() for part in parts))).float()


def train(
    model: VAE,
    images: Tensor,
    config: TrainConfig,
    *,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> History:
    """Train ``model`` in place: ``Trainer(model, images, config, device).fit()``."""
    return Trainer(model, images, config, device).fit(progress=progress)

"""Several processes that train one model together, each on its own device.

``accelerate launch -m svae_lib train ...`` or ``torchrun -m svae_lib train ...`` starts them;
Hugging Face accelerate finds out who is who and which device is whose. A step's batch and noise
are those of a single process, and each process takes its slice, so what is learnt does not depend
on their number. docs/scaling.md explains the rest.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from .checks import InputError
from .devices import default_device, find_device

PATIENCE = timedelta(hours=2)  # the main process may be preparing a data set


@dataclass(frozen=True)
class Processes:
    """The processes of a training, as one of them sees them; alone, all of it does nothing."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def alone(self) -> bool:
        """Whether this is the only process."""
        return self.count == 1

    @property
    def main(self) -> bool:
        """Whether this process writes files and talks to the user: one of them does."""
        return self.rank == 0

    def share(self, batch: Tensor, parts: int = 1) -> Tensor:
        """This process's share of a step's batch (N, ...): (N / count, ...).

        Where the step goes on in ``parts`` parts, it is the share of each, one after the other: a
        part holds the same images however many processes work on it.
        """
        if self.alone:
            return batch
        shares: Tensor = batch.unflatten(0, (parts, self.count, -1))
        return shares[:, self.rank].flatten(0, 1)

    def check_shares(self, images: int, parts: int = 1) -> None:
        """Raise unless the processes can share ``images`` images evenly in each of the parts.

        Raises:
            InputError: they cannot.
        """
        if images % (self.count * parts):
            raise InputError(
                f"batch_size={images} cannot be shared evenly by {self.count} processes in {parts} "
                f"part(s): choose a multiple of {self.count * parts}."
            )

    def mean_(self, values: Tensor) -> Tensor:
        """Replace a tensor by its mean over the processes; no process waits for its device."""
        if not self.alone:
            dist.all_reduce(values)
            values /= self.count
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process: all get the same answer, and wait for it."""
        if self.alone:
            return flag
        found = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found.item())

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process runs the block before the others: what it downloads, they find.

        Raises:
            InputError: in the others, where the main process left the block by an error.
        """
        if not self.main and self.any(False):
            raise InputError("the main process could not go on; its message says why.")
        failed = True
        try:
            yield
            failed = False
        finally:
            if self.main:
                self.any(failed)

    # ------------------------------------------------------------------ the model

    def averaging(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over the processes during each backward pass."""
        if self.alone:
            return module
        # BatchNorm's buffers are ours to average: DDP would take the main process's. PyTorch has
        # renamed the argument that says so.
        known = inspect.signature(DistributedDataParallel).parameters
        buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {buffers: False}
        if self.device.type == "cuda":
            options["device_ids"] = [self.device]
        return DistributedDataParallel(module, **options)

    def exchange(self, module: nn.Module, now: bool) -> AbstractContextManager[Any]:
        """Context of a backward pass: average gradients in it, or leave that to a later one."""
        if self.alone or now:
            return nullcontext()
        context: AbstractContextManager[Any] = module.no_sync()  # type: ignore[operator]
        return context

    def synchronise_norm(self, model: nn.Module) -> None:
        """Make BatchNorm take its statistics over the images of all processes, in place."""
        if self.alone:
            return
        if self.device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(model)
        else:
            _use_norm_over_processes(model)

    @torch.no_grad()
    def average_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each floating-point tensor by its mean over the processes, in one exchange.

        For BatchNorm's running statistics: they are weighted sums of the batches' statistics, so
        averaging them now and then is averaging them at every step.
        """
        floating = [t for t in tensors if t.is_floating_point()]
        if self.alone or not floating:
            return
        means = self.mean_(torch.cat([t.flatten() for t in floating]))
        for tensor, mean in zip(floating, means.split([t.numel() for t in floating]), strict=True):
            tensor.copy_(mean.view_as(tensor))


def join(device: torch.device | str | None = None) -> Processes:
    """This process among those that a launcher started, or alone; may be called again.

    Args:
        device: "cpu" to stay there; default: this process's own GPU where there is one.

    Raises:
        InputError: there is no such device here; or a launcher started several processes, but
            accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes(find_device(device))
    wanted = default_device() if device is None else torch.device(device)  # touched by one only
    try:
        from accelerate import PartialState
    except ImportError:
        raise InputError(
            'training in several processes needs accelerate: pip install "svae-lib[scale]".'
        ) from None
    state = PartialState(cpu=wanted.type != "cuda", timeout=PATIENCE)
    return Processes(state.device, state.process_index, state.num_processes)


def leave() -> None:
    """Part from the other processes in good order, at the program's end."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


# ---------------------------------------------------------------------- BatchNorm on CPUs


class _Mean(torch.autograd.Function):
    """Mean over the processes.

    The training minimises the mean of the processes' losses, so the gradient that reaches an
    input is the mean of the gradients that reach the outputs.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _mean(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _mean(gradient)


def _mean(values: Tensor) -> Tensor:
    total = values.clone()
    dist.all_reduce(total)
    mean: Tensor = total / dist.get_world_size()
    return mean


class _NormOverProcesses(_BatchNorm):
    """BatchNorm over all processes' images, for the CPU, where nn.SyncBatchNorm does not run."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # (N, C) and (N, C, H, W) alike

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        over = [0, *range(2, input.ndim)]  # all but the channels
        shape = (1, -1) + (1,) * (input.ndim - 2)
        mean = _Mean.apply(input.float().mean(over))
        centred = input.float() - mean.view(shape)
        variance = _Mean.apply(centred.square().mean(over))
        self._remember(mean, variance, input.numel() // input.shape[1] * dist.get_world_size())
        scale = self.weight * (variance + self.eps).rsqrt()
        out: Tensor = centred * scale.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running statistics, as PyTorch does: with the unbiased variance."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        self.num_batches_tracked += 1


def _use_norm_over_processes(model: nn.Module) -> None:
    for parent in list(model.modules()):
        for name, norm in parent.named_children():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                replacement = _NormOverProcesses(norm.num_features, norm.eps, norm.momentum)
                replacement.load_state_dict(norm.state_dict())
                setattr(parent, name, replacement)

"""Several processes that train one model together, each on its own device: docs/scaling.md.

``accelerate launch`` or ``torchrun`` starts them; Hugging Face accelerate gives each its rank and
its device. A step's batch and noise are those of a single process, and each takes its slice.
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
from torch.nn.parallel import DistributedDataParallel

from .checks import InputError, optional
from .devices import default_device, find_device

PATIENCE = timedelta(hours=2)  # the main process may be preparing a data set


@dataclass(frozen=True)
class Processes:
    """The processes of a training, as seen by one of them; a single one exchanges nothing."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def alone(self) -> bool:
        """Whether this is the only process."""
        return self.count == 1

    @property
    def main(self) -> bool:
        """Whether this is the one process that writes files and talks to the user."""
        return self.rank == 0

    def share(self, batch: Tensor, parts: int = 1) -> Tensor:
        """This process's share of a step's batch (N, ...): (N / count, ...).

        It takes a share of each part: a part holds the same images whatever the processes' number.
        """
        if self.alone:
            return batch
        shares: Tensor = batch.unflatten(0, (parts, self.count, -1))
        return shares[:, self.rank].flatten(0, 1)

    def check_shares(self, images: int, parts: int = 1, sync_norm: bool = False) -> None:
        """Images must divide evenly among processes and parts, and ``sync_norm`` needs GPUs."""
        if images % (self.count * parts):
            raise InputError(
                f"batch_size={images} cannot be shared evenly by {self.count} processes in {parts} "
                f"part(s): choose a multiple of {self.count * parts}."
            )
        if sync_norm and not self.alone and self.device.type != "cuda":
            raise InputError(
                "sync_norm needs GPUs: turn it off (svae train: --train.no-sync-norm)."
            )

    def mean_(self, values: Tensor) -> Tensor:
        """Replace a tensor by its mean over the processes, without waiting for the device."""
        if not self.alone:
            dist.all_reduce(values)
            values /= self.count
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all processes wait for the answer."""
        if self.alone:
            return flag
        found = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found.item())

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Context that the main process runs first; if it fails, the launcher ends the others."""
        if not self.main:
            self.any(False)
        yield
        if self.main:
            self.any(False)

    def averaging(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over the processes during each backward pass."""
        if self.alone:
            return module
        # DDP would overwrite BatchNorm's buffers with the main process's; average_ handles these.
        known = inspect.signature(DistributedDataParallel).parameters  # PyTorch has renamed it
        buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {buffers: False}
        if self.device.type == "cuda":
            options["device_ids"] = [self.device]
        return DistributedDataParallel(module, **options)

    def exchange(self, module: nn.Module, now: bool) -> AbstractContextManager[Any]:
        """Context for a backward pass: average gradients ``now``, or leave that to a later pass."""
        if self.alone or now:
            return nullcontext()
        return module.no_sync()  # type: ignore[operator, no-any-return]

    @torch.no_grad()
    def average_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each floating-point tensor by its mean over the processes.

        BatchNorm's running statistics are weighted sums of the batches' statistics, so averaging
        them now and then equals averaging at every step.
        """
        for tensor in tensors:
            if tensor.is_floating_point():
                self.mean_(tensor)


def join(device: torch.device | str | None = None) -> Processes:
    """This process's place among those that a launcher started; may be called again.

    It computes on its own GPU, if there is one; with ``device="cpu"``, on the CPU.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes(find_device(device))
    wanted = default_device() if device is None else torch.device(device)
    accelerate = optional("accelerate", "training in several processes", "scale")
    state = accelerate.PartialState(cpu=wanted.type != "cuda", timeout=PATIENCE)
    return Processes(state.device, state.process_index, state.num_processes)


def leave() -> None:
    """Leave the process group, at the program's end."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()

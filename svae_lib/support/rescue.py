"""When training cannot go on: back to the last good state, and advice on what to try."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number; the message says what to try."""


class TrainingOutOfMemory(RuntimeError):
    """A step does not fit in memory; the message says which setting makes it fit."""


class LastGood:
    """A copy of a model's weights and statistics, on its device, to go back to.

    ``images``: their number per step and process; ``parts``: in which they are processed.
    """

    def __init__(self, model: nn.Module, images: int, parts: int) -> None:
        self._model, self._images, self._parts = model, images, parts
        self._state: dict[str, Tensor] = {}

    def __bool__(self) -> bool:
        return bool(self._state)

    def keep(self) -> None:
        """Copy the model's state, replacing the previous copy."""
        for name, value in self._model.state_dict().items():
            if name in self._state:
                self._state[name].copy_(value)
            else:
                self._state[name] = value.clone()

    def restore(self) -> None:
        """Bring the model back to the copy, if there is one, and drop its gradients."""
        self._model.zero_grad(set_to_none=True)
        if self._state:
            self._model.load_state_dict(self._state)

    def check(self, step: int, finite: bool) -> None:
        """Keep the state if all was finite after this many steps; otherwise go back and raise."""
        if finite:
            self.keep()
            return
        self.restore()
        raise TrainingDiverged(
            f"the loss stopped being a number by step {step}; the model is back at its last good "
            'state. Try a learning rate ten times smaller, grad_clip=1.0 or precision="float32".'
        )

    @contextmanager
    def explaining_lack_of_memory(self, step: int) -> Iterator[None]:
        """Context for a step: if an allocation fails, go back and say what helps."""
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)  # they hold the step's tensors
            self.restore()
            images, parts = self._images, self._parts
            # At least two at a time: BatchNorm cannot normalise a single image.
            finer = next((n for n in range(parts + 1, images // 2 + 1) if images % n == 0), None)
            split = finer and (
                f"accumulate={finer} (svae train: --train.accumulate {finer}), which processes the "
                f"same batch in parts of {images // finer}, or "
            )
            raise TrainingOutOfMemory(
                f"out of memory in step {step}, at {images // parts} images at a time. Try "
                f"{split or ''}a smaller batch_size or model. The model is back at its last good "
                "state."
            ) from None


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an allocation failed, in PyTorch, the driver, NVIDIA's libraries or on the CPU."""
    words = ("out of memory", "DefaultCPUAllocator", "STATUS_ALLOC_FAILED")
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(w in str(error) for w in words)


def tell(watchers: Iterable[Callable[[T], None]], watched: T) -> None:
    """Call them all; one that cannot write (a full disk) is warned about, and the rest goes on."""
    for watcher in watchers:
        try:
            watcher(watched)
        except OSError as error:
            warnings.warn(f"{error}: training goes on without it.", stacklevel=2)

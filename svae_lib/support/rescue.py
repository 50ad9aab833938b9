"""When training cannot go on: back to the last good state, and advice on what to try."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number; the message says what to try."""


class TrainingOutOfMemory(RuntimeError):
    """A step does not fit in memory; the message says which setting makes it fit."""


class LastGood:
    """A copy of a model's weights and statistics, on its device, to go back to.

    Args:
        model: its state is copied from the first :meth:`keep` on.
        images: their number per step and process.
        parts: number of parts in which a step's images are processed, one after another.
    """

    def __init__(self, model: nn.Module, images: int, parts: int) -> None:
        self._model, self._images, self._parts = model, images, parts
        self._state: dict[str, Tensor] = {}

    def __bool__(self) -> bool:
        return bool(self._state)

    @torch.no_grad()
    def keep(self) -> None:
        """Copy the model's state, replacing the previous copy."""
        state = self._model.state_dict()
        if not self._state:
            self._state = {name: value.clone() for name, value in state.items()}
        for floating in (True, False):  # one launch for all tensors of a type
            names = [name for name in state if state[name].is_floating_point() == floating]
            if names:
                torch._foreach_copy_([self._state[n] for n in names], [state[n] for n in names])

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
            raise TrainingOutOfMemory(
                f"out of memory in step {step}, at {self._images // self._parts} images at a time. "
                + self._advice()
            ) from None

    def _advice(self) -> str:
        images, parts = self._images, self._parts
        # At least two at a time: BatchNorm cannot normalise a single image.
        finer = next((n for n in range(parts + 1, images // 2 + 1) if images % n == 0), None)
        if finer is None:
            smaller = "" if images // parts <= 2 else "a smaller batch_size, "
            return f"The parts cannot be smaller: take {smaller}a smaller model or a larger device."
        return (
            f"Try accumulate={finer} (svae train: --train.accumulate {finer}), which processes the "
            f"same batch in parts of {images // finer}, or a smaller batch_size. The model is back "
            "at its last good state."
        )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an allocation failed, in PyTorch, the driver, NVIDIA's libraries or on the CPU."""
    said = str(error)
    words = ("out of memory", "DefaultCPUAllocator", "STATUS_ALLOC_FAILED")
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(word in said for word in words)


class Watchers(Generic[T]):
    """Functions that watch a training. If one raises an OSError (a full disk), warn once."""

    def __init__(self, functions: Sequence[Callable[[T], None]]) -> None:
        self._functions = functions
        self._warned: set[int] = set()

    def __call__(self, watched: T) -> None:
        """Call them all."""
        for number, function in enumerate(self._functions):
            try:
                function(watched)
            except OSError as error:
                if number not in self._warned:
                    self._warned.add(number)
                    warnings.warn(f"{error}: training goes on without it.", stacklevel=3)

"""When a training cannot go on: back to the last good state, and a word on what to try."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .devices import is_out_of_memory


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number; the message says what to try."""


class TrainingOutOfMemory(RuntimeError):
    """A step does not fit in memory; the message says which setting makes it fit."""


class LastGood:
    """A copy of a model's weights and statistics, on its device."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._state: dict[str, Tensor] = {}

    def __bool__(self) -> bool:
        return bool(self._state)

    @torch.no_grad()
    def keep(self) -> None:
        """Copy the model's state, over the copy made before."""
        state = self._model.state_dict()
        if not self._state:
            self._state = {name: value.clone() for name, value in state.items()}
        for floating in (True, False):  # one launch for all tensors of a type
            names = [name for name in state if state[name].is_floating_point() == floating]
            if names:
                torch._foreach_copy_([self._state[n] for n in names], [state[n] for n in names])

    def restore(self) -> None:
        """Bring the model back to the copy, if there is one; its gradients are dropped."""
        self._model.zero_grad(set_to_none=True)
        if self._state:
            self._model.load_state_dict(self._state)


def diverged(step: int) -> TrainingDiverged:
    """The error of a training whose loss is NaN or infinite."""
    return TrainingDiverged(
        f"the loss stopped being a number by step {step}; the model is back at its last good "
        'state. Try a learning rate ten times smaller, grad_clip=1.0 or precision="float32".'
    )


@contextmanager
def explaining_lack_of_memory(
    good: LastGood, step: int, batch_size: int, parts: int, count: int
) -> Iterator[None]:
    """Context of a step: a failed allocation becomes an error that says what helps.

    Args:
        good: what to bring the model back to.
        step: its number, counted from 0.
        batch_size: images of the step, over all processes.
        parts: in which each process works off its share of them.
        count: number of processes.

    Raises:
        TrainingOutOfMemory: an allocation failed.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold what the step has allocated
        good.restore()
        at_once = batch_size // count // parts
        raise TrainingOutOfMemory(
            f"out of memory in step {step + 1}, at {at_once} images at a time. "
            + _advice(batch_size, parts, count)
        ) from None


def _advice(batch_size: int, parts: int, count: int) -> str:
    images = batch_size // count
    # At least two at a time: BatchNorm has nothing to normalise a single image by.
    finer = next((n for n in range(parts + 1, images // 2 + 1) if images % n == 0), None)
    if finer is None:
        smaller = "" if images // parts <= 2 else "a smaller batch_size, "
        return (
            f"No smaller part can be trained on: take {smaller}a smaller model or a larger device."
        )
    return (
        f"Try accumulate={finer} (svae train: --train.accumulate {finer}), which works off the "
        f"same batch in parts of {images // finer}, or a batch_size below {batch_size}. The model "
        "is back at its last good state."
    )

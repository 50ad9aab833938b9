"""When training cannot go on, or should not: the last good state, advice, and requests to stop."""

from __future__ import annotations

import copy
import signal
import threading
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import torch

T = TypeVar("T")


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number; the message says what to try."""


class TrainingOutOfMemory(RuntimeError):
    """A step does not fit in memory; the message says which setting makes it fit."""


class LastGood:
    """A copy of all that a trainer's steps change, on its device, to go back to.

    ``images``: their number per step and process; ``parts``: in which they are processed.
    """

    def __init__(self, trainer: Any, images: int, parts: int) -> None:
        self._trainer: Any = weakref.proxy(trainer)  # which owns this: no cycle keeps its memory
        self._images, self._parts = images, parts
        self._state: Any = None

    def __bool__(self) -> bool:
        return self._state is not None

    def keep(self) -> None:
        """Copy the state, in place of the copy before it."""
        t = self._trainer
        weights, adam = t.model.state_dict(), t.optimizer.state_dict()
        self._state = copy.deepcopy((weights, adam, t.gamma, t._sums, t._summed, t.step))

    def restore(self) -> None:
        """Bring the trainer back to the copy, if there is one, and drop the gradients."""
        t = self._trainer
        t.model.zero_grad(set_to_none=True)
        if self:
            weights, adam, t.gamma, t._sums, t._summed, t.step = copy.deepcopy(self._state)
            t.model.load_state_dict(weights)
            t.optimizer.load_state_dict(adam)

    def check(self, step: int, finite: bool) -> None:
        """Keep the state if all was finite after this many steps; otherwise go back and raise."""
        if finite:
            self.keep()
            return
        self.restore()
        raise TrainingDiverged(
            f"the loss stopped being a number by step {step}; {self._where()} Try a learning rate "
            'ten times smaller, grad_clip=1.0 or precision="float32".'
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
                f"{split or ''}a smaller batch_size or model; {self._where()}"
            ) from None

    def _where(self) -> str:
        return f"training is back at step {self._trainer.step}." if self else "nothing was kept."


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


class StopRequest(threading.Event):
    """Set once somebody asks to stop."""

    terminate = False
    """Whether the system asked (SIGTERM, SIGHUP), so that the whole program should end."""


_open: list[StopRequest] = []  # the flag of a context that is open in the main thread


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGHUP into a flag.

    A second Ctrl-C acts as usual: a person has lost patience. Further SIGTERMs change nothing,
    since launchers and schedulers send several for one stop. Nested contexts share a flag, so a
    request that stops the inner one cannot interrupt the saving in the outer one. Nor can a second
    Ctrl-C that comes after the inner one has ended (a third can).

    Outside the main thread, where Python allows no signal handlers, the flag is never set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest()
        return
    if _open:
        try:
            yield _open[0]
        finally:  # SIGTERM's handler takes the next Ctrl-C as a request again
            signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
        return
    stop = StopRequest()

    def request(number: int, frame: FrameType | None) -> None:
        stop.set()
        stop.terminate |= number != signal.SIGINT
        if number == signal.SIGINT:
            signal.signal(number, before[number])

    taken: list[int] = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # of a lost connection; Windows does not have it
    if hangup and signal.getsignal(hangup) != signal.SIG_IGN:  # nohup has it ignored
        taken.append(hangup)
    before = {number: signal.getsignal(number) for number in taken}
    _open.append(stop)
    try:
        for number in before:
            signal.signal(number, request)
        yield stop
    finally:
        _open.clear()
        for number, handler in before.items():
            signal.signal(number, handler)

"""Ctrl-C, the notebook's stop button and the system's signals as requests to a loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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

    before = {number: signal.getsignal(number) for number in _numbers()}
    _open.append(stop)
    try:
        for number in before:
            signal.signal(number, request)
        yield stop
    finally:
        _open.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def _numbers() -> list[int]:
    """The signals to take: SIGHUP (a lost connection) too, unless nohup has it ignored."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows does not have the last
    numbers: list[int] = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ignored = numbers[2:] and signal.getsignal(numbers[2]) == signal.SIG_IGN
    return numbers[:2] if ignored else numbers

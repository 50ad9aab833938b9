"""Ctrl-C, the notebook's stop button and SIGTERM as requests that a loop can honour in its time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest(threading.Event):
    """Set once somebody asks to stop."""

    terminate = False
    """Whether SIGTERM asked: not only this loop is to end, but the program."""


_open: list[StopRequest] = []  # the flag of a context that is open in the main thread


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a flag.

    A second Ctrl-C acts as usual: a person has lost patience. Further SIGTERMs change nothing,
    since launchers and schedulers send several for one stop. A context within another has the same
    flag, so that what asked the inner one to stop cannot interrupt the saving around it.

    Outside the main thread, where Python allows no signal handlers, the flag is never set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest()
        return
    if _open:
        yield _open[0]
        return
    flag = StopRequest()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, frame: FrameType | None) -> None:
        flag.set()
        flag.terminate |= number == signal.SIGTERM
        if number == signal.SIGINT:
            signal.signal(number, before[signal.SIGINT])

    for number in before:
        signal.signal(number, request)
    _open.append(flag)
    try:
        yield flag
    finally:
        _open.clear()
        for number, handler in before.items():
            signal.signal(number, handler)

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

    def __init__(self) -> None:
        super().__init__()
        numbers = [signal.SIGINT, signal.SIGTERM]
        # SIGHUP: the connection is lost or the laptop was closed; Windows does not have it. Under
        # nohup it is ignored, and stays so.
        if (hang_up := getattr(signal, "SIGHUP", None)) is not None:
            numbers += [hang_up] if signal.getsignal(hang_up) != signal.SIG_IGN else []
        self._before = {number: signal.getsignal(number) for number in numbers}

    def listen(self) -> None:
        """Take the first Ctrl-C and every other signal as a request (main thread only)."""
        for number in self._before:
            signal.signal(number, self._request)

    def leave(self) -> None:
        """Restore the previous signal handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.set()
        self.terminate |= number != signal.SIGINT
        if number == signal.SIGINT:
            signal.signal(number, self._before[signal.SIGINT])


_open: list[StopRequest] = []  # the flag of a context that is open in the main thread


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGHUP into a flag.

    A second Ctrl-C acts as usual: a person has lost patience. Further SIGTERMs change nothing,
    since launchers and schedulers send several for one stop. Nested contexts share a flag, so a
    request that stops the inner one cannot interrupt the saving in the outer one.

    Outside the main thread, where Python allows no signal handlers, the flag is never set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest()
    elif _open:
        yield _open[0]
    else:
        flag = StopRequest()
        _open.append(flag)
        flag.listen()
        try:
            yield flag
        finally:
            _open.clear()
            flag.leave()

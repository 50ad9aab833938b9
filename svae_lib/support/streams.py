"""Let a command go on when its terminal is closed, cut off, or lacks characters."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO


def quiet_interrupt() -> None:
    """Let Ctrl-C end ``svae`` or ``python -m svae_lib`` with one line while it is still starting.

    The command handles Ctrl-C itself only after imports that take seconds.
    """
    if Path((sys.argv or [""])[0]).stem in ("svae", "-m"):  # "-m": the package is being imported
        sys.excepthook = _excepthook


def _excepthook(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    elif sys.stderr is not None:
        print("svae: stopped.", file=sys.stderr)


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Let standard output and error accept everything while the block runs.

    Characters that the terminal cannot show are replaced. If the stream is closed, or its reader is
    gone, what is written is dropped.
    """
    for number in (0, 1, 2):  # else the next file that is opened would be standard error
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    with (
        contextlib.redirect_stdout(_lasting(sys.stdout)),
        contextlib.redirect_stderr(_lasting(sys.stderr)),
    ):
        yield


def _lasting(stream: TextIO | None) -> Any:
    if stream is None:
        return io.TextIOWrapper(io.FileIO(os.devnull, "w"), encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return _Lasting(stream)


class _Lasting:
    """A text stream that outlives its reader."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropping():
            self._stream.flush()

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # from now on, drop everything, what is buffered included
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def say(text: str) -> None:
    """Print a line; what the terminal or log cannot show becomes "?"."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))

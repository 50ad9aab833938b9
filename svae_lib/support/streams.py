"""Let a command go on when the reader of its output has gone, or its terminal lacks characters."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Let standard output and error accept everything while the block runs.

    Characters that the terminal cannot show are replaced. What is written once the reader has gone
    (as after Ctrl-C in ``svae train | tee log``) is dropped.
    """
    with (
        contextlib.redirect_stdout(_lasting(sys.stdout)),
        contextlib.redirect_stderr(_lasting(sys.stderr)),
    ):
        yield


def _lasting(stream: TextIO | None) -> Any:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return None if stream is None else _Lasting(stream)


class _Lasting:
    """A text stream that outlives its reader."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[..., object], *arguments: str) -> None:
        try:
            action(*arguments)
        except BrokenPipeError:  # from now on, drop everything, what is buffered included
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

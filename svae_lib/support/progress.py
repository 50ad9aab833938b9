"""What a user sees of long work: a bar on a screen, a line now and then in a log file.

A command goes on when the reader of its output has gone, or its terminal lacks characters.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO

from tqdm.auto import tqdm

LINE_EVERY = 10
"""Minimum number of seconds between two lines of a log."""


def counter(
    total: int | None,
    what: str,
    unit: str,
    *,
    show: bool = True,
    initial: int = 0,
    transfer: bool = False,
) -> tqdm[NoReturn]:
    """Count up to ``total`` on standard error: tqdm's bar in a terminal or notebook, else lines.

    Use it in a ``with`` statement, and call its ``update(n)``. ``what`` is being done, such as
    "scoring"; ``unit`` is what is counted, from ``initial`` on. A ``transfer`` counts bytes: shown
    are thousands as k, and nothing before ``delay`` is set to 0.
    """
    on_screen = getattr(sys.stderr, "isatty", bool)() or _in_notebook()  # None where it is closed
    return tqdm(
        total=total,
        initial=initial,
        desc=what,
        unit=unit,
        unit_scale=transfer,
        delay=math.inf if transfer else 0,
        disable=not show,
        mininterval=0.1 if on_screen else LINE_EVERY,
        file=sys.stderr if on_screen else _Lines(),
    )


class History(dict[str, list[float]]):
    """The curves of a training, a list for each quantity; its repr is one line."""

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.items() if values)
        return f"<History of {len(self.get('step', ()))} entries; the last: {last or 'none'}>"


class _Lines:
    """Standard error, with a new line where a bar would overwrite itself."""

    def write(self, text: str) -> None:
        if words := text.strip("\r\n"):
            print(words, file=sys.stderr, flush=True)

    def flush(self) -> None:
        print(end="", file=sys.stderr, flush=True)


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: its standard error is not a terminal, but shows bars."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module else None
    return getattr(shell, "kernel", None) is not None


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Let standard output and error accept everything while the block runs.

    Characters that the terminal cannot show are replaced. What is written once the reader has gone
    (as after Ctrl-C in ``svae train | tee log``) is dropped, and so are messages to a full disk.
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
        except OSError if self._stream is sys.__stderr__ else BrokenPipeError:  # noqa: B030
            nowhere = os.open(os.devnull, os.O_WRONLY)  # drop everything from now on
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

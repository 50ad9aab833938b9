"""Progress of long work: a bar on a screen, a line now and then in a log file."""

from __future__ import annotations

import sys
from typing import NoReturn

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
    scaled: bool = False,
) -> tqdm[NoReturn]:
    """Count up to ``total`` on standard error: tqdm's bar in a terminal or notebook, else lines.

    Use it in a ``with`` statement, and call its ``update(n)``. ``what`` is being done, such as
    "scoring"; ``unit`` is what is counted, from ``initial`` on; ``scaled`` shows thousands as k.
    """
    on_screen = sys.stderr.isatty() or _in_notebook()
    return tqdm(
        total=total,
        initial=initial,
        desc=what,
        unit=unit,
        unit_scale=scaled,
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
        sys.stderr.flush()


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: its standard error is not a terminal, but shows bars."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module else None
    return getattr(shell, "kernel", None) is not None

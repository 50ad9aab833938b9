"""How far long work is: a bar where there is a screen, a line now and then in a log file."""

from __future__ import annotations

import sys
import time
from typing import NoReturn

from tqdm.auto import tqdm


class Progress:
    """Shows steps, loss, gamma, KL, images per second and the time left, on standard error.

    A terminal and Jupyter get tqdm's bar. Anything else (a file, a pipe, a scheduler's log) gets
    a line at most every ``every`` seconds: carriage returns would make it unreadable.

    Args:
        total: steps at the end.
        done: steps taken already.
        images_per_step: what the speed is computed from.
        show: False says nothing at all.
        every: least seconds between two lines of a log.
    """

    def __init__(
        self, total: int, done: int, images_per_step: int, *, show: bool = True, every: float = 10
    ) -> None:
        on_screen = _on_screen()
        self.total, self.done, self.images_per_step = total, done, images_per_step
        self.every = every
        self.in_lines = show and not on_screen
        self.bar = tqdm(
            total=total, initial=done, unit="step", disable=not (show and on_screen), leave=True
        )
        now = time.perf_counter()
        self._start = self._mark = (now, done)
        self._said = now

    def step(self) -> None:
        """Count a step."""
        self.done += 1
        self.bar.update()

    def report(self, loss: float, gamma: float, kl: float) -> None:
        """Show new figures; call it where the device has just been waited for."""
        now = time.perf_counter()
        rate = self.images_per_step * self._steps_per_second(now, self._mark)
        left = (self.total - self.done) / max(self._steps_per_second(now, self._start), 1e-9)
        if self._mark == self._start:  # the first steps, which compile and tune, count no longer
            self._start = (now, self.done)
        self._mark = (now, self.done)
        figures = {"loss": f"{loss:.4g}", "gamma": f"{gamma:.3g}", "kl": f"{kl:.3g}"}
        self.bar.set_postfix(figures | {"images/s": f"{rate:,.0f}"})
        if self.in_lines and (now - self._said >= self.every or self.done >= self.total):
            self._said = now
            words = ", ".join(f"{name} {value}" for name, value in figures.items())
            print(
                f"step {self.done} of {self.total}: {words}, {rate:,.0f} images/s, "
                f"{tqdm.format_interval(left)} left",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Leave the bar as it is; the next output starts on a new line."""
        self.bar.close()

    def _steps_per_second(self, now: float, since: tuple[float, int]) -> float:
        then, done = since
        return (self.done - done) / max(now - then, 1e-9)


def counter(
    total: int | None,
    what: str,
    unit: str,
    *,
    show: bool = True,
    initial: int = 0,
    scaled: bool = False,
    every: float = 10,
) -> tqdm[NoReturn]:
    """Count up to ``total`` on standard error, as :class:`Progress` does for a training.

    Use it in a ``with`` statement, and call its ``update(n)``.

    Args:
        total: where it ends, if that is known.
        what: is done, such as "features".
        unit: of the count.
        show: False says nothing at all.
        initial: where it starts.
        scaled: show thousands as k, millions as M.
        every: least seconds between two lines of a log.
    """
    on_screen = _on_screen()
    return tqdm(
        total=total,
        initial=initial,
        desc=what,
        unit=unit,
        unit_scale=scaled,
        disable=not show,
        mininterval=0.1 if on_screen else every,
        file=sys.stderr if on_screen else _Lines(),
    )


class _Lines:
    """Standard error, with a new line where a bar would write over its last state."""

    def write(self, text: str) -> None:
        if words := text.strip("\r\n"):
            print(words, file=sys.stderr)

    def flush(self) -> None:
        sys.stderr.flush()


def _on_screen() -> bool:
    return sys.stderr.isatty() or _in_notebook()


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: its standard error is no terminal, yet shows a bar."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module else None
    return getattr(shell, "kernel", None) is not None

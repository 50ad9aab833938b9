"""Progress in a log file: whole lines, not too many, with all that the bar shows."""

from __future__ import annotations

import io
import re
import sys

import pytest

from svae_lib.support import progress
from svae_lib.support.progress import Progress


class Clock:
    """Stands in for the time module; a step takes half a second."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def run(bar: Progress, clock: Clock, steps: int, log_every: int) -> None:
    for _ in range(steps):
        clock.now += 0.5
        bar.step()
        if bar.done % log_every == 0:
            bar.report(loss=12.345, gamma=0.05, kl=6.789)
    bar.close()


def test_a_log_gets_a_line_now_and_then_and_at_the_end(clock: Clock, capsys) -> None:
    run(Progress(105, 5, 40, every=10), clock, steps=100, log_every=5)
    said = capsys.readouterr().err
    lines = said.splitlines()
    assert "\r" not in said
    assert [int(re.match(r"step (\d+) of 105", line)[1]) for line in lines] == [25, 45, 65, 85, 105]
    assert "loss 12.35, gamma 0.05, kl 6.79, 80 images/s, 00:40 left" in lines[0]  # 80 steps
    assert lines[-1].endswith("00:00 left")


def test_a_terminal_gets_a_bar(clock: Clock, monkeypatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    run(Progress(40, 0, 40), clock, steps=40, log_every=20)
    said = terminal.getvalue()
    assert "\r" in said and "40/40" in said
    assert "loss=12.35" in said and "gamma=0.05" in said and "images/s=80" in said


def test_a_notebook_gets_a_bar(monkeypatch, capsys) -> None:
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    bar = Progress(40, 0, 40)
    assert not bar.bar.disable and not bar.in_lines
    bar.close()


def test_silence_can_be_asked_for(clock: Clock, capsys) -> None:
    run(Progress(40, 0, 40, show=False, every=0), clock, steps=40, log_every=10)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_counting_fills_no_log(capsys) -> None:
    with progress.counter(30, "scoring prior", "image", every=3600) as bar:
        for _ in range(30):
            bar.update()
    said = capsys.readouterr().err
    assert "\r" not in said
    first, last = said.splitlines()  # at the start and at the end, nothing in between
    assert first.startswith("scoring prior:   0%") and "30/30" in last
    with progress.counter(3, "scoring", "image", every=0) as bar:
        for _ in range(3):
            bar.update()
    assert len(capsys.readouterr().err.splitlines()) > 2


def test_counting_on_a_terminal_is_a_bar_and_can_be_silent(monkeypatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.counter(3, "scoring", "image", show=False) as bar:
        bar.update(3)
    assert terminal.getvalue() == ""
    with progress.counter(4000, "reading", "B", initial=1000, scaled=True) as bar:
        bar.update(3000)
    assert "\rreading: 100%" in terminal.getvalue() and "4.00k/4.00k" in terminal.getvalue()

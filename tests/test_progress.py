"""Progress: a bar on a screen, whole lines and not too many in a log file, or silence."""

from __future__ import annotations

import io
import sys

import pytest

import svae_lib as sv
from svae_lib.support import progress
from svae_lib.support.progress import counter


def count(steps: int) -> None:
    with counter(steps, "training", "step") as bar:
        for step in range(steps):
            bar.update()
            bar.set_postfix_str(f"loss {step}", refresh=False)


@pytest.mark.parametrize(("every", "lines"), [(3600, 2), (0, 31)])
def test_a_log_gets_whole_lines_now_and_then_and_at_the_end(
    capsys, monkeypatch, every, lines
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", every)
    count(30)
    said = capsys.readouterr().err
    assert "\r" not in said
    found = said.splitlines()
    assert lines <= len(found) <= lines + 1
    assert found[0].startswith("training:   0%")
    assert "30/30" in found[-1] and "loss 29" in found[-1]


def test_a_terminal_gets_a_bar(monkeypatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    count(40)
    assert "\rtraining: 100%" in terminal.getvalue() and "loss 39" in terminal.getvalue()
    with counter(4000, "reading", "B", initial=1000, transfer=True) as bar:
        assert "reading" not in terminal.getvalue()
        bar.delay = 0
        bar.update(3000)
    assert "4.00k/4.00k" in terminal.getvalue()


def test_a_notebook_gets_a_bar(monkeypatch, capsys) -> None:
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    count(40)
    assert "\r" in capsys.readouterr().err


@pytest.mark.parametrize("show", [True, False])
def test_a_training_shows_its_figures_or_nothing(tiny, fast, blobs, capsys, show: bool) -> None:
    sv.Trainer(sv.VAE(tiny), blobs, fast, "cpu").fit(10, progress=show)
    said = capsys.readouterr()
    assert said.out == ""
    last = said.err.splitlines()[-1] if show else said.err
    assert all((word in last) is show for word in ("10/10", "loss ", "gamma ", "kl "))

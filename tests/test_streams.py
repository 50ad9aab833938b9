"""The command on terminals that are closed, cut off, poor in characters, or interrupted early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SVAE = [sys.executable, "-m", "svae_lib"]


def environment(**changes: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)} | changes


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_a_console_cannot_show_is_replaced(tmp_path: Path, encoding: str) -> None:
    command = "import sys; from svae_lib.cli import main; "
    command += "from svae_lib.support.streams import lasting_streams\n"
    command += (
        "with lasting_streams(): print('7.1 \\u00b1 0.2 \\u2013 \\u4e2d')\nsys.exit(main([]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command],
        env=environment(PYTHONIOENCODING=encoding),
        capture_output=True,
        check=False,
    )
    assert b"7.1" in done.stdout and b"?" in done.stdout
    assert done.returncode == 2 and b"Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
@pytest.mark.parametrize("redirection", ["| true", "2>&- >/dev/null", ">&-", "2>&- >&-"])
def test_a_closed_or_deserted_stream_changes_nothing(tmp_path: Path, redirection: str) -> None:
    line = f'"$0" -m svae_lib info {redirection}; echo ${{PIPESTATUS[0]}} >rc'
    done = subprocess.run(
        ["bash", "-c", line, sys.executable],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (tmp_path / "rc").read_text() == "0\n"
    assert done.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_while_importing_is_a_line() -> None:
    # A module that stands in for a slow import, and is interrupted in it.
    code = (
        "import runpy, sys, os, signal; sys.argv = ['svae'];"
        "import svae_lib.support.streams as s; s.quiet_interrupt();"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stderr == "svae: stopped.\n"
    assert done.returncode == -signal.SIGINT

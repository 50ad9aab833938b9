"""The command on terminals that are cut off or poor in characters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from svae_lib.support import progress

ROOT = Path(__file__).resolve().parents[1]
# The module alone, which takes no second; the library's imports take several.
STREAMS = f"import runpy; streams = runpy.run_path({progress.__file__!r})\n"


def environment(**changes: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)} | changes


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_a_console_cannot_show_is_replaced(encoding: str) -> None:
    code = "with streams['lasting_streams'](): print('7.1 \\u00b1 0.2 \\u2013 \\u4e2d')"
    done = subprocess.run(
        [sys.executable, "-c", STREAMS + code],
        env=environment(PYTHONIOENCODING=encoding),
        capture_output=True,
        check=False,
    )
    assert b"7.1" in done.stdout and b"?" in done.stdout
    assert done.returncode == 0 and done.stderr == b""


PRINTING = "with streams['lasting_streams'](): print('a' * 100_000, flush=True)"


def deserted(tmp_path: Path, *arguments: str) -> str:
    """Exit status of Python in a shell, when nobody reads its output; nothing may be said."""
    line = '"$@" | true; echo ${PIPESTATUS[0]} >rc'
    done = subprocess.run(
        ["bash", "-c", line, "bash", sys.executable, *arguments],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return (tmp_path / "rc").read_text()


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
def test_a_deserted_stream_changes_nothing(tmp_path: Path) -> None:
    assert deserted(tmp_path, "-c", STREAMS + PRINTING) == "0\n"


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
def test_the_command_goes_on_without_its_reader(tmp_path: Path) -> None:
    assert deserted(tmp_path, "-m", "svae_lib", "info") == "0\n"

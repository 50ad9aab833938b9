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


COUNTING = """with streams['lasting_streams'](), streams['counter'](3, 'training', 'step') as bar:
    bar.update(3)
    print('done', flush=True)
    print('and said', file=__import__('sys').stderr)
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("errors", ["2>/dev/full", "2>&-"])
def test_messages_that_nobody_can_keep_stop_no_work(errors: str) -> None:
    """A log on a disk that is full, or none at all."""
    done = subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {errors}', sys.executable, STREAMS + COUNTING],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "done\n" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_answer_that_cannot_be_written_is_an_error_and_a_closed_output_is_none() -> None:
    command = [sys.executable, "-m", "svae_lib", "info"]
    for output, status in ((">/dev/full", 2), (">&-", 0)):
        line = f'"$@" {output}; echo $? >&2'
        done = subprocess.run(
            ["bash", "-c", line, "bash", *command],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr.split("\n")[-2] == str(status) and "Traceback" not in done.stderr

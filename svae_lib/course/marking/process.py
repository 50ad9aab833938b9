"""Start, watch and end a process that runs handed-in code."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from typing import IO, Any

from ...support.checks import InputError
from . import confine, wire

PACKAGE = Path(__file__).resolve().parents[2]
_START = """
import runpy, sys
sys.path[:] = {path!r}
runpy.run_path({confine!r})["confine"]({folder!r}, {readable!r}, {memory})
from svae_lib.course.marking.learner import main
main()
"""
_INHERITED = ("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "NUMBER_OF_PROCESSORS")
"""Windows does not start Python without these; none holds a secret."""
_SAID = "stderr.txt"
_BEGIN = 120.0
"""Seconds that a process may take to begin: torch is slow to import from a cold disk."""
_DESCENDANTS = 64
"""Processes that handed-in code may have at once."""


class Stopped(wire.Lost):
    """The process is gone; the message says why."""


class Process:
    """One process with handed-in code, in an empty folder of its own.

    Args:
        memory: bytes that it, and the processes it starts, may take together.
        threads: for torch.
    """

    def __init__(self, memory: int, threads: int = 1) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="svae-grade-", ignore_cleanup_errors=True)
        self._memory = memory
        home = str(Path(self._home.name).resolve())
        root = str(PACKAGE.parent)
        code = _START.format(
            confine=confine.__file__,
            folder=home,
            readable=_readable(),
            memory=memory,
            path=[root, *map(str, _libraries())],
        )
        new_session: dict[str, Any] = {} if sys.platform == "win32" else {"start_new_session": True}
        self._process = subprocess.Popen(
            [*_namespace(), sys.executable, "-I", "-B", "-X", "utf8", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(Path(home) / _SAID).open("wb"),
            cwd=home,
            env=_environment(home, threads),
            **new_session,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests: queue.Queue[bytes | None] = queue.Queue()
        self._replies: queue.Queue[bytes | None] = queue.Queue(maxsize=2)
        # In threads, so that neither a full pipe nor one that is never closed holds up the grader.
        for work in (
            lambda: _write(self._process.stdin, self._requests),
            lambda: _read(self._process.stdout, self._replies),
        ):
            threading.Thread(target=work, daemon=True).start()

    def begin(self) -> None:
        """Wait until everything is imported.

        Raises:
            InputError: the process does not work, even before any handed-in code has run.
        """
        try:
            self.ask(("begin",), _BEGIN)
        except wire.Lost as lost:
            said = (Path(self._home.name) / _SAID).read_text(encoding="utf-8", errors="replace")
            self.end()
            last = (said.strip().splitlines() or [str(lost)])[-1]
            raise InputError(f"handed-in code cannot be run here: {last}") from None

    def ask(self, request: tuple[Any, ...], seconds: float) -> wire.Reply:
        """Send a request and wait for its reply.

        Raises:
            Stopped: no reply came in time, or the process is gone.
            Garbled: what came is not a reply.
        """
        self._requests.put(pickle.dumps(request))
        latest = time.monotonic() + seconds
        while True:
            try:
                reply = self._replies.get(timeout=0.1)
            except queue.Empty:
                reason = self._excess()
                if time.monotonic() > latest:
                    reason = f"it did not end within {seconds:.3g} seconds"
                if reason:
                    raise Stopped(reason) from None
                continue
            if reply is None:
                raise Stopped("its process ended by itself, or was killed")
            return wire.unpack(reply)

    def _excess(self) -> str:
        """Which limit the process exceeds; "" if none, or if that cannot be told."""
        try:
            import psutil
        except ImportError:
            return ""
        try:
            parent = psutil.Process(self._process.pid)
            family = [parent, *parent.children(recursive=True)]
            if len(family) > _DESCENDANTS:
                return f"it started more than {_DESCENDANTS} processes"
            used = sum(p.memory_info().rss for p in family)
        except psutil.Error:
            return ""
        return f"it took more than {self._memory / 2**30:g} GB" if used > self._memory else ""

    def end(self) -> None:
        """Kill the process and what it has started, and remove its folder."""
        family = _family(self._process.pid) if self._process.poll() is None else []
        if sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, 9)
        self._process.kill()
        for process in family:
            with contextlib.suppress(Exception):
                process.kill()
        self._requests.put(None)
        self._process.wait()
        self._home.cleanup()


def _family(pid: int) -> list[Any]:
    try:
        import psutil

        found: list[Any] = psutil.Process(pid).children(recursive=True)
        return found
    except Exception:  # no psutil, or no such process any more
        return []


def _write(stream: IO[bytes] | None, requests: queue.Queue[bytes | None]) -> None:
    assert stream is not None
    with contextlib.suppress(OSError, ValueError), stream:
        while (request := requests.get()) is not None:
            stream.write(len(request).to_bytes(8, "little") + request)
            stream.flush()


def _read(stream: IO[bytes] | None, replies: queue.Queue[bytes | None]) -> None:
    assert stream is not None
    with contextlib.suppress(OSError, ValueError, MemoryError), stream:
        while len(head := stream.read(8)) == 8:
            size = int.from_bytes(head, "little")
            if size > wire.LONGEST or len(body := stream.read(size)) < size:
                break
            replies.put(body)
    replies.put(None)


def _environment(home: str, threads: int) -> dict[str, str]:
    """The environment variables that handed-in code sees."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
    homes = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "MPLCONFIGDIR"), home)
    return kept | homes | {
        "PATH": path,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": str(threads),
        "MPLBACKEND": "Agg",
        "CUDA_VISIBLE_DEVICES": "",
        "SVAE_PROFILE": "smoke",
        "SVAE_PROGRESS": "off",
        "SVAE_DATA": str(Path(home) / "data"),
    }  # fmt: skip


def _readable() -> list[str]:
    """What a notebook needs besides the system: Python, the libraries, the course's data."""
    root = PACKAGE.parent
    ours = [PACKAGE, root / "data", root / "results", root / "notebooks" / "source" / "course.cfg"]
    pythons = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parent]
    return sorted({str(p.resolve()) for p in (*ours, *_libraries(), *pythons)})


def _libraries() -> list[Path]:
    """Where Python looks for libraries, not the current folder, which may hold what is graded."""
    places = [Path(p).resolve() for p in sys.path if p and Path(p).exists()]
    return [p for p in places if p not in (PACKAGE.parent, Path.cwd())]


@cache
def _namespace() -> tuple[str, ...]:
    """A command that hides network and other processes from what it starts; () if there is none."""
    unshare = shutil.which("unshare") if sys.platform == "linux" else None
    if unshare is None:
        return ()
    command = (unshare, "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child")
    tried = subprocess.run([*command, "true"], capture_output=True, timeout=30, check=False)
    return command if tried.returncode == 0 else ()


def protections() -> str:
    """How well this machine is protected from handed-in code, in a sentence."""
    files = confine.landlock_version() > 0
    network = bool(_namespace())
    if files and network:
        return "Handed-in code writes only into a folder of its own, and has no network."
    missing = [
        *(["read, change and delete files that you can"] if not files else []),
        *(["use the network"] if not network else []),
    ]
    return f"On this machine handed-in code can {' and '.join(missing)}: use one without secrets."

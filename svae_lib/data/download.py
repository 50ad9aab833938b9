"""Files from the web that arrive whole and genuine, or not at all.

A file takes its final name only after its hash has been checked. Until then its bytes lie in a
hidden partial file, from which a later attempt goes on.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..support.checks import InputError
from ..support.files import file_hash, flush
from ..support.progress import counter
from .places import VARIABLE, one_at_a_time, writing

BLOCK = 1 << 16  # bytes
START = 1024  # bytes that tell a web page from a file
USER_AGENT = "svae-lib (course on variational image generation)"
WEB_PAGE = "sent a web page instead of the file (a quota or a login page)"


class DownloadError(InputError):
    """No mirror delivered the file; the message gives each one's reason."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that may be downloaded.

    Attributes:
        name: its name on disk.
        urls: mirrors, tried in this order.
        digest: expected hash in hexadecimal.
        algorithm: "md5" (as published with the data sets) or "sha256".
    """

    name: str
    urls: tuple[str, ...]
    digest: str
    algorithm: str = "md5"

    @property
    def hash_text(self) -> str:
        """The hash as messages show it."""
        return f"{self.algorithm.upper()} {self.digest}"


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        timeout: seconds of silence after which a connection is given up.
        window: seconds over which the speed is measured.
        slowest: bytes per second below which a connection is given up.
        rounds: how often all the mirrors are tried.
        pause: seconds before the second round, doubled before each further one.
    """

    timeout: float = 20.0
    window: float = 30.0
    slowest: float = 1024.0
    rounds: int = 3
    pause: float = 1.0


class _TryAgain(Exception):
    """The connection failed; the bytes received so far are good to go on from."""


class _Refused(Exception):
    """This mirror will not deliver the file."""


def fetch(
    file: RemoteFile, folder: Path, patience: Patience | None = None, *, progress: bool = True
) -> Path:
    """Download a file unless ``folder`` has it, and return its path.

    An interrupted download goes on where it stopped, at the next mirror or at the next call. Of
    several processes that want the file at once, one downloads it and the others wait.

    Raises:
        DownloadError: no mirror delivered the file.
        InputError: the file that is there has another hash, or the folder cannot be written.
    """
    target = folder / file.name
    if not target.exists():
        with one_at_a_time(target):
            if not target.exists():
                _download(file, target, patience or Patience(), progress)
                return target
    check_hash(target, file)
    return target


def _download(file: RemoteFile, target: Path, patience: Patience, progress: bool) -> None:
    """Try the mirrors in turn until one delivers the file."""
    partial = target.with_name(f".{file.name}.partial")
    reasons: dict[str, str] = {}
    refused: set[str] = set()
    for attempt in range(patience.rounds):
        for url in file.urls:
            if url in refused:
                continue
            try:
                _receive(url, partial, patience, progress)
                _accept(partial, target, file)
                return
            except _TryAgain as error:
                reasons[url] = str(error)
            except _Refused as error:
                reasons[url] = str(error)
                refused.add(url)
        if len(refused) == len(file.urls):
            break
        if attempt + 1 < patience.rounds:
            time.sleep(patience.pause * 2**attempt)
    told = "; ".join(f"{_host(url)}: {reason}" for url, reason in reasons.items())
    raise DownloadError(f"{file.name} could not be downloaded ({told})")


def fetch_all(
    files: Sequence[RemoteFile],
    folder: Path,
    name: str,
    advice: str = "",
    patience: Patience | None = None,
) -> list[Path]:
    """Download the files of a data set; when that fails, say how to place them by hand.

    Args:
        files: what to download.
        folder: where to.
        name: the data set, as messages call it.
        advice: a further sentence for who cannot download.
        patience: with slow servers.

    Raises:
        DownloadError: with what is missing, where to put it and the hashes.
    """
    try:
        return [fetch(file, folder, patience) for file in files]
    except DownloadError as error:
        raise DownloadError(
            f"{name}: {error}. Put {with_hashes(files)} into {folder}, or into a folder of your "
            f"own that root= or the variable {VARIABLE} names.{' ' + advice if advice else ''}"
        ) from None


def with_hashes(files: Iterable[RemoteFile]) -> str:
    """The files and their hashes, as messages list what has to be placed."""
    return ", ".join(f"{file.name} ({file.hash_text})" for file in files)


def check_hash(path: Path, file: RemoteFile) -> None:
    """Raise InputError unless the file at ``path`` has the expected hash."""
    found = file_hash(path, file.algorithm)
    if found != file.digest:
        raise InputError(
            f"{path} is damaged or another file: its {file.algorithm.upper()} is {found}, "
            f"expected {file.digest}. Delete it to download it again."
        )


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc or url


def _accept(partial: Path, target: Path, file: RemoteFile) -> None:
    """Give the finished file its name if its hash is right, else remove it."""
    found = file_hash(partial, file.algorithm)
    if found != file.digest:
        with partial.open("rb") as whole:  # a page whose first bytes came alone is known by now
            is_page = _begins_like_a_page(whole.read(START))
        partial.unlink()
        raise _TryAgain(
            WEB_PAGE if is_page else f"sent a file whose {file.algorithm.upper()} is {found}"
        )
    with writing(target.parent):
        flush(partial)
        partial.replace(target)


def _receive(url: str, partial: Path, patience: Patience, progress: bool) -> None:
    """Append to ``partial`` what it lacks of the file at ``url``."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=patience.timeout) as response:
            _store(response, partial, have, patience, progress)
    except urllib.error.HTTPError as error:
        _explain_status(error.code, partial)
    except urllib.error.URLError as error:
        raise _TryAgain(f"not reachable ({error.reason})") from error
    except TimeoutError as error:
        raise _TryAgain(f"no answer within {patience.timeout:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgain(f"connection lost ({error or type(error).__name__})") from error


def _explain_status(status: int, partial: Path) -> None:
    if status == 416:  # the partial file is no beginning of this one
        partial.unlink(missing_ok=True)
        raise _TryAgain("cannot continue the partial file")
    if status >= 500 or status in (408, 429):
        raise _TryAgain(f"HTTP status {status}")
    raise _Refused(f"HTTP status {status}")


def _store(response: Any, partial: Path, have: int, patience: Patience, progress: bool) -> None:
    """Write the body of a response behind the first ``have`` bytes, or from the start."""
    if response.status != 206:
        have = 0
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        partial.unlink(missing_ok=True)
        raise _TryAgain("sent another part than the one asked for")
    length = response.headers.get("Content-Length")
    total = have + int(length) if length and length.isdigit() else None
    first = response.read1(BLOCK)
    is_page = response.headers.get("Content-Type", "").lower().startswith("text/html")
    if is_page or (not have and _begins_like_a_page(first)):
        raise _Refused(WEB_PAGE)
    too_slow = _speed_watch(patience)
    what = partial.name.strip(".").removesuffix(".partial")
    bar = counter(total, what, "B", show=progress, initial=have, scaled=True)
    with bar, _opened(partial, "ab" if have else "wb") as write:
        block = first
        while block:
            write(block)
            have += len(block)
            bar.update(len(block))
            if too_slow(len(block)):
                raise _TryAgain(f"slower than {patience.slowest:g} bytes per second")
            block = response.read1(BLOCK)
    if total is not None and have < total:
        raise _TryAgain(f"ended after {have} of {total} bytes")


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that writes; only its own errors count as errors of the disk."""
    with writing(path):
        file = path.open(mode)

    def write(block: bytes) -> None:
        with writing(path):
            file.write(block)
            file.flush()

    try:
        yield write
    finally:
        file.close()


def _begins_like_a_page(start: bytes) -> bool:
    """Whether this is HTML or XML: none of our files is, but quota pages are, with status 200."""
    return start[:START].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _speed_watch(patience: Patience) -> Callable[[int], bool]:
    """A function that takes the bytes of each block and says when they come too slowly."""
    started, received = time.monotonic(), 0

    def too_slow(count: int) -> bool:
        nonlocal started, received
        received += count
        elapsed = time.monotonic() - started
        if elapsed < patience.window:
            return False
        slow = received < patience.slowest * elapsed
        started, received = time.monotonic(), 0
        return slow

    return too_slow

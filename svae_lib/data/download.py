"""Files from the web that arrive whole and genuine, or not at all.

pooch transfers the bytes into a hidden partial file, which takes its final name only after its
hash has been checked. A download is broken off when it cannot be the file (a web page, or more
bytes than the file may have) and when the connection has all but stopped.
"""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..support.checks import InputError
from ..support.files import file_hash, flush
from ..support.progress import counter
from .places import VARIABLE, one_at_a_time, writing

BLOCK = 1 << 12  # bytes; at the slowest speed that is allowed, four seconds
START = 1024  # bytes that tell a web page from a file
HEADERS = {
    "User-Agent": "svae-lib (course on variational image generation)",
    "Accept-Encoding": "identity",
}
WEB_PAGE = "sent a web page instead of the file (a quota or a login page)"


class DownloadError(InputError):
    """No mirror delivered the file; the message gives the reason for each."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that may be downloaded.

    Attributes:
        name: its name on disk.
        urls: mirrors, tried in this order.
        digest: expected hash in hexadecimal.
        algorithm: "md5" (as published with the data sets) or "sha256".
        largest: bytes above which a download is refused or broken off.
    """

    name: str
    urls: tuple[str, ...]
    digest: str
    algorithm: str = "md5"
    largest: int = 1_500_000_000

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
    """The connection failed; it may work the next time."""


class _Refused(Exception):
    """This mirror will not deliver the file."""


def fetch(
    file: RemoteFile, folder: Path, patience: Patience | None = None, *, progress: bool = True
) -> Path:
    """Download a file unless ``folder`` has it, and return its path.

    If several processes want the file at once, one downloads it and the others wait.

    Raises:
        DownloadError: no mirror delivered the file.
        InputError: the file that is there has the wrong hash, or the folder cannot be written.
    """
    target = folder / file.name
    if not target.exists():
        with one_at_a_time(target):
            if not target.exists():
                _download(file, target, patience or Patience(), progress)
                return target
    check_hash(target, file)
    return target


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
        folder: where to put them.
        name: the data set, as messages call it.
        advice: a further sentence for those who cannot download.
        patience: with slow servers.
    """
    try:
        return [fetch(file, folder, patience) for file in files]
    except DownloadError as error:
        raise DownloadError(
            f"{name}: {error}. Put {with_hashes(files)} into {folder}, or into a folder of your "
            f"own that root= or the variable {VARIABLE} names.{' ' + advice if advice else ''}"
        ) from None


def with_hashes(files: Iterable[RemoteFile]) -> str:
    """The files and their hashes, to tell the user what to put into the folder."""
    return ", ".join(f"{file.name} ({file.hash_text})" for file in files)


def check_hash(path: Path, file: RemoteFile) -> None:
    """Raise InputError unless the file at ``path`` has the expected hash."""
    found = file_hash(path, file.algorithm)
    if found != file.digest:
        raise InputError(
            f"{path} is damaged or another file: its {file.algorithm.upper()} is {found}, "
            f"expected {file.digest}. Delete it to download it again."
        )


def _download(file: RemoteFile, target: Path, patience: Patience, progress: bool) -> None:
    """Try the mirrors in turn until one delivers the file."""
    reasons: dict[str, str] = {}
    left = list(file.urls)
    for attempt in range(patience.rounds):
        if attempt and left:
            time.sleep(patience.pause * 2 ** (attempt - 1))
        for url in tuple(left):
            try:
                return _deliver(file, url, target, patience, progress)
            except _TryAgain as error:
                reasons[url] = str(error)
            except _Refused as error:
                reasons[url] = str(error)
                left.remove(url)
    told = "; ".join(
        f"{urllib.parse.urlsplit(url).netloc}: {reason}" for url, reason in reasons.items()
    )
    raise DownloadError(f"{file.name} could not be downloaded ({told})")


def _deliver(file: RemoteFile, url: str, target: Path, patience: Patience, progress: bool) -> None:
    """Receive the file from one mirror, and give it its name if its hash is right."""
    partial = target.with_name(f".{file.name}.partial")
    try:
        with closing(_Arriving(partial, file, patience, progress)) as arriving:
            _transfer(url, arriving)
        found = file_hash(partial, file.algorithm)
        if found != file.digest:
            raise _TryAgain(f"sent a file whose {file.algorithm.upper()} is {found}")
        with writing(target.parent):
            flush(partial)
            partial.replace(target)
    finally:
        with suppress(OSError):
            partial.unlink()


def _transfer(url: str, arriving: _Arriving) -> None:
    """Let pooch write what ``url`` sends; a failed connection is worth trying again."""
    import pooch  # here: its import takes a while

    timeout, hooks = arriving.patience.timeout, {"response": arriving.announced}
    receive = pooch.HTTPDownloader(chunk_size=BLOCK, timeout=timeout, headers=HEADERS, hooks=hooks)
    try:
        receive(url, arriving, None)
    except InputError:  # of the disk
        raise
    except (OSError, ValueError) as error:  # ValueError: a length or a redirect without meaning
        cause: BaseException = error
        while cause.__context__:  # requests wraps it several times
            cause = cause.__context__
        if isinstance(cause, TimeoutError):
            raise _TryAgain(f"no answer within {timeout:g} s") from error
        raise _TryAgain(f"connection failed: {str(cause) or type(cause).__name__}") from error


class _Arriving:
    """The partial file as pooch sees it: accepts bytes as long as they can be the file's."""

    def __init__(self, partial: Path, file: RemoteFile, patience: Patience, show: bool) -> None:
        self.partial, self.file, self.patience = partial, file, patience
        with writing(partial):
            partial.unlink(missing_ok=True)  # left by a killed process, or a link to elsewhere
            self.out = partial.open("xb", buffering=0)
        self.show, self.bar = show, counter(None, file.name, "B", show=False)
        self.start = b""
        self.received = 0
        self.measured = (time.monotonic(), 0)  # time of the last speed check, bytes by then

    def announced(self, response: Any, **_: Any) -> None:
        """Look at the head of a response, before its body is read."""
        status = response.status_code
        if status >= 400:
            may_pass = status >= 500 or status in (408, 429)
            raise (_TryAgain if may_pass else _Refused)(f"HTTP status {status}")
        if response.is_redirect:
            response.close()  # requests would read its body to the end, if it has one
            return
        # Some servers declare a .gz file as an encoding; requests would unpack it.
        response.raw.headers.pop("Content-Encoding", None)
        length = int(response.headers.get("Content-Length", 0))
        self._refuse_larger(length)
        self.bar = counter(length or None, self.file.name, "B", show=self.show, scaled=True)
        self.measured = (time.monotonic(), 0)

    def write(self, block: bytes) -> None:
        """Take a block; raises as soon as it is clear that the file will not come."""
        if len(self.start) < START:
            self.start += block[:START]
            if self.start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):  # HTML or XML
                raise _Refused(WEB_PAGE)  # sent with status 200 and any type
        self.received += len(block)
        self._refuse_larger(self.received)
        with writing(self.partial):
            self.out.write(block)
        self.bar.update(len(block))
        since, before = self.measured
        elapsed = time.monotonic() - since
        if elapsed >= self.patience.window:
            if self.received - before < self.patience.slowest * elapsed:
                raise _TryAgain(f"slower than {self.patience.slowest:g} bytes per second")
            self.measured = (time.monotonic(), self.received)

    def flush(self) -> None:
        """Nothing to do: the file has no buffer."""

    def close(self) -> None:
        """Close the file and the bar."""
        self.out.close()
        self.bar.close()

    def _refuse_larger(self, count: int) -> None:
        if count > self.file.largest:
            raise _Refused(f"sends more than the {self.file.largest} bytes that the file may have")

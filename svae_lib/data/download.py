"""Where the files of a data set are: with the user, or on the web, or made already.

What is downloaded arrives whole and genuine, or not at all: pooch transfers the bytes into a hidden
file, which takes its final name only after its hash has been checked.
"""

from __future__ import annotations

import functools
import os
import time
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..support.checks import InputError
from ..support.files import atomic_path, expand, file_hash, user_cache
from ..support.progress import counter

VARIABLE = "SVAE_DATA"
SHARED = Path("/usr/share/datasets")  # where Debian's packages put data sets
TIMEOUT = 20.0  # seconds of silence after which a connection is given up
ROUNDS = 3  # how often all the mirrors are tried
PAUSE = 1.0  # seconds before the second round, doubled before the third


def own_folder(root: str | os.PathLike[str] | None) -> Path | None:
    """The folder of data that is there: ``root``, else what SVAE_DATA names, else the system's."""
    named = (os.environ.get(VARIABLE) or None) if root is None else root
    folder = expand(SHARED if named is None else named)
    if folder.is_dir():
        return folder
    if named:
        origin = VARIABLE if root is None else "root"
        raise InputError(f"{origin} names {folder}, which is not a folder.")
    return None


def cache_folder(kind: str) -> Path:
    """Folder for "downloads" or "prepared" data: in a checkout's data/, or else in the cache."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists() and os.access(checkout / "data", os.W_OK):
        return checkout / "data" / kind
    return user_cache() / kind


def make_once(target: Path, make: Callable[[], None]) -> None:
    """Call ``make`` for a file, unless it is there; meanwhile, other processes wait for it.

    A hidden lock file stays beside the file; what a killed process left there is removed. An
    InputError says where the disk is full or cannot be written.
    """
    if target.exists():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if not target.exists():
                for leftover in target.parent.glob(f".{target.stem[:40]}.*partial*"):
                    leftover.unlink()  # of a process that was killed
                make()
    except OSError as error:
        raise InputError(
            f"cannot write to {target.parent}: {error.strerror or error}. Free some space there or "
            "make it writable; where there is no checkout, XDG_CACHE_HOME names another folder."
        ) from error


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
    """

    name: str
    urls: tuple[str, ...]
    digest: str
    algorithm: str = "md5"

    def __str__(self) -> str:
        return f"{self.name} ({self.algorithm.upper()} {self.digest})"


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Download a file unless ``folder`` has it, check its hash, and return its path."""
    target = folder / file.name
    make_once(target, lambda: _download(file, target))
    check_hash(target, file)
    return target


def find(
    file: RemoteFile,
    places: Iterable[str],
    root: str | os.PathLike[str] | None,
    name: str,
    wanted: str,
    advice: str = "",
) -> Path:
    """A file of the data set ``name``: the user's own, or else downloaded.

    Args:
        file: what to download.
        places: where the user's may be below ``root``, or SVAE_DATA's folder and the system's.
        root: the user's folder; nothing is downloaded when it is given.
        name: the data set, as messages call it.
        wanted: what to put into the folder, for those who have nothing there and cannot download.
        advice: a further sentence for them.
    """
    own = own_folder(root)
    folders = [own] if root is not None else [own, SHARED]
    for folder, place in product(folders, places):
        if folder and (folder / place).is_file():
            return folder / place
    if root is not None:
        told = f"{own} does not hold {name}: put {wanted} into it, or download it without root."
        raise InputError(f"{told} {advice}".rstrip())
    folder = cache_folder("downloads") / name
    try:
        return fetch(file, folder)
    except DownloadError as error:
        where = f"{folder}, or into a folder of your own that root= or {VARIABLE} names"
        told = f"{name}: {error}. Put {wanted} into {where}. {advice}"
        raise DownloadError(told.rstrip()) from None


def check_hash(
    path: Path, file: RemoteFile, advice: str = "Delete it to download it again."
) -> None:
    """Raise InputError, with the advice, unless the file at ``path`` has the expected hash."""
    found = file_hash(path, file.algorithm)
    if found != file.digest:
        raise InputError(
            f"{path} is damaged or another file: its {file.algorithm.upper()} is {found}, "
            f"expected {file.digest}. {advice}"
        )


def _download(file: RemoteFile, target: Path) -> None:
    """Try the mirrors in turn until one delivers the file."""
    reasons: dict[str, str] = {}
    for attempt in range(ROUNDS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        for url in file.urls:
            try:
                return _deliver(file, url, target)
            except DownloadError as error:
                reasons[urllib.parse.urlsplit(url).netloc] = str(error)
    told = "; ".join(f"{host}: {reason}" for host, reason in reasons.items())
    raise DownloadError(f"{file.name} could not be downloaded ({told})")


def _begin(bar: Any, response: Any, **_: Any) -> None:
    """Take the bytes as they are: some servers call a .gz file an encoding, to be unpacked."""
    response.raw.headers.pop("Content-Encoding", None)
    bar.delay = 0  # from now on it is shown


def _deliver(file: RemoteFile, url: str, target: Path) -> None:
    """Receive the file from one mirror, and give it its name if its hash is right."""
    import pooch  # here: its import takes a while

    bar = counter(1, file.name, "B", transfer=True)  # pooch sets the total
    options: dict[str, Any] = {
        "headers": {"Accept-Encoding": "identity"},
        "hooks": {"response": functools.partial(_begin, bar)},
    }
    receive = pooch.HTTPDownloader(bar, chunk_size=1 << 16, timeout=TIMEOUT, **options)
    with atomic_path(target) as partial:
        try:
            with bar:
                receive(url, str(partial), None)
        except (OSError, ValueError) as error:  # ValueError: a redirect without meaning
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk: those of requests have no number
            cause: BaseException = error
            while cause.__context__:  # requests wraps it several times
                cause = cause.__context__
            raise DownloadError(str(cause) or type(cause).__name__) from error
        found = file_hash(partial, file.algorithm)
        if found != file.digest:
            told = f"sent a file whose {file.algorithm.upper()} is {found}"
            with partial.open("rb") as sent:
                if sent.read(100).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
                    told = "sent a web page instead of the file (a quota or a login page)"
            raise DownloadError(told)

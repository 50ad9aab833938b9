"""Downloads from a server on this machine that misbehaves in every way we know of."""

from __future__ import annotations

import builtins
import gzip
import hashlib
import io
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from svae_lib.data import download
from svae_lib.data.download import DownloadError, RemoteFile, fetch, find
from svae_lib.support.checks import InputError

CONTENT = random.Random(0).randbytes(200_000)
PACKED = gzip.compress(CONTENT)
MD5 = hashlib.md5(CONTENT).hexdigest()
QUOTA = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"


class Handler(BaseHTTPRequestHandler):
    """The path says how to behave."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        way, *rest = self.path.strip("/").split("/")
        self.server.requests.append(way)  # type: ignore[attr-defined]
        self.close_connection = True
        getattr(self, f"way_{way}")(*rest)

    def log_message(self, *args: object) -> None:
        pass

    def head(self, length: int, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def way_good(self) -> None:
        self.head(len(CONTENT))
        self.wfile.write(CONTENT)

    def way_encoded(self) -> None:
        """A .gz file that the server declares to be an encoding."""
        self.head(len(PACKED), Content_Encoding="gzip")
        self.wfile.write(PACKED)

    def way_redirect(self, *place: str) -> None:
        self.head(0, 302, Location="/".join(place))

    def way_lengthless(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "many")
        self.end_headers()
        self.wfile.write(CONTENT)

    def way_status(self, status: str) -> None:
        self.head(len(QUOTA), int(status), Content_Type="text/html")
        self.wfile.write(QUOTA)

    def way_quota(self) -> None:
        self.head(len(QUOTA), Content_Type="text/html; charset=utf-8")
        self.wfile.write(QUOTA)

    def way_disguised(self) -> None:
        self.head(len(QUOTA) + 2, Content_Type="application/zip")
        self.wfile.write(b"\r\n" + QUOTA)

    def way_wrong(self) -> None:
        self.head(len(CONTENT))
        self.wfile.write(CONTENT[::-1])

    def way_truncated(self) -> None:
        self.head(len(CONTENT))
        self.wfile.write(CONTENT[:1000])

    def way_unannounced(self) -> None:
        """A body cut short without a length that would tell."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(CONTENT[:1000])

    def way_silent(self) -> None:
        self.head(len(CONTENT))
        time.sleep(0.6)

    def way_reset(self) -> None:
        self.head(len(CONTENT))
        self.wfile.write(CONTENT[:50_000])
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "TIMEOUT", 5)
    monkeypatch.setattr(download, "ROUNDS", 2)
    monkeypatch.setattr(download, "PAUSE", 0.01)


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.requests = []  # type: ignore[attr-defined]
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def file(server: ThreadingHTTPServer, *ways: str) -> RemoteFile:
    base = f"http://127.0.0.1:{server.server_port}"
    return RemoteFile("data.bin", tuple(f"{base}/{way}" for way in ways), MD5)


def ask(server: ThreadingHTTPServer, folder: Path, *ways: str) -> Path:
    return fetch(file(server, *ways), folder)


def there(folder: Path) -> list[str]:
    """Names of the files in a folder, but for the locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def asked(server: ThreadingHTTPServer) -> list[str]:
    return list(server.requests)  # type: ignore[attr-defined]


def test_download_and_reuse(
    server: ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "folder"
    path = ask(server, folder, "good")
    assert "data.bin: 100%" in capsys.readouterr().err
    assert path == folder / "data.bin"
    assert path.read_bytes() == CONTENT
    assert ask(server, folder, "good") == path
    assert len(asked(server)) == 1
    assert there(folder) == ["data.bin"]


def test_a_packed_file_stays_packed(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    wanted = RemoteFile("a.gz", file(server, "encoded").urls, hashlib.md5(PACKED).hexdigest())
    assert fetch(wanted, tmp_path).read_bytes() == PACKED


def test_other_hashes(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    wanted = RemoteFile("a.gz", file(server, "good").urls, digest, "sha256")
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("status/403", "403"),
        ("status/503", "503"),
        ("quota", "web page"),
        ("disguised", "web page"),
        ("wrong", "MD5"),
        ("unannounced", "MD5"),
        ("truncated", "127.0.0.1"),
        ("reset", "127.0.0.1"),
        ("silent", "timed out"),
        ("lengthless", "127.0.0.1"),
        ("redirect/http://[::/x", "127.0.0.1"),
        ("redirect/file:///etc/hostname", "127.0.0.1"),
        ("redirect/http://a..b/x", "127.0.0.1"),
    ],
)
def test_bad_answers_leave_nothing_and_the_next_mirror_helps(
    server: ThreadingHTTPServer,
    tmp_path: Path,
    way: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if way == "silent":
        monkeypatch.setattr(download, "TIMEOUT", 0.3)
    with pytest.raises(DownloadError, match=reason) as caught:
        ask(server, tmp_path, way)
    assert "127.0.0.1" in str(caught.value)
    assert there(tmp_path) == []
    assert ask(server, tmp_path, way, "good").read_bytes() == CONTENT
    assert there(tmp_path) == ["data.bin"]


def test_failures_are_tried_again(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    monkeypatch.setattr(download, "ROUNDS", 4)
    monkeypatch.setattr(download, "PAUSE", 1.5)
    with pytest.raises(DownloadError, match="429"):
        ask(server, tmp_path, "status/429")
    assert len(asked(server)) == 4
    assert pauses == [1.5, 3.0, 6.0]


def test_of_two_at_once_one_downloads_and_the_other_waits(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(ask, server, tmp_path, "good") for _ in range(2)]
        assert [one.result().read_bytes() for one in both] == [CONTENT, CONTENT]
    assert asked(server) == ["good"]


def test_a_download_has_the_permissions_of_other_files(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert ask(server, tmp_path, "good").stat().st_mode == ordinary.stat().st_mode


def test_existing_file_with_another_hash_is_left_alone(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    mine = tmp_path / "data.bin"
    mine.write_bytes(b"mine")
    with pytest.raises(InputError, match=f"expected {MD5}") as caught:
        ask(server, tmp_path, "good")
    assert str(mine) in str(caught.value)
    assert mine.read_bytes() == b"mine"
    assert asked(server) == []


def test_offline_gets_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "own_folder", lambda root: None)
    monkeypatch.setattr(download, "cache_folder", lambda kind: tmp_path / kind)
    with socket.socket() as unused:  # bound, not listening: nobody answers at this port
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        wanted = RemoteFile("a.gz", (url + "a.gz",), MD5)
        with pytest.raises(DownloadError) as caught:
            find(wanted, ("a.gz",), None, "mnist", f"{wanted} and b.gz", "Or do without.")
    message = str(caught.value)
    for part in ("mnist", "refused", "a.gz", "b.gz", MD5, "SVAE_DATA", "root="):
        assert part in message
    assert str(tmp_path / "downloads" / "mnist") in message
    assert message.endswith("Or do without.")
    assert not capsys.readouterr().err  # no bars that never moved


def test_unwritable_folder_is_named(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot write") as caught:
        ask(server, tmp_path / "file", "good")
    assert str(tmp_path / "file") in str(caught.value)


def test_full_disk_is_told_from_a_bad_network(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, where every write fails for want of space")
    monkeypatch.setattr(builtins, "open", lambda *_, **__: io.FileIO("/dev/full", "w"))
    with pytest.raises(InputError, match=r"cannot write to .*No space left"):
        ask(server, tmp_path, "good")
    assert there(tmp_path) == []

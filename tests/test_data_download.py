"""Downloads from a server on this machine that misbehaves in every way we know of."""

from __future__ import annotations

import hashlib
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
from svae_lib.data.download import DownloadError, Patience, RemoteFile, fetch, fetch_all
from svae_lib.support.checks import InputError

CONTENT = random.Random(0).randbytes(200_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
HURRY = Patience(timeout=0.5, window=0.2, slowest=10_000, rounds=3, pause=0.01)
QUOTA = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"


class Handler(BaseHTTPRequestHandler):
    """The path says how to behave; /reset/N cuts the connection after N bytes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        way, *rest = self.path.strip("/").split("/")
        self.server.requests.append((way, self.headers.get("Range")))  # type: ignore[attr-defined]
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

    def part(self, content: bytes = CONTENT) -> bytes:
        """Answer a range request, or a plain one, with the right headers; return the body."""
        asked = self.headers.get("Range")
        if asked is None:
            self.head(len(content))
            return content
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            self.head(0, 416)
            return b""
        end = len(content) - 1
        self.head(len(content) - start, 206, Content_Range=f"bytes {start}-{end}/{len(content)}")
        return content[start:]

    def way_good(self) -> None:
        self.wfile.write(self.part())

    def way_norange(self) -> None:
        self.head(len(CONTENT))
        self.wfile.write(CONTENT)

    def way_wrongrange(self) -> None:
        self.head(10, 206, Content_Range=f"bytes 0-9/{len(CONTENT)}")
        self.wfile.write(CONTENT[:10])

    def way_status(self, status: str) -> None:
        self.head(len(QUOTA), int(status), Content_Type="text/html")
        self.wfile.write(QUOTA)

    def way_quota(self) -> None:
        self.head(len(QUOTA), Content_Type="text/html; charset=utf-8")
        self.wfile.write(QUOTA)

    def way_disguised(self) -> None:
        self.head(len(QUOTA) + 2, Content_Type="application/zip")
        self.wfile.write(b"\r\n" + QUOTA)

    def way_comment(self) -> None:
        self.head(len(QUOTA) + 10, Content_Type="application/zip")
        self.wfile.write(b"<!-- 1 -->" + QUOTA)

    def way_hesitant(self) -> None:
        """A quota page whose first byte comes alone."""
        self.head(len(QUOTA), Content_Type="application/zip")
        self.wfile.write(QUOTA[:1])
        self.wfile.flush()
        time.sleep(0.1)
        self.wfile.write(QUOTA[1:])

    def way_wrong(self) -> None:
        self.wfile.write(self.part(CONTENT[::-1]))

    def way_truncated(self) -> None:
        self.head(len(CONTENT))
        self.wfile.write(CONTENT[:1000])

    def way_unannounced(self) -> None:
        """A body cut short without a length that would tell."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(CONTENT[:1000])

    def way_drip(self) -> None:
        body = self.part()
        for byte in body[:500]:
            self.wfile.write(bytes([byte]))
            time.sleep(0.02)

    def way_leisurely(self) -> None:
        body = self.part()
        for start in range(0, len(body), 20_000):
            self.wfile.write(body[start : start + 20_000])
            time.sleep(0.03)

    def way_silent(self) -> None:
        self.head(len(CONTENT))
        time.sleep(1.5)

    def way_reset(self, count: str) -> None:
        """The first time, send ``count`` bytes and reset the connection; then behave."""
        body = self.part()
        if self.headers.get("Range") is not None or len(self.server.requests) > 1:  # type: ignore[attr-defined]
            self.wfile.write(body)
            return
        self.wfile.write(body[: int(count)])
        self.wfile.flush()
        time.sleep(0.05)  # let the bytes arrive
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv("no_proxy", "*")
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


def file(server: ThreadingHTTPServer, *ways: str, digest: str = MD5) -> RemoteFile:
    base = f"http://127.0.0.1:{server.server_port}"
    return RemoteFile("data.bin", tuple(f"{base}/{way}" for way in ways), digest)


def ask(server: ThreadingHTTPServer, folder: Path, *ways: str) -> Path:
    return fetch(file(server, *ways), folder, HURRY, progress=False)


def there(folder: Path) -> list[str]:
    """Names of the files in a folder, but for the locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def asked(server: ThreadingHTTPServer) -> list[tuple[str, str | None]]:
    return list(server.requests)  # type: ignore[attr-defined]


def test_download_and_reuse(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    path = ask(server, folder, "good")
    assert path == folder / "data.bin"
    assert path.read_bytes() == CONTENT
    assert ask(server, folder, "good") == path
    assert len(asked(server)) == 1
    assert there(folder) == ["data.bin"]


def test_sha256(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    wanted = RemoteFile("a", file(server, "good").urls, digest, "sha256")
    assert fetch(wanted, tmp_path, HURRY, progress=False).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("status/403", "HTTP status 403"),
        ("status/404", "HTTP status 404"),
        ("status/503", "HTTP status 503"),
        ("quota", "web page"),
        ("disguised", "web page"),
        ("comment", "web page"),
        ("hesitant", "web page"),
        ("wrong", "sent a file whose MD5 is"),
        ("truncated", "ended after 1000 of 200000 bytes"),
        ("unannounced", "sent a file whose MD5 is"),
        ("drip", "slower than"),
        ("silent", "no answer within"),
    ],
)
def test_bad_answers_leave_nothing_and_the_next_mirror_helps(
    server: ThreadingHTTPServer, tmp_path: Path, way: str, reason: str
) -> None:
    with pytest.raises(DownloadError, match=reason) as caught:
        ask(server, tmp_path, way)
    assert "127.0.0.1" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    path = ask(server, tmp_path, way, "good")
    assert path.read_bytes() == CONTENT


def test_refusals_are_final_and_failures_are_tried_again(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError):
        ask(server, tmp_path, "status/403", "status/503")
    assert [way for way, _ in asked(server)].count("status") == 1 + HURRY.rounds


def test_a_busy_server_is_asked_again_after_longer_and_longer_pauses(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    patience = Patience(rounds=4, pause=1.5)
    with pytest.raises(DownloadError, match="HTTP status 429"):
        fetch(file(server, "status/429"), tmp_path, patience, progress=False)
    assert len(asked(server)) == 4
    assert pauses == [1.5, 3.0, 6.0]


def test_the_speed_is_that_of_the_last_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was fast and then falls silent is given up as soon as a slow one."""
    now = [0.0]
    monkeypatch.setattr(download.time, "monotonic", lambda: now[0])
    too_slow = download._speed_watch(Patience(window=30, slowest=1000))
    told = []
    for now[0], count in ((10, 10**9), (31, 0), (50, 100), (62, 100)):
        told.append(too_slow(count))
    assert told == [False, False, False, True]


def test_only_the_beginning_tells_a_web_page(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    place = CONTENT.index(b"<")  # as a page begins, but it is the rest of a file
    (tmp_path / ".data.bin.partial").write_bytes(CONTENT[:place])
    assert ask(server, tmp_path, "good").read_bytes() == CONTENT
    assert asked(server) == [("good", f"bytes={place}-")]


@pytest.mark.parametrize("seed", range(4))
def test_reset_connection_is_continued(
    server: ThreadingHTTPServer, tmp_path: Path, seed: int
) -> None:
    count = random.Random(seed).randrange(1, len(CONTENT))
    path = ask(server, tmp_path, f"reset/{count}")
    assert path.read_bytes() == CONTENT
    first, second = asked(server)
    assert first[1] is None
    if second[1] is not None:  # a reset may drop bytes on their way, even all of them
        assert 0 < int(second[1].removeprefix("bytes=").rstrip("-")) <= count


def test_next_call_continues(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        ask(server, tmp_path, "truncated")
    assert (tmp_path / ".data.bin.partial").read_bytes() == CONTENT[:1000]
    ask(server, tmp_path, "good")
    assert asked(server)[-1] == ("good", "bytes=1000-")
    assert there(tmp_path) == ["data.bin"]


def test_of_two_at_once_one_downloads_and_the_other_waits(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(ask, server, tmp_path, "leisurely") for _ in range(2)]
        assert [one.result().read_bytes() for one in both] == [CONTENT, CONTENT]
    assert asked(server) == [("leisurely", None)]
    assert there(tmp_path) == ["data.bin"]


@pytest.mark.parametrize("way", ["norange", "good"])
@pytest.mark.parametrize("left", [b"x" * 100, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 5)])
def test_rubbish_in_the_partial_file_does_no_harm(
    server: ThreadingHTTPServer, tmp_path: Path, way: str, left: bytes
) -> None:
    (tmp_path / ".data.bin.partial").write_bytes(left)
    assert ask(server, tmp_path, way).read_bytes() == CONTENT


def test_wrong_range_is_not_appended(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / ".data.bin.partial").write_bytes(CONTENT[:50])
    assert ask(server, tmp_path, "wrongrange", "good").read_bytes() == CONTENT


def test_a_wrong_file_is_not_gone_on_from(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError):
        ask(server, tmp_path, "wrong")
    ask(server, tmp_path, "good")
    assert [request for request in asked(server) if request[0] == "good"] == [("good", None)]


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


def test_offline_gets_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as unused:  # bound, not listening: nobody answers at this port
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        files = [RemoteFile(name, (url + name,), MD5) for name in ("a.gz", "b.gz")]
        with pytest.raises(DownloadError) as caught:
            fetch_all(files, tmp_path / "there", "mnist", "Or do without.", HURRY)
    message = str(caught.value)
    for part in ("mnist", "not reachable", "a.gz", "b.gz", MD5, "SVAE_DATA", "root="):
        assert part in message
    assert str(tmp_path / "there") in message
    assert message.endswith("Or do without.")


def test_unwritable_folder_is_named(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot write") as caught:
        ask(server, tmp_path / "file", "good")
    assert str(tmp_path / "file") in str(caught.value)


def test_full_disk_is_told_from_a_bad_network(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, where every write fails for want of space")
    (tmp_path / ".data.bin.partial").symlink_to("/dev/full")
    with pytest.raises(InputError, match="No space left"):
        ask(server, tmp_path, "good")

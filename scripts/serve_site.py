"""Serve site/ on this machine alone: python scripts/serve_site.py [FOLDER] [--port 8000]."""

from __future__ import annotations

import argparse
import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Handler(SimpleHTTPRequestHandler):
    """Files with the types that browsers insist on, whatever this machine's registry says."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".json": "application/json",
        ".onnx": "application/octet-stream",
    }

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing for each file."""


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of ``folder`` on localhost; port 0 takes a free one."""
    return ThreadingHTTPServer(
        ("127.0.0.1", port), functools.partial(Handler, directory=str(folder))
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "site")
    parser.add_argument("--port", type=int, default=8000)
    chosen = parser.parse_args()
    if not (chosen.folder / "index.html").exists():
        sys.exit(f"There is no site in {chosen.folder}: call make site.")
    try:
        serving = server(chosen.folder, chosen.port)
    except OSError as error:
        sys.exit(f"Port {chosen.port} cannot be used ({error.strerror}): choose another --port.")
    print(f"open http://localhost:{serving.server_port}/ (Ctrl-C stops)")
    try:
        serving.serve_forever()
    except KeyboardInterrupt:
        print()

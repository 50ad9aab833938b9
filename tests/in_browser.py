"""What the tests with a real browser share: Chromium, what a page complains of, and axe-core."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
AXE = ROOT / "scripts" / "explorer" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync"
MINUTE = 60_000
PATIENCE = 3 * MINUTE
"""Milliseconds to wait for anything in a page: a slow machine is no reason to fail."""

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@contextmanager
def chromium() -> Iterator[Any]:
    """A Chromium without window, or a skipped test that names what is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as running:
        options = {"executable_path": CHROMIUM, "args": FLAGS.split(), "timeout": PATIENCE}
        started = running.chromium.launch(**options)
        try:
            yield started
        finally:
            started.close()


class Watched:
    """A page in a context of its own, with the errors that it told and what it asked elsewhere."""

    def __init__(self, browser: Any, base: str, **context: Any) -> None:
        self.base = base
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._asked)
        self.page.on("websocket", self._asked)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _asked(self, request: Any) -> None:
        here = (self.base, self.base.replace("http", "ws", 1), "data:", "blob:")
        if not request.url.startswith(here):
            self.elsewhere.append(request.url)

    def close(self) -> None:
        """Close the page, and fail where it told an error or asked another machine."""
        self.context.close()
        assert not self.errors
        assert not self.elsewhere


def violations(page: Any, parts: dict[str, list[str]] | None = None) -> list[Any]:
    """What axe-core finds against the page, or against ``parts``: its "include" and "exclude"."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed (npm ci in scripts/explorer)")
    page.evaluate(AXE.read_text(encoding="utf-8") + "; undefined")
    found = page.evaluate("async (parts) => (await axe.run(parts ?? document)).violations", parts)
    return [
        (v["id"], v["impact"], len(v["nodes"]), [n["target"] for n in v["nodes"]][:4])
        for v in found
    ]

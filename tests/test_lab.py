"""JupyterLab in a real browser: a notebook runs to its end, a slider moves, stop stops."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
TOKEN = "for-this-test"
MINUTE = 60_000

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open JupyterLab with"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("jupyterlab", "playwright")),
        reason="jupyterlab or playwright is not installed",
    ),
]

MIXER = """\
import svae_lib as sv
from svae_lib import widgets
digits = sv.data.load("mnist-5k").test[:8]
widgets.sigma_mixer(sv.load_trained("quick", "split-vae"), digits)"""
TRAINING = """\
model = sv.build_model("vae", sv.PRESETS["quick"].model)
trainer = sv.Trainer(model, sv.data.load("mnist-5k").train, sv.PRESETS["quick"].train)
trainer.fit(100_000)"""


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few of the course's notebooks and pages, and one that plays with widgets."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "notebooks" / "solutions").mkdir(parents=True)
    for name in ("00_start_here", "01_vanilla_vae", "08_reproduce_the_paper"):
        shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", folder / "notebooks")
    shutil.copy(ROOT / "notebooks/solutions/00_start_here.ipynb", folder / "notebooks/solutions")
    shutil.copy(ROOT / "README.md", folder)
    cells = [nbformat.v4.new_code_cell(code) for code in (MIXER, TRAINING, "trainer.step")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    played: Any = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(played, folder / "notebooks" / "play.ipynb")
    return folder


@pytest.fixture(scope="module")
def server(course: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a JupyterLab of its own, with its settings in an empty folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("jupyter")
    environment = os.environ | {
        "SVAE_PROFILE": "smoke",
        "SVAE_PROGRESS": str(home / "record.json"),
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += [f"--ServerApp.root_dir={course}", f"--IdentityProvider.token={TOKEN}"]
    command += ["--LabApp.news_url=None", "--LabApp.extension_manager=readonly"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--expose-app-in-browser"]
    with (home / "log.txt").open("w") as log:
        running = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{base}api/status?token={TOKEN}", timeout=5)
                break
            except (urllib.error.URLError, ConnectionError):
                assert running.poll() is None, (home / "log.txt").read_text()
                time.sleep(0.5)
        yield base
    finally:
        running.terminate()
        running.wait(30)


class Lab:
    """JupyterLab with one notebook open, and what it asked for and complained of."""

    def __init__(self, browser: Any, base: str, notebook: str) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda r: self._asked(r.url, base))
        self.page.goto(f"{base}lab/tree/notebooks/{notebook}?token={TOKEN}&reset")
        self.page.wait_for_function("window.jupyterapp?.shell.currentWidget?.content?.model?.cells")
        self.idle()

    def _asked(self, url: str, base: str) -> None:
        if not url.startswith((base, base.replace("http", "ws"), "data:", "blob:")):
            self.elsewhere.append(url)

    def idle(self, minutes: float = 1) -> None:
        self.page.wait_for_function(
            "jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
            timeout=minutes * MINUTE,
        )

    def menu(self, name: str, entry: str) -> None:
        self.page.get_by_role("menuitem", name=name, exact=True).click()
        self.page.get_by_role("menuitem", name=entry, exact=True).click()

    def code_cells(self) -> list[dict[str, Any]]:
        cells: list[dict[str, Any]] = self.page.evaluate(
            "jupyterapp.shell.currentWidget.content.model.sharedModel.cells.map(c => c.toJSON())"
        )
        return [cell for cell in cells if cell["cell_type"] == "code"]

    def ran(self, count: int, minutes: float) -> None:
        """Wait until this many code cells have been executed."""
        self.page.wait_for_function(
            "count => jupyterapp.shell.currentWidget.content.model.sharedModel.cells"
            ".filter(c => c.cell_type === 'code' && c.execution_count).length >= count",
            arg=count,
            timeout=minutes * MINUTE,
        )

    def path(self) -> str:
        return str(self.page.evaluate("jupyterapp.shell.currentWidget.context?.path ?? ''"))


@pytest.fixture
def open_lab(server: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    opened: list[Lab] = []
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())

        def start(notebook: str) -> Lab:
            opened.append(Lab(browser, server, notebook))
            return opened[-1]

        yield start
        browser.close()
    for lab in opened:
        assert not lab.errors
        assert not lab.elsewhere


def test_a_learners_notebook_runs_to_its_end_and_its_links_open(open_lab: Any) -> None:
    lab = open_lab("00_start_here.ipynb")
    lab.menu("Run", "Run All Cells")
    wanted = len(lab.code_cells())
    lab.ran(wanted, minutes=6)
    lab.idle()
    for cell in lab.code_cells():
        failed = [out for out in cell["outputs"] if out["output_type"] == "error"]
        on_purpose = "raises-exception" in cell["metadata"].get("tags", [])
        assert bool(failed) == on_purpose, cell["source"]
    lab.page.keyboard.press("Control+s")
    for link, path in (
        ("The solved version is here", "notebooks/solutions/00_start_here.ipynb"),
        ("the exercises are here", "notebooks/00_start_here.ipynb"),
    ):
        lab.page.evaluate("jupyterapp.shell.currentWidget.content.scrollToItem?.(0)")
        visible = lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        visible.get_by_role("link", name=link).first.click()
        lab.page.wait_for_function(
            "path => jupyterapp.shell.currentWidget.context?.path === path", arg=path
        )


def test_a_slider_changes_the_picture_and_stop_keeps_what_was_learnt(open_lab: Any) -> None:
    lab = open_lab("play.ipynb")
    page = lab.page
    run = page.locator(
        '[data-jp-item-name="run"] button, jp-button[data-command*="run-cell-and-select"]'
    )
    page.locator(".jp-CodeCell").first.click()
    run.first.click()
    lab.ran(1, minutes=2)
    picture = page.locator(".jp-OutputArea img").first
    picture.wait_for()
    before = picture.get_attribute("src")
    handle = page.locator(".jp-OutputArea .noUi-handle:visible").last
    handle.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "src => document.querySelector('.jp-OutputArea img').getAttribute('src') !== src",
        arg=before,
    )
    lab.idle()
    page.locator(".jp-CodeCell").nth(1).locator(".cm-content").click()
    run.first.click()
    page.wait_for_function(
        "jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'"
    )
    page.wait_for_timeout(8_000)
    page.locator('[data-jp-item-name="interrupt"]').first.click()
    lab.ran(2, minutes=2)
    lab.idle()
    page.locator(".jp-CodeCell").nth(2).locator(".cm-content").click()
    run.first.click()
    lab.ran(3, minutes=1)
    lab.idle()
    _, training, learnt = lab.code_cells()[:3]  # running the last one has added an empty one
    assert not any(out["output_type"] == "error" for out in training["outputs"])
    (shown,) = learnt["outputs"]
    assert 0 < int(shown["data"]["text/plain"]) < 100_000

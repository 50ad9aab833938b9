"""JupyterLab in a real browser: a notebook runs to its end, a slider moves, stop stops."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
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
from in_browser import MINUTE, ROOT, Watched, chromium, in_a_browser, violations

TOKEN = "for-this-test"
PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"
OURS = {
    "include": [f"{PANEL} .jp-RenderedMarkdown", f"{PANEL} .jp-OutputArea-output"],
    "exclude": [".noUi-handle"],
}
"""What of a page of JupyterLab is the course's: texts, outputs and widgets. Its menus, side bars,
prompts and editors are not, and axe-core complains of some; nor are the handles of ipywidgets'
sliders, whose names ipywidgets does not tell to screen readers."""

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.timeout(1800),
    in_a_browser,
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
trainer.fit(100_000, on_log=[lambda trainer: print("learnt", trainer.step)])"""


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
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.root_dir={course}", f"--IdentityProvider.token={TOKEN}"]
    command += ["--LabApp.news_url=None", "--LabApp.extension_manager=readonly"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--expose-app-in-browser"]
    # All cells in the page, not only those in sight: axe-core looks at what is there.
    settings = home / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    settings.joinpath("tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    with (home / "log.txt").open("w") as log:
        running = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield _address(running, home)
    finally:
        running.terminate()
        running.wait(60)


def _address(running: subprocess.Popen[bytes], home: Path) -> str:
    """Wait until the server answers; it writes down which port was free."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        assert running.poll() is None, (home / "log.txt").read_text()
        for file in (home / "runtime").glob("jpserver-*.json"):
            try:
                base = f"http://127.0.0.1:{json.loads(file.read_text())['port']}/"
                urllib.request.urlopen(f"{base}api/status?token={TOKEN}", timeout=30)
                return base
            except (ValueError, urllib.error.URLError, OSError):
                pass  # the file is half written, or the server not yet ready
        time.sleep(0.5)
    raise AssertionError((home / "log.txt").read_text())


class Lab(Watched):
    """JupyterLab with one notebook open."""

    def __init__(self, browser: Any, base: str, notebook: str) -> None:
        super().__init__(browser, base, viewport={"width": 1280, "height": 900})
        self.page.goto(f"{base}lab/tree/notebooks/{notebook}?token={TOKEN}&reset")
        self.page.wait_for_function("window.jupyterapp?.shell.currentWidget?.content?.model?.cells")
        self.idle()

    def idle(self, minutes: float = 3) -> None:
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


@pytest.fixture
def open_lab(server: str) -> Iterator[Any]:
    opened: list[Lab] = []
    with chromium() as browser:

        def start(notebook: str) -> Lab:
            opened.append(Lab(browser, server, notebook))
            return opened[-1]

        yield start
        for lab in opened:
            lab.close()


def test_a_learners_notebook_runs_to_its_end_and_its_links_open(open_lab: Any) -> None:
    lab = open_lab("00_start_here.ipynb")
    lab.menu("Run", "Run All Cells")
    wanted = len(lab.code_cells())
    lab.ran(wanted, minutes=20)
    lab.idle()
    for cell in lab.code_cells():
        failed = [out for out in cell["outputs"] if out["output_type"] == "error"]
        on_purpose = "raises-exception" in cell["metadata"].get("tags", [])
        assert bool(failed) == on_purpose, cell["source"]
    assert not violations(lab.page, OURS)
    lab.page.keyboard.press("Control+s")
    for link, path in (
        ("The solved version is here", "notebooks/solutions/00_start_here.ipynb"),
        ("the exercises are here", "notebooks/00_start_here.ipynb"),
    ):
        lab.page.evaluate("jupyterapp.shell.currentWidget.content.scrollToItem?.(0)")
        visible = lab.page.locator(PANEL)
        visible.get_by_role("link", name=link).first.click()
        lab.page.wait_for_function(
            "path => jupyterapp.shell.currentWidget.context?.path === path", arg=path
        )
        visible.locator(".jp-OutputArea img").first.wait_for(state="attached")
        assert not violations(lab.page, OURS)


def test_a_slider_changes_the_picture_and_stop_keeps_what_was_learnt(open_lab: Any) -> None:
    lab = open_lab("play.ipynb")
    page = lab.page
    run = page.locator(
        '[data-jp-item-name="run"] button, jp-button[data-command*="run-cell-and-select"]'
    )
    page.locator(".jp-CodeCell").first.click()
    run.first.click()
    lab.ran(1, minutes=5)
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
    assert not violations(page, OURS)
    page.locator(".jp-CodeCell").nth(1).locator(".cm-content").click()
    run.first.click()
    page.locator(".jp-OutputArea", has_text=re.compile(r"learnt \d+")).first.wait_for()
    page.locator('[data-jp-item-name="interrupt"]').first.click()
    lab.ran(2, minutes=5)
    lab.idle()
    page.locator(".jp-CodeCell").nth(2).locator(".cm-content").click()
    run.first.click()
    lab.ran(3, minutes=3)
    lab.idle()
    _, training, learnt = lab.code_cells()[:3]  # running the last one has added an empty one
    assert not any(out["output_type"] == "error" for out in training["outputs"])
    (shown,) = learnt["outputs"]
    assert 0 < int(shown["data"]["text/plain"]) < 100_000

"""The main job: a VAE and a Split VAE on real digits, trained, scored and shown on one page."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from .. import data
from ..presets import PRESETS
from ..support.devices import default_device
from ..support.files import check_writable, claimed, read_json, write_json, write_text
from .evaluation import evaluate
from .larger import larger_models
from .report import Subject, contents, format_table, score_table, write_report
from .runs import Run
from .scoring import Scoring

KINDS = {"vae": "VAE", "split-vae": "Split VAE"}
NOTEBOOKS = ("01_vanilla_vae.ipynb", "03_split_decoder.ipynb")
DEMO = ("demo.json", *(f"{kind}/run.json" for kind in KINDS))  # one of them: a demo was here
EXECUTED = "executed"  # folder of their copies: not "notebooks", which a checkout has


def demo(
    out: Path,
    *,
    steps: int | None = None,
    n: int | None = None,
    notebooks: bool = True,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Train, sample, score and report; the same call goes on with an interrupted demo.

    ``n`` images of each kind are scored, by default as many as there are test images; ``overwrite``
    throws away an earlier demo in the folder ``out``. Returns the path of the HTML report.
    """
    report, record = out / "report.html", out / "demo.json"
    preset, scoring = PRESETS["quick"], Scoring(n=n, seed=seed)
    train = replace(preset.train, steps=preset.train.steps if steps is None else steps, seed=seed)
    begun = any((out / file).exists() for file in DEMO)
    if overwrite and begun:  # the arguments are good
        with claimed(out / "vae" / ".lock") as one, claimed(out / "split-vae" / ".lock") as other:
            if not (one and other):
                raise FileExistsError(f"a demo is being trained in {out}: wait, or stop it first.")
        for folder in (*KINDS, EXECUTED):
            shutil.rmtree(out / folder, ignore_errors=True)
        for file in (report, record):
            file.unlink(missing_ok=True)
    check_writable(report, overwrite=overwrite or begun)
    runs = [Run(out / kind, kind, preset.data, preset.model, train).begun() for kind in KINDS]
    if record.exists() and report.exists():
        print("This demo is finished already (svae demo --overwrite makes it anew).")
        _show(read_json(record).get("table", ""), report)
        return report
    seconds: dict[str, float] = {}
    with _stage("data", seconds):
        sets = data.load(preset.data)
        print(f"{len(sets.train)} training and {len(sets.test)} test images. {sets.source}")
    for run in runs:
        with _stage(f"train the {KINDS[run.kind]}", seconds):
            run.train(sets.train).check_finished()
    subjects = []
    for run in runs:
        with _stage(f"score the {KINDS[run.kind]}", seconds):
            model = run.load_model(default_device())
            result = evaluate(model, sets, scoring)
            run.save_evaluation(result, overwrite=True)
            subjects.append(Subject(KINDS[run.kind], run, result))
    if notebooks:
        with _stage("execute the first notebooks", seconds):
            _execute_notebooks(out / EXECUTED)
    with _stage("draw", seconds):
        page = contents(subjects, sets)
        page["made_of"]["seconds per stage"] = seconds
        page["figures"] += larger_models()
        write_report(report, title="A VAE and a Split VAE on real digits", overwrite=True, **page)
    table = format_table(*score_table(subjects))
    results = {subject.run.kind: subject.result.to_dict() for subject in subjects}
    write_json(record, {"table": table, "seconds": seconds, "results": results}, overwrite=True)
    _show(table, report)
    return report


@contextmanager
def _stage(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """Announce a stage and note how long it takes."""
    print(f"\n== {name}", flush=True)
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 1)


def _show(table: str, report: Path) -> None:
    print(f"\n{table}\n\nreport: {report.resolve()}")


def _execute_notebooks(folder: Path) -> None:
    """Run the first notebooks in the smoke profile, and keep the executed copies."""
    source = Path(__file__).parents[2] / "notebooks"
    if not (source / NOTEBOOKS[0]).exists() or find_spec("nbclient") is None:
        print("none: that needs Jupyter, and the course's notebooks beside the library")
        return
    import nbformat
    from nbclient import NotebookClient

    beside = {"metadata": {"path": source}}  # where it runs
    profile = os.environ.setdefault("SVAE_PROFILE", "smoke")
    for name in NOTEBOOKS:
        print(f"{folder / name} (profile {profile})", flush=True)
        notebook = nbformat.read(source / name, as_version=4)
        try:
            NotebookClient(notebook, timeout=600, resources=beside).execute()
        except Exception as error:  # whatever a cell or Jupyter raises: the report comes after it
            print(f"{name} FAILED:", str(error).strip().rpartition("\n")[2], flush=True)
        write_text(folder / name, nbformat.writes(notebook), overwrite=True)

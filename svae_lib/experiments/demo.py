"""The main job: a VAE and a Split VAE on real digits, trained, scored and shown on one page."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .. import data
from ..presets import PRESETS, TrainConfig
from ..support.checks import InputError
from ..support.devices import default_device
from ..support.files import read_json, write_json
from .evaluation import evaluate
from .larger import larger_models
from .report import Subject, format_table, score_table, write_page
from .runs import Run
from .scoring import Scoring

KINDS = {"vae": "VAE", "split-vae": "Split VAE"}
NOTEBOOKS = ("01_vanilla_vae.ipynb", "03_split_decoder.ipynb")


def demo(
    out: Path,
    *,
    steps: int | None = None,
    n: int | None = None,
    notebooks: bool = True,
    seed: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Train, sample, score and report; an interrupted demo goes on where it stopped.

    Args:
        out: folder for the runs and the report.
        steps: training steps per model; default: those of the demo in ``out``, else those of the
            preset "quick".
        n: images to score, of each kind; default: as many as there are test images.
        notebooks: also execute the first notebooks, where the course is at hand.
        seed: seeds everything random; default: that of the demo in ``out``, else 0.
        overwrite: throw away an earlier demo in ``out``.

    Returns:
        Path of the HTML report.
    """
    report, record = out / "report.html", out / "demo.json"
    if overwrite:
        _clear(out)
    config = _train_config(out, steps, seed)
    if record.exists() and report.exists():
        print("This demo is finished already (svae demo --overwrite makes it anew).")
        _show(read_json(record)["table"], report)
        return report
    seconds: dict[str, float] = {}
    with _stage("data", seconds):
        sets = data.load("mnist-5k")
        print(f"{len(sets.train)} training and {len(sets.test)} test images. {sets.source}")
    runs, subjects = {}, []
    for kind, name in KINDS.items():
        with _stage(f"train the {name}", seconds):
            runs[kind] = _begun(out / kind) or Run.create(
                out / kind, kind, "mnist-5k", PRESETS["quick"].model, config
            )
            runs[kind].train(sets.train).check_finished()
    for kind, name in KINDS.items():
        with _stage(f"score the {name}", seconds):
            model = runs[kind].load_model(default_device())
            result = evaluate(model, sets, Scoring(n=n, seed=config.seed))
            runs[kind].save_evaluation(result, overwrite=True)
            subjects.append(Subject(name, runs[kind], result))
    executed: list[Path] = []
    if notebooks:
        with _stage("execute the first notebooks", seconds):
            executed = _execute_notebooks(out / "notebooks")
    with _stage("draw", seconds):
        write_page(
            report,
            subjects,
            sets,
            title="A VAE and a Split VAE on real digits",
            summary=_summary(subjects, executed),
            made_of={"seconds per stage": seconds},
            more=larger_models(),
            overwrite=True,  # of a demo that was killed before it wrote its record
        )
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


def _clear(out: Path) -> None:
    """Remove an earlier demo, and nothing else that may lie there."""
    for folder in (*KINDS, "notebooks"):
        shutil.rmtree(out / folder, ignore_errors=True)
    for file in ("report.html", "demo.json"):
        (out / file).unlink(missing_ok=True)


def _show(table: str, report: Path) -> None:
    print(f"\n{table}\n\nreport: {report.resolve()}")


def _train_config(out: Path, steps: int | None, seed: int | None) -> TrainConfig:
    """The settings that the demo in ``out`` was begun with, or else those that are asked for."""
    begun = next((run.train_config for kind in KINDS if (run := _begun(out / kind))), None)
    if begun is None:
        usual = PRESETS["quick"].train
        return replace(
            usual,
            steps=usual.steps if steps is None else steps,
            seed=usual.seed if seed is None else seed,
        )
    for name, asked, there in (("steps", steps, begun.steps), ("seed", seed, begun.seed)):
        if asked not in (None, there):
            raise InputError(
                f"{out} holds a demo that was begun with --{name} {there}, not {asked}: leave the "
                "option out to go on with that demo, choose another --out, or throw it away with "
                "--overwrite."
            )
    return begun


def _begun(folder: Path) -> Run | None:
    return Run.open(folder) if (folder / "run.json").exists() else None


def _summary(subjects: list[Subject], executed: list[Path]) -> str:
    vae, split = (subject.result.score("mixture").value for subject in subjects)
    text = (
        "Both models have the same encoder and decoder but for the last layer, and were trained "
        "for the same steps on the same digits. Samples from a Gaussian mixture score "
        f"{vae:.1f} (VAE) and {split:.1f} (Split VAE, mixed image). "
        f"The split is {subjects[-1].result.split}. "
    )
    if executed:
        text += "Executed notebooks: " + ", ".join(f"notebooks/{p.name}" for p in executed) + "."
    return text


def _execute_notebooks(folder: Path) -> list[Path]:
    """Run the first notebooks in the smoke profile and keep the executed copies."""
    source = Path(__file__).parents[2] / "notebooks"
    found = [source / name for name in NOTEBOOKS if (source / name).exists()]
    if not found:
        print("The course's notebooks are not beside the library: none is executed.")
        return []
    try:
        import nbformat
        from nbclient import NotebookClient
    except ImportError:
        print("Jupyter is not installed: no notebook is executed.")
        return []
    folder.mkdir(parents=True, exist_ok=True)
    profile = os.environ.setdefault("SVAE_PROFILE", "smoke")
    done = []
    for path in found:
        print(f"{path.name} (profile {profile})", flush=True)
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": source}}).execute()
        nbformat.write(notebook, folder / path.name)
        done.append(folder / path.name)
    return done

"""The main job: a VAE and a Split VAE on real digits, trained, scored and shown on one page."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import data
from ..data import ImageSets
from ..presets import PRESETS, TrainConfig
from ..support.checks import InputError
from ..support.devices import default_device
from ..support.files import read_json, write_json
from .evaluation import evaluate
from .larger import larger_models
from .report import Subject, format_table, score_table, write_page
from .runs import Run
from .scoring import Evaluation, Scoring

KINDS = {"vae": "VAE", "split-vae": "Split VAE"}
NOTEBOOKS = ("01_vanilla_vae.ipynb", "03_split_decoder.ipynb")


class Stages:
    """Seconds per stage, in the order they ran."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage and time it."""
        print(f"\n== {name}", flush=True)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 1)


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

    It goes on with the steps and the seed that it was begun with, for both models.

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

    Raises:
        InputError: what ``out`` holds is damaged or a demo of other steps or another seed, or
            ``n`` is larger than the test set.
        KeyboardInterrupt: somebody stopped a training; what was learnt is kept.
        OSError: ``out`` cannot be written.
    """
    report, record = out / "report.html", out / "demo.json"
    if overwrite:
        _clear(out)
    config = _train_config(out, steps, seed)
    if record.exists() and report.exists():
        print("This demo is finished already (svae demo --overwrite makes it anew).")
        _show(read_json(record)["table"], report)
        return report
    stages = Stages()
    with stages.stage("data"):
        sets = data.load("mnist-5k")
        print(f"{len(sets.train)} training and {len(sets.test)} test images. {sets.source}")
    runs = _trained(out, sets, config, stages)
    subjects = _scored(runs, sets, n, config.seed, stages)
    results = {subject.run.kind: subject.result for subject in subjects}
    executed: list[Path] = []
    if notebooks:
        with stages.stage("execute the first notebooks"):
            executed = _execute_notebooks(out / "notebooks")
    with stages.stage("draw"):
        write_page(
            report,
            subjects,
            sets,
            title="A VAE and a Split VAE on real digits",
            summary=_summary(results, executed),
            made_of={"seconds per stage": stages.seconds},
            more=larger_models(),
            overwrite=True,  # of a demo that was killed before it wrote its record
        )
    table = format_table(*score_table(subjects))
    scores = {kind: result.to_dict() for kind, result in results.items()}
    write_json(
        record, {"table": table, "seconds": stages.seconds, "results": scores}, overwrite=True
    )
    _show(table, report)
    return report


def _clear(out: Path) -> None:
    """Remove an earlier demo, and nothing else that may lie there."""
    for folder in (*KINDS, "notebooks"):
        shutil.rmtree(out / folder, ignore_errors=True)
    for file in ("report.html", "demo.json"):
        (out / file).unlink(missing_ok=True)


def _show(table: str, report: Path) -> None:
    print(f"\n{table}\n\nreport: {report.resolve()}")


def _train_config(out: Path, steps: int | None, seed: int | None) -> TrainConfig:
    """What the demo in ``out`` was begun with, if that is what is asked for; else a new one."""
    begun = next((run.train_config for kind in KINDS if (run := _begun(out / kind))), None)
    if begun is None:
        default = PRESETS["quick"].train
        return dataclasses.replace(
            default,
            steps=default.steps if steps is None else steps,
            seed=default.seed if seed is None else seed,
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


def _trained(out: Path, sets: ImageSets, config: TrainConfig, stages: Stages) -> dict[str, Run]:
    """A trained run per kind of model."""
    runs = {}
    for kind, name in KINDS.items():
        with stages.stage(f"train the {name}"):
            run = _begun(out / kind) or Run.create(
                out / kind, kind, "mnist-5k", PRESETS["quick"].model, config
            )
            run.train(sets.train).check_finished()
            runs[kind] = run
    return runs


def _scored(
    runs: dict[str, Run], sets: ImageSets, n: int | None, seed: int, stages: Stages
) -> list[Subject]:
    """The runs with their scores, which are also kept in their folders."""
    subjects = []
    for kind, name in KINDS.items():
        with stages.stage(f"score the {name}"):
            model = runs[kind].load_model(default_device())
            result = evaluate(model, sets, Scoring(n=n, seed=seed))
            runs[kind].save_evaluation(result, overwrite=True)
            subjects.append(Subject(name, runs[kind], result))
    return subjects


def _summary(results: dict[str, Evaluation], executed: list[Path]) -> str:
    vae, split = (results[kind].score("mixture").value for kind in KINDS)
    kind = results["split-vae"].split
    text = (
        f"Both models have the same encoder and decoder but for the last layer, and were trained "
        f"for the same steps on the same digits. Samples from a Gaussian mixture score "
        f"{vae:.1f} (VAE) and {split:.1f} (Split VAE, mixed image). "
    )
    if kind is not None:
        text += f"The split is {kind}. "
    if executed:
        text += "Executed notebooks: " + ", ".join(f"notebooks/{p.name}" for p in executed) + "."
    return text


# ---------------------------------------------------------------------- notebooks


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

"""The main job: a VAE and a Split VAE on real digits, trained, scored and shown on one page."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from . import data, fid, plots
from .data import ImageSets, to_float
from .devices import default_device
from .evaluation import PROTOCOLS, Evaluation, evaluate
from .files import read_json, write_json
from .inference import decode_all, encode_all, reconstruct_all
from .models import VAE
from .presets import PRESETS
from .provenance import provenance
from .report import format_table, write_report
from .runs import Run
from .sampling import LatentMixture, sample_mixture, sample_prior

KINDS = {"vae": "VAE", "split-vae": "Split VAE"}
MIXTURE_COMPONENTS = 40  # 100 digits each; the authors' 100 components are for 60,000 images
NOTEBOOKS = ("01_vanilla_vae.ipynb", "03_split_decoder.ipynb")
SHOWN = 10  # images per row of a picture


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
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Train, sample, score and report; an interrupted demo goes on where it stopped.

    Args:
        out: folder for the runs and the report.
        steps: training steps per model; default: those of the preset "quick".
        n: images to score, of each kind; default: as many as there are test images.
        notebooks: also execute the first notebooks, where the course is at hand.
        seed: seeds everything random.
        overwrite: throw away an earlier demo in ``out``.

    Returns:
        Path of the HTML report.

    Raises:
        InputError: ``out`` holds a demo with other settings.
        OSError: ``out`` cannot be written.
    """
    report, record = out / "report.html", out / "demo.json"
    if overwrite:
        for part in (*KINDS, "notebooks"):
            shutil.rmtree(out / part, ignore_errors=True)
        for file in (report, record):
            file.unlink(missing_ok=True)
    if record.exists() and report.exists():
        finished = read_json(record)
        print("This demo is finished already (svae demo --overwrite makes it anew).\n")
        print(finished["table"], f"\n\nreport: {report.resolve()}", sep="")
        return report
    stages = Stages()
    with stages.stage("data"):
        sets = data.load("mnist-5k")
        print(f"{len(sets.train)} training and {len(sets.test)} test images. {sets.source}")
    runs, results = {}, {}
    for kind, name in KINDS.items():
        with stages.stage(f"train the {name}"):
            runs[kind] = _run(out / kind, kind, steps, seed)
            runs[kind].train(sets.train)
    network = fid.network("lenet")
    for kind, name in KINDS.items():
        with stages.stage(f"score the {name}"):
            results[kind] = _evaluated(runs[kind], sets, network, n, seed)
    with stages.stage("draw"):
        figures = _figures(runs, results, sets, seed)
    executed: list[Path] = []
    if notebooks:
        with stages.stage("execute the first notebooks"):
            executed = _execute_notebooks(out / "notebooks")
    columns, lines = _table(results)
    table = format_table(columns, lines)
    write_report(
        report,
        title="A VAE and a Split VAE on real digits",
        summary=_summary(results, executed),
        table=(columns, lines, _caption(results)),
        figures=figures,
        made_of=_made_of(runs, results, stages.seconds, seed),
    )
    write_json(
        record,
        {
            "table": table,
            "seconds": stages.seconds,
            "results": {kind: result.to_dict() for kind, result in results.items()},
        },
        overwrite=True,
    )
    print(f"\n{table}\n\nreport: {report.resolve()}")
    return report


def _run(folder: Path, kind: str, steps: int | None, seed: int) -> Run:
    if (folder / "run.json").exists():
        return Run.open(folder)
    preset = PRESETS["quick"]
    config = dataclasses.replace(preset.train, seed=seed, steps=steps or preset.train.steps)
    return Run.create(folder, kind, "mnist-5k", preset.model, config)


def _evaluated(
    run: Run, sets: ImageSets, network: fid.FeatureNetwork, n: int | None, seed: int
) -> Evaluation:
    result = evaluate(
        run.load_model(default_device()),
        sets,
        network,
        n=n,
        mixture_components=MIXTURE_COMPONENTS,
        seed=seed,
    )
    run.save_evaluation(result, overwrite=True)
    return result


# ---------------------------------------------------------------------- what the page shows


def _table(results: dict[str, Evaluation]) -> tuple[list[str], list[list[str]]]:
    lines = []
    for kind, result in results.items():
        columns, rows = result.table()
        # The real images are the same for both models: one row, at the top.
        lines += [[KINDS[kind], *row] for row in rows if row[0] != "real"]
        real = ["real training images", "", "", *rows[0][2:]]
    return ["model", *columns], [real, *lines]


def _caption(results: dict[str, Evaluation]) -> str:
    result = results["split-vae"]
    score = result.score("real")
    return (
        f"Lower is better. {score.metric}: a small digit classifier's features, not comparable "
        f"with FID on the Inception network. {score.n:,} images against {score.n_reference:,} of "
        f"{score.reference}; {PROTOCOLS['clean']}. REC: reconstructions of the test images. "
        "x1, x2: the Split VAE's two images; mix: half of the samples answer with x1, half with "
        "x2. One seed: small differences mean nothing."
    )


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


def _figures(
    runs: dict[str, Run], results: dict[str, Evaluation], sets: ImageSets, seed: int
) -> list[tuple[str, Figure, str]]:
    models: dict[str, VAE] = {kind: run.load_model() for kind, run in runs.items()}
    test = sets.test[:SHOWN]
    reconstructions = {KINDS[k]: reconstruct_all(m, test).x_hat for k, m in models.items()}
    samples = {}
    for kind, model in models.items():
        samples[f"{KINDS[kind]}, prior"] = sample_prior(model, SHOWN, seed).x_hat
        mu, _ = encode_all(model, sets.train)
        mixture = LatentMixture(MIXTURE_COMPONENTS, seed=seed).fit(mu)
        samples[f"{KINDS[kind]}, mixture"] = sample_mixture(model, mixture, SHOWN, seed).x_hat
        last_mixture = mixture  # of the Split VAE, which comes last
    split = models["split-vae"]
    histories = {KINDS[kind]: run.history() for kind, run in runs.items()}
    return [
        (
            "Originals and reconstructions",
            plots.image_rows({"original": to_float(test), **reconstructions}),
            "Test images, and each model's answer from the posterior mean.",
        ),
        (
            "Samples",
            plots.image_rows(samples),
            "Latent vectors from the prior, and from a mixture fitted on the training means.",
        ),
        (
            "The split of reconstructions",
            plots.split_rows(reconstruct_all(split, test), n=SHOWN),
            "The map sigma, the two images, and their mixture x = sigma x1 + (1 - sigma) x2.",
        ),
        (
            "The split of samples",
            plots.split_rows(decode_all(split, last_mixture.sample(SHOWN, seed)), n=SHOWN),
            "The same for samples from the mixture.",
        ),
        (
            "Loss, KL divergence and gamma",
            plots.training_curves(histories, keys=("loss", "kl", "gamma")),
            "Over the training steps; each point is a mean over the steps before it.",
        ),
        *(
            (
                f"Variance law, {KINDS[kind]}",
                plots.variance_law(result.latent),
                str(result.latent) + ".",
            )
            for kind, result in results.items()
        ),
    ]


def _made_of(
    runs: dict[str, Run], results: dict[str, Evaluation], seconds: dict[str, float], seed: int
) -> dict[str, dict[str, Any]]:
    config = runs["split-vae"].train_config
    made: dict[str, dict[str, Any]] = {
        "versions and device": provenance(default_device()),
        "training": {**dataclasses.asdict(config), "seed": seed},
        "model": dataclasses.asdict(runs["split-vae"].model_config),
        "scores": {
            name: results["split-vae"].how[name]
            for name in ("n", "mixture_components", "mixture_fitted_on", "protocol_in_words")
        },
        "seconds per stage": seconds,
    }
    for kind, result in results.items():
        made[f"{KINDS[kind]} on the test images"] = {
            "mean squared error": f"{result.test_mse:.5f}",
            "KL divergence in nats": "–" if result.test_kl is None else f"{result.test_kl:.2f}",
            **{k: f"{v:.4g}" for k, v in result.latent.summary().items()},
        }
    return made


# ---------------------------------------------------------------------- notebooks


def _execute_notebooks(folder: Path) -> list[Path]:
    """Run the first notebooks in the smoke profile and keep the executed copies."""
    source = Path(__file__).parent.parent / "notebooks"
    found = [source / name for name in NOTEBOOKS if (source / name).exists()]
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

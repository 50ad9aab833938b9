"""Train the models that come with the course, into data/trained.

    python scripts/train_shipped.py [--models quick-vae small-beta-16-small-vae ...] [--device cpu]

Without --models: all of them. A model that is there already is left alone unless --overwrite is
given. Weights are stored in half precision; the header says how they were trained. An interrupted
training goes on at the next call.

    python scripts/train_shipped.py --from-run faces-split-vae RUN --commit COMMIT

ships the newest weights of a run of a table (svae campaign scale), of a run not yet at its end as
well: then the header says how many of its steps were taken.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import torch

import svae_lib as sv
from svae_lib.experiments.checkpoints import load_model, read_about, save_model
from svae_lib.experiments.runs import Run
from svae_lib.support.files import write_text

ROOT = Path(__file__).parent.parent
LIMIT = 8 * 2**20  # bytes


def shipped() -> dict[str, tuple[str, sv.Preset]]:
    """What the course ships: kind and preset by name."""
    found = {}
    for name in ("quick", "compact", "quick-faces"):
        found |= {f"{name}-{kind}": (kind, sv.PRESETS[name]) for kind in ("vae", "split-vae")}
    small = sv.PRESETS["small"]  # the sweep of notebook 2
    found["small-gamma-one-small-vae"] = (
        "small-vae",
        replace(small, train=replace(small.train, gamma_start="one")),
    )
    for beta in (1, 4, 16, 64, 256):
        preset = replace(small, train=replace(small.train, beta=float(beta)))
        found[f"small-beta-{beta}-small-vae"] = ("small-vae", preset)
    quick = sv.PRESETS["quick"]
    for seed in (1, 2):  # notebook 4: other seeds, other splits
        preset = replace(quick, train=replace(quick.train, seed=seed))
        found[f"quick-seed-{seed}-split-vae"] = ("split-vae", preset)
    for k in (3, 4):  # the comparison of notebook 9
        preset = replace(quick, model=replace(quick.model, components=k))
        found[f"quick-{k}-way-split-vae"] = ("split-vae", preset)
    return found


def rounded(history: dict[str, list[float]]) -> dict[str, list[float]]:
    """A history to five digits, which are enough for a curve."""
    return {name: [float(f"{x:.5g}") for x in values] for name, values in history.items()}


def finished(run: Run) -> bool:
    """Whether all steps of a run have been taken."""
    file = run.folder / "model.safetensors"
    return file.exists() and read_about(file)["steps"] == run.train_config.steps


def ship(name: str, kind: str, preset: sv.Preset, device: str | None, overwrite: bool) -> None:
    target = ROOT / "data" / "trained" / f"{name}.safetensors"
    if target.exists() and not overwrite:
        print(f"{target.name} is there already")
        return
    folder = ROOT / "runs" / "shipped" / name
    if folder.exists():
        run = Run.open(folder)
    else:
        run = Run.create(folder, kind, preset.data, preset.model, preset.train)
    if not finished(run):
        run.train(sv.data.load(preset.data).train, device=device)
    if not finished(run):
        print(f"{target.name}: stopped; call again to go on")
        return
    about = read_about(folder / "model.safetensors") | {  # data, training, versions, device
        "history": rounded(run.history()),
        "stored_as": "float16",
    }
    save_model(target, run.load_model(), about=about, dtype=torch.float16, overwrite=overwrite)
    size = target.stat().st_size
    print(f"{target.name}: {size / 2**20:.2f} MiB")
    if size > LIMIT:
        target.unlink()
        raise SystemExit(f"{target.name} is larger than 8 MiB: narrow the preset.")


def ship_run(name: str, folder: Path, commit: str) -> None:
    """Ship the newest weights of a table's run; later ones of the same name replace them."""
    run = Run.open(folder)
    checkpoint = run.checkpoints()[-1]
    steps, wanted = int(checkpoint.stem.split("-")[1]), run.train_config.steps
    about = {
        "data": run.data,
        "train": asdict(run.train_config),
        "steps": steps,
        "device": "cpu",
        "commit": commit,
        "history": rounded(run.history()),
        "stored_as": "float16",
    }
    if steps < wanted:
        about["unfinished"] = f"{steps:,} of {wanted:,} steps"
    target = ROOT / "data" / "trained" / f"{name}.safetensors"
    model = load_model(checkpoint)
    save_model(target, model, about=about, dtype=torch.float16, overwrite=True)
    print(f"{target.name}: {target.stat().st_size / 2**20:.2f} MiB, {steps:,} steps")


def list_them() -> None:
    """Write data/trained/README.md from the files' own headers."""
    lines = []
    for path in sorted((ROOT / "data" / "trained").glob("*.safetensors")):
        about, model = read_about(path), sv.load_model(path)
        size = path.stat().st_size / 2**20
        lines.append(
            f"| {path.stem} | {about['data']} | {model.config.image_size} | "
            f"{sv.parameter_count(model):,} | {about['steps']:,} | {about['device']} | "
            f"{size:.2f} |"
        )
    text = f"""# Trained models of the course

Safetensors files made by `scripts/train_shipped.py`, which also writes this page. Each carries in
its header its configuration, how it was trained and a SHA-256 of its weights: `svae info FILE`.
(Weights are rounded to half precision, so the hash is not the `model_sha256` of a table.)
In a notebook: `sv.load_trained("quick", "split-vae")`, `sv.load_trained("compact", "split-vae")`.

| model | data | pixels | parameters | steps | trained on | MiB |
|---|---|---|---|---|---|---|
{chr(10).join(lines)}

In `by_hand/` lie the weights alone of networks that notebooks build and train themselves (the
number is the notebook's), made by `scripts/train_by_hand.py`. In a notebook:
`sv.load_trained_weights(network, "01-vae")`.

*quick*, *compact*, *quick-faces* and *small* are presets: `svae info` without a
file prints them. *small-beta-B* and *small-gamma-one* are the sweep of notebook 2, *quick-seed-S*
the other seeds of notebook 4, *quick-K-way* the split into K images of notebook 9. *photographs*
is seed 0 of the table `photographs-30-epochs`; *faces* and the *half-width* ones are seed 0 of the
tables of their names. results/README.md describes their training.
"""
    write_text(ROOT / "data" / "trained" / "README.md", text, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=shipped(), default=list(shipped()))
    parser.add_argument("--device")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--from-run", nargs=2, metavar=("NAME", "RUN"))
    parser.add_argument("--commit", help="of the code that trained the run")
    arguments = parser.parse_args()
    if arguments.from_run:
        name, folder = arguments.from_run
        ship_run(name, Path(folder), arguments.commit or "unknown")
        list_them()
        return
    for name in arguments.models:
        ship(name, *shipped()[name], arguments.device, arguments.overwrite)
    list_them()


if __name__ == "__main__":
    main()

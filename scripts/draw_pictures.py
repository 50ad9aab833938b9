"""Draw the pictures of README and docs/results.md from shipped models, into docs/pictures.

    python scripts/draw_pictures.py
    python scripts/draw_pictures.py --full-width runs/tables/mnist-full-width-7200/split-vae-0

The last picture of the first call wants the photographs of data/README.md, in the folder that
SVAE_DATA names. The second call draws samples of the paper's own network, which is too large to
ship: from its run, which svae reproduce mnist-full-width makes.
Prints what the texts beside the pictures say: the faces' mean squared error and kind of split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

import svae_lib as sv
from svae_lib.data.toy_faces import TEST_COUNT, TEST_SEED
from svae_lib.experiments.larger import sampled_rows
from svae_lib.support.files import atomic_path

ROOT = Path(__file__).parent.parent
SHOWN = 10


def save(figure: Figure, name: str) -> None:
    with atomic_path(ROOT / "docs" / "pictures" / f"{name}.png", overwrite=True) as temporary:
        temporary.write_bytes(sv.plots.png(figure))


def split_faces() -> Figure:
    faces, _ = sv.data.draw_faces(TEST_COUNT, TEST_SEED)
    truth = sv.data.to_float(faces)
    out = sv.inference.reconstruct_all(sv.load_trained("faces", "split-vae"), faces)
    error = (out.x_hat - truth).square().mean().item()
    kind = sv.diagnostics.split_kind(out.sigma_map, truth, out.components)
    print(f"faces: test MSE {error:.5f}; {kind}")
    return sv.plots.split_rows(out, 8, originals=truth)


def sampled_splits(model: sv.VAE, images: Tensor) -> Figure:
    """Samples of a Split VAE from a mixture of 20 Gaussians, fitted on the means of ``images``."""
    mixture = sv.LatentMixture(20).fit(sv.inference.encode_all(model, images)[0])
    return sv.plots.split_rows(sv.sample_mixture(model, mixture, SHOWN, seed=0), SHOWN)


def sampled_digits() -> Figure:
    model = sv.load_trained("mnist-half-width", "vae")
    return sampled_rows(model, sv.data.load("mnist-5k").train, gaussians=20, n=SHOWN)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full-width", type=Path, metavar="RUN")
    run = parser.parse_args().full_width
    digits = sv.data.load("mnist-5k").train
    if run:
        save(sampled_splits(sv.runs.Run.open(run).load_model(), digits), "sampled-full-width")
        return
    save(split_faces(), "faces")
    save(
        sampled_splits(sv.load_trained("faces", "split-vae"), sv.data.draw_faces(4000, seed=1)[0]),
        "sampled-faces",
    )
    save(sampled_splits(sv.load_trained("mnist-half-width", "split-vae"), digits), "sampled-splits")
    clothes = sv.data.load("fashion-mnist").train[:4000]
    save(
        sampled_splits(sv.load_trained("fashion-half-width", "split-vae"), clothes),
        "sampled-clothes",
    )
    save(sampled_digits(), "sampled-digits")
    photographs = sv.data.load("folder:cifar10-jpeg?size=32").train[:4000]
    save(
        sampled_splits(sv.load_trained("photographs", "split-vae"), photographs),
        "sampled-photographs",
    )


if __name__ == "__main__":
    main()

"""Draw the pictures of README and docs/results.md from shipped models, into docs/pictures.

    python scripts/draw_pictures.py

The last one wants the photographs of data/README.md, in the folder that SVAE_DATA names.
Prints what the texts beside the pictures say: the faces' mean squared error and kind of split.
"""

from __future__ import annotations

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


def sampled_splits(name: str, images: Tensor) -> Figure:
    """Samples of a Split VAE from a mixture of 20 Gaussians, fitted on the means of ``images``."""
    model = sv.load_trained(name, "split-vae")
    mixture = sv.LatentMixture(20).fit(sv.inference.encode_all(model, images)[0])
    return sv.plots.split_rows(sv.sample_mixture(model, mixture, SHOWN, seed=0), SHOWN)


def sampled_digits() -> Figure:
    model = sv.load_trained("mnist-half-width", "vae")
    return sampled_rows(model, sv.data.load("mnist-5k").train, gaussians=20, n=SHOWN)


def main() -> None:
    save(split_faces(), "faces")
    digits = sv.data.load("mnist-5k").train
    save(sampled_splits("faces", sv.data.draw_faces(4000, seed=1)[0]), "sampled-faces")
    save(sampled_splits("mnist-half-width", digits), "sampled-splits")
    clothes = sv.data.load("fashion-mnist").train[:4000]
    save(sampled_splits("fashion-half-width", clothes), "sampled-clothes")
    save(sampled_digits(), "sampled-digits")
    photographs = sv.data.load("folder:cifar10-jpeg?size=32").train[:4000]
    save(sampled_splits("photographs", photographs), "sampled-photographs")


if __name__ == "__main__":
    main()

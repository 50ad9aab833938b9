"""Draw the README's picture from the shipped Split VAE: docs/pictures/split.png."""

from __future__ import annotations

from pathlib import Path

import svae_lib as sv
from svae_lib.support.files import atomic_path

ROOT = Path(__file__).parent.parent


def main() -> None:
    model = sv.load_trained("quick", "split-vae")
    test = sv.data.load("mnist-5k").test[:10]
    out = sv.inference.reconstruct_all(model, test)
    figure = sv.plots.split_rows(out, 10, originals=test)
    with atomic_path(ROOT / "docs" / "pictures" / "split.png", overwrite=True) as temporary:
        temporary.write_bytes(sv.plots.png(figure))


if __name__ == "__main__":
    main()

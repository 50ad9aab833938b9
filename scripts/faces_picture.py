"""Draw held-out faces and what the shipped Split VAE makes of them: docs/pictures/faces.png.

Prints the mean squared error on the 1,000 test faces and the kind of split, for the README.
"""

from __future__ import annotations

from pathlib import Path

import svae_lib as sv
from svae_lib.data.toy_faces import TEST_COUNT, TEST_SEED
from svae_lib.support.files import atomic_path

ROOT = Path(__file__).parent.parent


def main() -> None:
    model = sv.load_trained("faces", "split-vae")
    faces, _ = sv.data.draw_faces(TEST_COUNT, TEST_SEED)
    truth = sv.data.to_float(faces)
    out = sv.inference.reconstruct_all(model, faces)
    error = (out.x_hat - truth).square().mean().item()
    print(
        f"test MSE {error:.5f}; {sv.diagnostics.split_kind(out.sigma_map, truth, out.components)}"
    )
    figure = sv.plots.split_rows(sv.inference.reconstruct_all(model, faces[:8]), 8, originals=truth)
    with atomic_path(ROOT / "docs" / "pictures" / "faces.png", overwrite=True) as temporary:
        temporary.write_bytes(sv.plots.png(figure))


if __name__ == "__main__":
    main()

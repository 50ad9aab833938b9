"""What more training buys: pictures of the larger models that come with the course."""

from __future__ import annotations

from matplotlib.figure import Figure

from .. import plots
from ..data import draw_faces, to_float
from ..data.toy_faces import TEST_SEED
from ..inference import decode_all, encode_all, reconstruct_all
from ..models import parameter_count
from ..sampling import interpolate
from ..support.files import embedded
from .checkpoints import load_model, read_about

SHOWN = 8  # images per row


def larger_models() -> list[tuple[str, Figure, str]]:
    """Heading, figure and caption of each picture; takes some seconds."""
    file = embedded("trained") / "faces-split-vae.safetensors"
    model, about = load_model(file), read_about(file)
    faces, _ = draw_faces(SHOWN, TEST_SEED)
    truth = to_float(faces)
    out = reconstruct_all(model, faces)
    error = (out.x_hat - truth).square().mean().item()
    mu, _ = encode_all(model, faces)
    walk = decode_all(model, interpolate(mu[0], mu[1], SHOWN)).x_hat
    trained = (
        f"A Split VAE of {parameter_count(model):,} parameters after {about['steps']:,} steps of "
        f"{about['train']['batch_size']} drawn faces."
    )
    return [
        (
            "Faces never seen",
            plots.split_rows(out, SHOWN, originals=truth),
            f"{trained} The mean squared error on these is {error:.4f}.",
        ),
        (
            "From one face to another",
            plots.interpolation(walk[None]),
            "Latent vectors on the way between the first two faces above, decoded.",
        ),
    ]

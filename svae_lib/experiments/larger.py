"""What more training buys: pictures of the larger models that come with the course."""

from torch import Tensor

from .. import plots
from ..data import draw_faces, load, to_float
from ..data.toy_faces import TEST_SEED
from ..inference import decode_all, encode_all, reconstruct_all
from ..models import VAE, parameter_count
from ..sampling import LatentMixture, interpolate, sample_mixture, sample_prior
from .checkpoints import load_model, read_about, shipped

SHOWN = 8  # images per row


def larger_models() -> list[tuple[str, plots.AltFigure, str]]:
    """Heading, figure and caption of each picture, in a section of their own; takes seconds."""
    faces, _ = draw_faces(SHOWN, TEST_SEED)
    truth = to_float(faces)
    model, trained = _trained("faces-split-vae")
    out = reconstruct_all(model, faces)
    error = (out.x_hat - truth).square().mean().item()
    mu, _ = encode_all(model, faces)
    walk = decode_all(model, interpolate(mu[0], mu[1], SHOWN)).x_hat
    clothes, trained_clothes = _trained("fashion-half-width-split-vae")
    vae, trained_vae = _trained("mnist-half-width-vae")
    panels = [
        (
            "Split VAE: faces never seen",
            plots.split_rows(out, SHOWN, originals=truth),
            f"{trained} The mean squared error on these is {error:.4f}.",
        ),
        (
            "Split VAE: from one face to another",
            plots.interpolation(walk[None]),
            "Latent vectors on the way between the first two faces above, decoded.",
        ),
        (
            "Split VAE: clothes that nobody made",
            plots.split_rows(sample_prior(clothes, SHOWN, seed=2), SHOWN),
            f"{trained_clothes} Latent vectors from the prior.",
        ),
        (
            "VAE: digits",
            sampled_rows(vae, load("mnist-5k").train[:1000], gaussians=10, n=SHOWN),
            f"{trained_vae} Latent vectors from the prior, and from a mixture of 10 Gaussians.",
        ),
    ]
    for _, figure, _ in panels:
        figure.section = "what a larger model buys"
    return panels


def _trained(name: str) -> tuple[VAE, str]:
    """A model of the course, and how it was trained, in a sentence."""
    model, about = load_model(shipped(name)), read_about(shipped(name))
    return model, (
        f"{parameter_count(model):,} parameters, trained for {about['steps']:,} steps of "
        f"{about['train']['batch_size']} images of {about['data']}."
    )


def sampled_rows(model: VAE, images: Tensor, *, gaussians: int, n: int) -> plots.AltFigure:
    """Samples from the prior, and from a mixture fitted on the posterior means of ``images``."""
    mixture = LatentMixture(gaussians).fit(encode_all(model, images)[0])
    samples = sample_prior(model, n).x_hat, sample_mixture(model, mixture, n).x_hat
    return plots.image_rows(dict(zip(("prior", "mixture"), samples, strict=True)))

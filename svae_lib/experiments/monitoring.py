"""Watching a long run: validation loss, sample pictures.

Neither changes PyTorch's random generators or the model's mode: training is the same without them.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..baselines import is_deterministic
from ..data import to_float
from ..inference import decode_all, encode_all, reconstruct_all
from ..likelihood import mean_squared_error
from ..models import VAE
from ..objective import kl_divergence
from ..sampling import prior_latents
from ..support.checks import check_counts
from ..support.files import atomic_path
from ..training import Trainer

_SEED = 0  # of noise and latent vectors, which are the same at every call


@dataclass(frozen=True)
class Validation:
    """How well a model explains images that it was not trained on; means over the images."""

    loss: float
    """The training objective at its best gamma, in nats per image: see :func:`validate`."""
    mse: float
    """Squared error per pixel and channel of one sample of the posterior per image."""
    kl: float
    """KL divergence in nats per image."""


def validate(model: VAE, images: Tensor, beta: float = 1.0, *, batch_size: int = 500) -> Validation:
    """Loss on held-out images that can be compared between steps and between runs.

    The training loss cannot: its gamma falls all the time. With the constant that training drops,
    an image of D values costs MSE D / (2 gamma) + D/2 log(2 pi gamma) + beta KL; gamma = MSE
    makes that least (Dai and Wipf, ICLR 2019, section 4), which leaves

        D/2 (log(2 pi MSE) + 1) + beta KL.

    With beta = 1 it is the negative ELBO at the best gamma. It may be negative, being a density's.

    Args:
        model: in any mode; BatchNorm uses its running statistics here.
        images: uint8 (N, C, S, S).
        beta: weight of the KL divergence in training.
    """
    with _evaluating(model):
        mu, log_var = encode_all(model, images, batch_size)
        z = mu + prior_latents(len(mu), mu.shape[1], _SEED) * torch.exp(0.5 * log_var)
        mse = mean_squared_error(model, images, z, batch_size)
    kl = 0.0 if is_deterministic(model) else kl_divergence(mu, log_var).mean().item()
    rate = images[0].numel() / 2 * (math.log(2 * math.pi * max(mse, 1e-12)) + 1)
    return Validation(rate + beta * kl, mse, kl)


@contextmanager
def _evaluating(model: VAE) -> Iterator[VAE]:
    training = model.training
    try:
        yield model.eval()
    finally:
        model.train(training)


class SamplePictures:
    """Draws ``samples-STEP.png`` every so often: images, their reconstructions, new images.

    For ``on_log`` of :meth:`svae_lib.training.Trainer.fit` and ``Run.train``. The images, the
    first ``columns`` of uint8 (N, C, S, S), and the latent vectors are the same every time, so the
    pictures can be compared. One is also drawn at the last step.
    """

    def __init__(self, folder: Path, images: Tensor, every: int = 1000, columns: int = 10) -> None:
        check_counts(every=every, columns=columns)
        self.folder, self.every = folder, every
        self.images = images[:columns].clone()

    def __call__(self, trainer: Trainer) -> None:
        """Draw, if a multiple of ``every`` has been passed since the last entry."""
        before, step = [0, *trainer.history["step"]][-2:]
        if step == trainer.config.steps or step // self.every > before // self.every:
            self.draw(trainer.model, trainer.step)

    def draw(self, model: VAE, step: int) -> Path:
        """Draw the picture of a step, over an older one, and return its path."""
        from torchvision.utils import save_image  # here: its import takes seconds

        z = prior_latents(len(self.images), model.config.latent_dim, _SEED)
        with _evaluating(model):
            rebuilt, new = reconstruct_all(model, self.images).x_hat, decode_all(model, z).x_hat
        rows = torch.cat((to_float(self.images), rebuilt, new))
        path = self.folder / f"samples-{step}.png"
        with atomic_path(path, overwrite=True) as temporary:
            save_image(rows, temporary, nrow=len(z), padding=2, pad_value=1.0)
        return path

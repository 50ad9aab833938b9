"""More of notebook 01_vanilla_vae: the forward pass of a VAE, and a step of its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .compare import blank
from .exercise import Exercise, Function, Mistake, draw_sizes

NOTEBOOK = "01_vanilla_vae"
Network = Callable[[Tensor], Tensor]


# ------------------------------------------------------------------ x to x_hat


def vae_forward(
    x: Tensor, noise: Tensor, encoder: Network, decoder: Network
) -> tuple[Tensor, Tensor, Tensor]:
    """Encode, draw one z for each image, decode.

    Args:
        x: images (N, ...).
        noise: standard Gaussian (N, L).
        encoder: maps x to (N, 2L): mu first, then log_var.
        decoder: maps z (N, L) to images.

    Returns:
        x_hat, mu (N, L) and log_var (N, L).
    """
    mu, log_var = encoder(x).chunk(2, dim=1)
    z = mu + torch.exp(0.5 * log_var) * noise
    return decoder(z), mu, log_var


@dataclass(frozen=True)
class _Linear:
    """A linear map, with a sigmoid where asked for; unlike a lambda it can be pickled."""

    matrix: Tensor
    sigmoid: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        mapped = x @ self.matrix
        return torch.sigmoid(mapped) if self.sigmoid else mapped


def _networks(g: torch.Generator) -> tuple[Tensor, Tensor, Network, Network]:
    """Images of D pixels, L latent variables, and two linear maps."""
    n, d, latent = draw_sizes(g, 3)
    encode, decode = (
        torch.randn(d, 2 * latent, generator=g) / 3,
        torch.randn(latent, d, generator=g),
    )
    x, noise = torch.rand(n, d, generator=g), torch.randn(n, latent, generator=g)
    return x, noise, _Linear(encode), _Linear(decode, sigmoid=True)


def _with(z_of: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Function:
    """A forward pass that draws z in another way."""

    def forward(x: Tensor, noise: Tensor, encoder: Network, decoder: Network) -> Any:
        mu, log_var = encoder(x).chunk(2, dim=1)
        return decoder(z_of(mu, log_var, noise)), mu, log_var

    return forward


def _halves_swapped(x: Tensor, noise: Tensor, encoder: Network, decoder: Network) -> Any:
    log_var, mu = encoder(x).chunk(2, dim=1)
    return decoder(mu + torch.exp(0.5 * log_var) * noise), mu, log_var


def _alternating(x: Tensor, noise: Tensor, encoder: Network, decoder: Network) -> Any:
    both = encoder(x)
    mu, log_var = both[:, ::2], both[:, 1::2]
    return decoder(mu + torch.exp(0.5 * log_var) * noise), mu, log_var


def _z_returned(x: Tensor, noise: Tensor, encoder: Network, decoder: Network) -> Any:
    mu, log_var = encoder(x).chunk(2, dim=1)
    z = mu + torch.exp(0.5 * log_var) * noise
    return decoder(z), z, log_var


def _and_back(function: Function, inputs: tuple[Any, ...]) -> Any:
    """The three results, and whether their gradient finds all of the way back to the encoder."""
    x, noise, encoder, decoder = inputs
    leaf = encoder.matrix.clone().requires_grad_()
    encoder = replace(encoder, matrix=leaf)
    value = function(x, noise, encoder, decoder)
    if not isinstance(value, tuple | list) or len(value) != 3 or blank(value):
        return value
    whole = all(isinstance(v, Tensor) and v.requires_grad for v in value)
    if whole and value[0].grad_fn:  # none: from another process, whose graph stays there
        right = _gradient(vae_forward(x, noise, encoder, decoder), leaf)
        try:
            whole = torch.allclose(_gradient(value, leaf), right, 1e-4, float(right.norm()) / 1e5)
        except RuntimeError:  # an argument was changed, which is said elsewhere
            whole = False
    return (*value, whole)


def _gradient(results: Sequence[Tensor], leaf: Tensor) -> Tensor:
    total = torch.stack([r.square().sum() for r in results]).sum()
    return torch.autograd.grad(total, leaf, allow_unused=True, materialize_grads=True)[0]


VAE_FORWARD = Exercise(
    name="vae_forward",
    notebook=NOTEBOOK,
    reference=vae_forward,
    inputs=_networks,
    observe=_and_back,
    mistakes=(
        Mistake(
            "no noise",
            _with(lambda mu, log_var, noise: mu),
            "You decode mu itself: that is an autoencoder. Training draws z = mu + s * noise.",
        ),
        Mistake(
            "variance for standard deviation",
            _with(lambda mu, log_var, noise: mu + torch.exp(log_var) * noise),
            "exp(log_var) is the variance; the noise is multiplied by its root, exp(log_var / 2).",
        ),
        Mistake(
            "log_var as it is",
            _with(lambda mu, log_var, noise: mu + log_var * noise),
            "log_var is a logarithm, and may be negative: s = exp(log_var / 2).",
        ),
        Mistake(
            "noise alone",
            _with(lambda mu, log_var, noise: noise),
            "You decode the noise: that draws from the prior, and the image plays no part.",
        ),
        Mistake(
            "noise of its own",
            _with(lambda mu, log_var, noise: mu + (log_var / 2).exp() * torch.randn_like(noise)),
            "You draw noise of your own. Use the argument: then the same noise gives the same z.",
        ),
        Mistake(
            "halves swapped",
            _halves_swapped,
            "mu and log_var have changed places: the encoder emits mu first.",
        ),
        Mistake(
            "every second output",
            _alternating,
            "mu are the first L outputs of the encoder and log_var the last L, not every second "
            "one: chunk(2, dim=1).",
        ),
        Mistake(
            "z in place of mu",
            _z_returned,
            "You return z where mu is asked for. The KL divergence needs the posterior's mean.",
        ),
        Mistake(
            "gradient cut",
            _with(lambda mu, log_var, noise: (mu + (log_var / 2).exp() * noise).detach()),
            "The numbers are right, but their gradient is cut: the loss could not teach the "
            "encoder. Leave out .detach() and torch.no_grad().",
        ),
    ),
    hints=(
        "Three lines: encode and cut in two; draw z; decode.",
        "encoder(x).chunk(2, dim=1) gives mu and log_var; z comes from your reparameterise.",
        "mu, log_var = encoder(x).chunk(2, dim=1); then decoder(mu + (0.5 * log_var).exp() * "
        "noise), mu, log_var.",
    ),
)


# ------------------------------------------------------------------ one step of training

LossOf = Callable[[Tensor, Tensor], Tensor]


def training_step(theta: Tensor, loss_of: LossOf, x: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """One step of gradient descent.

    Args:
        theta: all parameters in one vector (P,), without a gradient.
        loss_of: maps parameters and a batch to the loss, a scalar.
        x: the batch.
        rate: the learning rate.

    Returns:
        The loss before the step, and the parameters after it, (P,); neither has a gradient.
    """
    leaf = theta.detach().requires_grad_()
    loss = loss_of(leaf, x)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), theta - rate * gradient


def _training(g: torch.Generator) -> tuple[Tensor, LossOf, Tensor, float]:
    """P parameters, the loss of a small network, a batch (N, P) and a learning rate."""
    n, p = draw_sizes(g, 2, low=3)
    rate = 0.05 + 0.1 * float(torch.rand((), generator=g))
    return torch.randn(p, generator=g), _loss, torch.randn(n, p, generator=g), rate


def _loss(theta: Tensor, x: Tensor) -> Tensor:
    return (torch.tanh(x @ theta) - theta.square().sum() / 4).square().mean()


def _step(
    sign: float = -1,
    rated: bool = True,
    late: bool = False,
    normed: bool = False,
    kept: bool = False,
) -> Function:
    """A training step with one thing wrong."""

    def step(theta: Tensor, loss_of: LossOf, x: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        leaf = theta.detach().requires_grad_()
        loss = loss_of(leaf, x)
        (gradient,) = torch.autograd.grad(loss, leaf)
        if normed:
            gradient = gradient / gradient.norm()
        after = theta + sign * (rate if rated else 1.0) * gradient
        found = loss_of(after, x) if late else loss
        return found if kept else found.detach(), after

    return step


def _free(function: Function, inputs: tuple[Any, ...]) -> Any:
    """The two results, and whether both are free of a gradient."""
    value = function(*inputs)
    if not isinstance(value, tuple | list) or len(value) != 2 or blank(value):
        return value
    return (*value, not any(isinstance(v, Tensor) and v.requires_grad for v in value))


TRAINING_STEP = Exercise(
    name="training_step",
    notebook=NOTEBOOK,
    reference=training_step,
    inputs=_training,
    observe=_free,
    mistakes=(
        Mistake(
            "uphill",
            _step(sign=1),
            "You move along the gradient, uphill. Descent subtracts it.",
        ),
        Mistake(
            "learning rate forgotten",
            _step(rated=False),
            "You subtract the whole gradient. The learning rate says how much of it.",
        ),
        Mistake(
            "no step",
            lambda theta, loss_of, x, rate: (loss_of(theta, x), theta.clone()),
            "The parameters stay where they were: subtract rate times the gradient.",
        ),
        Mistake(
            "loss after the step",
            _step(late=True),
            "You return the loss after the step. Asked for is the one before it.",
        ),
        Mistake(
            "gradient of length 1",
            _step(normed=True),
            "You divide the gradient by its length. Its length belongs to the step.",
        ),
        Mistake(
            "gradient kept",
            _step(kept=True),
            "The numbers are right, but a gradient still hangs on a result, and with it memory for "
            "the whole computation, step after step. Return both detached: loss.detach(), and "
            "theta - rate * gradient from theta, not from the leaf.",
        ),
    ),
    hints=(
        "Three things: compute the loss, find its gradient, move against it.",
        "With leaf = theta.detach().requires_grad_() and loss = loss_of(leaf, x), "
        "torch.autograd.grad(loss, leaf) is a tuple that holds the gradient.",
        "loss = loss_of(leaf, x); (gradient,) = torch.autograd.grad(loss, leaf); return "
        "loss.detach(), theta - rate * gradient.",
    ),
)

EXERCISES = (VAE_FORWARD, TRAINING_STEP)

"""More of notebook 01_vanilla_vae: the forward pass of a VAE, and a step of its training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .exercise import Exercise, Function, Mistake

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


def _networks(g: torch.Generator) -> tuple[Tensor, Tensor, Network, Network]:
    """Images of 7 pixels, 3 latent variables, and two linear maps; 4 to 6 images."""
    n = int(torch.randint(4, 7, (), generator=g))
    encode, decode = torch.randn(7, 6, generator=g) / 3, torch.randn(3, 7, generator=g)
    x, noise = torch.rand(n, 7, generator=g), torch.randn(n, 3, generator=g)
    return x, noise, lambda x: x @ encode, lambda z: torch.sigmoid(z @ decode)


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


VAE_FORWARD = Exercise(
    name="vae_forward",
    notebook=NOTEBOOK,
    reference=vae_forward,
    inputs=_networks,
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
    ),
    hints=(
        "Three lines: encode and cut in two; draw z; decode.",
        "encoder(x).chunk(2, dim=1) gives mu and log_var; z comes from your reparameterise.",
        "mu, log_var = encoder(x).chunk(2, dim=1); then decoder(mu + (0.5 * log_var).exp() * "
        "noise), mu, log_var.",
    ),
)


# ------------------------------------------------------------------ one step of training


def training_step(
    parameters: list[Tensor], loss_of: Callable[[Tensor], Tensor], x: Tensor, rate: float
) -> float:
    """One step of gradient descent, in place: every parameter moves by -rate times its gradient.

    Args:
        parameters: tensors that require gradients, of which some may hold old ones.
        loss_of: maps a batch to its loss, a scalar.
        x: the batch.
        rate: the learning rate.

    Returns:
        The loss before the step, as a number.
    """
    for p in parameters:
        p.grad = None
    loss = loss_of(x)
    loss.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for p in parameters:
            p -= rate * p.grad  # type: ignore[operator]
    return float(loss)


def _training(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor, float]:
    """Weights (5, 3), old gradients of them, a batch (N, 5) and a learning rate."""
    n = int(torch.randint(6, 10, (), generator=g))
    rate = 0.05 + 0.1 * float(torch.rand((), generator=g))
    weights, old = torch.randn(2, 5, 3, generator=g)
    return weights, old, torch.randn(n, 5, generator=g), rate


def _after(function: Function, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The loss, the parameter after one step, and after a second one."""
    weights, old, x, rate = inputs
    p = nn.Parameter(weights.clone())
    p.grad = old.clone()

    def loss_of(x: Tensor) -> Tensor:
        return torch.tanh(x @ p).square().sum(dim=1).mean()

    loss = function([p], loss_of, x, rate)
    first = p.detach().clone()
    function([p], loss_of, x, rate)
    return loss, first, p.detach().clone()


def _step(
    *, clear: bool = True, sign: float = -1, rated: bool = True, returns: Any = None
) -> Function:
    """A training step with one thing wrong."""

    def step(
        parameters: list[Tensor], loss_of: Callable[[Tensor], Tensor], x: Tensor, rate: float
    ) -> Any:
        if clear:
            for p in parameters:
                p.grad = None
        loss = loss_of(x)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for p in parameters:
                p += sign * (rate if rated else 1.0) * p.grad  # type: ignore[operator]
        return float(loss) if returns is None else returns(loss_of, x)

    return step


def _no_step(
    parameters: list[Tensor], loss_of: Callable[[Tensor], Tensor], x: Tensor, rate: float
) -> float:
    loss = loss_of(x)
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss)


TRAINING_STEP = Exercise(
    name="training_step",
    notebook=NOTEBOOK,
    reference=training_step,
    inputs=_training,
    observe=_after,
    tries=("The loss", "After one step, the parameter", "After a second step, the parameter"),
    mistakes=(
        Mistake(
            "gradients not cleared",
            _step(clear=False),
            "backward adds to the gradients that are there already. Clear them first: "
            "p.grad = None.",
        ),
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
            _no_step,
            "The gradients are there, and nobody moves the parameters: p -= rate * p.grad.",
        ),
        Mistake(
            "loss after the step",
            _step(returns=lambda loss_of, x: float(loss_of(x))),
            "You return the loss after the step. Asked for is the one that was minimised.",
        ),
    ),
    hints=(
        "Four things: clear old gradients, compute the loss, call backward, move the parameters.",
        "Moving must not be recorded for another gradient: with torch.no_grad().",
        "for p in parameters: p.grad = None; loss = loss_of(x); loss.backward(); then in "
        "no_grad p -= rate * p.grad for each; return loss.item().",
    ),
)

EXERCISES = (VAE_FORWARD, TRAINING_STEP)

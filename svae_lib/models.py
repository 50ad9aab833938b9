"""The variational autoencoder and the Split VAE: encoder, latent variables, decoder, split.

Both share every layer but the last convolution's width. Read top-down; a comment marks each
change of shape. N images, C channels, S x S pixels, L latent variables, E embedding width.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DownConv, ResBlock, ResFCBlock, UpConv, conv3x3, keras_init_
from .objective import Loss, variational_loss
from .presets import ModelConfig, check_config
from .support.checks import InputError, check_images, check_tensors

DECODER_START = 4  # the decoder begins with 4x4 pixels


class Encoder(nn.Module):
    """Images to embeddings: strided convolutions with residual blocks between them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.base_dim
        layers: list[nn.Module] = [DownConv(config.channels, dim)]
        for _ in range(config.num_scales - 1):
            layers += [ResBlock(dim, dim, config.norm_momentum), DownConv(dim, 2 * dim)]
            dim *= 2
        self.convolutions = nn.Sequential(*layers)
        self.head = ResFCBlock(dim, config.embedding_dim, config.norm_momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, S, S) to (N, E)."""
        h = self.convolutions(x)  # (N, base_dim * 2^(scales-1), S / 2^scales, S / 2^scales)
        h = h.mean(dim=(2, 3))  # (N, base_dim * 2^(scales-1)): global average pool
        out: Tensor = self.head(h)
        return out


class Latent(nn.Module):
    """The bottleneck: an embedding to the Gaussian posterior, and a latent vector back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.mu = nn.Linear(config.embedding_dim, config.latent_dim)
        self.log_var = nn.Linear(config.embedding_dim, config.latent_dim)
        self.back = nn.Linear(config.latent_dim, config.embedding_dim)

    def posterior(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, E) to mu and log_var, each float32 (N, L)."""
        return self.mu(embedding).float(), self.log_var(embedding).float()


class Decoder(nn.Module):
    """Embeddings to the logits of ``out_channels`` maps."""

    def __init__(self, config: ModelConfig, out_channels: int) -> None:
        super().__init__()
        doublings = int(math.log2(config.image_size // DECODER_START))
        dims = [config.base_dim * 2**i for i in range(doublings, -1, -1)]  # 512, 256, 128, 64
        self.start = nn.Linear(config.embedding_dim, DECODER_START**2 * dims[0])
        layers: list[nn.Module] = []
        for coarse, fine in pairwise(dims):
            layers += [UpConv(coarse, fine), ResBlock(fine, fine, config.norm_momentum)]
        self.convolutions = nn.Sequential(*layers, conv3x3(dims[-1], out_channels))

    def forward(self, embedding: Tensor) -> Tensor:
        """Map (N, E) to (N, out_channels, S, S)."""
        h = self.start(embedding)
        h = h.unflatten(1, (DECODER_START, DECODER_START, -1))  # Keras' order: row, column, channel
        h = h.permute(0, 3, 1, 2)  # (N, dims[0], 4, 4)
        return self.convolutions(h)  # type: ignore[no-any-return]


@dataclass
class Decoded:
    """What a decoder gives; a plain VAE has no components.

    ``x1`` and ``x2`` are the first two components. With K above 2 the others have no name of
    their own: the third is ``components[:, 2]``, its weight ``weights[:, 2]``.
    """

    x_hat: Tensor
    """The image: float (N, C, S, S) in [0, 1]."""
    components: Tensor | None = None
    """The K images that are mixed: float (N, K, C, S, S) in [0, 1]."""
    weights: Tensor | None = None
    """Their weights: float (N, K, 1, S, S), each pixel's K weights summing to 1."""

    @property
    def x1(self) -> Tensor:
        """First image, (N, C, S, S)."""
        return self._need(self.components)[:, 0]

    @property
    def x2(self) -> Tensor:
        """Second image, (N, C, S, S)."""
        return self._need(self.components)[:, 1]

    @property
    def sigma_map(self) -> Tensor:
        """Weight of the first image, (N, 1, S, S): the paper's sigma."""
        return self._need(self.weights)[:, 0]

    @staticmethod
    def _need(value: Tensor | None) -> Tensor:
        if value is None:
            raise InputError("a plain VAE has no components and no sigma map: use a SplitVAE.")
        return value


@dataclass(kw_only=True)
class Output(Decoded):
    """A decoder's result with the posterior that it came from."""

    mu: Tensor
    """Posterior means, float (N, L)."""
    log_var: Tensor
    """Logarithms of the posterior variances, float (N, L)."""
    z: Tensor
    """The latent vectors that were decoded, float (N, L)."""


class VAE(nn.Module):
    """Variational autoencoder with the paper's encoder and decoder and a plain C-channel head.

    The decoder's maps pass a sigmoid: Kingma and Welling, arXiv:1312.6114, with the residual
    network of the Split VAE's authors.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        check_config(config, ModelConfig)
        self.config = config
        self.encoder: nn.Module = Encoder(config)
        self.latent = Latent(config)
        self.decoder: nn.Module = Decoder(config, self.head_channels(config))
        self.apply(keras_init_)

    @staticmethod
    def head_channels(config: ModelConfig) -> int:
        """Maps that the decoder emits."""
        return config.channels

    def head(self, logits: Tensor) -> Decoded:
        """Turn the decoder's logits (N, head_channels, S, S) into an image."""
        return Decoded(x_hat=torch.sigmoid(logits))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior means and log-variances, each (N, L), of images (N, C, S, S) in [0, 1].

        Raises:
            InputError: not float images of this model's size with values in [0, 1] (the range is
                not checked while training on a GPU: that forces a sync); or a single image in
                training mode, where BatchNorm needs more.
        """
        if not torch.compiler.is_compiling():
            syncs = self.training and isinstance(x, Tensor) and x.device.type != "cpu"
            size, slack = self.config.image_size, math.inf if syncs else 0.0
            check_images(x, channels=self.config.channels, image_size=size, slack=slack)
            x = x.to(self.latent.back.weight.dtype)  # NumPy's floats are float64
        return self.latent.posterior(self.encoder(x))  # type: ignore[no-any-return]

    def decode(self, z: Tensor) -> Decoded:
        """Decode latent vectors (N, L): images (N, C, S, S), and a SplitVAE's components."""
        check_tensors(z=z)
        if z.ndim != 2 or z.shape[1] != self.config.latent_dim:
            raise InputError(
                f"z must have the shape (N, {self.config.latent_dim}), not {tuple(z.shape)}."
            )
        embedding = self.latent.back(z.to(self.latent.back.weight.dtype))
        return self.head(self.decoder(embedding).float())  # bf16 has too few greys

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Output:
        """Encode, sample z = mu + noise * exp(log_var / 2), decode.

        Args:
            x: images, float (N, C, S, S) in [0, 1].
            noise: standard Gaussian (N, L), drawn when None; zeros give the posterior mean.
        """
        mu, log_var = self.encode(x)
        noise = torch.randn_like(mu) if noise is None else noise
        if noise.shape != mu.shape:
            raise InputError(f"noise must have the shape {(*mu.shape,)}, not {(*noise.shape,)}.")
        z = mu + noise * torch.exp(0.5 * log_var)  # the reparameterisation trick
        out = self.decode(z)
        return Output(out.x_hat, out.components, out.weights, mu=mu, log_var=log_var, z=z)

    def reconstruct(self, x: Tensor) -> Output:
        """Encode images (N, C, S, S) and decode their posterior means: no randomness."""
        check_tensors(images=x)
        return self(x, noise=x.new_zeros(x.shape[0], self.config.latent_dim))  # type: ignore[no-any-return]

    def loss(self, x: Tensor, noise: Tensor, gamma: Tensor | float, beta: float) -> Loss:
        """Training loss of a batch: :func:`svae_lib.objective.variational_loss`.

        Args:
            x: images, float (N, C, S, S) in [0, 1].
            noise: standard Gaussian (N, L).
            gamma: variance of a pixel given the latent variables, above 0.
            beta: weight of the KL divergence.
        """
        out = self(x, noise)
        return variational_loss(x, out.x_hat, out.mu, out.log_var, gamma, beta)


class SplitVAE(VAE):
    """Split VAE: the decoder emits images and a map, and its output is their mixture.

    x_hat = sigma * x1 + (1 - sigma) * x2 (paper, the section on the model; arXiv:2202.02738).
    The last convolution has 1 + 2C channels: sigma, x1, x2, all through a sigmoid. With
    ``components=K`` above 2, it has K + KC: K maps through a softmax, then K images.
    """

    @staticmethod
    def head_channels(config: ModelConfig) -> int:
        """Maps that the decoder emits."""
        images = config.components * config.channels
        return images + (1 if config.components == 2 else config.components)

    def head(self, logits: Tensor) -> Decoded:
        """Turn the decoder's logits (N, head_channels, S, S) into images, weights and mixture."""
        k, c = self.config.components, self.config.channels
        maps, images = logits[:, : -k * c], logits[:, -k * c :]
        components = torch.sigmoid(images).unflatten(1, (k, c))  # (N, K, C, S, S)
        if k == 2:
            sigma = torch.sigmoid(maps)  # (N, 1, S, S)
            weights = torch.stack((sigma, 1 - sigma), dim=1)  # (N, 2, 1, S, S)
        else:
            weights = F.softmax(maps, dim=1).unsqueeze(2)  # (N, K, 1, S, S)
        x_hat = (weights * components).sum(dim=1).clamp(max=1)  # weights round to 1 + 2e-7 at most
        return Decoded(x_hat, components, weights)


def parameter_count(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)

"""The numbers: frozen configurations of a model and of its training, and the named presets.

"Paper" below is A. Asperti, L. Bugo, D. Filippini, "Enhancing variational generation through
self-decomposition", 2022, arXiv:2202.02738; "the authors' code" is github.com/asperti/Split-VAE.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

from .support.checks import InputError, check_counts, check_positive, check_seed

Precision = Literal["auto", "float32", "bf16", "fp16"]
Schedule = Literal["constant", "cosine"]
GammaStart = Literal["one", "data"]


@dataclass(frozen=True)
class ModelConfig:
    """Size and shape of an encoder, a latent space and a decoder."""

    image_size: int = 32
    """Height and width in pixels: 16, 32, 64 or 128."""
    channels: int = 1
    """1 (grey) or 3 (RGB)."""
    latent_dim: int = 32
    """Number of latent variables."""
    base_dim: int = 64
    """Channels at the finest scale; every coarser scale doubles them."""
    embedding_dim: int = 512
    """Width of the vector between the convolutions and the latent variables."""
    num_scales: int = 4
    """Strided convolutions in the encoder."""
    components: int = 2
    """Images that a SplitVAE's decoder emits: 2 in the paper. A VAE ignores it."""
    norm_momentum: float = 0.001
    """Weight of a new batch in BatchNorm's running statistics (Keras' momentum is 1 minus it)."""

    def __post_init__(self) -> None:
        if self.image_size not in (16, 32, 64, 128):
            raise InputError(
                f"image_size must be a power of two from 16 to 128, not {self.image_size!r}: "
                "pad or resize the images."
            )
        if self.channels not in (1, 3):
            raise InputError(f"channels must be 1 (grey) or 3 (RGB), not {self.channels}.")
        check_counts(**{n: v for n, v in vars(self).items() if n != "norm_momentum"})
        if self.image_size >> self.num_scales < 1:
            raise InputError(
                f"num_scales={self.num_scales} halves a {self.image_size}-pixel image below one "
                "pixel: lower num_scales or raise image_size."
            )
        if self.components < 2:
            raise InputError(
                f"components must be at least 2, not {self.components}: one image is a plain VAE."
            )
        check_positive(norm_momentum=self.norm_momentum)
        if self.norm_momentum > 1:
            raise InputError(f"norm_momentum must lie in (0, 1], not {self.norm_momentum}.")
        _to_python(self)


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained."""

    steps: int = 60_000
    """Optimiser steps. The paper does not publish its number of epochs."""
    batch_size: int = 100
    """Images per step, over all processes; the last incomplete batch of an epoch is dropped."""
    accumulate: int = 1
    """Equal parts in which a step's images are processed one after the other, their gradients
    added up: less memory, the same step. BatchNorm's statistics are those of a part."""
    sync_norm: bool = True
    """With several processes: BatchNorm's statistics over the images of all of them, as in a
    single process, instead of each process's own. docs/scaling.md weighs the two."""
    learning_rate: float = 1e-4
    """Adam's learning rate (its peak, where there is a schedule)."""
    schedule: Schedule = "constant"
    """Constant, or a half cosine from the peak down to zero."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly to its peak."""
    beta: float = 1.0
    """Weight of the KL divergence in the loss."""
    gamma_start: GammaStart = "data"
    """First value of gamma: 1 as in the authors' code, or the variance of the training images."""
    grad_clip: float | None = None
    """Largest norm of the gradient; None leaves gradients as they are."""
    precision: Precision = "auto"
    """Arithmetic of the convolutions; "auto" takes the fastest that the processor has in hardware,
    or what the environment variable SVAE_PRECISION says."""
    seed: int = 0
    """Seeds the initial weights, the order of the images and the noise of the latent variables."""
    log_every: int = 20
    """Steps over which each entry of the history is averaged."""

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "accumulate", "log_every")
        check_counts(**{name: getattr(self, name) for name in counts})
        if self.batch_size % self.accumulate:
            raise InputError(
                f"batch_size={self.batch_size} cannot be split into accumulate={self.accumulate} "
                "equal parts: choose a divisor of the batch size."
            )
        check_counts(lowest=0, warmup_steps=self.warmup_steps)
        check_seed(self.seed)
        check_positive(learning_rate=self.learning_rate)
        check_positive(or_zero=True, beta=self.beta)
        if self.grad_clip is not None:
            check_positive(grad_clip=self.grad_clip)
        choices = {"schedule": Schedule, "gamma_start": GammaStart, "precision": Precision}
        for name, known in choices.items():
            if (value := getattr(self, name)) not in get_args(known):
                raise InputError(f"{name} must be one of {get_args(known)}, not {value!r}.")
        _to_python(self)


def _to_python(config: ModelConfig | TrainConfig) -> None:
    """NumPy's and PyTorch's numbers become Python's, which JSON can hold."""
    for field in fields(config):
        value = getattr(config, field.name)
        if hasattr(value, "item"):
            object.__setattr__(config, field.name, value.item())  # the one moment it may change


@dataclass(frozen=True)
class Preset:
    """A model, its training and the data it was meant for."""

    data: str
    """Name for :func:`svae_lib.data.load`."""
    model: ModelConfig
    train: TrainConfig
    source: str
    """Where the numbers come from."""


def check_config(config: object, wanted: type, name: str = "config") -> None:
    """``config`` must be of the type ``wanted``, not a whole preset, say."""
    if isinstance(config, wanted):
        return
    part = "model" if wanted is ModelConfig else "train"
    raise InputError(
        f"{name} must be a {wanted.__name__}, not {type(config).__name__}: pass "
        f'{wanted.__name__}(...), or of a preset its part .{part}, as PRESETS["quick"].{part}.'
    )


_PAPER = "paper and authors' code; the number of steps is ours, since the paper gives none"

_MNIST = Preset(
    data="mnist",
    model=ModelConfig(),
    train=TrainConfig(beta=8.0, gamma_start="one"),
    source=_PAPER,
)
_COMPACT = Preset(
    data="mnist-5k",
    model=ModelConfig(base_dim=24, embedding_dim=256, latent_dim=16, norm_momentum=0.01),
    train=TrainConfig(
        steps=1200,
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=100,
        beta=4.0,
        grad_clip=1.0,  # without it the plain VAE may collapse early: all pixels black, for good
    ),
    source="ours: the paper's network narrowed until its weights fit in 8 MB",
)
_QUICK = Preset(
    data="mnist-5k",
    model=ModelConfig(base_dim=8, embedding_dim=128, latent_dim=16, norm_momentum=0.05),
    train=replace(_COMPACT.train, steps=800, batch_size=50, learning_rate=3e-3, warmup_steps=40),
    source="ours: recognisable digits in about a minute on two laptop cores",
)

PRESETS: dict[str, Preset] = {
    "mnist": _MNIST,
    "fashion-mnist": replace(
        _MNIST,
        data="fashion-mnist",
        source="the paper's MNIST numbers; the paper has no Fashion-MNIST",
    ),
    "cifar10": Preset(
        data="cifar10",
        model=ModelConfig(channels=3, latent_dim=200),
        train=TrainConfig(steps=100_000, beta=3.0, gamma_start="one"),
        source=_PAPER,
    ),
    "celeba": Preset(
        data="celeba",
        model=ModelConfig(image_size=64, channels=3, latent_dim=150),
        train=TrainConfig(steps=160_000, beta=3.0, gamma_start="one"),
        source=_PAPER,
    ),
    "compact": _COMPACT,
    "quick": _QUICK,
    "small": Preset(
        data="mnist-5k",
        model=ModelConfig(latent_dim=16, embedding_dim=256),
        train=TrainConfig(
            steps=1000, learning_rate=3e-3, beta=4.0, precision="float32", log_every=1
        ),
        source="ours: for a SmallVAE, which trains in seconds; notebook 2",
    ),
    "compact-faces": Preset(
        data="toy-faces",
        model=replace(_COMPACT.model, image_size=64, channels=3, base_dim=12, latent_dim=48),
        train=replace(_COMPACT.train, steps=1000, batch_size=64, warmup_steps=80, beta=3.0),
        source="ours: the paper's CelebA network narrowed, for the drawn faces",
    ),
    "quick-faces": Preset(
        data="toy-faces",
        model=replace(_QUICK.model, image_size=64, channels=3, latent_dim=32),
        train=replace(_QUICK.train, steps=600, beta=3.0),
        source="ours: the preset quick for the drawn faces, some minutes on two laptop cores",
    ),
    "quick-cifar10": Preset(
        data="cifar10",
        model=replace(_QUICK.model, channels=3, base_dim=12, latent_dim=64, norm_momentum=0.01),
        train=replace(_COMPACT.train, steps=2000, batch_size=64, beta=3.0),
        source="ours: the paper's CIFAR-10 network narrowed, some minutes on two laptop cores",
    ),
}
"""Complete sets of numbers by name: data, model and training."""

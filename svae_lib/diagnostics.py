"""Numbers about a trained model: which latent variables work, and what kind of split it made.

Every function takes tensors, wherever they live, and computes in float64 on the CPU without
gradients. N images, C channels, H x W pixels, L latent variables, K components.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .validation import InputError

# ------------------------------------------------------------------ latent variables


@dataclass(frozen=True)
class LatentStatistics:
    """Statistics of the posterior over a data set, per latent variable: float64 (L,) each."""

    variance_of_means: Tensor
    """var(mu): how far the posterior means spread over the images."""
    mean_variance: Tensor
    """mean(exp(log_var)): how wide the posteriors are, on average."""
    inactive: Tensor
    """bool (L,): True where the variable carries (almost) nothing about the image."""
    lowest_variance_of_means: float = 0.05
    """A var(mu) below it makes a variable inactive."""
    highest_mean_variance: float = 0.95
    """A mean(exp(log_var)) above it makes a variable inactive."""

    @property
    def law(self) -> Tensor:
        """Variance of the aggregate posterior, the sum of the two: near 1 by the variance law."""
        return self.variance_of_means + self.mean_variance

    @property
    def latent_dim(self) -> int:
        """Number of latent variables, L."""
        return len(self.inactive)

    @property
    def active_count(self) -> int:
        """Number of variables that are not inactive."""
        return int((~self.inactive).sum())

    def summary(self) -> dict[str, float]:
        """The statistics as numbers for a table or a JSON file."""
        return {
            "latent_dim": self.latent_dim,
            "active": self.active_count,
            "inactive": self.latent_dim - self.active_count,
            "law_mean": self.law.mean().item(),
            "law_lowest": self.law.min().item(),
            "law_highest": self.law.max().item(),
        }

    def __str__(self) -> str:
        s = self.summary()
        return (
            f"{s['active']} of {s['latent_dim']} latent variables are active; variance law: "
            f"{s['law_mean']:.2f} on average ({s['law_lowest']:.2f} to {s['law_highest']:.2f}), "
            "1 expected"
        )


def latent_statistics(
    mu: Tensor,
    log_var: Tensor,
    *,
    lowest_variance_of_means: float = 0.05,
    highest_mean_variance: float = 0.95,
) -> LatentStatistics:
    """Statistics of the posteriors N(mu, exp(log_var)) of N images.

    The aggregate posterior is the mixture of all N posteriors; by the law of total variance its
    variance is var(mu) + mean(exp(log_var)). Where it matches the prior N(0, 1) the sum is 1: the
    "variance law" (A. Asperti, M. Trentin, "Balancing reconstruction error and Kullback-Leibler
    divergence in variational autoencoders", IEEE Access 8, 2020). A variable is inactive when its
    means hardly move, or when its posterior is about as wide as the prior.

    Args:
        mu: posterior means, float (N, L), N at least 2.
        log_var: logarithms of the posterior variances, float (N, L).
        lowest_variance_of_means: a var(mu) below it makes a variable inactive (default: the
            authors' .05).
        highest_mean_variance: a mean(exp(log_var)) above it does so too (default: the authors'
            .95).

    Raises:
        InputError: other shapes, fewer than two images, NaN or infinity.
    """
    if mu.ndim != 2 or mu.shape != log_var.shape:
        raise InputError(
            "mu and log_var must both have the shape (N, latent_dim), not "
            f"{tuple(mu.shape)} and {tuple(log_var.shape)}."
        )
    if mu.shape[0] < 2 or mu.shape[1] < 1:
        raise InputError(
            f"statistics need at least two images and one latent variable, not {tuple(mu.shape)}."
        )
    mu, log_var = _double(mu), _double(log_var)
    if not (mu.isfinite().all() and log_var.isfinite().all()):
        raise InputError("mu and log_var contain NaN or infinity: has the training diverged?")
    variance_of_means = mu.var(dim=0, correction=0)  # (L,)
    mean_variance = log_var.exp().mean(dim=0)  # (L,)
    inactive = (variance_of_means < lowest_variance_of_means) | (
        mean_variance > highest_mean_variance
    )
    return LatentStatistics(
        variance_of_means,
        mean_variance,
        inactive,
        lowest_variance_of_means,
        highest_mean_variance,
    )


# ------------------------------------------------------------------ sigma's frequencies

NYQUIST_BAND = 3 / 8
"""Cycles per pixel from which a frequency counts as near Nyquist (1/2): periods below 2.7 pixels,
that is, structure which alternates from one pixel to the next."""

_FLAT = 1e-6
"""Standard deviation below which a map counts as constant: float32 cannot tell it from one."""


def nyquist_share(sigma_map: Tensor) -> Tensor:
    """Share of each map's spectral energy near the Nyquist frequencies, in [0, 1].

    With F the two-dimensional discrete Fourier transform of the map less its mean, and fy, fx the
    frequencies in cycles per pixel::

        share = sum(|F|^2 where max(|fy|, |fx|) >= 3/8) / sum(|F|^2)

    A checkerboard and stripes one pixel wide score 1, a smooth map about 0, a constant map 0 by
    definition. White noise spreads its energy evenly and scores :func:`noise_nyquist_share`, a
    little under a half: a share above that is more than "pixels at random".

    Args:
        sigma_map: float (N, 1, H, W) in [0, 1].

    Returns:
        float64 (N,).

    Raises:
        InputError: other shape, range or NaN.
    """
    sigma_map = _check_maps(sigma_map)
    return torch.cat([_nyquist_share(part) for part in _chunks(sigma_map)])


def noise_nyquist_share(height: int, width: int) -> float:
    """Expected :func:`nyquist_share` of white noise: the band's share of all frequencies but 0."""
    return (_nyquist_band(height, width).sum() / (height * width - 1)).item()


def _nyquist_share(maps: Tensor) -> Tensor:
    """Share of maps (N, C, H, W), the energy of their channels summed: float64 (N,)."""
    maps = _double(maps)
    height, width = maps.shape[2:]
    centred = maps - maps.mean(dim=(2, 3), keepdim=True)
    energy = torch.fft.fft2(centred).abs().square().sum(dim=1)  # (N, H, W)
    total = energy.sum(dim=(1, 2))
    near = (energy * _nyquist_band(height, width)).sum(dim=(1, 2))
    spread = total.sqrt() / (height * width)  # the standard deviation, by Parseval's theorem
    return torch.where(spread > _FLAT, near / total.clamp_min(1e-300), 0.0)


def _nyquist_band(height: int, width: int) -> Tensor:
    """Bool (H, W): the frequencies near Nyquist, in the order of torch.fft.fft2."""
    fy, fx = (torch.fft.fftfreq(size, dtype=torch.float64).abs() for size in (height, width))
    return torch.maximum(fy[:, None], fx[None, :]) >= NYQUIST_BAND


# ------------------------------------------------------------------ sigma's contours

BLUR = 1.5
"""Standard deviation in pixels of the Gaussian before and after the gradient. It removes
alternation from pixel to pixel, and lets a contour be missed by a pixel."""

_FAINT = 0.002
"""Slope per pixel that halves an agreement: sigma's edges must be a few thousandths strong."""


def contour_agreement(sigma_map: Tensor, images: Tensor) -> Tensor:
    """Agreement of each map's edges with its image's contours, from -1 to 1.

    Let g(u) be the edge strength of u: u blurred by a Gaussian of 1.5 pixels, the length of its
    gradient (central differences, all channels together), blurred again. The agreement is the
    Pearson correlation over pixels of g(sigma) and g(x), with a small constant::

        cov(g(sigma), g(x)) / ((std(g(sigma)) + 0.002) * std(g(x)))

    It does not care about sigma's sign: a map that resembles the image, its negative, its
    outlines, or regions bounded by its contours scores .7 to 1. A constant map, and one that only
    alternates from pixel to pixel, have no edges after the blur and score 0. So does, by
    definition, any map of an image without contours.

    Chance is *not* 0 where contours stay in one place: on centred digits a blob in the middle
    scores .7. Compare with :func:`chance_agreement`, as :func:`split_kind` does.

    Args:
        sigma_map: float (N, 1, H, W) in [0, 1].
        images: float (N, C, H, W) in [0, 1]; H and W at least 8.

    Returns:
        float64 (N,).

    Raises:
        InputError: other or unequal shapes, range or NaN.
    """
    sigma_map, images = _check_pair(sigma_map, images)
    return _correlation(_edge_profiles(sigma_map), _edge_profiles(images))


def chance_agreement(sigma_map: Tensor, images: Tensor, *, others: int = 5) -> float:
    """Mean agreement of the maps with the contours of *other* images of the same batch.

    Each map is compared with a few images drawn at random, always the same ones for N images.
    Pairs of equal images are left out; 0 where no pair is left.

    Args:
        sigma_map: as in :func:`contour_agreement`.
        images: as in :func:`contour_agreement`.
        others: images per map.

    Raises:
        InputError: as in :func:`contour_agreement`.
    """
    sigma_map, images = _check_pair(sigma_map, images)
    # Shuffled, since data sets are often sorted by class: neighbours would be alike.
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    edges, contours = _edge_profiles(sigma_map[order]), _edge_profiles(images[order])
    scores = []
    for shift in range(1, min(others, len(images) - 1) + 1):
        other = contours.roll(-shift, dims=0)
        differs = (other != contours).any(dim=1)
        scores.append(_correlation(edges, other)[differs])
    found = torch.cat(scores) if scores else torch.empty(0)
    return found.mean().item() if len(found) else 0.0


def _edge_profiles(images: Tensor) -> Tensor:
    """Edge strengths g(u), centred over pixels: float64 (N, H * W)."""
    parts = [_edge_strength(_double(part)).flatten(1) for part in _chunks(images)]
    profiles = torch.cat(parts)
    return profiles - profiles.mean(dim=1, keepdim=True)


def _edge_strength(images: Tensor) -> Tensor:
    """Map (N, C, H, W) to the blurred length of its gradient, (N, 1, H, W)."""
    padded = F.pad(_blur(images), (1, 1, 1, 1), mode="reflect")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return _blur((dx.square() + dy.square()).sum(dim=1, keepdim=True).sqrt())


def _blur(images: Tensor) -> Tensor:
    """Gaussian blur of standard deviation BLUR; the image is mirrored at its borders."""
    radius = math.ceil(3 * BLUR)
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / BLUR).square())
    kernel /= kernel.sum()
    channels = images.shape[1]
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(rows, kernel[:, None].expand(channels, 1, -1, 1), groups=channels)


def _correlation(edges: Tensor, contours: Tensor) -> Tensor:
    """Pearson correlation of centred rows (N, P), shrunk where the edges are faint."""
    covariance = (edges * contours).mean(dim=1)
    std_edges, std_contours = (p.square().mean(dim=1).sqrt() for p in (edges, contours))
    scale = (std_edges + _FAINT) * std_contours.clamp_min(1e-300)
    return torch.where(std_contours > _FLAT, covariance / scale, 0.0)


# ------------------------------------------------------------------ what kind of split

SYNTACTIC_FROM = 0.5
"""Share near Nyquist from which a split is syntactic whatever else it does: most of the energy is
alternation, more than white noise has (.44 to .48)."""

ALTERNATING_FROM = 0.2
"""Share near Nyquist from which alternation is seen at all: maps drawn along contours stay below,
thin outlines (.13 to .17 on digits, photographs and cartoon faces) included."""

SEMANTIC_FROM = 0.2
"""Agreement above chance from which sigma follows contours. Outlines, regions and copies of the
image reach .4 to .9 on digits, photographs and cartoon faces; alternation whose strength follows
the image stays below .17, and maps made without looking at the image at 0."""

ACTIVE_FROM = 0.02
"""Standard deviation of sigma over the pixels below which nothing is split: five grey levels."""

CONTRAST_FROM = 0.01
"""Mean difference of the components below which the split is void: sigma chooses between equals
(2.5 grey levels, on digits about 20 within the strokes)."""


@dataclass(frozen=True)
class SplitKind:
    """What kind of split a model made on a batch of images."""

    syntactic: float
    """Alternation from pixel to pixel, 0 to 1: the larger of the two shares below."""
    semantic: float
    """Mean agreement of sigma's edges with the contours, above chance: 0 is chance, 1 perfect."""
    activity: float
    """Mean over the images of sigma's standard deviation over the pixels, 0 to 0.5."""
    label: str
    """``"syntactic"``, ``"semantic"``, ``"mixed"`` (both, or neither) or ``"none"``."""
    sigma_share: float
    """Mean share of sigma's energy near the Nyquist frequencies, 0 to 1."""
    difference_share: float | None = None
    """Mean share of the energy of x1 - x2 there, 0 to 1; None where they were not given."""
    contrast: float | None = None
    """Mean absolute difference of the components, 0 to 1; None where they were not given."""
    chance: float = 0.0
    """Agreement with other images' contours, for which ``semantic`` is corrected."""

    def __str__(self) -> str:
        contrast = "" if self.contrast is None else f", contrast {self.contrast:.3f}"
        return (
            f"{self.label} (alternation {self.syntactic:.2f}, agreement with contours above "
            f"chance {self.semantic:.2f}, activity {self.activity:.3f}{contrast})"
        )


def split_kind(sigma_map: Tensor, images: Tensor, components: Tensor | None = None) -> SplitKind:
    """Say what kind of split a model makes: syntactic, semantic, mixed, or none.

    Syntactic: sigma alternates between neighbouring pixels, or x1 and x2 are complementary patterns
    of high frequency. The measure is the mean :func:`nyquist_share` of sigma or, if that is larger,
    of x1 - x2. (On digits sigma is free wherever both images are black; their difference is not.)

    Semantic: sigma follows the contours of its image more than those of others. With a the mean
    :func:`contour_agreement` and c the :func:`chance_agreement`, the measure is
    (a - c) / (1 - c), not below 0, as in Cohen's kappa.

    The label: none where sigma is constant or the components are equal; syntactic from
    :data:`SYNTACTIC_FROM`; below it, alternation counts from :data:`ALTERNATING_FROM` and contours
    from :data:`SEMANTIC_FROM`, and the split is mixed where both or neither do. Images whose sigma
    is constant count as 0 everywhere.

    Args:
        sigma_map: float (N, 1, H, W) in [0, 1]; of a K-way split, one map: ``weights[:, k]``.
        images: the images that were encoded, or their reconstructions: float (N, C, H, W) in
            [0, 1]. A hundred are enough; with one, chance cannot be corrected.
        components: x1 and x2 as float (N, K, C, H, W).

    Raises:
        InputError: other or unequal shapes, range or NaN.
    """
    sigma_map, images = _check_pair(sigma_map, images)
    activity = torch.cat([_spread(part) for part in _chunks(sigma_map)]).mean().item()
    sigma_share = nyquist_share(sigma_map).mean().item()
    chance = chance_agreement(sigma_map, images)
    agreement = contour_agreement(sigma_map, images).mean().item()
    semantic = _above_chance(agreement, chance)
    difference_share = contrast = None
    if components is not None:
        _check_components(components, sigma_map)
        contrast = component_contrast(components).mean().item()
        difference_share = _difference_share(components)
    syntactic = max(sigma_share, difference_share or 0.0)
    void = activity < ACTIVE_FROM or (contrast is not None and contrast < CONTRAST_FROM)
    label = "none" if void else _label(syntactic, semantic)
    return SplitKind(
        syntactic, semantic, activity, label, sigma_share, difference_share, contrast, chance
    )


def _above_chance(agreement: float, chance: float) -> float:
    """Scale agreement so that chance is 0 and 1 stays 1."""
    chance = max(chance, 0.0)
    return max((agreement - chance) / (1 - chance), 0.0) if chance < 1 else 0.0


def _label(syntactic: float, semantic: float) -> str:
    if syntactic >= SYNTACTIC_FROM:
        return "syntactic"
    alternates, follows = syntactic >= ALTERNATING_FROM, semantic >= SEMANTIC_FROM
    if alternates == follows:
        return "mixed"
    return "syntactic" if alternates else "semantic"


def component_contrast(components: Tensor) -> Tensor:
    """Mean absolute difference of x1 and x2 over pixels and channels, 0 to 1.

    Of K > 2 components, the mean over all pairs. Near 0 the split is void, whatever sigma does.

    Args:
        components: float (N, K, C, H, W) in [0, 1], K at least 2.

    Returns:
        float64 (N,).

    Raises:
        InputError: other shape.
    """
    _check_components(components)
    gaps = [
        torch.stack([gap.abs().flatten(1).mean(dim=1) for gap in _differences(part)]).mean(dim=0)
        for part in _chunks(components)
    ]
    return torch.cat(gaps)


def _difference_share(components: Tensor) -> float:
    """Mean share near Nyquist of the differences of the components, over pairs and images."""
    shares = [
        torch.stack([_nyquist_share(gap) for gap in _differences(part)]).mean(dim=0)
        for part in _chunks(components)
    ]
    return torch.cat(shares).mean().item()


def _differences(components: Tensor) -> Iterator[Tensor]:
    """Differences (N, C, H, W) of each pair among components (N, K, C, H, W)."""
    components = _double(components)
    for i, j in itertools.combinations(range(components.shape[1]), 2):
        yield components[:, i] - components[:, j]


def _check_components(components: Tensor, sigma_map: Tensor | None = None) -> None:
    shape = tuple(components.shape)
    if len(shape) != 5 or shape[1] < 2 or shape[0] == 0:
        raise InputError(
            f"components must have the shape (N, K, C, H, W) with K at least 2, not {shape}."
        )
    if sigma_map is not None and (shape[0], *shape[3:]) != (
        sigma_map.shape[0],
        *sigma_map.shape[2:],
    ):
        raise InputError(
            f"components {shape} and sigma_map {tuple(sigma_map.shape)} must agree in their "
            "number, height and width."
        )
    _check_values(components, "components")


# ------------------------------------------------------------------ shared

_CHUNK = 1000
"""Images handled at once, to bound the memory of float64 copies."""
_SMALLEST = 8
"""Pixels a side: the mirrored border of the blur must fit."""


def _chunks(values: Tensor) -> Iterator[Tensor]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _double(values: Tensor) -> Tensor:
    return values.detach().cpu().double()


def _spread(maps: Tensor) -> Tensor:
    """Standard deviation of each map over its pixels: float64 (N,)."""
    return _double(maps).flatten(1).std(dim=1, correction=0)


def _check_maps(sigma_map: Tensor) -> Tensor:
    if sigma_map.ndim != 4 or sigma_map.shape[1] != 1 or sigma_map.shape[0] == 0:
        raise InputError(
            f"sigma_map must have the shape (N, 1, H, W), not {tuple(sigma_map.shape)}: of a "
            "K-way split, pass one map at a time."
        )
    _check_values(sigma_map, "sigma_map")
    return sigma_map.detach()


def _check_pair(sigma_map: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    sigma_map = _check_maps(sigma_map)
    n, _, height, width = sigma_map.shape
    if images.ndim != 4 or (images.shape[0], *images.shape[2:]) != (n, height, width):
        raise InputError(
            f"images {tuple(images.shape)} and sigma_map {tuple(sigma_map.shape)} must agree in "
            "their number, height and width."
        )
    if min(height, width) < _SMALLEST:
        raise InputError(f"contours need at least 8x8 pixels, not {height}x{width}.")
    _check_values(images, "images")
    return sigma_map, images.detach()


def _check_values(values: Tensor, name: str) -> None:
    """Refuse what is no picture; bf16 may exceed [0, 1] by a rounding error."""
    if not values.is_floating_point():
        raise InputError(f"{name} must be floats in [0, 1], not {values.dtype}.")
    low, high = (value.item() for value in torch.aminmax(values.detach()))
    if not (low >= -0.01 and high <= 1.01):
        raise InputError(
            f"{name} must lie in [0, 1] without NaN, but range from {low:.4g} to {high:.4g}."
        )

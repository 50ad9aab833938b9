"""Exercises of notebook 04_sigma_map: alternation, sharpening, the best constant."""

from __future__ import annotations

import torch
from torch import Tensor

from ...diagnostics import NYQUIST_BAND, nyquist_share
from ...sampling import sharpen
from .exercise import TRIALS, Exercise, Mistake, draw_sizes

NOTEBOOK = "04_sigma_map"


# ------------------------------------------------------------------ how much a map alternates


def _maps(g: torch.Generator) -> tuple[Tensor]:
    """Maps, float64: noise and something that alternates, in shares that vary.

    The frequency 3/8, which counts, occurs where a size is a multiple of 8; powers of 2 have it
    without rounding.
    """
    (images,) = draw_sizes(g, 1)
    height, width = ((8, 16), (16, 32), (32, 8))[g.initial_seed() % TRIALS]
    noise = torch.rand(images, 1, height, width, generator=g, dtype=torch.float64)
    board = (torch.arange(height)[:, None] + torch.arange(width)) % 2
    part = torch.rand(images, 1, 1, 1, generator=g, dtype=torch.float64)
    return (part * noise + (1 - part) * (0.3 + 0.4 * board),)


def _amplitude(sigma_map: Tensor) -> Tensor:
    """Absolute Fourier transform of each map less its mean: (N, H, W)."""
    centred = sigma_map - sigma_map.mean(dim=(2, 3), keepdim=True)
    amplitude: Tensor = torch.fft.fft2(centred)[:, 0].abs()
    return amplitude


def _energy(sigma_map: Tensor) -> Tensor:
    return _amplitude(sigma_map).square()


def _frequencies(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Vertical (H, 1) and horizontal (1, W) frequencies, signed, in cycles per pixel."""
    return torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None]


def _share(energy: Tensor, near: Tensor) -> Tensor:
    return (energy * near).sum(dim=(1, 2)) / energy.sum(dim=(1, 2))


def _with_the_mean(sigma_map: Tensor) -> Tensor:
    energy = torch.fft.fft2(sigma_map)[:, 0].abs().square()
    return _share(energy, _near(*energy.shape[1:]))


def _near(height: int, width: int) -> Tensor:
    fy, fx = _frequencies(height, width)
    return torch.maximum(fy.abs(), fx.abs()) >= NYQUIST_BAND


def _in_radians(sigma_map: Tensor) -> Tensor:
    energy = _energy(sigma_map)
    fy, fx = _frequencies(*energy.shape[1:])
    return _share(energy, 2 * torch.pi * torch.maximum(fy.abs(), fx.abs()) >= NYQUIST_BAND)


def _above(height: int, width: int) -> Tensor:
    fy, fx = _frequencies(height, width)
    return torch.maximum(fy.abs(), fx.abs()) > NYQUIST_BAND


def _near_energy(sigma_map: Tensor) -> Tensor:
    return (_energy(sigma_map) * _near(*sigma_map.shape[2:])).sum(dim=(1, 2))


def _of_amplitudes(sigma_map: Tensor) -> Tensor:
    amplitude = _amplitude(sigma_map)
    return _share(amplitude, _near(*amplitude.shape[1:]))


def _in_both_directions(sigma_map: Tensor) -> Tensor:
    energy = _energy(sigma_map)
    fy, fx = _frequencies(*energy.shape[1:])
    return _share(energy, torch.minimum(fy.abs(), fx.abs()) >= NYQUIST_BAND)


def _by_length(sigma_map: Tensor) -> Tensor:
    energy = _energy(sigma_map)
    fy, fx = _frequencies(*energy.shape[1:])
    return _share(energy, (fy.square() + fx.square()).sqrt() >= NYQUIST_BAND)


def _positive_frequencies(sigma_map: Tensor) -> Tensor:
    energy = _energy(sigma_map)
    fy, fx = _frequencies(*energy.shape[1:])
    return _share(energy, torch.maximum(fy, fx) >= NYQUIST_BAND)


def _cycles_per_image(sigma_map: Tensor) -> Tensor:
    energy = _energy(sigma_map)
    height, width = energy.shape[1:]
    fy, fx = _frequencies(height, width)
    fy, fx = height * fy, width * fx
    return _share(energy, torch.maximum(fy.abs(), fx.abs()) >= NYQUIST_BAND)


def _of_the_batch(sigma_map: Tensor) -> Tensor:
    energy = _energy(sigma_map)
    return (energy * _near(*energy.shape[1:])).sum(dim=(1, 2)) / energy.sum()


def _half_spectrum(sigma_map: Tensor) -> Tensor:
    height, width = sigma_map.shape[2:]
    kept = width // 2 + 1  # what rfft2 computes
    return _share(_energy(sigma_map)[..., :kept], _near(height, width)[:, :kept])


NYQUIST_SHARE = Exercise(
    name="nyquist_share",
    notebook=NOTEBOOK,
    reference=nyquist_share,
    inputs=_maps,
    mistakes=(
        Mistake(
            "mean kept",
            _with_the_mean,
            "The mean of the map is still in it: its energy, at frequency 0, swells the "
            "denominator. Subtract each map's mean first.",
        ),
        Mistake(
            "amplitude instead of energy",
            _of_amplitudes,
            "You added up amplitudes |F|. Energy is their square: |F|^2.",
        ),
        Mistake(
            "larger than 3/8",
            lambda sigma_map: _share(_energy(sigma_map), _above(*sigma_map.shape[2:])),
            "You left out the frequency 3/8 itself: >=, not >.",
        ),
        Mistake(
            "radians",
            _in_radians,
            "Frequencies times 2 pi are radians per pixel. 3/8 is in cycles per pixel, as "
            "torch.fft.fftfreq counts.",
        ),
        Mistake(
            "not divided by the total",
            lambda sigma_map: _near_energy(sigma_map),
            "This is the energy of the high frequencies. A share is divided by the map's total.",
        ),
        Mistake(
            "high over low",
            lambda sigma_map: 1 / (1 / nyquist_share(sigma_map) - 1),
            "You divided by the energy of the low frequencies. A share is divided by the total.",
        ),
        Mistake(
            "one mean for all maps",
            lambda sigma_map: _with_the_mean(sigma_map - sigma_map.mean()),
            "You subtracted one mean of all maps. Each map has its own.",
        ),
        Mistake(
            "both directions",
            _in_both_directions,
            "You ask for a high frequency in both directions at once. Stripes alternate in one "
            "direction only, and should count: take the larger of the two.",
        ),
        Mistake(
            "length of the frequency",
            _by_length,
            "You compare the length sqrt(fy^2 + fx^2) with 3/8, so a diagonal pattern counts "
            "although it is slow in both directions. The definition takes the larger of the two.",
        ),
        Mistake(
            "negative frequencies left out",
            _positive_frequencies,
            "fftfreq has negative frequencies too, -1/2 among them, and each wave has both: use "
            "absolute values.",
        ),
        Mistake(
            "cycles per image",
            _cycles_per_image,
            "Your frequencies count cycles per image, so almost all of them exceed 3/8. "
            "torch.fft.fftfreq(size) as it is counts cycles per pixel.",
        ),
        Mistake(
            "spectrum shifted alone",
            lambda sigma_map: _share(
                torch.fft.fftshift(_energy(sigma_map), dim=(1, 2)), _near(*sigma_map.shape[2:])
            ),
            "fftshift moves frequency 0 to the middle of your spectrum, but fftfreq still counts "
            "in the old order: shift neither, or both.",
        ),
        Mistake(
            "half of the spectrum",
            _half_spectrum,
            "rfft2 leaves out the columns that mirror others, so most of those that remain stand "
            "for two, and the first and the last for one. Take fft2, which has them all.",
        ),
        Mistake(
            "energy of the whole batch",
            _of_the_batch,
            "You divide by the energy of all maps together. Each map has its own total: sum over "
            "height and width only.",
        ),
        Mistake(
            "the rest",
            lambda sigma_map: 1 - nyquist_share(sigma_map),
            "This is the share of the low frequencies: a checkerboard should score 1.",
        ),
    ),
    hints=(
        "Four steps: subtract each map's mean; transform; square the absolute values; compare two "
        "sums.",
        "torch.fft.fft2 transforms the last two dimensions, and torch.fft.fftfreq(H) and (W) say "
        "which frequency stands where, in the same order.",
        "fy = fftfreq(H).abs()[:, None] and fx = fftfreq(W).abs()[None] give (H, W) together: "
        "near = torch.maximum(fy, fx) >= 3 / 8. Then (energy * near).sum((1, 2, 3)) over "
        "energy.sum((1, 2, 3)).",
    ),
)


# ------------------------------------------------------------------ sharpening a map


def _map_and_sharpness(g: torch.Generator) -> tuple[Tensor, float]:
    """Maps (N, 1, H, W) within (0, 1) and a t between 1.5 and 4."""
    images, height, width = draw_sizes(g, 3)
    sigma = 0.02 + 0.96 * torch.rand(images, 1, height, width, generator=g)
    return sigma, 1.5 + 2.5 * torch.rand((), generator=g).item()


def _over_pixels(sigma: Tensor, t: float) -> Tensor:
    power = sigma**t
    return power / power.sum(dim=(2, 3), keepdim=True)


SHARPEN = Exercise(
    name="sharpen",
    notebook=NOTEBOOK,
    reference=sharpen,
    inputs=_map_and_sharpness,
    mistakes=(
        Mistake(
            "power alone",
            lambda sigma, t: sigma**t,
            "sigma^t alone pulls every pixel towards 0. Both weights are raised to the power t, "
            "and then divided by their sum.",
        ),
        Mistake(
            "power of x2's weight forgotten",
            lambda sigma, t: sigma**t / (sigma**t + 1 - sigma),
            "You raised the weight of x1 to the power t, but not that of x2.",
        ),
        Mistake(
            "weight of x2",
            lambda sigma, t: 1 - sharpen(sigma, t),
            "This is the sharpened weight of x2, 1 - sigma: the maps are turned around.",
        ),
        Mistake(
            "power of x1's weight forgotten",
            lambda sigma, t: sigma / (sigma + (1 - sigma) ** t),
            "You raised the weight of x2 to the power t, but not that of x1.",
        ),
        Mistake(
            "odds",
            lambda sigma, t: sigma**t / (1 - sigma) ** t,
            "You divided the two weights by each other. Divide by their sum.",
        ),
        Mistake(
            "the sum alone",
            lambda sigma, t: sigma**t + (1 - sigma) ** t,
            "This is what to divide by: sigma**t over this sum.",
        ),
        Mistake(
            "flattened",
            lambda sigma, t: sharpen(sigma, 1 / t),
            "Your map is flatter than before, not sharper: the power is t, not 1 / t.",
        ),
        Mistake(
            "contrast stretched",
            lambda sigma, t: (0.5 + t * (sigma - 0.5)).clamp(0, 1),
            "You stretched the contrast in a straight line and cut it off at 0 and 1. That also "
            "sharpens, but by another rule: many pixels become exactly 0 or 1.",
        ),
        Mistake(
            "sigmoid of sigma",
            lambda sigma, t: torch.sigmoid(t * sigma),
            "A sigmoid of t * sigma is never below 1/2. A sigmoid undoes a logit: it would have to "
            "be applied to t times the logit of sigma.",
        ),
        Mistake(
            "sigmoid around one half",
            lambda sigma, t: torch.sigmoid(t * (sigma - 0.5)),
            "A sigmoid of t * (sigma - 1/2) stays near 1/2, and t = 1 would change the map: take "
            "the log-odds of sigma in place of sigma - 1/2.",
        ),
        Mistake(
            "normalised over the pixels",
            _over_pixels,
            "You divide by the sum over the pixels. The two weights of one pixel have to add up "
            "to 1, not the pixels of a map.",
        ),
    ),
    hints=(
        "In each pixel there are two weights, sigma and 1 - sigma. Raise both to the power t. What "
        "do they add up to?",
        "Divide the first by the sum of both, so that the new weights add up to 1 again.",
        "sigma**t / (sigma**t + (1 - sigma)**t)",
    ),
)


# ------------------------------------------------------------------ the best constant


def best_constant(x: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    """The constant w in [0, 1] whose mixture w x1 + (1 - w) x2 is closest to x, per image.

    The squared error is a parabola in w; its derivative vanishes at
    w = <x - x2, x1 - x2> / <x1 - x2, x1 - x2>, and outside [0, 1] the nearer end is best.

    Args:
        x: (N, C, H, W).
        x1: (N, C, H, W), not equal to x2.
        x2: (N, C, H, W).

    Returns:
        (N,)
    """
    return _unclipped(x, x1, x2).clamp(0, 1)


def _unclipped(x: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    return _inner(x - x2, x1 - x2) / _inner(x1 - x2, x1 - x2)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner product per image: (N, C, H, W) twice to (N,)."""
    return (a * b).flatten(1).sum(dim=1)


def _three_images(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """x, x1, x2: the best w lies inside for some images, beyond either end for others."""
    shape = draw_sizes(g, 4, low=3)
    x1, x2 = torch.rand(2, *shape, generator=g)
    # Differences of lengths around 1, the same in small and in large images
    length = 0.6 + torch.rand(shape[0], 1, 1, 1, generator=g)
    x1 = x2 + length * (x1 - x2) / (x1 - x2).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    w = torch.tensor([0.12, 1.4, -0.4, 0.8, 0.5]).repeat(shape[0])[: shape[0]]
    w = (w + 0.2 * (torch.rand(shape[0], generator=g) - 0.5)).view(-1, 1, 1, 1)
    return w * x1 + (1 - w) * x2 + 0.02 * torch.randn(x1.shape, generator=g), x1, x2


def _mean_of_ratios(x: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    return ((x - x2) / (x1 - x2)).flatten(1).mean(dim=1).clamp(0, 1)


def _one_for_all(x: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    above, below = _inner(x - x2, x1 - x2).sum(), _inner(x1 - x2, x1 - x2).sum()
    return (above / below).clamp(0, 1).expand(len(x))


BEST_CONSTANT = Exercise(
    name="best_constant",
    notebook=NOTEBOOK,
    reference=best_constant,
    inputs=_three_images,
    mistakes=(
        Mistake(
            "outside of [0, 1]",
            _unclipped,
            "The minimum of the parabola is right, but it may lie outside of [0, 1], where sigma "
            "cannot go: the best allowed value is then the nearer end (clamp).",
        ),
        Mistake(
            "weight of x2",
            lambda x, x1, x2: 1 - best_constant(x, x1, x2),
            "This is the best weight of x2. w is the weight of x1, as sigma is.",
        ),
        Mistake(
            "x instead of x - x2",
            lambda x, x1, x2: (_inner(x, x1 - x2) / _inner(x1 - x2, x1 - x2)).clamp(0, 1),
            "You projected x. The mixture is x2 + w (x1 - x2): what w (x1 - x2) has to explain is "
            "x - x2.",
        ),
        Mistake(
            "length not squared",
            lambda x, x1, x2: (_inner(x - x2, x1 - x2) / _inner(x1 - x2, x1 - x2).sqrt()).clamp(
                0, 1
            ),
            "You divided by the length of x1 - x2. The derivative of the squared error brings its "
            "square.",
        ),
        Mistake(
            "not divided",
            lambda x, x1, x2: _inner(x - x2, x1 - x2).clamp(0, 1),
            "The numerator alone: divide by the squared length of x1 - x2, or images that differ "
            "more would get a larger w.",
        ),
        Mistake(
            "half",
            lambda x, x1, x2: (_unclipped(x, x1, x2) / 2).clamp(0, 1),
            "Half of the right value: both terms of the derivative have the factor 2.",
        ),
        Mistake(
            "twice",
            lambda x, x1, x2: (2 * _unclipped(x, x1, x2)).clamp(0, 1),
            "Twice the right value: both terms of the derivative have the factor 2.",
        ),
        Mistake(
            "sign",
            lambda x, x1, x2: (-_unclipped(x, x1, x2)).clamp(0, 1),
            "The sign is wrong: x - x2 and x1 - x2 both begin at x2.",
        ),
        Mistake(
            "measured from x1",
            lambda x, x1, x2: (_inner(x - x1, x1 - x2) / _inner(x1 - x2, x1 - x2)).clamp(0, 1),
            "You measured x from x1. The mixture is x2 + w (x1 - x2): measure from x2.",
        ),
        Mistake(
            "upside down",
            lambda x, x1, x2: (1 / _unclipped(x, x1, x2)).clamp(0, 1),
            "Your fraction is upside down.",
        ),
        Mistake(
            "sigmoid instead of clamp",
            lambda x, x1, x2: _unclipped(x, x1, x2).sigmoid(),
            "A sigmoid changes every w. Cut off at 0 and 1 instead: clamp.",
        ),
        Mistake(
            "mean of the pixels' best",
            _mean_of_ratios,
            "You took each pixel's best sigma and averaged. Pixels where x1 and x2 hardly differ "
            "say little about w, but count fully in your mean: sum before you divide.",
        ),
        Mistake(
            "one for all images",
            _one_for_all,
            "You found one constant for the whole batch; each image has its own.",
        ),
    ),
    hints=(
        "Write the mixture as x2 + w (x1 - x2). Its squared error is a parabola in w: where is its "
        "derivative zero?",
        "w = sum((x - x2) (x1 - x2)) / sum((x1 - x2)^2), the sums over all pixels of an image.",
        "d = x1 - x2; w = ((x - x2) * d).flatten(1).sum(1) / d.square().flatten(1).sum(1), then "
        ".clamp(0, 1).",
    ),
)


EXERCISES = (NYQUIST_SHARE, SHARPEN, BEST_CONSTANT)

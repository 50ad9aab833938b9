"""What kind of split a model made: syntactic, semantic, mixed, unclear, or none."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..support.checks import InputError, check_tensors, check_values
from .contours import chance_agreement, contour_agreement
from .frequencies import nyquist_share, pooled_share
from .tensors import check_pair, piecewise

SYNTACTIC_FROM = 0.5
"""Share near Nyquist from which a split is syntactic in any case: most of the energy is
alternation, more than white noise has (.44 to .48 from 32 pixels on; .53 with 16)."""

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
    """``"syntactic"``, ``"semantic"``, ``"mixed"`` (both), ``"unclear"`` (neither), ``"none"``."""
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
    """What kind of split a model makes: syntactic, semantic, mixed, unclear, or none.

    Syntactic: sigma alternates between neighbouring pixels, or x1 and x2 are complementary patterns
    of high frequency. The measure is the mean :func:`nyquist_share` of sigma or, if that is larger,
    of x1 - x2. (On digits sigma is free wherever both images are black; their difference is not.)

    Semantic: sigma follows the contours of its image more than those of others. With a the mean
    :func:`contour_agreement` and c the :func:`chance_agreement`, the measure is
    (a - c) / (1 - c), not below 0, as in Cohen's kappa.

    The label: none where sigma is constant or the components are equal; syntactic from
    ``SYNTACTIC_FROM``; below it, alternation counts from ``ALTERNATING_FROM`` and contours
    from ``SEMANTIC_FROM``; the split is mixed where both do, unclear where neither does. Images
    whose sigma is constant count as 0 everywhere.

    Args:
        sigma_map: float (N, 1, H, W) in [0, 1]; of a K-way split, one map: ``weights[:, k]``.
        images: the images that were encoded, or their reconstructions: float (N, C, H, W) in
            [0, 1]. A hundred are enough; with one, chance cannot be corrected.
        components: x1 and x2 as float (N, K, C, H, W).
    """
    check_pair(sigma_map, images)
    spreads = piecewise(lambda maps: maps.flatten(1).std(dim=1, correction=0), sigma_map)
    activity, sigma_share = spreads.mean().item(), nyquist_share(sigma_map).mean().item()
    agreement = contour_agreement(sigma_map, images).mean().item()
    chance = chance_agreement(sigma_map, images)
    floor = max(chance, 0.0)
    semantic = max((agreement - floor) / (1 - floor), 0.0) if floor < 1 else 0.0
    difference_share = contrast = None
    if components is not None:
        check_pair(sigma_map, components, "components", ndim=5)
        contrast = component_contrast(components).mean().item()
        difference_share = _over_pairs(pooled_share, components).mean().item()
    syntactic = max(sigma_share, difference_share or 0.0)
    void = activity < ACTIVE_FROM or (contrast is not None and contrast < CONTRAST_FROM)
    label = "none" if void else _label(syntactic, semantic)
    return SplitKind(
        syntactic, semantic, activity, label, sigma_share, difference_share, contrast, chance
    )


def _label(syntactic: float, semantic: float) -> str:
    if syntactic >= SYNTACTIC_FROM:
        return "syntactic"
    if syntactic >= ALTERNATING_FROM:
        return "mixed" if semantic >= SEMANTIC_FROM else "syntactic"
    return "semantic" if semantic >= SEMANTIC_FROM else "unclear"


def component_contrast(components: Tensor) -> Tensor:
    """Mean absolute difference of x1 and x2 over pixels and channels, 0 to 1.

    Of K > 2 components, the mean over all pairs. Near 0 the split is void, whatever sigma does.
    Components are float (N, K, C, H, W) in [0, 1], K at least 2; the result is float64 (N,).
    """
    check_tensors(components=components)
    if components.ndim != 5 or components.shape[1] < 2 or len(components) == 0:
        raise InputError(
            "components must have the shape (N, K, C, H, W) with K at least 2, not "
            f"{tuple(components.shape)}."
        )
    check_values(components, "components")
    return _over_pairs(lambda gap: gap.abs().flatten(1).mean(dim=1), components)


def _over_pairs(measure: Callable[[Tensor], Tensor], components: Tensor) -> Tensor:
    """A measure (N,) of the difference (N, C, H, W) of two components, its mean over all pairs."""

    def of_piece(piece: Tensor) -> Tensor:
        pairs = itertools.combinations(piece.unbind(dim=1), 2)
        return torch.stack([measure(a - b) for a, b in pairs]).mean(dim=0)

    return piecewise(of_piece, components)

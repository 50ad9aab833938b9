"""Numbers about a trained model: which latent variables work, and what kind of split it made.

Every function takes tensors, wherever they live, and computes in float64 on the CPU without
gradients. N images, C channels, H x W pixels, L latent variables, K components.
"""

from .contours import BLUR, chance_agreement, contour_agreement
from .frequencies import NYQUIST_BAND, noise_nyquist_share, nyquist_share
from .kinds import (
    ACTIVE_FROM,
    ALTERNATING_FROM,
    CONTRAST_FROM,
    SEMANTIC_FROM,
    SYNTACTIC_FROM,
    SplitKind,
    component_contrast,
    split_kind,
)
from .latent import LatentStatistics, latent_statistics

__all__ = [
    "ACTIVE_FROM",
    "ALTERNATING_FROM",
    "BLUR",
    "CONTRAST_FROM",
    "NYQUIST_BAND",
    "SEMANTIC_FROM",
    "SYNTACTIC_FROM",
    "LatentStatistics",
    "SplitKind",
    "chance_agreement",
    "component_contrast",
    "contour_agreement",
    "latent_statistics",
    "noise_nyquist_share",
    "nyquist_share",
    "split_kind",
]

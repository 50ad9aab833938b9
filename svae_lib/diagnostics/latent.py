"""Which latent variables work: statistics of the posterior over a data set."""

from dataclasses import dataclass

from torch import Tensor

from ..support.checks import check_posteriors
from ..support.devices import as_float64

LOWEST_VARIANCE_OF_MEANS = 0.05
"""A var(mu) below it makes a variable inactive: the authors' number, as the next."""
HIGHEST_MEAN_VARIANCE = 0.95
"""A mean(exp(log_var)) above it makes a variable inactive."""


@dataclass(frozen=True)
class LatentStatistics:
    """Statistics of the posterior over a data set, per latent variable: float64 (L,) each."""

    variance_of_means: Tensor
    """var(mu): how far the posterior means spread over the images."""
    mean_variance: Tensor
    """mean(exp(log_var)): how wide the posteriors are, on average."""
    inactive: Tensor
    """bool (L,): True where the variable carries (almost) nothing about the image."""

    @property
    def law(self) -> Tensor:
        """Variance of the aggregate posterior, the sum of the two: near 1 by the variance law."""
        return self.variance_of_means + self.mean_variance

    @property
    def active_count(self) -> int:
        """Number of variables that are not inactive."""
        return int((~self.inactive).sum())

    def summary(self) -> dict[str, float]:
        """The statistics as numbers for a table or a JSON file."""
        return {
            "latent_dim": len(self.inactive),
            "active": self.active_count,
            "inactive": len(self.inactive) - self.active_count,
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


def latent_statistics(mu: Tensor, log_var: Tensor) -> LatentStatistics:
    """Statistics of the posteriors N(mu, exp(log_var)) of N images.

    The aggregate posterior is the mixture of all N posteriors; by the law of total variance its
    variance is var(mu) + mean(exp(log_var)). Where it matches the prior N(0, 1) the sum is 1: the
    "variance law" (A. Asperti, M. Trentin, "Balancing reconstruction error and Kullback-Leibler
    divergence in variational autoencoders", IEEE Access 8, 2020). A variable is inactive when its
    means hardly move, or when its posterior is about as wide as the prior.

    Args:
        mu: posterior means, float (N, L), N at least 2.
        log_var: logarithms of the posterior variances, float (N, L).
    """
    check_posteriors(mu, log_var)
    means = as_float64(mu).var(dim=0, correction=0)  # (L,)
    widths = as_float64(log_var).exp().mean(dim=0)  # (L,)
    inactive = (means < LOWEST_VARIANCE_OF_MEANS) | (widths > HIGHEST_MEAN_VARIANCE)
    return LatentStatistics(means, widths, inactive)

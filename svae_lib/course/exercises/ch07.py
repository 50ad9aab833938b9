"""Exercises of notebook 07_fid: Frechet distance and its parts, precision, MMD, value range."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...support.devices import as_float64
from .exercise import TRIALS, Exercise, Function, Mistake, draw_sizes

NOTEBOOK = "07_fid"


# ------------------------------------------------------------------ Frechet distance, diagonal


def frechet_diagonal(mu1: Tensor, var1: Tensor, mu2: Tensor, var2: Tensor) -> Tensor:
    """Squared Frechet distance of two Gaussians with independent features: a scalar from four (d,).

    sum((mu1 - mu2)^2 + (std1 - std2)^2); Dowson and Landau 1982, where covariances are diagonal.
    """
    return ((mu1 - mu2).square() + (var1.sqrt() - var2.sqrt()).square()).sum()


def _two_gaussians(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = draw_sizes(g, 1)
    mu1, mu2 = torch.randn(2, *shape, generator=g)
    var1, var2 = 0.2 + 2 * torch.rand(2, *shape, generator=g)
    return mu1, var1, mu2, var2


FRECHET_DIAGONAL = Exercise(
    name="frechet_diagonal",
    notebook=NOTEBOOK,
    reference=frechet_diagonal,
    inputs=_two_gaussians,
    mistakes=(
        Mistake(
            "variances instead of standard deviations",
            lambda m1, v1, m2, v2: ((m1 - m2).square() + (v1 - v2).square()).sum(),
            "You compared the variances. What has the unit of the means is the standard "
            "deviation: take the roots first.",
        ),
        Mistake(
            "means not squared",
            lambda m1, v1, m2, v2: ((m1 - m2).abs() + (v1.sqrt() - v2.sqrt()).square()).sum(),
            "The difference of the means enters squared.",
        ),
        Mistake(
            "root at the end",
            lambda m1, v1, m2, v2: frechet_diagonal(m1, v1, m2, v2).sqrt(),
            "You took the root of the sum. That is the distance; FID is its square.",
        ),
        Mistake(
            "factor 2 missing",
            lambda m1, v1, m2, v2: ((m1 - m2).square() + v1 + v2 - (v1 * v2).sqrt()).sum(),
            "The mixed term is 2 std1 std2: its factor 2 is missing. Test: the distance of a "
            "Gaussian from itself must be 0.",
        ),
        Mistake(
            "root of the variances forgotten in the mixed term",
            lambda m1, v1, m2, v2: ((m1 - m2).square() + v1 + v2 - 2 * v1 * v2).sum(),
            "In the mixed term you multiplied variances; it is 2 std1 std2.",
        ),
        Mistake(
            "variances ignored",
            lambda m1, v1, m2, v2: (m1 - m2).square().sum(),
            "Only the means enter your distance; two Gaussians of equal means and different "
            "variances are different.",
        ),
        Mistake(
            "means ignored",
            lambda m1, v1, m2, v2: (v1.sqrt() - v2.sqrt()).square().sum(),
            "Only the variances enter your distance: the means are missing.",
        ),
        Mistake(
            "mean over the features",
            lambda m1, v1, m2, v2: frechet_diagonal(m1, v1, m2, v2) / len(m1),
            "You averaged over the features. Squared distances along independent axes add up: sum.",
        ),
        Mistake(
            "not summed",
            lambda m1, v1, m2, v2: (m1 - m2).square() + (v1.sqrt() - v2.sqrt()).square(),
            "These are the distances of the single features. Sum them.",
        ),
    ),
    hints=(
        "With one feature: a difference of means, and a difference of spreads, both squared.",
        "(mu1 - mu2) ** 2 + (std1 - std2) ** 2 per feature; the arguments are variances.",
        "std is var.sqrt(). Add the two squares and take .sum() over the features.",
    ),
)


# ------------------------------------------------------------------ covariance


def covariance(features: Tensor) -> Tensor:
    """Unbiased covariance (d, d) of features (N, d)."""
    centred = features - features.mean(dim=0)
    return centred.T @ centred / (len(features) - 1)


def _features(g: torch.Generator) -> tuple[Tensor]:
    """Correlated features (N, d), float64, whose means are not 0."""
    samples, width = draw_sizes(g, 2, low=3)
    independent = torch.randn(samples, width, generator=g, dtype=torch.float64)
    return (independent @ torch.randn(width, width, generator=g, dtype=torch.float64) + 1.5,)


def _correlation(features: Tensor) -> Tensor:
    std = covariance(features).diagonal().sqrt()
    return covariance(features) / (std[:, None] * std)


COVARIANCE = Exercise(
    name="covariance",
    notebook=NOTEBOOK,
    reference=covariance,
    inputs=_features,
    mistakes=(
        Mistake(
            "transposed",
            torch.cov,
            "You have a covariance of images, (N, N), instead of features, (d, d): the wrong one "
            "is transposed. (torch.cov and np.cov take features in rows.)",
        ),
        Mistake(
            "products of images",
            lambda f: (f - f.mean(dim=0)) @ (f - f.mean(dim=0)).T / (len(f) - 1),
            "You have a covariance of images, (N, N), instead of features, (d, d): the factor on "
            "the left is to be transposed, not that on the right.",
        ),
        Mistake(
            "divided by N",
            lambda f: covariance(f) * (len(f) - 1) / len(f),
            "You divided by N. The mean comes from the same images, which makes that estimate too "
            "small on average: N - 1 corrects it.",
        ),
        Mistake(
            "not centred",
            lambda f: f.T @ f / (len(f) - 1),
            "You did not subtract the mean: these are second moments about 0.",
        ),
        Mistake(
            "neither centred nor corrected",
            lambda f: f.T @ f / len(f),
            "Two things: the mean is not subtracted, and you divided by N instead of N - 1.",
        ),
        Mistake(
            "one mean for all",
            lambda f: (f - f.mean()).T @ (f - f.mean()) / (len(f) - 1),
            "You subtracted one mean of all numbers. Each feature has its own: mean(dim=0).",
        ),
        Mistake(
            "not divided",
            lambda f: covariance(f) * (len(f) - 1),
            "This is the sum of the products (the scatter matrix): divide by N - 1.",
        ),
        Mistake(
            "correlation",
            _correlation,
            "You divided by the standard deviations as well: these are correlations, with ones on "
            "the diagonal.",
        ),
        Mistake(
            "variances alone",
            lambda f: torch.diag(f.var(dim=0)),
            "Only the diagonal is filled. How features vary together is what the rest is for.",
        ),
        Mistake(
            "vector of variances",
            lambda f: f.var(dim=0),
            "These are the d variances; the covariance is the matrix (d, d) with them on its "
            "diagonal.",
        ),
    ),
    hints=(
        "Entry (i, j) is the mean product of the deviations of features i and j from their means.",
        "centred = features - features.mean(dim=0) is (N, d). Which product of it with itself is "
        "(d, d)?",
        "centred.T @ centred, divided by N - 1",
    ),
)


# ------------------------------------------------------------------ matrix square root


def matrix_sqrt(s: Tensor) -> Tensor:
    """The symmetric positive root R (d, d) of a covariance s: R R = s, by its eigenvalues."""
    values, vectors = torch.linalg.eigh(s)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def _covariance_matrix(g: torch.Generator) -> tuple[Tensor]:
    """A covariance (d, d), in float64."""
    (width,) = draw_sizes(g, 1, low=3)
    factor = torch.randn(width, 2 * width, generator=g, dtype=torch.float64)
    return (factor @ factor.T / (2 * width) + 0.05 * torch.eye(width, dtype=torch.float64),)


def _with_a_rounded_one(function: Function, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    """The root of a covariance; and, where it is one, that of a matrix which rounding has spoilt.

    Other answers (Cholesky's) stop at a negative eigenvalue, and their mistake would go unnamed.
    """
    (s,) = inputs
    root = function(s)
    sound = isinstance(root, Tensor) and root.is_floating_point() and root.shape == s.shape
    if not sound or not torch.allclose(as_float64(root) @ as_float64(root), s, 1e-4, 1e-5):
        return root, root
    return root, function(torch.diag(torch.tensor([1.0, 0.25, -1e-12], dtype=s.dtype)))


def _not_clamped(s: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(s)
    root: Tensor = (vectors * values.sqrt()) @ vectors.T
    return root


def _with_eigenvectors_untransposed(s: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(s)
    root: Tensor = (vectors * values.sqrt()) @ vectors
    return root


def _with_eigenvectors_on_the_wrong_side(s: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(s)
    root: Tensor = (vectors.T * values.sqrt()) @ vectors
    return root


def _half(s: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(s)
    root: Tensor = vectors * values.sqrt()
    return root


MATRIX_SQRT = Exercise(
    name="matrix_sqrt",
    notebook=NOTEBOOK,
    reference=matrix_sqrt,
    inputs=_covariance_matrix,
    observe=_with_a_rounded_one,
    tries=("For a covariance", "For an eigenvalue just below 0"),
    mistakes=(
        Mistake(
            "not clamped",
            _not_clamped,
            "NaN: rounding can leave an eigenvalue just below 0. Clamp at 0 before the root.",
        ),
        Mistake(
            "root of each entry",
            torch.sqrt,
            "You took the root of each entry (NaN where one is negative). The root of a matrix is "
            "the R with R @ R = S, a matrix product.",
        ),
        Mistake(
            "root of each entry, without its sign",
            lambda s: s.abs().sqrt(),
            "You took the root of each entry's absolute value. R @ R = S is a matrix product.",
        ),
        Mistake(
            "root of the diagonal",
            lambda s: torch.diag(s.diagonal().sqrt()),
            "You took the roots of the variances alone; R @ R misses all that is beside the "
            "diagonal.",
        ),
        Mistake(
            "Cholesky factor",
            torch.linalg.cholesky,
            "The Cholesky factor has A @ A.T = S. Here R @ R = S, without transposing: R must be "
            "symmetric.",
        ),
        Mistake(
            "eigenvectors not transposed",
            _with_eigenvectors_untransposed,
            "On the right the eigenvectors must be transposed: S = V diag(values) V'.",
        ),
        Mistake(
            "eigenvectors on the wrong side",
            _with_eigenvectors_on_the_wrong_side,
            "V and its transpose are exchanged: the eigenvectors are the columns of V, and "
            "S = V diag(values) V'.",
        ),
        Mistake(
            "only half of it",
            _half,
            "V diag(root) has the property A @ A.T = S. Multiply by V' on the right, and it "
            "becomes symmetric.",
        ),
        Mistake(
            "inverse root",
            lambda s: torch.linalg.inv(matrix_sqrt(s)),
            "You have the inverse of the root: the exponent of the eigenvalues is +1/2.",
        ),
        Mistake(
            "matrix itself",
            lambda s: s.clone(),
            "This is S again: the roots of the eigenvalues are missing.",
        ),
    ),
    hints=(
        "For a diagonal matrix it is easy: the root of each entry on the diagonal. Can S be made "
        "diagonal?",
        "values, vectors = torch.linalg.eigh(s) gives S = V diag(values) V' with V' V = 1.",
        "(vectors * values.sqrt()) @ vectors.T; clamp the values at 0 first, against rounding.",
    ),
)


# ------------------------------------------------------------------ precision


def precision(real: Tensor, generated: Tensor, k: int) -> Tensor:
    """Share of generated features (M, d) inside a ball of a real one, from real (N, d): a scalar.

    The ball of a real one reaches to its k-th nearest other real one. Kynkäänniemi et al. 2019,
    equations 1 and 2.
    """
    return _inside(real, generated, k).any(dim=1).to(real.dtype).mean()


def _radii(features: Tensor, k: int) -> Tensor:
    return torch.cdist(features, features).kthvalue(k + 1, dim=1).values


def _inside(real: Tensor, generated: Tensor, k: int) -> Tensor:
    """Whether a generated vector is in a real one's ball: bool (M, N)."""
    return torch.cdist(generated, real) <= _radii(real, k)


def _two_sets(g: torch.Generator) -> tuple[Tensor, Tensor, int]:
    """Features (N, d) and (M, d) whose balls hold some of the others, and k from 2 to 4."""
    n, m, width = draw_sizes(g, 3, low=5)
    real = torch.randn(40 + n, width, generator=g, dtype=torch.float64)
    generated = 1.3 * torch.randn(40 + m, width, generator=g, dtype=torch.float64) + 0.5
    return real, generated, 2 + g.initial_seed() % TRIALS


def _share(inside: Tensor) -> Tensor:
    return as_float64(inside).mean()


def _any_float(function: Function, inputs: tuple[Any, ...]) -> Any:
    """What the function returns; whether float32 or float64 does not matter for a share."""
    share = function(*inputs)
    return as_float64(share) if isinstance(share, Tensor) and share.is_floating_point() else share


PRECISION = Exercise(
    name="precision",
    notebook=NOTEBOOK,
    reference=precision,
    inputs=_two_sets,
    observe=_any_float,
    mistakes=(
        Mistake(
            "recall",
            lambda real, generated, k: precision(generated, real, k),
            "This is recall: the share of real ones inside the balls of generated ones. Exchange "
            "the two.",
        ),
        Mistake(
            "itself counted",
            lambda real, generated, k: precision(real, generated, k - 1),
            "Your balls are too small: each vector is its own nearest neighbour, at distance 0. "
            "The k-th other one is number k + 1.",
        ),
        Mistake(
            "balls around the generated ones",
            lambda real, generated, k: _share(
                (torch.cdist(generated, real) <= _radii(generated, k)[:, None]).any(dim=1)
            ),
            "Your radii are those of the generated vectors. The balls stand around the real ones.",
        ),
        Mistake(
            "coverage",
            lambda real, generated, k: _share(_inside(real, generated, k).any(dim=0)),
            "You counted the real ones whose ball holds something (that is called coverage). Count "
            "the generated ones that are in some ball.",
        ),
        Mistake(
            "density",
            lambda real, fake, k: as_float64(_inside(real, fake, k)).sum(dim=1).mean() / k,
            "You counted in how many balls each generated vector is (divided by k, that is called "
            "density). Here it counts once: any(dim=1).",
        ),
        Mistake(
            "all pairs",
            lambda real, generated, k: _share(_inside(real, generated, k)),
            "This is the share of all pairs. First ask of each generated vector whether it is in "
            "any ball.",
        ),
        Mistake(
            "in all balls",
            lambda real, generated, k: _share(_inside(real, generated, k).all(dim=1)),
            "You ask for all balls at once; one is enough: any instead of all.",
        ),
        Mistake(
            "farthest neighbour",
            lambda real, generated, k: _share(
                (
                    torch.cdist(generated, real)
                    <= torch.cdist(real, real).topk(k, dim=1).values[:, -1]
                ).any(dim=1)
            ),
            "Your radius is the distance to the k-th *farthest* vector: topk takes the largest, "
            "unless you say largest=False.",
        ),
        Mistake(
            "complement",
            lambda real, generated, k: 1 - precision(real, generated, k),
            "This is the share outside of all balls: 1 minus the right answer.",
        ),
        Mistake(
            "number instead of share",
            lambda real, generated, k: as_float64(_inside(real, generated, k).any(dim=1)).sum(),
            "This is how many are inside. Divide by the number of generated vectors.",
        ),
    ),
    hints=(
        "Two matrices of distances: real ones among themselves give the radii, generated ones to "
        "real ones are compared with them.",
        "torch.cdist(a, b) is (len(a), len(b)). sort or kthvalue along dim=1 finds the k-th "
        "nearest; remember who is nearest of all.",
        "inside = torch.cdist(generated, real) <= radii is (M, N). any(dim=1), and the mean.",
    ),
)


# ------------------------------------------------------------------ unbiased squared MMD


def squared_mmd(kxx: Tensor, kyy: Tensor, kxy: Tensor) -> Tensor:
    """Unbiased squared maximum mean discrepancy, a scalar, from kernel matrices.

    kxx (N, N), kyy (M, M), kxy (N, M). Gretton et al. 2012, "A kernel two-sample test", lemma 6;
    as a score of images Binkowski et al. 2018, equation 4. A sample is not compared with itself.
    """
    return _off_diagonal(kxx) + _off_diagonal(kyy) - 2 * kxy.mean()


def _off_diagonal(k: Tensor) -> Tensor:
    """Mean of the entries beside the diagonal."""
    n = len(k)
    return (k.sum() - k.trace()) / (n * (n - 1))


def _zeroed(k: Tensor) -> Tensor:
    """Mean with the diagonal set to 0 but still counted."""
    return (k.sum() - k.trace()) / k.numel()


def _kernels(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Cubic kernels of N and M > N samples, so alike that estimates fall below 0."""
    (n,) = draw_sizes(g, 1, low=5)
    x = torch.randn(n, 3, generator=g)
    y = torch.cat([x, torch.randn(2, 3, generator=g)])
    y = y + 0.1 * torch.randn(y.shape, generator=g)
    pairs = ((x, x), (y, y), (x, y))
    kxx, kyy, kxy = ((a @ b.T / 3 + 1) ** 3 for a, b in pairs)
    return kxx, kyy, kxy


SQUARED_MMD = Exercise(
    name="squared_mmd",
    notebook=NOTEBOOK,
    reference=squared_mmd,
    inputs=_kernels,
    mistakes=(
        Mistake(
            "diagonal included",
            lambda kxx, kyy, kxy: kxx.mean() + kyy.mean() - 2 * kxy.mean(),
            "Your means include the diagonal, where each sample is compared with itself. That "
            "makes the estimate too large, the more so the fewer samples: leave it out.",
        ),
        Mistake(
            "diagonal zeroed but counted",
            lambda kxx, kyy, kxy: _zeroed(kxx) + _zeroed(kyy) - 2 * kxy.mean(),
            "You left the diagonal out of the sum, but divided by N^2: without it there are "
            "N (N - 1) entries.",
        ),
        Mistake(
            "factor 2 missing",
            lambda kxx, kyy, kxy: _off_diagonal(kxx) + _off_diagonal(kyy) - kxy.mean(),
            "The mixed term needs the factor 2: |a - b|^2 = a.a + b.b - 2 a.b.",
        ),
        Mistake(
            "both of the first two",
            lambda kxx, kyy, kxy: kxx.mean() + kyy.mean() - kxy.mean(),
            "Two things: the diagonal is included, and the mixed term lacks its factor 2.",
        ),
        Mistake(
            "mixed term added",
            lambda kxx, kyy, kxy: _off_diagonal(kxx) + _off_diagonal(kyy) + 2 * kxy.mean(),
            "The mixed term is subtracted: the more alike x and y are, the smaller the distance.",
        ),
        Mistake(
            "sums instead of means",
            lambda kxx, kyy, kxy: (
                (kxx.sum() - kxx.trace()) + (kyy.sum() - kyy.trace()) - 2 * kxy.sum()
            ),
            "You summed. Take means: N (N - 1), M (M - 1) and N M entries.",
        ),
        Mistake(
            "diagonal taken out of the mixed term",
            lambda kxx, kyy, kxy: (
                _off_diagonal(kxx)
                + _off_diagonal(kyy)
                - 2 * (kxy.sum() - kxy.diagonal().sum()) / (kxy.numel() - len(kxy.diagonal()))
            ),
            "You left out the diagonal of kxy too. There x is compared with y, two different "
            "samples: all its entries count.",
        ),
        Mistake(
            "clipped",
            lambda kxx, kyy, kxy: squared_mmd(kxx, kyy, kxy).clamp(min=0),
            "An unbiased estimate may be below 0. Clipped at 0 it is too large on average.",
        ),
        Mistake(
            "root at the end",
            lambda kxx, kyy, kxy: squared_mmd(kxx, kyy, kxy).sqrt(),
            "You took the root (NaN where the estimate is below 0, as an unbiased one may be). "
            "The squared MMD is asked for.",
        ),
    ),
    hints=(
        "How alike are x's samples among themselves, y's among themselves, and x's with y's?",
        "(kxx.sum() - kxx.trace()) / (n * (n - 1)) is the mean beside the diagonal.",
        "That mean for kxx, plus that for kyy, minus 2 * kxy.mean().",
    ),
)


# ------------------------------------------------------------------ value range


def to_network_range(images: Tensor) -> Tensor:
    """uint8 images (N, C, H, W) in 0-255 to float32 in [-1, 1], as most networks expect them."""
    return images.float() / 127.5 - 1


def _images(g: torch.Generator) -> tuple[Tensor]:
    """uint8 images, none of which holds a perfect white or black."""
    return (torch.randint(5, 250, draw_sizes(g, 4), generator=g, dtype=torch.uint8),)


TO_NETWORK_RANGE = Exercise(
    name="to_network_range",
    notebook=NOTEBOOK,
    reference=to_network_range,
    inputs=_images,
    mistakes=(
        Mistake(
            "double normalisation",
            lambda u8: 2 * (u8.float() / 255 / 255) - 1,
            "You divided by 255 twice: all images are nearly black (-1). It happens when both the "
            "loader and the network scale.",
        ),
        Mistake(
            "shifted twice",
            lambda u8: 2 * (2 * (u8.float() / 255) - 1) - 1,
            "You applied 2 x - 1 twice: your values reach down to -3.",
        ),
        Mistake(
            "left in [0, 1]",
            lambda u8: u8.float() / 255,
            "Your values are in [0, 1], and black should be -1.",
        ),
        Mistake(
            "not divided",
            lambda u8: 2 * u8.float() - 1,
            "Your values reach up to 509: divide by 255 first.",
        ),
        Mistake(
            "left as they were",
            lambda u8: u8.float(),
            "Your values are still 0 to 255.",
        ),
        Mistake(
            "divided by 256",
            lambda u8: u8.float() / 128 - 1,
            "White (255) should be 1, and yours stays just below: 8 bits reach to 255, not 256.",
        ),
        Mistake(
            "divided by the largest pixel found",
            lambda u8: 2 * u8.float() / u8.max() - 1,
            "You divide by the brightest pixel of these images. The scale would then change from "
            "batch to batch: divide by 255 whatever the images are.",
        ),
        Mistake(
            "computed in 8 bits",
            lambda u8: (2 * u8 - 1).float() / 255,
            "You computed with uint8, where 2 * 200 is 144: turn the images into floats first.",
        ),
        Mistake(
            "standardised by their own mean and deviation",
            lambda u8: (u8.float() - u8.float().mean()) / u8.float().std(),
            "You standardised the images by their own mean and deviation: then the same image "
            "looks different to the network in another batch.",
        ),
    ),
    hints=(
        "0 must become -1, and 255 must become 1.",
        "Turn the images into floats, then to [0, 1], then to [-1, 1].",
        "2 * (images.float() / 255) - 1",
    ),
)


EXERCISES = (FRECHET_DIAGONAL, COVARIANCE, MATRIX_SQRT, PRECISION, SQUARED_MMD, TO_NETWORK_RANGE)

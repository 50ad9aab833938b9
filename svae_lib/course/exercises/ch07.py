"""Exercises of notebook 07_fid: running moments, Fréchet distance, precision, MMD."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...support.devices import as_float64
from .compare import find_problem
from .exercise import TRIALS, Exercise, Function, Mistake, draw_sizes

NOTEBOOK = "07_fid"


# ------------------------------------------------------------------ mean and covariance, in batches


def update_moments(
    count: int, mean: Tensor, scatter: Tensor, batch: Tensor
) -> tuple[int, Tensor, Tensor]:
    """Number, mean and scatter of all vectors seen, after one more batch.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979: no two large numbers are subtracted.

    Args:
        count: vectors seen before.
        mean: theirs, (d,); 0 where count is 0.
        scatter: sum of (x - mean) (x - mean)^T over them, (d, d); 0 where count is 0.
        batch: new vectors (M, d).

    Returns:
        The same three with the batch. scatter / (count - 1) is the covariance.
    """
    total = count + len(batch)
    centred = batch - batch.mean(dim=0)
    shift = batch.mean(dim=0) - mean
    mean = mean + shift * (len(batch) / total)
    apart = torch.outer(shift, shift) * (count * len(batch) / total)
    return total, mean, scatter + centred.T @ centred + apart


def _seen_and_new(g: torch.Generator) -> tuple[int, Tensor, Tensor, Tensor]:
    """count, mean (d,) and scatter (d, d) of vectors seen, and a batch (M, d) of another mean."""
    count, m, d = draw_sizes(g, 3, low=3)
    spread = torch.randn(d, d, generator=g, dtype=torch.float64)
    seen, batch = (torch.randn(n, d, generator=g, dtype=torch.float64) for n in (count, m))
    seen, batch = seen @ spread - 1, batch @ spread + 2
    centred = seen - seen.mean(dim=0)
    return count, seen.mean(dim=0), centred.T @ centred, batch


FAR = 1e8  # in float64, squares of such numbers leave no digit of a deviation of 1


def _near_far_first(function: Function, inputs: tuple[Any, ...]) -> Any:
    """With a batch; with means that are huge beside the deviations; with nothing seen before.

    Where the huge means alone spoil an answer, what is left of it is rounding, which differs with
    the order of operations: that of :func:`_by_squares` stands for all.
    """
    count, mean, scatter, batch = inputs
    far = (count, mean + FAR, scatter, batch + FAR)
    tries = ((count, mean, scatter, batch), far, (0, 0 * mean, 0 * scatter, batch))
    near, huge, first = (function(*each) for each in tries)
    truths = tuple(update_moments(*each) for each in tries)
    found = find_problem(truths, (near, huge, first), UPDATE_MOMENTS)
    others_right = not find_problem(truths, (near, truths[1], first), UPDATE_MOMENTS)
    if found and found.name == "wrong values" and others_right:
        huge = _by_squares(*far)
    return near, huge, first


def _by_squares(count: int, mean: Tensor, scatter: Tensor, batch: Tensor) -> Any:
    """Through the sum of products about 0, which cancels."""
    total, new, _ = update_moments(count, mean, scatter, batch)
    products = scatter + count * torch.outer(mean, mean) + batch.T @ batch
    return total, new, products - total * torch.outer(new, new)


def _moments(
    mean_of: Callable[..., Any] | None = None, scatter_of: Callable[..., Any] | None = None
) -> Function:
    """:func:`update_moments` with another mean, or another scatter."""

    def update(count: int, mean: Tensor, scatter: Tensor, batch: Tensor) -> Any:
        total, new, right = update_moments(count, mean, scatter, batch)
        found = (count, mean, scatter, batch, new)
        return (
            total,
            mean_of(*found) if mean_of else new,
            scatter_of(*found) if scatter_of else right,
        )

    return update


def _about(batch: Tensor, left: Tensor, right: Tensor) -> Tensor:
    return (batch - left).T @ (batch - right)


UPDATE_MOMENTS = Exercise(
    name="update_moments",
    notebook=NOTEBOOK,
    reference=update_moments,
    inputs=_seen_and_new,
    observe=_near_far_first,
    tries=("With a batch", "With means of a hundred million", "With nothing seen before"),
    mistakes=(
        Mistake(
            "sums of squares",
            _by_squares,
            "Right on paper. But two huge, nearly equal numbers are subtracted, and where the "
            "means are large no digit of the scatter is left. Add deviations, never squares "
            "about 0.",
        ),
        Mistake(
            "means apart forgotten",
            _moments(
                scatter_of=lambda n, m, s, batch, new: (
                    s + _about(batch, batch.mean(dim=0), batch.mean(dim=0))
                )
            ),
            "You add the scatter of the old and that of the new vectors, each about its own mean. "
            "The two means differ: that is scatter, too.",
        ),
        Mistake(
            "about the old mean",
            _moments(scatter_of=lambda n, m, s, batch, new: s + _about(batch, m, m)),
            "You take the batch's deviations from the old mean. That counts the distance of the "
            "means too much, and leaves the old vectors where they were.",
        ),
        Mistake(
            "about the new mean",
            _moments(scatter_of=lambda n, m, s, batch, new: s + _about(batch, new, new)),
            "The batch's deviations from the new mean are right; the old vectors, too, have a new "
            "mean, and their scatter about it is larger.",
        ),
        Mistake(
            "weight of the difference",
            _moments(
                scatter_of=lambda n, m, s, batch, new: (
                    s
                    + _about(batch, batch.mean(dim=0), batch.mean(dim=0))
                    + torch.outer(batch.mean(dim=0) - m, batch.mean(dim=0) - m)
                )
            ),
            "The outer product of the means' difference is there, but without its weight "
            "count * M / (count + M).",
        ),
        Mistake(
            "difference by number of elements",
            _moments(
                scatter_of=lambda n, m, s, batch, new: (
                    s
                    + _about(batch, batch.mean(dim=0), batch.mean(dim=0))
                    + (batch.mean(dim=0) - m).square() * (n * len(batch) / (n + len(batch)))
                )
            ),
            "You add squares where products of two features belong: torch.outer(shift, shift), a "
            "matrix.",
        ),
        Mistake(
            "mean of two means",
            _moments(mean_of=lambda n, m, s, batch, new: (m + batch.mean(dim=0)) / 2),
            "Your mean is halfway between the two. They count by their numbers of vectors.",
        ),
        Mistake(
            "batch's own mean",
            _moments(mean_of=lambda n, m, s, batch, new: batch.mean(dim=0)),
            "This is the batch's mean alone: what was seen before is forgotten.",
        ),
        Mistake(
            "old mean",
            _moments(mean_of=lambda n, m, s, batch, new: m.clone()),
            "The mean stayed where it was.",
        ),
        Mistake(
            "covariance in place of the scatter",
            _moments(
                scatter_of=lambda n, m, s, batch, new: (
                    update_moments(n, m, s, batch)[2] / (n + len(batch) - 1)
                )
            ),
            "You divide already. The scatter is a sum: it is divided once, at the end.",
        ),
        Mistake(
            "batch alone",
            _moments(
                scatter_of=lambda n, m, s, batch, new: _about(
                    batch, batch.mean(dim=0), batch.mean(dim=0)
                )
            ),
            "This is the batch's scatter: add it to what was there.",
        ),
        Mistake(
            "batches counted",
            lambda n, m, s, batch: (n + 1, *update_moments(n, m, s, batch)[1:]),
            "You count batches. Count vectors: they are what the means are weighed by.",
        ),
    ),
    hints=(
        "The new mean lies on the way from the old one to the batch's, by the batch's share. The "
        "scatter has three parts: that of the old vectors about their mean, that of the batch "
        "about its own, and one for the distance of the two means.",
        "With shift = batch.mean(dim=0) - mean, the third part is torch.outer(shift, shift) times "
        "count * M / (count + M).",
        "mean + shift * M / total; scatter + centred.T @ centred + torch.outer(shift, shift) * "
        "count * M / total, with centred = batch - batch.mean(dim=0).",
    ),
)


# ------------------------------------------------------------------ Fréchet distance


def frechet(m1: Tensor, s1: Tensor, m2: Tensor, s2: Tensor) -> Tensor:
    """Squared Fréchet distance of two Gaussians, a scalar, from means (d,) and covariances (d, d).

    |m1 - m2|^2 + tr s1 + tr s2 - 2 tr (s1^(1/2) s2 s1^(1/2))^(1/2): Dowson and Landau 1982.
    """
    return (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * _mixed(s1, s2)


def _root(s: Tensor) -> Tensor:
    """The symmetric root of a covariance."""
    values, vectors = torch.linalg.eigh(s)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def _mixed(s1: Tensor, s2: Tensor) -> Tensor:
    """Trace of the root of s1^(1/2) s2 s1^(1/2): the sum of the roots of its eigenvalues."""
    root = _root(s1)
    values: Tensor = torch.linalg.eigvalsh(root @ s2 @ root)
    return values.clamp(min=0).sqrt().sum()


def _two_gaussians(g: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Means (d,) and covariances (d, d), float64, of which the products do not commute."""
    (d,) = draw_sizes(g, 1, low=4)
    factors = torch.randn(2, d, 2 * d, generator=g, dtype=torch.float64)
    s1, s2 = factors @ factors.mT / (2 * d) + 0.05 * torch.eye(d, dtype=torch.float64)
    m1, m2 = torch.randn(2, d, generator=g, dtype=torch.float64)
    return m1, s1, m2, s2


def _also_singular(function: Function, inputs: tuple[Any, ...]) -> Any:
    """For two covariances; and where rounding has given one or both an eigenvalue just below 0.

    Where both have it, the root of the first takes it away from the second.
    """
    m1, s1, m2, s2 = inputs
    value = function(m1, s1, m2, s2)
    spoilt, sound = (
        torch.diag(torch.tensor([1.0, 0.25, 0.5, last], dtype=s1.dtype)) for last in (-1e-12, 0.3)
    )
    pairs = ((spoilt, spoilt), (sound, spoilt), (spoilt, sound))
    return value, *(function(m1[:4], a, m2[:4], b) for a, b in pairs)


def _distance(mixed: Callable[[Tensor, Tensor], Tensor]) -> Function:
    """:func:`frechet` with another mixed term."""
    return lambda m1, s1, m2, s2: (
        (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * mixed(s1, s2)
    )


def _not_clamped(s1: Tensor, s2: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(s1)
    root = (vectors * values.sqrt()) @ vectors.T
    mixed: Tensor = torch.linalg.eigvalsh(root @ s2 @ root)
    return mixed.sqrt().sum()


def _outer_not_clamped(s1: Tensor, s2: Tensor) -> Tensor:
    mixed: Tensor = torch.linalg.eigvalsh(_root(s1) @ s2 @ _root(s1))
    return mixed.sqrt().sum()


def _untransposed(s: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(s)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors
    return root


FRECHET = Exercise(
    name="frechet",
    notebook=NOTEBOOK,
    reference=frechet,
    inputs=_two_gaussians,
    observe=_also_singular,
    tries=(
        "For two covariances",
        "For an eigenvalue just below 0",
        "For one in the second covariance alone",
        "For one in the first covariance alone",
    ),
    mistakes=(
        Mistake(
            "not clamped",
            _distance(_not_clamped),
            "NaN: rounding can leave an eigenvalue just below 0. Clamp at 0 before the root.",
        ),
        Mistake(
            "outer root not clamped",
            _distance(_outer_not_clamped),
            "NaN: you clamp before the inner root, but S1^1/2 S2 S1^1/2 can have an eigenvalue "
            "just below 0 as well. Clamp at 0 before the outer root, too.",
        ),
        Mistake(
            "root of each entry",
            _distance(lambda s1, s2: (s1.sqrt() @ s2 @ s1.sqrt()).sqrt().trace()),
            "You took the root of each entry (NaN where one is negative). The root of a matrix is "
            "the R with R @ R = S, a matrix product.",
        ),
        Mistake(
            "trace without the outer root",
            _distance(lambda s1, s2: (_root(s1) @ s2 @ _root(s1)).trace()),
            "You take the trace of S1^1/2 S2 S1^1/2 itself. The root comes first: sum the roots of "
            "its eigenvalues.",
        ),
        Mistake(
            "root of the trace",
            _distance(lambda s1, s2: (_root(s1) @ s2 @ _root(s1)).trace().sqrt()),
            "You take the root of the trace. It is the trace of the root: sum the roots of the "
            "eigenvalues.",
        ),
        Mistake(
            "roots of the diagonal",
            _distance(
                lambda s1, s2: (_root(s1) @ s2 @ _root(s1)).diagonal().clamp(min=0).sqrt().sum()
            ),
            "You take the roots of the diagonal's entries. Those of the eigenvalues are asked for.",
        ),
        Mistake(
            "product of the roots",
            _distance(lambda s1, s2: (_root(s1) @ _root(s2)).trace()),
            "The trace of the product of the two roots is right only where S1 and S2 commute. Form "
            "S1^1/2 S2 S1^1/2, then its root.",
        ),
        Mistake(
            "variances alone",
            _distance(lambda s1, s2: (s1.diagonal() * s2.diagonal()).clamp(min=0).sqrt().sum()),
            "You look at the variances alone: what features have to do with one another plays no "
            "part.",
        ),
        Mistake(
            "eigenvectors not transposed",
            _distance(
                lambda s1, s2: (
                    torch.linalg.eigvalsh(_untransposed(s1) @ s2 @ _untransposed(s1))
                    .clamp(min=0)
                    .sqrt()
                    .sum()
                )
            ),
            "In S = V diag(values) V' the eigenvectors on the right are transposed.",
        ),
        Mistake(
            "factor 2 missing",
            lambda m1, s1, m2, s2: (
                (m1 - m2).square().sum() + s1.trace() + s2.trace() - _mixed(s1, s2)
            ),
            "The mixed term's factor 2 is missing. Test: the distance of a Gaussian from itself "
            "must be 0.",
        ),
        Mistake(
            "mixed term added",
            lambda m1, s1, m2, s2: (
                (m1 - m2).square().sum() + s1.trace() + s2.trace() + 2 * _mixed(s1, s2)
            ),
            "The mixed term is subtracted: a Gaussian's distance from itself is 0.",
        ),
        Mistake(
            "means not squared",
            lambda m1, s1, m2, s2: (m1 - m2).norm() + s1.trace() + s2.trace() - 2 * _mixed(s1, s2),
            "The distance of the means enters squared.",
        ),
        Mistake(
            "means ignored",
            lambda m1, s1, m2, s2: s1.trace() + s2.trace() - 2 * _mixed(s1, s2),
            "The means are missing.",
        ),
        Mistake(
            "mean over the features",
            lambda m1, s1, m2, s2: (
                (m1 - m2).square().mean() + s1.trace() + s2.trace() - 2 * _mixed(s1, s2)
            ),
            "You averaged the squared differences of the means over the features. Sum them.",
        ),
        Mistake(
            "root at the end",
            lambda m1, s1, m2, s2: frechet(m1, s1, m2, s2).clamp(min=0).sqrt(),
            "You took the root of the sum. That is the distance; FID is its square.",
        ),
        Mistake(
            "sum in place of the trace",
            lambda m1, s1, m2, s2: (
                (m1 - m2).square().sum() + s1.sum() + s2.sum() - 2 * _mixed(s1, s2)
            ),
            "You summed all entries of the covariances. A trace sums the diagonal.",
        ),
    ),
    hints=(
        "Three parts: the means, two traces, and the trace of a root. Begin with the first two.",
        "values, vectors = torch.linalg.eigh(s1); the root is (vectors * values.clamp(min=0)"
        ".sqrt()) @ vectors.T. Of the outer root only the trace is needed: which numbers sum up?",
        "root @ s2 @ root is symmetric: torch.linalg.eigvalsh(...).clamp(min=0).sqrt().sum(), "
        "subtracted twice.",
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
            "none inside",
            lambda real, generated, k: _share(
                (torch.cdist(generated, real) <= torch.cdist(real, real).min(dim=1).values).any(1)
            ),
            "Not one is inside. If your radius is the smallest distance: each image is its own "
            "nearest, so the balls have radius 0, and the k-th other one is number k + 1. If you "
            "ask for all balls at once: one is enough, any instead of all.",
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
    as a score of images Bińkowski et al. 2018, equation 4. A sample is not compared with itself.
    """
    return _off_diagonal(kxx) + _off_diagonal(kyy) - 2 * kxy.mean()


def _off_diagonal(k: Tensor) -> Tensor:
    """Mean of the entries beside the diagonal."""
    n = len(k)
    return (k.sum() - k.trace()) / (n * (n - 1))


def _zeroed(k: Tensor) -> Tensor:
    """Mean with the diagonal set to 0 but still counted."""
    return (k.sum() - k.trace()) / k.numel()


def _uncounted(k: Tensor) -> Tensor:
    """Sum with the diagonal, divided by the number of entries beside it."""
    return k.sum() / (len(k) * (len(k) - 1))


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
            "diagonal kept but not counted",
            lambda kxx, kyy, kxy: _uncounted(kxx) + _uncounted(kyy) - 2 * kxy.mean(),
            "You divide by N (N - 1), the number of entries beside the diagonal, but the diagonal "
            "is still in your sum: subtract the trace.",
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


EXERCISES = (UPDATE_MOMENTS, FRECHET, PRECISION, SQUARED_MMD)

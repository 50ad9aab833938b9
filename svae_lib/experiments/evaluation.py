"""Which images are scored against which, and one report of it all.

Sources of images: REC (reconstructions of the test images), prior, mixture (a Gaussian mixture on
the posterior means), and two-stage (a second VAE on the posteriors) where it is asked for. Parts
of a SplitVAE's answer: x (the mixed image), x1, x2, and "mix": half of the samples answer with
their x1, the other half with their x2, as in the paper.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .. import fid
from ..baselines import SecondStage, is_deterministic
from ..data import ImageSets, to_float, to_uint8
from ..diagnostics import LatentStatistics, SplitKind, latent_statistics, split_kind
from ..fid import FeatureNetwork, FeatureStatistics, Score
from ..fid.distance import FEWEST
from ..fid.feature_network import check_network
from ..inference import decode_all, device_of, encode_all
from ..likelihood import LikelihoodBound, fitted_gamma, likelihood_bound
from ..models import VAE, Decoded
from ..objective import kl_divergence
from ..sampling import LatentMixture, prior_latents
from ..support.checks import InputError, check_counts, check_seed
from ..support.memory import kept_memory
from ..support.progress import counter
from ..support.provenance import provenance
from .checkpoints import MODEL_KINDS, kind_of, weights_hash

FORMAT = 1
AUTHORS_COUNT = 10_000
KEPT = 10_000
"""Images of each kind, the first ones, that KID, precision and recall are estimated on: they need
all features at once."""
KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000
FITTED_ON = 10_000
"""Training images, at random, that the mixture and the second stage are fitted on: as many as the
authors take. The fit's time grows with them."""
Metric = Literal["fid", "kid", "precision", "recall"]
Protocol = Literal["clean", "paper"]
Reference = Literal["test", "train"]
PROTOCOLS: dict[str, str] = {
    "clean": "mixture fitted on the means of (at most 10,000) training images",
    "paper": "LEAKING, as the paper's authors do it: mixture fitted on the means of the first "
    "10,000 test images, which are also the reference",
}
"""What the mixture is fitted on, by the protocol's name."""


def check_metric(metric: str) -> None:
    """Raise unless it is one of the scores of a :class:`Row`.

    Raises:
        InputError: it is not.
    """
    if metric not in get_args(Metric):
        raise InputError(f"metric must be one of {', '.join(get_args(Metric))}, not {metric!r}.")


@dataclass(frozen=True)
class Row:
    """Scores of one part of the images of one source."""

    source: str
    """"REC", "prior", "mixture", "two-stage", or "real": images of the data set itself, of the part
    that is not the reference."""
    part: str
    """"x", "x1", "x2" or "mix"."""
    fid: Score
    kid: Score
    precision: Score
    recall: Score

    def to_dict(self) -> dict[str, Any]:
        """Source, part and scores, for a JSON file."""
        scores = {"fid": self.fid, "kid": self.kid}
        scores |= {"precision": self.precision, "recall": self.recall}
        named = {name: score.to_dict() for name, score in scores.items()}
        return {"source": self.source, "part": self.part, **named}


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured on a trained model, and how."""

    rows: tuple[Row, ...]
    test_mse: float
    """Mean squared error per pixel of the test reconstructions."""
    test_kl: float | None
    """Mean over the test images of the KL divergence, in nats; None for a deterministic encoder."""
    latent: LatentStatistics
    """Of the posterior on the test images."""
    split: SplitKind | None
    """What kind of split the model makes of the test images; None for models without one."""
    likelihood: LikelihoodBound | None
    """Bounds on log p(x) of the test images; None where none was asked for, or can be."""
    mixture: LatentMixture = field(repr=False)
    """The mixture that the samples were drawn from."""
    how: dict[str, Any] = field(default_factory=dict)
    """Protocol, counts, seeds, versions and device."""

    def score(self, source: str, part: str = "x", metric: Metric = "fid") -> Score:
        """One score of one row.

        Raises:
            InputError: there is no such row or metric.
        """
        check_metric(metric)
        for row in self.rows:
            if (row.source, row.part) == (source, part):
                score: Score = getattr(row, metric)
                return score
        known = ", ".join(f"{row.source}/{row.part}" for row in self.rows)
        raise InputError(f"no row {source}/{part}; there are {known}.")

    def to_dict(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return {
            "format": FORMAT,
            "rows": [row.to_dict() for row in self.rows],
            "test_mse": self.test_mse,
            "test_kl": self.test_kl,
            "latent": self.latent.summary(),
            "split": None if self.split is None else asdict(self.split),
            "likelihood": None if self.likelihood is None else asdict(self.likelihood),
            "how": self.how,
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of text, for a terminal or a page."""
        columns = ["images", "part", self.rows[0].fid.metric, self.rows[0].kid.metric]
        columns += ["precision", "recall"]
        lines = [
            [
                row.source,
                row.part,
                f"{row.fid.value:.2f}" if row.fid.value >= 0.1 else f"{row.fid.value:.2g}",
                with_error(row.kid.value, row.kid.standard_error or 0.0, decimals=3),
                f"{row.precision.value:.2f}",
                f"{row.recall.value:.2f}",
            ]
            for row in self.rows
        ]
        return columns, lines


def with_error(value: float, error: float, decimals: int = 2) -> str:
    """A number and its error in text: two significant digits of the error, or more decimals.

    Args:
        value: the number.
        error: its error, in the same unit; 0 is left at ``decimals``.
        decimals: fewest places after the point.
    """
    if 0 < error < math.inf:
        decimals = max(decimals, 1 - math.floor(math.log10(error)))
    spread = "" if math.isinf(error) else f" ± {error:.{decimals}f}"
    return f"{value:.{decimals}f}{spread}"


@kept_memory()
def evaluate(
    model: VAE,
    sets: ImageSets,
    network: FeatureNetwork,
    *,
    n: int | None = None,
    reference: Reference = "test",
    n_reference: int | None = None,
    protocol: Protocol = "clean",
    mixture_components: int = 100,
    second_stage_steps: int = 0,
    likelihood_draws: int = 0,
    seed: int = 0,
    batch_size: int = 100,
    progress: bool = True,
) -> Evaluation:
    """Score a model's reconstructions and samples, and take its statistics.

    The scores are FID, KID, precision and recall. Images are rounded to 8 bits before they are
    scored, as if they had been saved. Memory does not grow with ``n``, but for the latent vectors:
    a batch of images is held at a time, FID takes running statistics, and the other scores the
    first :data:`KEPT` features.

    Args:
        model: in evaluation mode.
        sets: the data.
        network: from :func:`svae_lib.fid.network`.
        n: images to generate, at least 4 (and to reconstruct: test images, as far as there are so
            many); default: as many as the reference has, at most 10,000.
        reference: what is compared with: "test" or "train" images. (Papers differ; 50,000
            generated images against the 50,000 training images are usual for CIFAR-10.)
        n_reference: images of the reference, the first ones: they must not be sorted; default: n.
        protocol: "clean", or "paper" to repeat the authors' leak; see :data:`PROTOCOLS`.
        mixture_components: Gaussians in the mixture.
        second_stage_steps: steps to train a :class:`svae_lib.baselines.SecondStage` for, on the
            posteriors that the mixture is fitted on; 0: no images of that source.
        likelihood_draws: latent vectors per test image for
            :func:`svae_lib.likelihood.likelihood_bound`, with the gamma that training images (at
            most 10,000) ask for; 0: no bound.
        seed: seeds the fits of mixture and second stage, the samples, the half/half choice, KID's
            subsets and the bound's draws.
        batch_size: images at a time.
        progress: show a progress bar.

    Warns:
        UserWarning: the reference's images are sorted by class, and not all of them are used.

    Raises:
        InputError: the data do not fit the model or the network, an unknown protocol, a count or
            a seed that cannot be, or an ``n`` that the images cannot serve.
    """
    check_counts(mixture_components=mixture_components, batch_size=batch_size)
    check_counts(lowest=0, second_stage_steps=second_stage_steps, likelihood_draws=likelihood_draws)
    check_seed(seed)
    theirs, others = _parts(sets, reference)
    n = min(n_reference or len(theirs), AUTHORS_COUNT) if n is None else n
    n_reference = n if n_reference is None else n_reference
    _check(model, sets, network, n, reference, n_reference, protocol)
    test = sets.test[:n]
    mu, log_var = encode_all(model, test, batch_size)
    fitting = sets.test[:AUTHORS_COUNT] if protocol == "paper" else fitting_images(sets, seed)
    posteriors = encode_all(model, fitting, batch_size)
    mixture = LatentMixture(mixture_components, seed=seed).fit(posteriors[0])
    drawn = _draw(posteriors, mixture, n, second_stage_steps, seed, progress)
    name = f"{sets.name} {'test' if reference == 'test' else 'training images'}"
    scorer = _Scorer(theirs[:n_reference], network, name, seed, batch_size)
    rows = [scorer.row("real", "x", scorer.features_of(_some(others, n, seed)))]
    error = _SquaredError(test, batch_size)
    for source, z in {"REC": mu, **drawn}.items():
        decoded = _decoded(model, z, batch_size, source, progress)
        if source == "REC":
            decoded = error.watch(decoded)
        parts = _features_by_part(decoded, _half(len(z), seed), network)
        rows += [scorer.row(source, part, features) for part, features in parts.items()]
    return Evaluation(
        rows=tuple(rows),
        test_mse=error.mean,
        test_kl=None if is_deterministic(model) else kl_divergence(mu, log_var).mean().item(),
        latent=latent_statistics(mu, log_var),
        split=_split(model, test[:500], mu[:500], batch_size),
        likelihood=_likelihood(model, sets, test, likelihood_draws, seed, batch_size, progress),
        mixture=mixture,
        how={
            "model": _name_of(model),
            "model_sha256": weights_hash(model),
            "data": sets.name,
            "protocol": protocol,
            "protocol_in_words": PROTOCOLS[protocol],
            "n": n,
            "reference": reference,
            "n_reference": n_reference,
            "mixture_components": mixture_components,
            "mixture_fitted_on": len(posteriors[0]),
            "second_stage_steps": second_stage_steps,
            "likelihood_draws": likelihood_draws,
            "kid_subsets": KID_SUBSETS,
            "kid_subset_size": KID_SUBSET_SIZE,  # at most half of the images
            "seed": seed,
            **provenance(device_of(model)),
        },
    )


def _parts(sets: ImageSets, reference: str) -> tuple[Tensor, Tensor]:
    """Images of the reference, and those of the other part."""
    if reference not in ("test", "train"):
        raise InputError(f'reference must be "test" or "train", not {reference!r}.')
    return (sets.test, sets.train) if reference == "test" else (sets.train, sets.test)


def _check(
    model: VAE,
    sets: ImageSets,
    network: FeatureNetwork,
    n: int,
    reference: Reference,
    n_reference: int,
    protocol: str,
) -> None:
    """Raise before anything is computed if it would come to nothing later."""
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol must be one of {tuple(PROTOCOLS)}, not {protocol!r}.")
    if protocol == "paper" and reference != "test":
        raise InputError('the protocol "paper" has the test images as its reference.')
    check_network(network)
    network.check_channels(model.config.channels)
    check_counts(lowest=FEWEST, n=n, n_reference=n_reference)
    for part, images in {"test": sets.test, "training": sets.train}.items():
        if len(images) < FEWEST:
            raise InputError(
                f"{len(images)} {part} images are too few: scores need at least {FEWEST}."
            )
    available = len(_parts(sets, reference)[0])
    if n_reference > available:
        raise InputError(
            f"there are {available} {reference} images, too few for a reference of {n_reference}: "
            "lower n_reference, or n where only that is given."
        )
    labels = sets.test_labels if reference == "test" else sets.train_labels
    if min(n_reference, KEPT) < available and _sorted_by_class(labels):
        warnings.warn(
            f"the {reference} images are sorted by class, so that the first of them are no fair "
            "reference: shuffle images and labels together.",
            UserWarning,
            stacklevel=4,  # past the decorator, to who called evaluate
        )


def _sorted_by_class(labels: Tensor) -> bool:
    """Whether classes (N,) never fall, and are not all the same; factors (N, F) are no classes."""
    return labels.ndim == 1 and bool((labels.diff() >= 0).all() and labels[0] != labels[-1])


def _name_of(model: VAE) -> str:
    """Its kind, or the name of a class of the user's own."""
    return kind_of(model) if type(model) in MODEL_KINDS.values() else type(model).__name__


def fitting_images(sets: ImageSets, seed: int) -> Tensor:
    """Training images that the mixture and the second stage are fitted on: uint8 (N, C, S, S)."""
    return _some(sets.train, FITTED_ON, seed)


def _draw(
    posteriors: tuple[Tensor, Tensor],
    mixture: LatentMixture,
    n: int,
    second_stage_steps: int,
    seed: int,
    progress: bool,
) -> dict[str, Tensor]:
    """Latent vectors (n, L) of the sources of new images, from the posteriors to be fitted."""
    mu, log_var = posteriors
    drawn = {
        "prior": prior_latents(n, mu.shape[1], seed),
        "mixture": mixture.sample(n, seed),
    }
    if second_stage_steps:
        stage = SecondStage(mu.shape[1], steps=second_stage_steps, seed=seed)
        drawn["two-stage"] = stage.fit(mu, log_var, progress=progress).sample(n, seed)
    return drawn


class _SquaredError:
    """Mean squared error per pixel and channel of decoded images, taken as they pass by."""

    def __init__(self, originals: Tensor, batch_size: int) -> None:
        self._batches = originals.split(batch_size)
        self._values = originals.numel()
        self._sum = 0.0

    def watch(self, decoded: Iterable[Decoded]) -> Iterator[Decoded]:
        """The same batches, each compared with its originals before it is handed on."""
        for x, out in zip(self._batches, decoded, strict=True):
            self._sum += (to_float(x) - out.x_hat).square().sum().item()
            yield out

    @property
    def mean(self) -> float:
        """Over all originals, once they have all been compared."""
        return self._sum / self._values


class _Features:
    """Statistics of all feature vectors for FID, the first for the other scores: bounded memory."""

    def __init__(self, network: FeatureNetwork) -> None:
        self.statistics = FeatureStatistics(network.dim, network.name, network.weights_hash)
        self._kept: list[Tensor] = []

    def add(self, features: Tensor) -> None:
        """Take in vectors (N, D)."""
        room = max(KEPT - self.statistics.n, 0)
        self.statistics.update(features)
        if room:
            self._kept.append(features[:room].cpu())

    @property
    def kept(self) -> Tensor:
        """The first vectors, at most KEPT: float32 (M, D)."""
        return torch.cat(self._kept)


class _Scorer:
    """Scores features against those of one reference."""

    def __init__(
        self, reference: Tensor, network: FeatureNetwork, name: str, seed: int, batch_size: int
    ) -> None:
        self.network, self.name, self.seed, self.batch_size = network, name, seed, batch_size
        self.reference = self.features_of(reference)

    def features_of(self, images: Tensor) -> _Features:
        found = _Features(self.network)
        for batch in images.split(self.batch_size):
            found.add(self.network(to_float(batch)))
        return found

    def row(self, source: str, part: str, features: _Features) -> Row:
        kept = features.kept, self.reference.kept, self.network
        score = fid.fid(
            features.statistics,
            self.reference.statistics,
            self.network,
            reference_name=self.name,
        )
        kernel = fid.kid(
            *kept,
            reference_name=self.name,
            subsets=KID_SUBSETS,
            subset_size=KID_SUBSET_SIZE,
            seed=self.seed,
        )
        shares = fid.precision_recall(*kept, reference_name=self.name)
        return Row(source, part, score, kernel, *shares)


def _decoded(
    model: VAE, z: Tensor, batch_size: int, source: str, progress: bool
) -> Iterator[Decoded]:
    with counter(len(z), f"scoring {source}", "image", show=progress) as bar:
        for part in z.split(batch_size):
            yield decode_all(model, part, batch_size)
            bar.update(len(part))


def _half(n: int, seed: int) -> Tensor:
    """Who answers with x1 in the mix: bool (n, 1), True for half of them, at random."""
    chosen = torch.zeros(n, 1, dtype=torch.bool)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    chosen[order[: n // 2]] = True
    return chosen


def _features_by_part(
    decoded: Iterable[Decoded], chosen: Tensor, network: FeatureNetwork
) -> dict[str, _Features]:
    """Features of x, and of x1, x2 and their mix where the model splits in two.

    Args:
        decoded: batches of a model's answers, N images in all.
        chosen: who answers with x1 in the mix, bool (N, 1).
        network: what computes the features.
    """
    found: dict[str, _Features] = {}
    for out in decoded:
        images = {"x": out.x_hat}
        if out.components is not None:
            images |= {f"x{k + 1}": c for k, c in enumerate(out.components.unbind(dim=1))}
        parts = {name: network(to_float(to_uint8(x))).cpu() for name, x in images.items()}
        if len(parts) == 3:  # x, x1, x2
            first, chosen = chosen.tensor_split([len(out.x_hat)])
            parts["mix"] = torch.where(first, parts["x1"], parts["x2"])
        for name, features in parts.items():
            found.setdefault(name, _Features(network)).add(features)
    return found


def _some(images: Tensor, n: int, seed: int) -> Tensor:
    """At most ``n`` of the images, chosen at random; all of them in their order."""
    if len(images) <= n:
        return images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images[order[:n]]


def _split(model: VAE, images: Tensor, mu: Tensor, batch_size: int) -> SplitKind | None:
    out = decode_all(model, mu, batch_size)
    if out.weights is None:
        return None
    return split_kind(out.sigma_map, to_float(images), out.components)


def _likelihood(
    model: VAE,
    sets: ImageSets,
    test: Tensor,
    draws: int,
    seed: int,
    batch_size: int,
    progress: bool,
) -> LikelihoodBound | None:
    if draws == 0 or is_deterministic(model):
        return None
    # Of training images, whatever the protocol: the mixture's may be those of the test.
    gamma = fitted_gamma(model, fitting_images(sets, seed), seed, batch_size)
    return likelihood_bound(
        model, test, gamma, draws=draws, seed=seed, batch_size=batch_size, progress=progress
    )

"""Score a trained model: :func:`evaluate`. What is scored, and how: :mod:`.scoring`."""

from __future__ import annotations

import dataclasses
import warnings
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .. import fid
from ..baselines import SecondStage, is_deterministic
from ..data import ImageSets, to_float, to_uint8
from ..diagnostics import latent_statistics, split_kind
from ..fid import FeatureNetwork
from ..fid.feature_network import check_network
from ..fid.statistics import empty_statistics
from ..inference import decode_all, decode_batches, device_of, encode_all
from ..likelihood import fitted_gamma, likelihood_bound
from ..models import VAE, Decoded
from ..objective import kl_divergence
from ..sampling import LatentMixture, prior_latents
from ..support.checks import check_counts
from ..support.devices import exact_float32, kept_memory
from ..support.progress import counter
from ..support.provenance import provenance
from .checkpoints import MODEL_KINDS, weights_hash
from .scoring import AUTHORS_COUNT, PROTOCOLS, Evaluation, Row, Scoring

__all__ = ["KEPT", "PROTOCOLS", "Evaluation", "Row", "Scoring", "evaluate", "fitting_images"]

KEPT = 10_000
"""Images of each kind, the first ones, that KID, precision and recall see (all at once)."""
KID_SUBSETS, KID_SUBSET_SIZE = 100, 1000  # at most half of the images
FITTED_ON = 10_000
"""Training images, at random, that the mixture and the second stage are fitted on: as many as the
authors take. The fit's time grows with them."""


@exact_float32()  # the model's images, too, are the same on every device
@kept_memory()
def evaluate(
    model: VAE,
    sets: ImageSets,
    scoring: Scoring | None = None,
    *,
    network: FeatureNetwork | None = None,
    batch_size: int = 100,
    progress: bool = True,
) -> Evaluation:
    """FID, KID, precision and recall of a model's reconstructions and samples; its statistics.

    Images are rounded to 8 bits before they are scored, as if they had been saved. A batch of them
    is held at a time: FID takes running statistics, the other scores the first :data:`KEPT`
    features.

    Args:
        model: in evaluation mode.
        sets: the data.
        scoring: how; default: :class:`Scoring` as it is.
        network: a feature network of your own in place of the one that ``scoring`` names.
        batch_size: images at a time.
        progress: show a progress bar.

    Warns:
        UserWarning: the reference's images are sorted by class, and not all of them are used.

    Raises:
        InputError: the data do not fit the model or the network, or are fewer than asked for.
    """
    check_counts(batch_size=batch_size)
    how = (scoring or Scoring()).of(sets)
    if network is None:
        network = fid.network(how.features, device=device_of(model))
    else:
        check_network(network)
        how = dataclasses.replace(how, features=network.name)
    network.check_channels(model.config.channels)
    n, seed = how.n, how.seed
    assert n is not None and how.n_reference is not None and how.mixture_components is not None
    _warn_if_sorted(sets, how.reference, how.n_reference)

    test, training = sets.test[:n], fitting_images(sets, seed)
    mu, log_var = encode_all(model, test, batch_size)
    fitting = sets.test[:AUTHORS_COUNT] if how.protocol == "paper" else training
    posteriors = encode_all(model, fitting, batch_size)
    mixture = LatentMixture(how.mixture_components, seed=seed).fit(posteriors[0])
    latents = {"REC": mu, "prior": prior_latents(n, mu.shape[1], seed)}
    latents["mixture"] = mixture.sample(n, seed)
    if steps := how.second_stage_steps:
        stage = SecondStage(mu.shape[1], steps=steps, seed=seed)
        stage.fit(*posteriors, progress=progress)
        latents["two-stage"] = stage.sample(n, seed)

    theirs, others = how.parts(sets)
    reference = Features.of(theirs[: how.n_reference].split(batch_size), network)
    real = Features.of(_some(others, n, seed).split(batch_size), network)
    name = f"{sets.name} {'test' if how.reference == 'test' else 'training images'}"
    rows = [real.row("real", "x", reference, name, seed)]
    squared_error = 0.0
    for source, z in latents.items():
        chosen = iter(_half(len(z), seed).split(batch_size))
        originals = iter(test.split(batch_size))
        found: dict[str, Features] = defaultdict(partial(Features, network))
        with counter(len(z), f"scoring {source}", "image", show=progress) as bar:
            for out in decode_batches(model, z, batch_size):  # they stay on the device
                if source == "REC":
                    original = to_float(next(originals).to(out.x_hat.device))
                    squared_error += (original - out.x_hat).square().sum().item()
                for part, features in _features_by_part(out, next(chosen), network).items():
                    found[part].add(features)
                bar.update(len(out.x_hat))
        rows += [part.row(source, of, reference, name, seed) for of, part in found.items()]

    points = is_deterministic(model)
    bound = None
    if how.likelihood_draws and not points:
        # Of training images, whatever the protocol: the mixture's may be those of the test.
        gamma = fitted_gamma(model, training, seed, batch_size)
        draws = {"draws": how.likelihood_draws, "seed": seed, "batch_size": batch_size}
        bound = likelihood_bound(model, test, gamma, **draws, progress=progress)
    first = decode_all(model, mu[:500], batch_size)
    split = None
    if first.weights is not None and first.weights.shape[1] == 2:  # of more maps, each has a kind
        split = split_kind(first.sigma_map, to_float(test[:500]), first.components)
    kinds = {cls: kind for kind, cls in MODEL_KINDS.items()}
    made = {
        "model": kinds.get(type(model), type(model).__name__),
        "model_sha256": weights_hash(model),
        "data": sets.name,
        "mixture_fitted_on": len(fitting),
        "kid_subsets": KID_SUBSETS,
        "kid_subset_size": KID_SUBSET_SIZE,
        **provenance(device_of(model)),
    }
    return Evaluation(
        rows=tuple(rows),
        test_mse=squared_error / test.numel(),
        test_kl=None if points else kl_divergence(mu, log_var).mean().item(),
        latent=latent_statistics(mu, log_var),
        split=split,
        likelihood=bound,
        mixture=mixture,
        scoring=how,
        made=made,
    )


def _warn_if_sorted(sets: ImageSets, reference: str, n: int) -> None:
    """Warn if the reference would be a part of images that are sorted by class."""
    labels = sets.test_labels if reference == "test" else sets.train_labels
    if min(n, KEPT) == len(labels) or labels.ndim != 1:  # factors are no classes
        return
    if bool((labels.diff() >= 0).all() and labels[0] != labels[-1]):
        warnings.warn(
            f"the {reference} images are sorted by class, so that the first of them are no fair "
            "reference: shuffle images and labels together.",
            stacklevel=5,  # past the decorators, to who called evaluate
        )


def fitting_images(sets: ImageSets, seed: int) -> Tensor:
    """Training images that the mixture and the second stage are fitted on: uint8 (N, C, S, S)."""
    return _some(sets.train, FITTED_ON, seed)


def _some(images: Tensor, n: int, seed: int) -> Tensor:
    """At most ``n`` of the images, chosen at random; all of them in their order."""
    if len(images) <= n:
        return images
    return images[_order(len(images), seed)[:n]]


def _order(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


class Features:
    """Statistics of all feature vectors for FID, the first for the other scores: bounded memory."""

    def __init__(self, network: FeatureNetwork) -> None:
        self.network = network
        self.statistics = empty_statistics(network)
        self._kept: list[Tensor] = []

    def add(self, features: Tensor) -> None:
        """Take in vectors (N, D)."""
        if (room := KEPT - self.statistics.n) > 0:
            self._kept.append(features[:room].cpu())
        self.statistics.update(features)

    @classmethod
    def of(cls, batches: Iterable[Tensor], network: FeatureNetwork) -> Features:
        """Features of uint8 images (N, C, H, W), given in batches."""
        found = cls(network)
        for batch in batches:
            found.add(network(to_float(batch.to(network.device))))
        return found

    @property
    def kept(self) -> Tensor:
        """The first vectors, at most KEPT: float32 (M, D)."""
        return torch.cat(self._kept)

    def row(self, source: str, part: str, reference: Features, name: str, seed: int) -> Row:
        """Scores against a reference of this name."""
        both = self.kept, reference.kept, self.network
        subsets: dict[str, Any] = {"subsets": KID_SUBSETS, "subset_size": KID_SUBSET_SIZE}
        return Row(
            source,
            part,
            fid.fid(self.statistics, reference.statistics, self.network, reference_name=name),
            fid.kid(*both, reference_name=name, seed=seed, **subsets),
            *fid.precision_recall(*both, reference_name=name),
        )


def _half(n: int, seed: int) -> Tensor:
    """Who answers with x1 in the mix: bool (n, 1), True for half of them, at random."""
    chosen = torch.zeros(n, 1, dtype=torch.bool)
    chosen[_order(n, seed)[: n // 2]] = True
    return chosen


def _features_by_part(out: Decoded, chosen: Tensor, network: FeatureNetwork) -> dict[str, Tensor]:
    """Features of a batch of x, and of x1, x2 and their mix (:func:`_half`) where there are two."""
    images = {"x": out.x_hat}
    if out.components is not None:
        images |= {f"x{k + 1}": c for k, c in enumerate(out.components.unbind(dim=1))}
    parts = {name: network(to_float(to_uint8(x))) for name, x in images.items()}
    if len(parts) == 3:  # x, x1, x2
        parts["mix"] = torch.where(chosen.to(parts["x1"].device), parts["x1"], parts["x2"])
    return parts

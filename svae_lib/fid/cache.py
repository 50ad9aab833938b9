"""Statistics of reference images on disk, so that they are computed once."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..files import atomic_path, user_cache
from .feature_network import FeatureNetwork
from .statistics import FeatureStatistics, feature_statistics

_FORMAT = "svae-statistics-1"
_HASHED_AT_ONCE = 1 << 12  # images


def default_cache_dir() -> Path:
    """Folder for statistics: SVAE_CACHE, else svae/statistics in the user's cache folder.

    Raises:
        InputError: the user has no home folder.
    """
    if chosen := os.environ.get("SVAE_CACHE"):
        return Path(chosen)
    return user_cache() / "svae" / "statistics"


def statistics_key(images: Tensor, network: FeatureNetwork) -> str:
    """SHA-256 over all that the statistics depend on.

    The images' bytes, count, shape and dtype, and the network's name, weights, resize and
    range: never a guessed name, under which other images of the same shape would be found.
    """
    facts = (
        _FORMAT,
        str(tuple(images.shape)),
        str(images.dtype),
        network.name,
        network.weights_hash,
        network.resize,
        network.value_range,
    )
    digest = hashlib.sha256("\n".join(facts).encode())
    for chunk in torch.split(images, _HASHED_AT_ONCE):
        digest.update(chunk.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def cached_statistics(
    images: Tensor,
    network: FeatureNetwork,
    cache_dir: str | os.PathLike[str] | None = None,
    batch_size: int = 100,
    progress: bool = False,
) -> FeatureStatistics:
    """The statistics of ``images``, from the cache where it holds them, else computed and kept.

    A damaged file is computed again and replaced; a folder that cannot be written costs a
    warning, not the statistics.

    Args:
        images: uint8 or float (N, C, H, W).
        network: from :func:`svae_lib.fid.network`.
        cache_dir: folder; by default :func:`default_cache_dir`.
        batch_size: images at a time.
        progress: show a progress bar.

    Raises:
        InputError: images that the network cannot take.
    """
    key = statistics_key(images, network)
    folder = default_cache_dir() if cache_dir is None else Path(cache_dir)
    path = folder / f"{key}.safetensors"
    found = _read(path, key)
    if found is not None:
        return found
    statistics = feature_statistics(images, network, batch_size, progress)
    try:
        _write(path, key, statistics)
    except OSError as error:
        warnings.warn(f"the statistics are not kept: {path} ({error}).", stacklevel=2)
    return statistics


def _write(path: Path, key: str, statistics: FeatureStatistics) -> None:
    tensors = {"mean": statistics.mean, "scatter": statistics.scatter}
    facts = {
        "key": key,
        "n": str(statistics.n),
        "network": statistics.network,
        "weights_hash": statistics.weights_hash,
        "content": _content_hash(tensors),
    }
    with atomic_path(path, overwrite=True) as temporary:
        save_file(tensors, temporary, metadata=facts)


def _read(path: Path, key: str) -> FeatureStatistics | None:
    """The statistics in the file, or None where it is missing or not whole."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in ("mean", "scatter")}
        if facts["key"] != key or facts["content"] != _content_hash(tensors):
            return None
        return FeatureStatistics.restore(
            int(facts["n"]),
            tensors["mean"],
            tensors["scatter"],
            facts["network"],
            facts["weights_hash"],
        )
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def _content_hash(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()

"""Statistics of reference images on disk, so that they are computed once."""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..support.checks import InputError
from ..support.files import user_cache
from ..support.tensor_files import read_tensors, write_tensors
from .feature_network import FeatureNetwork, check_network
from .statistics import FeatureStatistics, feature_statistics

_WHAT = "feature statistics"  # what the files hold
_FORMAT = "svae-statistics-1"
_HASHED_AT_ONCE = 1 << 12  # images


def default_cache_dir() -> Path:
    """Folder for statistics: SVAE_CACHE, else "statistics" in the library's cache folder.

    Raises:
        InputError: the user has no home folder.
    """
    chosen = os.environ.get("SVAE_CACHE")
    return Path(chosen) if chosen else user_cache() / "statistics"


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
        InputError: images that the network cannot take, or no network.
    """
    check_network(network)
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


@dataclass(frozen=True)
class _Facts:
    key: str
    n: int
    network: str
    weights_hash: str


def _write(path: Path, key: str, statistics: FeatureStatistics) -> None:
    facts = _Facts(key, statistics.n, statistics.network, statistics.weights_hash)
    tensors = {"mean": statistics.mean, "scatter": statistics.scatter}
    write_tensors(path, _WHAT, tensors, asdict(facts), overwrite=True)


def _read(path: Path, key: str) -> FeatureStatistics | None:
    """The statistics in the file, or None where it is missing, not whole or of another key."""
    try:
        tensors, facts = read_tensors(path, _WHAT, _Facts)
    except (InputError, OSError):
        return None
    if facts.key != key:
        return None
    return FeatureStatistics.restore(
        facts.n, tensors["mean"], tensors["scatter"], facts.network, facts.weights_hash
    )

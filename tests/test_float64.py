"""A device without float64, as Apple's GPUs are: everything is right there, too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

import svae_lib as sv
from svae_lib import diagnostics, likelihood
from svae_lib.fid import (
    FeatureStatistics,
    fid,
    frechet_distance,
    kernel_distance,
    network,
    shares_inside,
)
from svae_lib.objective import pixel_variance
from svae_lib.support.devices import as_float64


class Apple(Tensor):
    """A tensor that says it is on "mps", and whatever makes float64 of it raises."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func == Tensor.device.__get__:
            return torch.device("mps")
        if func is Tensor.cpu:
            return plain(args[0])
        values, named = tree_map(plain, args), tree_map(plain, kwargs or {})
        if func is Tensor.to and "mps" in map(str, (*values[1:], *named.values())):
            return args[0]
        found = func(*values, **named)
        if isinstance(found, Tensor) and found.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return tree_map(on_apple, found)


def plain(value):
    return value.as_subclass(Tensor) if isinstance(value, Tensor) else value


def on_apple(value):
    return value.as_subclass(Apple) if type(value) is Tensor else value


def features(seed: int, n: int = 40) -> Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed)) + seed


def test_the_stand_in_has_no_float64() -> None:
    there = on_apple(features(0))
    assert there.device.type == "mps" and isinstance(there + 1, Apple)
    for convert in (
        lambda x: x.double(),
        lambda x: x.to(torch.float64),
        lambda x: x.to("cpu", torch.float64),
        lambda x: x.sum(dtype=torch.float64),
    ):
        with pytest.raises(TypeError, match="MPS"):
            convert(there)
    assert type(there.cpu()) is Tensor


@pytest.mark.parametrize("stay", [False, True])
def test_values_go_to_the_cpu_first(stay: bool) -> None:
    here = features(0).requires_grad_()
    found = as_float64(on_apple(here), stay=stay)
    assert type(found) is Tensor and found.dtype == torch.float64 and not found.requires_grad
    assert torch.equal(found, here.detach().double())


def test_scores_of_its_features_are_right() -> None:
    one, two = features(0), features(1)
    there = on_apple(one), on_apple(two)
    statistics = [FeatureStatistics.of(x) for x in (one, two, *there)]
    exact, found = (
        frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
        for a, b in (statistics[:2], statistics[2:])
    )
    assert found == exact > 1
    moments = [(x.mean(dim=0), x.T.cov()) for x in (one, two)]
    by_moments = frechet_distance(*map(on_apple, moments[0]), *map(on_apple, moments[1]))
    assert by_moments == pytest.approx(exact, rel=1e-4)
    assert kernel_distance(*there, 5) == kernel_distance(one, two, 5)
    assert shares_inside(*there) == shares_inside(one, two)
    lenet = network("lenet", device="cpu")
    wide = [torch.cat([features(s, 80)] * 13, dim=1)[:, :64] for s in (0, 1)]
    assert fid(*map(on_apple, wide), lenet).value == fid(*wide, lenet).value > 1


def test_objective_and_bounds_are_right() -> None:
    images = sv.data.load("mnist-5k").test[:20]
    assert pixel_variance(on_apple(images)) == pixel_variance(images) > 0.01
    x_hat = torch.full(images.shape, 0.3)
    for log_p in (likelihood.log_density, likelihood.log_probability):
        there = log_p(on_apple(images), on_apple(x_hat), 0.1)
        assert type(there) is Tensor
        torch.testing.assert_close(there, log_p(images, x_hat, 0.1))


def test_mixture_and_diagnostics_are_right() -> None:
    generator = torch.Generator().manual_seed(0)
    maps, images = (torch.rand(9, 1, 16, 16, generator=generator) for _ in range(2))
    found = diagnostics.split_kind(on_apple(maps), on_apple(images))
    assert found == diagnostics.split_kind(maps, images)
    mu, log_var = features(0), -features(1)
    there = diagnostics.latent_statistics(on_apple(mu), on_apple(log_var))
    here = diagnostics.latent_statistics(mu, log_var)
    assert torch.equal(there.law, here.law)
    samples = (sv.LatentMixture(2).fit(x).sample(5) for x in (mu, on_apple(mu)))
    assert torch.equal(*samples)


def test_there_is_one_way_to_float64() -> None:
    """`.double()`, and conversions to float64 in one step, are nowhere but in the helper."""
    library = Path(sv.__file__).parent
    conversions = re.compile(r"\.double\(\)|\.(to|type|sum|mean)\([^)]*float64")
    found = {
        f"{path.relative_to(library).as_posix()}: {line.strip()}"
        for path in library.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if conversions.search(line)
    }
    assert found == {"support/devices.py: return values.to(torch.float64)"}

"""The transposed convolution's second way, for CPUs in half precision, against the first."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from svae_lib.layers import UpConv, keras_init_


@pytest.fixture
def layer() -> UpConv:
    torch.manual_seed(0)
    layer = UpConv(6, 5).apply(keras_init_)
    nn.init.normal_(layer.bias)
    return layer


def images(*size: int) -> torch.Tensor:
    return torch.randn(3, 6, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 1)])
def test_both_ways_are_one_function_with_one_gradient(layer: UpConv, size) -> None:
    direct, fourfold = images(*size).requires_grad_(), images(*size).requires_grad_()
    answers, gradients = [], []
    for x, way in ((direct, layer.forward), (fourfold, layer._as_convolutions)):
        layer.zero_grad()
        answers.append(way(x))
        answers[-1].square().sum().backward()
        gradients.append([x.grad, layer.weight.grad.clone(), layer.bias.grad.clone()])
    assert answers[0].shape == (3, 5, 2 * size[0], 2 * size[1])
    torch.testing.assert_close(*answers, rtol=0, atol=4e-7 * answers[0].abs().max().item())
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * one.abs().max().item())


def test_the_second_way_is_for_the_cpus_half_precision_alone(layer: UpConv, monkeypatch) -> None:
    taken: list[torch.Tensor] = []
    inner = layer._as_convolutions
    monkeypatch.setattr(layer, "_as_convolutions", lambda x: (taken.append(x), inner(x))[1])
    x = images(4, 4)
    layer(x)
    with torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_available()):
        layer(x)
    layer.to("meta")(x.to("meta"))
    assert not taken
    layer.to_empty(device="cpu").apply(keras_init_)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x)
    assert len(taken) == 1 and half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), layer(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_channels_last_stays_channels_last(layer: UpConv, precision: str) -> None:
    layer = layer.to(memory_format=torch.channels_last)
    x = images(8, 8).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        assert layer(x).is_contiguous(memory_format=torch.channels_last)

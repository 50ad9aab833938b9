"""The transposed convolution's second way, for CPUs in half precision, against the first."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from svae_lib.layers import UpConv, keras_init_
from svae_lib.support.convolutions import Doubling


@pytest.fixture
def layer() -> UpConv:
    torch.manual_seed(0)
    layer = UpConv(6, 5).apply(keras_init_)
    nn.init.normal_(layer.bias)
    return layer


def images(*size: int) -> torch.Tensor:
    return torch.randn(3, 6, *size, generator=torch.Generator().manual_seed(1))


def second_way(layer: UpConv, x: torch.Tensor) -> torch.Tensor:
    return Doubling.apply(x, layer.weight, layer.bias)


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 1)])
def test_both_ways_are_one_function_with_one_gradient(layer: UpConv, size) -> None:
    direct, fourfold = images(*size).requires_grad_(), images(*size).requires_grad_()
    answers, gradients = [], []
    for x, way in ((direct, UpConv.forward), (fourfold, second_way)):
        layer.zero_grad()
        answers.append(way(layer, x))
        answers[-1].square().sum().backward()
        gradients.append([x.grad, layer.weight.grad.clone(), layer.bias.grad.clone()])
    assert answers[0].shape == (3, 5, 2 * size[0], 2 * size[1])
    torch.testing.assert_close(*answers, rtol=0, atol=4e-7 * answers[0].abs().max().item())
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * one.abs().max().item())


def test_the_second_way_has_the_gradient_of_its_sums_and_that_one_too(layer: UpConv) -> None:
    inputs = [t.double().detach().requires_grad_() for t in (images(3, 2), *layer.parameters())]
    assert torch.autograd.gradcheck(Doubling.apply, inputs)
    assert torch.autograd.gradgradcheck(Doubling.apply, inputs)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_the_second_way_is_for_the_cpus_half_precision_alone(
    layer: UpConv, monkeypatch, half: torch.dtype
) -> None:
    taken: list[torch.dtype] = []
    inner = Doubling.apply
    monkeypatch.setattr(
        Doubling, "apply", lambda *t: (taken.extend(a.dtype for a in t), inner(*t))[1]
    )
    x = images(4, 4)
    layer(x)
    with torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_available()):
        layer(x)
    layer.to("meta")(x.to("meta"))
    assert not taken
    layer.to_empty(device="cpu").apply(keras_init_)
    with torch.autocast("cpu", half):
        answer = layer(x)
    assert taken == [half] * 3 and answer.dtype == half
    torch.testing.assert_close(answer.float(), layer(x), rtol=0.05, atol=0.05)
    answer.float().square().sum().backward()
    found = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    layer(x).square().sum().backward()
    for one, parameter in zip(found, layer.parameters(), strict=True):
        assert one.dtype == torch.float32
        scale = parameter.grad.abs().max().item()
        torch.testing.assert_close(one, parameter.grad, rtol=0.05, atol=0.02 * scale)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_channels_last_stays_channels_last(layer: UpConv, precision: str) -> None:
    layer = layer.to(memory_format=torch.channels_last)
    x = images(8, 8).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        assert layer(x).is_contiguous(memory_format=torch.channels_last)

"""The model is the paper's: parameter counts, the authors' recordings, shapes and the split."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import svae_lib as sv
from svae_lib.experiments.checkpoints import MODEL_KINDS

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(scope="module")
def recording() -> dict[str, np.ndarray]:
    with np.load(REFERENCE / "mnist_small.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def authors_model(recording: dict[str, np.ndarray]) -> sv.SplitVAE:
    names = ("image_size", "channels", "latent_dim", "base_dim", "embedding_dim")
    model = sv.SplitVAE(sv.ModelConfig(**{name: int(recording[name]) for name in names}))
    sv.load_keras_weights(model, REFERENCE / "mnist_small.hdf5")
    return model.eval()


def images(recording: dict[str, np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(recording["x"]).permute(0, 3, 1, 2)


def assert_close(ours: torch.Tensor, theirs: np.ndarray) -> None:
    if theirs.ndim == 4:
        ours = ours.permute(0, 2, 3, 1)
    np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("preset", "count"), [("mnist", 12_793_667), ("cifar10", 13_055_511), ("celeba", 28_981_683)]
)
def test_trainable_parameters_are_the_papers(preset: str, count: int) -> None:
    assert sv.parameter_count(sv.SplitVAE(sv.PRESETS[preset].model)) == count


@torch.no_grad()
def test_encoder_and_latent_match_the_authors(recording, authors_model) -> None:
    x = images(recording)
    assert_close(authors_model.encoder(x), recording["embedding"])
    mu, log_var = authors_model.encode(x)
    assert_close(mu, recording["mu"])
    assert_close(log_var, recording["log_var"])


@torch.no_grad()
def test_decoder_and_split_match_the_authors(recording, authors_model) -> None:
    for z, maps in (("noise", "decoded_from_noise"), ("mu", "decoded_from_mu")):
        out = authors_model.decode(torch.from_numpy(recording[z]))
        assert_close(torch.cat((out.sigma_map, out.x1, out.x2), dim=1), recording[maps])
    assert_close(out.x_hat, recording["x_hat_from_mu"])


@torch.no_grad()
def test_loss_matches_the_authors(recording, authors_model) -> None:
    x = images(recording)
    gamma, beta = float(recording["gamma"]), float(recording["beta"])
    out = authors_model.reconstruct(x)
    error = sv.reconstruction_error(x, out.x_hat) / (2 * gamma)
    assert_close(error, recording["rec_per_image"])
    assert_close(sv.kl_divergence(out.mu, out.log_var), recording["kl_per_image"])
    loss = sv.variational_loss(x, out.x_hat, out.mu, out.log_var, gamma, beta)
    assert loss.total.item() == pytest.approx(float(recording["loss"]), rel=1e-5)


@pytest.mark.parametrize("image_size", [16, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("components", [2, 3, 4])
def test_shapes(image_size: int, channels: int, components: int) -> None:
    config = sv.ModelConfig(image_size, channels, 5, 2, 6, components=components)
    x = torch.rand(2, channels, image_size, image_size)
    out = sv.SplitVAE(config)(x)
    assert out.x_hat.shape == out.x1.shape == out.x2.shape == x.shape
    assert out.sigma_map.shape == (2, 1, image_size, image_size)
    assert out.components.shape == (2, components, *x.shape[1:])
    assert out.weights.shape == (2, components, 1, image_size, image_size)
    assert out.mu.shape == out.log_var.shape == out.z.shape == (2, 5)
    assert sv.VAE(config)(x).x_hat.shape == x.shape


@pytest.mark.parametrize("components", [2, 3])
def test_the_image_is_the_weighted_sum(tiny: sv.ModelConfig, components: int) -> None:
    model = sv.SplitVAE(dataclasses.replace(tiny, components=components))
    out = model.decode(torch.randn(4, 3))
    torch.testing.assert_close(out.weights.sum(dim=1), torch.ones(4, 1, 16, 16))
    torch.testing.assert_close(out.x_hat, (out.weights * out.components).sum(dim=1))
    if components == 2:
        by_hand = out.sigma_map * out.x1 + (1 - out.sigma_map) * out.x2
        torch.testing.assert_close(out.x_hat, by_hand)
    assert out.x_hat.min() >= 0 and out.x_hat.max() <= 1


@pytest.mark.parametrize("components", [2, 3])
def test_maps_come_first_then_the_images_in_colour(components: int) -> None:
    config = sv.ModelConfig(16, 3, 2, 2, 4, 2, components)
    model = sv.SplitVAE(config)
    maps = 1 if components == 2 else components
    values = torch.linspace(-2, 2, maps + 3 * components)  # the logits of every map and channel
    out = model.head(values[None, :, None, None].expand(1, -1, 16, 16))
    expected = values[maps:].sigmoid().view(components, 3)
    torch.testing.assert_close(out.components[0, :, :, 0, 0], expected)
    torch.testing.assert_close(out.x2[0, :, 5, 5], expected[1])
    first = values[0].sigmoid() if components == 2 else values[:maps].softmax(dim=0)[0]
    torch.testing.assert_close(out.sigma_map, first.expand(1, 1, 16, 16))


@pytest.mark.parametrize("kind", list(MODEL_KINDS))
def test_weights_begin_as_keras_begins(kind: str) -> None:
    """Glorot's uniform kernels, up to sqrt(6 / (fan in + fan out)) and no further; no biases."""
    model = sv.build_model(kind, sv.ModelConfig(16, 1, 16, 8, 32, 2))
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            fans = layer.weight[0].numel() + layer.weight[:, 0].numel()
            assert 0.9 < layer.weight.abs().max() / math.sqrt(6 / fans) <= 1, name
            assert not layer.bias.any(), name


def test_norm_momentum_is_the_weight_of_a_new_batch_everywhere(tiny: sv.ModelConfig) -> None:
    model = sv.SplitVAE(dataclasses.replace(tiny, norm_momentum=1.0)).train()
    still = sv.SplitVAE(dataclasses.replace(tiny, norm_momentum=1e-9)).train()
    for m in (model, still):
        m(torch.rand(4, 1, 16, 16))
    means = [k for k in model.state_dict() if k.endswith("running_mean")]
    assert len(means) == 2 * 4  # four residual blocks
    for name in means:
        assert still.state_dict()[name].abs().max() < 1e-6, name
        assert model.state_dict()[name].abs().max() > 1e-6, name


@pytest.mark.parametrize("kind", ["vae", "split-vae", "ae"])
def test_half_precision_stays_inside_the_network(tiny: sv.ModelConfig, kind: str) -> None:
    """What comes out is float32, whatever the convolutions compute in."""
    model = sv.build_model(kind, tiny)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.encoder(torch.rand(4, 1, 16, 16)).dtype == torch.bfloat16
        out = model(torch.rand(4, 1, 16, 16))
    found = {k: v.dtype for k, v in vars(out).items() if v is not None}
    assert set(found) >= {"mu", "log_var", "x_hat"}
    assert set(found.values()) == {torch.float32}, found


def test_vae_and_split_vae_differ_in_the_last_layer_only(tiny: sv.ModelConfig) -> None:
    vae, split = sv.VAE(tiny).state_dict(), sv.SplitVAE(tiny).state_dict()
    different = {k for k in vae if vae[k].shape != split[k].shape}
    assert vae.keys() == split.keys()
    assert {k.rsplit(".", 1)[0] for k in different} == {"decoder.convolutions.4"}


def test_a_vae_has_no_split(tiny: sv.ModelConfig) -> None:
    out = sv.VAE(tiny).decode(torch.randn(1, 3))
    for name in ("x1", "x2", "sigma_map"):
        with pytest.raises(sv.InputError, match="use a SplitVAE"):
            getattr(out, name)


def test_noise_makes_z_and_zeros_make_the_mean(tiny: sv.ModelConfig) -> None:
    model = sv.SplitVAE(tiny).eval()
    x, noise = torch.rand(2, 1, 16, 16), torch.randn(2, 3)
    out = model(x, noise)
    torch.testing.assert_close(out.z, out.mu + noise * torch.exp(out.log_var / 2))
    mean = model.reconstruct(x)
    assert torch.equal(mean.z, mean.mu)


def test_building_is_seeded_and_leaves_the_generator_alone(tiny: sv.ModelConfig) -> None:
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    a, b, c = (sv.build_model("vae", tiny, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    weight = "decoder.start.weight"
    assert torch.equal(a.state_dict()[weight], b.state_dict()[weight])
    assert not torch.equal(a.state_dict()[weight], c.state_dict()[weight])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 28}, "power of two"),
        ({"image_size": 256}, "power of two"),
        ({"channels": 2}, "channels must be 1"),
        ({"latent_dim": 0}, "latent_dim must be at least 1"),
        ({"image_size": 16, "num_scales": 5}, "below one pixel"),
        ({"components": 1}, "plain VAE"),
        ({"norm_momentum": 0.0}, "norm_momentum"),
        ({"image_size": 32.0}, "image_size must be a whole number, not 32.0"),
        ({"image_size": "32"}, "not '32'"),
        ({"latent_dim": "8"}, "latent_dim must be a whole number, not '8'"),
        ({"components": 2.0}, "components must be a whole number"),
    ],
)
def test_impossible_configurations(change: dict[str, float], message: str) -> None:
    with pytest.raises(sv.InputError, match=message):
        sv.ModelConfig(**change)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(1, 16, 16), r"\(N, C, H, W\)"),
        (torch.rand(0, 1, 16, 16), "empty"),
        (torch.rand(1, 3, 16, 16), "1 channel"),
        (torch.rand(1, 1, 28, 28), "16x16 pixels, not 28x28"),
        (torch.zeros(1, 1, 16, 16, dtype=torch.uint8), "to_float"),
        (255 * torch.ones(1, 1, 16, 16), "divide 0-255 values by 255"),
        (-torch.ones(1, 1, 16, 16), r"lie in \[0, 1\]"),
        (torch.full((1, 1, 16, 16), float("nan")), "NaN"),
        (np.zeros((1, 1, 16, 16)), "torch tensor, not ndarray"),
    ],
)
def test_images_that_cannot_be_encoded(tiny: sv.ModelConfig, x: object, message: str) -> None:
    with pytest.raises(sv.InputError, match=message):
        sv.VAE(tiny).encode(x)


def test_latent_vectors_of_another_size_are_refused(tiny: sv.ModelConfig) -> None:
    with pytest.raises(sv.InputError, match=r"\(N, 3\), not \(2, 4\)"):
        sv.VAE(tiny).decode(torch.zeros(2, 4))
    with pytest.raises(sv.InputError, match="z must be a torch tensor, not ndarray"):
        sv.VAE(tiny).decode(np.zeros((2, 3)))
    with pytest.raises(sv.InputError, match="images must be a torch tensor, not ndarray"):
        sv.VAE(tiny).reconstruct(np.zeros((2, 1, 16, 16)))


def test_floats_of_numpys_width_are_taken(tiny: sv.ModelConfig) -> None:
    model, x, z = sv.SplitVAE(tiny).eval(), torch.rand(2, 1, 16, 16), torch.randn(2, 3)
    for wide, narrow in zip(model.encode(x.double()), model.encode(x), strict=True):
        assert torch.equal(wide, narrow)
    assert torch.equal(model.decode(z.double()).x_hat, model.decode(z).x_hat)
    assert torch.equal(model.reconstruct(x.double()).x_hat, model.reconstruct(x).x_hat)


def test_a_single_image_cannot_be_normalised_in_training(tiny: sv.ModelConfig) -> None:
    x = torch.rand(1, 1, 16, 16)
    for kind, model_class in MODEL_KINDS.items():
        model = model_class(tiny)
        if kind != "small-vae":  # which has no BatchNorm
            with pytest.raises(sv.InputError, match="at least two images at a time"):
                model(x)
        assert model.eval()(x).x_hat.shape == x.shape
    assert sv.build_model("small-vae", tiny).train()(x).x_hat.shape == x.shape


@pytest.mark.parametrize("shape", [(2, 1), (2, 4), (3,)])
def test_noise_of_another_shape_is_refused_not_spread(tiny, shape: tuple[int, ...]) -> None:
    model = sv.build_model("vae", tiny)
    with pytest.raises(sv.InputError, match=r"noise must have the shape \(2, 3\)"):
        model(torch.rand(2, 1, 16, 16), torch.zeros(shape))


def test_a_momentum_that_is_no_number_is_refused() -> None:
    with pytest.raises(sv.InputError, match="norm_momentum must be a number"):
        sv.ModelConfig(norm_momentum="0.1")  # type: ignore[arg-type]


def test_a_mixture_of_many_never_leaves_the_range(tiny: sv.ModelConfig) -> None:
    """Softmax's weights may add up to a little more than 1, and white parts to more than white."""
    config = dataclasses.replace(tiny, components=5)
    model = sv.build_model("split-vae", config).eval()
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, model.head_channels(config), 32, 32, generator=generator)
    logits[:, -5 * config.channels :] = 30.0
    out = model.head(logits)
    assert out.weights.sum(dim=1).max() > 1  # so it does happen
    assert out.x_hat.max() == 1
    model.encode(out.x_hat[:, :, : config.image_size, : config.image_size])


def test_reconstructing_can_be_exported_for_any_number_of_images(tiny: sv.ModelConfig) -> None:
    class Reconstruct(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = sv.build_model("split-vae", tiny).eval()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model.reconstruct(x).x_hat

    size, wrapper = tiny.image_size, Reconstruct().eval()
    images = torch.rand(9, tiny.channels, size, size)
    many = {"x": {0: torch.export.Dim("n", min=2, max=100)}}
    exported = torch.export.export(wrapper, (images[:4],), dynamic_shapes=many)
    torch.testing.assert_close(exported.module()(images), wrapper(images))

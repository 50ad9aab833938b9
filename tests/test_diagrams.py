"""The drawings of the network show the shapes that it has."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

import svae_lib as sv
from svae_lib.plots import png
from svae_lib.plots.diagrams import decoder_shapes, encoder_shapes

CONFIGS = [
    sv.ModelConfig(),
    sv.ModelConfig(image_size=64, channels=3, latent_dim=150),
    sv.ModelConfig(base_dim=4, embedding_dim=8, components=3, channels=3),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["mnist", "celeba", "3-way"])
def test_the_drawn_shapes_are_those_of_the_network(config: sv.ModelConfig) -> None:
    with torch.device("meta"):
        model = sv.SplitVAE(config)
    seen: dict[str, list[tuple[int, int]]] = {"encoder": [], "decoder": []}
    for part, found in seen.items():
        for layer in getattr(model, part).convolutions:
            if type(layer).__name__ in ("DownConv", "UpConv", "Conv2d"):
                layer.register_forward_hook(
                    lambda _, __, out, found=found: found.append((out.shape[1], out.shape[2]))
                )
    x = torch.zeros(2, config.channels, config.image_size, config.image_size, device="meta")
    model.eval().decoder(model.latent.back(model.latent.mu(model.encoder(x))))
    assert encoder_shapes(config)[1:] == seen["encoder"]
    maps = model.head_channels(config)
    assert decoder_shapes(config, maps)[1:-1] == seen["decoder"][:-1]
    assert decoder_shapes(config, maps)[-1] == seen["decoder"][-1]
    text = sv.plots.architecture(config).alt_text
    assert f"{maps} x {config.image_size} x {config.image_size}" in text


def test_heads_and_the_map_can_be_drawn() -> None:
    colour = torch.rand(3, 8, 8)
    figures = [sv.plots.split_head(3, example=[colour[:1], colour, colour, colour])]
    figures.append(sv.plots.course_map())
    figures += [sv.plots.architecture(CONFIGS[0], split=False), sv.plots.architecture(CONFIGS[2])]
    assert "7 channels" in figures[0].alt_text
    assert "8 The paper (its claims, tested) after 4 and 7" in figures[1].alt_text
    assert figures[2].alt_text.endswith("the image.")
    assert figures[3].alt_text.endswith("3 maps, 3 images.")
    assert all(png(figure).startswith(b"\x89PNG") for figure in figures)


def test_drawings_show_an_example() -> None:
    part = torch.rand(4, 1, 8, 8)
    with_pictures = sv.plots.split_head(1, example=list(part))
    assert len(with_pictures.axes[0].images) == 4
    network = sv.plots.architecture(CONFIGS[0], example=list(part[:2]))
    assert len(network.axes[0].images) == 2
    with pytest.raises(sv.InputError, match="example"):
        sv.plots.split_head(1, example=list(part[:3]))


def test_a_moving_picture_ends_with_its_last_figure() -> None:
    figures = [sv.plots.image_grid(torch.full((1, 1, 8, 8), grey)) for grey in (0.0, 0.5, 1.0)]
    moving = sv.plots.moving(figures, "From black to white.")
    image = Image.open(io.BytesIO(moving.data))
    assert image.n_frames == 4 and image.info["loop"] == 2  # the still, and the three
    still = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
    assert min(still) == 255
    assert 'alt="From black to white."' in moving._repr_html_()
    assert repr(moving) == "From black to white."


@pytest.mark.parametrize("sizes", [(8,), (8, 16)], ids=["one", "of two sizes"])
def test_a_moving_picture_needs_figures_of_one_size(sizes: tuple[int, ...]) -> None:
    figures = [sv.plots.image_grid(torch.zeros(1, 1, size, 2 * size - 8)) for size in sizes]
    with pytest.raises(sv.InputError, match="two figures"):
        sv.plots.moving(figures, "Nothing.")

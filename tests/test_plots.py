"""Figures: what they draw, their alternative texts, and how notebooks show them."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import matplotlib.text
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from PIL import Image
from torch import Tensor

from svae_lib import plots
from svae_lib.diagnostics import SplitKind, latent_statistics
from svae_lib.models import Decoded
from svae_lib.plots.figure import PALETTE
from svae_lib.support.checks import InputError

ROOT = Path(__file__).parent.parent


def images(n: int = 6, channels: int = 1, size: int = 16) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(n))


def split(n: int = 6, ways: int = 2, channels: int = 1) -> Decoded:
    components = images(n * ways, channels).unflatten(0, (n, ways))
    weights = torch.softmax(4 * images(n * ways).unflatten(0, (n, ways)), dim=1)
    return Decoded((weights * components).sum(dim=1), components, weights)


def statistics(latent_dim: int = 8) -> Any:
    generator = torch.Generator().manual_seed(0)
    spread = torch.linspace(1, 0.02, latent_dim)
    mu = spread * torch.randn(300, latent_dim, generator=generator)
    return latent_statistics(mu, (1 - spread.square()).clamp_min(1e-3).log().expand_as(mu))


def history(end: float = 90.0) -> dict[str, list[float]]:
    return {
        "step": [20.0, 40.0, 60.0],
        "loss": [400.0, 120.0, end],
        "kl": [1.0, 9.0, 12.5],
        "gamma": [0.07, 0.03, 0.011],
    }


def kind(x: float, y: float, label: str) -> SplitKind:
    return SplitKind(x, y, 0.2, label, x)


SCORES = [
    {"label": "prior", "group": "VAE", "value": 33.3, "error": 1.5},
    {"label": "prior", "group": "Split VAE", "value": 30.0},
    {"label": "mixture", "group": "VAE", "value": 21.0, "error": 0.5},
]

FIGURES: dict[str, Callable[[], plots.AltFigure]] = {
    "image_grid": lambda: plots.image_grid(images(20), title="Digits"),
    "image_grid RGB": lambda: plots.image_grid(images(5, channels=3), columns=3),
    "image_rows": lambda: plots.image_rows({"original": images(), "copy": images()}),
    "image_rows maps": lambda: plots.image_rows({"a": images(), "b": images()}, maps=["b"]),
    "split_rows": lambda: plots.split_rows(split(), originals=images()),
    "split_rows K=3": lambda: plots.split_rows(split(ways=3, channels=3), 4, title="Three"),
    "interpolation": lambda: plots.interpolation(images(10).unflatten(0, (2, 5))),
    "training_curves": lambda: plots.training_curves(history()),
    "training_curves two": lambda: plots.training_curves({"a": history(), "b": history(80)}),
    "variance_law": lambda: plots.variance_law(statistics()),
    "variance_law two": lambda: plots.variance_law({"a": statistics(), "b": statistics(100)}),
    "score_bars": lambda: plots.score_bars(SCORES, xlabel="FID (LeNet), lower is better"),
    "split_plane": lambda: plots.split_plane([kind(0.8, 0.1, "syntactic")], ["seed 0"]),
}


def pixels(figure: plots.AltFigure, scale: int = 1) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(plots.png(figure, scale=scale))).convert("RGB"))


def mosaic(figure: plots.AltFigure, scale: int = 1) -> np.ndarray:
    """The part of the rendered figure that its image takes up."""
    rendered = pixels(figure, scale)
    (image,) = figure.artists
    extent = (scale * image.get_window_extent(None).get_points()).round().astype(int)
    (left, bottom), (right, top) = extent
    return rendered[len(rendered) - top : len(rendered) - bottom, left:right]


def pictures(figure: plots.AltFigure, size: int, rows: int, columns: int) -> np.ndarray:
    """The single pictures of a rendered mosaic, at their own size: (rows, columns, H, W, 3).

    Fails unless each of their pixels is a square of one colour.
    """
    drawn = mosaic(figure)
    gap = 4
    side = (drawn.shape[0] + gap) // rows - gap
    scale = side // size
    assert scale >= 1 and side == scale * size
    found = np.empty((rows, columns, size, size, 3), dtype=np.uint8)
    for r in range(rows):
        for c in range(columns):
            y, x = r * (side + gap), c * (side + gap)
            one = drawn[y : y + side, x : x + side]
            found[r, c] = one[::scale, ::scale]
            np.testing.assert_array_equal(
                one, found[r, c].repeat(scale, axis=0).repeat(scale, axis=1)
            )
    return found


def rgb(batch: Tensor) -> np.ndarray:
    values = (255 * batch).round().byte().permute(0, 2, 3, 1).numpy()
    return np.broadcast_to(values, (*values.shape[:3], 3))


# ------------------------------------------------------------------ all figures


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_renders_small_and_speaks(name: str) -> None:
    figure = FIGURES[name]()
    assert isinstance(figure, plots.AltFigure)
    assert len(figure.alt_text.split()) >= 5
    assert "$" not in figure.alt_text and "\\" not in figure.alt_text
    data = plots.png(figure)
    assert len(data) < 200_000
    image = Image.open(io.BytesIO(data))
    assert image.info["Description"] == figure.alt_text
    assert max(image.size) <= 1000
    assert len(np.unique(np.asarray(image.convert("L")))) > 2  # something is drawn


@pytest.mark.parametrize("name", ["split_rows", "training_curves", "score_bars"])
def test_users_style_does_not_reach_the_figures(name: str) -> None:
    expected = pixels(FIGURES[name]())
    with matplotlib.style.context(["dark_background", {"font.size": 30, "savefig.dpi": 30}]):
        drawn = pixels(FIGURES[name]())
    np.testing.assert_array_equal(drawn, expected)


def test_caller_may_write_the_alternative_text() -> None:
    assert plots.image_grid(images(), alt="Six noises.").alt_text == "Six noises."
    assert plots.image_rows({"a": images()}, alt="A row.").alt_text == "A row."


def test_symbols_in_labels_are_drawn_as_symbols() -> None:
    figure = plots.image_rows({"$x_1$ of run_1": images()}, above=["$t$ = 0"] * 6)
    assert "$x_1$ of run_1" in [text.get_text() for text in figure.texts]
    assert "x1 of run_1" in figure.alt_text and "t = 0" in figure.alt_text


# ------------------------------------------------------------------ pictures


def test_grid_shows_each_pixel_as_a_square() -> None:
    batch = images(6)
    found = pictures(plots.image_grid(batch, columns=3, title="Six"), 16, rows=2, columns=3)
    np.testing.assert_array_equal(found.reshape(6, 16, 16, 3), rgb(batch))


def test_double_resolution_is_the_same_picture_twice_as_large() -> None:
    figure = plots.image_grid(images(6), columns=3)
    once, twice = mosaic(figure), mosaic(figure, scale=2)
    np.testing.assert_array_equal(twice, once.repeat(2, axis=0).repeat(2, axis=1))


def test_incomplete_last_row_is_left_white() -> None:
    found = pictures(plots.image_grid(images(5), columns=3), 16, rows=2, columns=3)
    assert (found[1, 2] == 255).all()
    assert (found[1, 1] != 255).any()


def test_floats_bytes_arrays_and_colours_look_alike() -> None:
    batch = images(4, channels=3)
    expected = pixels(plots.image_grid(batch))
    alike: list[Any] = [
        batch.numpy(),
        batch.double(),
        (255 * batch).round().byte(),
        (255 * batch).round().byte().numpy(),
        batch.clone().requires_grad_(),
    ]
    for other in alike:
        np.testing.assert_array_equal(pixels(plots.image_grid(other)), expected)
    grey = images(4)
    np.testing.assert_array_equal(
        pixels(plots.image_grid(grey)), pixels(plots.image_grid(grey.expand(-1, 3, -1, -1)))
    )


def test_rounding_beyond_one_is_forgiven() -> None:
    batch = images(2)
    np.testing.assert_array_equal(
        pixels(plots.image_grid(batch.clamp_max(1) + 1e-7)), pixels(plots.image_grid(batch))
    )


def test_split_rows_follow_the_papers_order() -> None:
    out = split(5)
    figure = plots.split_rows(out, 3, originals=images(5))
    found = pictures(figure, 16, rows=5, columns=3)
    colours = matplotlib.colormaps["viridis"]
    levels = (255 * out.sigma_map[:3, 0]).round().byte().numpy()
    np.testing.assert_array_equal(found[0], rgb(images(5)[:3]))
    np.testing.assert_array_equal(found[1], colours(levels, bytes=True)[..., :3])
    for row, batch in ((2, out.x1), (3, out.x2), (4, out.x_hat)):
        np.testing.assert_array_equal(found[row], rgb(batch[:3]))
    labels = [text.get_text() for text in figure.texts]
    assert labels == ["original", "$\\sigma$ map", "$x_{1}$", "$x_{2}$", "$x$ (mix)"]
    assert "sigma map, x1, x2, x (mix)" in figure.alt_text


def test_map_colours_do_not_stretch() -> None:
    half = torch.full((2, 1, 16, 16), 0.5)
    figure = plots.image_rows({"map": half}, maps=["map"])
    expected = matplotlib.colormaps["viridis"](128, bytes=True)[:3]
    assert (pictures(figure, 16, rows=1, columns=2) == expected).all()
    (bar,) = figure.axes
    assert bar.get_ylim() == (0, 1)


def test_rows_name_their_columns() -> None:
    figure = plots.image_rows({"a": images(2)}, above=["left", "$x_1$"], title="Two")
    np.testing.assert_array_equal(pictures(figure, 16, rows=1, columns=2)[0], rgb(images(2)))
    assert [text.get_text() for text in figure.texts] == ["Two", "left", "$x_1$", "a"]
    assert figure.alt_text.endswith("In columns: left, x1.")


def test_split_rows_take_k_ways() -> None:
    three = plots.split_rows(split(ways=3))
    labels = [text.get_text() for text in three.texts]
    assert labels == ["map 1", "map 2", "map 3", "$x_{1}$", "$x_{2}$", "$x_{3}$", "$x$ (mix)"]
    assert re.search(r"weights average (0\.\d\d, ){3}from", three.alt_text)


def test_interpolation_says_where_it_stands() -> None:
    walk = images(10).unflatten(0, (2, 5))
    figure = plots.interpolation(walk, labels=np.array(["one", "two"]))  # type: ignore[arg-type]
    found = pictures(figure, 16, rows=2, columns=5)
    np.testing.assert_array_equal(found[1], rgb(walk[1]))
    texts = [text.get_text() for text in figure.texts]
    assert texts == ["$t$ = 0", "0.25", "0.5", "0.75", "1", "one", "two"]


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.training_curves(history(), []), "keys is empty"),
        (
            lambda: plots.interpolation(torch.rand(1, 2, 1, 8, 8) * np.nan),
            "^images must not hold NaN",
        ),
        (lambda: plots.image_grid(torch.rand(0, 1, 8, 8)), "empty"),
        (lambda: plots.image_grid(torch.rand(8, 8)), r"shape \(N, C, H, W\)"),
        (lambda: plots.image_grid(torch.rand(2, 2, 8, 8)), "2 channels cannot be drawn"),
        (lambda: plots.image_grid(255 * torch.rand(2, 1, 8, 8)), r"lie in \[0, 1\]"),
        (lambda: plots.image_grid(torch.full((2, 1, 8, 8), math.nan)), "NaN"),
        (lambda: plots.image_grid(torch.ones(2, 1, 8, 8).long()), "must be floats"),
        (lambda: plots.image_grid(torch.rand(1001, 1, 8, 8)), "too many"),
        (lambda: plots.image_grid(images(), columns=0), "columns must be at least 1"),
        (lambda: plots.image_rows({}), "nothing to draw"),
        (lambda: plots.image_rows({"a": images(3), "b": images(2)}), "equally many"),
        (lambda: plots.image_rows({"a": images(3), "b": images(3, size=8)}), "one height"),
        (lambda: plots.image_rows({"a": images()}, maps=["b"]), "not among the rows"),
        (lambda: plots.image_rows({"a": images(channels=3)}, maps=["a"]), "3 channels"),
        (lambda: plots.image_rows({"a": images(3)}, above=["b"]), "3 columns need as many"),
        (lambda: plots.split_rows(Decoded(images())), "a plain VAE's has no"),
        (lambda: plots.split_rows(images()), "SplitVAE's output"),
        (lambda: plots.interpolation(images()), "rows, steps"),
        (lambda: plots.interpolation(images().unflatten(0, (2, 3)), labels=["a"]), "2 labels"),
        (
            lambda: plots.interpolation(images().unflatten(0, (2, 3)), labels=["a", "a"]),
            "different",
        ),
    ],
)
def test_pictures_refuse(draw: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        draw()


# ------------------------------------------------------------------ charts


def test_curves_draw_the_history() -> None:
    figure = plots.training_curves({"VAE": history(), "Split VAE": history(80)})
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "log", "linear"]
    loss = figure.axes[0].lines
    assert loss[1].get_xdata().tolist() == [20, 40, 60]
    assert loss[1].get_ydata().tolist() == [400, 120, 80]
    assert loss[0].get_linestyle() != loss[1].get_linestyle()
    assert [line.get_color() for line in loss] == list(PALETTE[:2])
    assert "Split VAE, step 20 to 60: loss from 400 to 80" in figure.alt_text
    assert figure.section == "curves"


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0], [0.0, 1.0, 0.5]])
def test_curves_of_one_entry_or_without_change_are_drawn(values: list[float]) -> None:
    history = {"step": list(range(1, len(values) + 1)), "gamma": values}
    assert (pixels(plots.training_curves(history, ["gamma"])) < 128).any()


def test_variance_law_stacks_both_parts_in_order() -> None:
    stats = statistics()
    (axes,) = plots.variance_law(stats).axes
    means, widths = axes.containers
    order = stats.variance_of_means.argsort(descending=True)
    np.testing.assert_allclose([b.get_height() for b in means], stats.variance_of_means[order])
    tops = [b.get_y() + b.get_height() for b in widths]
    np.testing.assert_allclose(tops, stats.law[order])


def test_score_bars_have_values_and_errors() -> None:
    figure = plots.score_bars(SCORES, xlabel="FID (LeNet)")
    (axes,) = figure.axes
    bars = {round(bar.get_width(), 6): to_rgba(bar.get_facecolor()) for bar in axes.patches}
    assert set(bars) == {33.3, 30.0, 21.0}
    assert bars[33.3] == bars[21.0] == to_rgba(PALETTE[0]) != bars[30.0]
    texts = {text.get_text() for text in axes.texts}
    assert texts == {"33.3 ± 1.5", "30.0", "21.0 ± 0.5"}
    drawn = [
        segment
        for collection in axes.collections
        for segment in collection.get_segments()
        if len(segment) and np.isfinite(segment).all()
    ]
    ends = sorted((round(s[0][0], 6), round(s[-1][0], 6)) for s in drawn)
    assert ends == [(20.5, 21.5), (31.8, 34.8)]
    assert "VAE prior 33.3 ± 1.5" in figure.alt_text


def test_split_plane_regions_agree_with_the_labels() -> None:
    from svae_lib.diagnostics.kinds import _label
    from svae_lib.plots.charts import _REGIONS

    for word, left, bottom, right, top in _REGIONS:
        assert _label((left + right) / 2, (bottom + top) / 2) == word


def test_split_plane_places_and_hollows() -> None:
    points = [kind(0.9, 0.1, "syntactic"), kind(0.1, 0.6, "semantic"), kind(0.1, 0.5, "none")]
    figure = plots.split_plane(points, ["a", "b", "b"])
    first, second = figure.axes[0].collections[-2:]
    assert first.get_offsets().tolist() == [[0.9, 0.1]]
    assert second.get_offsets().tolist() == [[0.1, 0.6], [0.1, 0.5]]
    assert second.get_facecolors()[:, 3].tolist() == [1, 0]
    assert "1 syntactic, 1 semantic, 1 none" in figure.alt_text


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.training_curves({}), "has no"),
        (lambda: plots.training_curves(history(), keys=["fid"]), "has no .'fid'"),
        (lambda: plots.training_curves({"step": [], "loss": []}, keys=["loss"]), "above 0"),
        (lambda: plots.training_curves({"loss": [1.0]}, keys=["loss"]), "has no .'step'"),
        (lambda: plots.training_curves(history() | {"kl": [1.0]}), "of one length"),
        (lambda: plots.variance_law({}), "no latent statistics"),
        (lambda: plots.score_bars([], xlabel="FID"), "no scores"),
        (lambda: plots.score_bars([{"label": "a"}], xlabel="FID"), "finite value"),
        (lambda: plots.score_bars([{"label": "a", "value": math.nan}], xlabel="F"), "finite value"),
        (lambda: plots.score_bars(2 * [{"label": "a", "value": 1.0}], xlabel="F"), "two rows"),
        (lambda: plots.split_plane([]), "need one group each"),
        (lambda: plots.split_plane([kind(0, 0, "none")], ["a", "b"]), "need one group each"),
    ],
)
def test_charts_refuse(draw: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        draw()


# ------------------------------------------------------------------ notebooks


def test_img_tag_escapes_and_keeps_the_size() -> None:
    figure = plots.image_grid(images(), alt='a "quoted" <b>text</b> & more')
    tag = plots.img_tag(figure, scale=2)
    assert 'alt="a &quot;quoted&quot; &lt;b&gt;text&lt;/b&gt; &amp; more"' in tag
    assert f'width="{pixels(figure).shape[1]}"' in tag


def test_show_needs_a_text() -> None:
    pytest.importorskip("IPython")
    with pytest.raises(InputError, match="say in alt_text"):
        plots.show(matplotlib.figure.Figure())


@pytest.mark.thorough
def test_a_cell_shows_figures_with_alternative_text() -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    setup = "%matplotlib inline\nimport torch, matplotlib.pyplot as plt\nfrom svae_lib import plots"
    last_value = "plots.image_grid(torch.rand(4, 1, 16, 16), alt='Four <noises>.')"
    own = "fig, ax = plt.subplots(); plt.close(fig)\nplots.show(fig, 'An empty plot.')"
    nothing_open = "assert plt.get_fignums() == []"
    sources = (setup, last_value, own, nothing_open)
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(ROOT)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    assert cells[0].outputs == cells[3].outputs == []
    for cell, alt, text in (
        (cells[1], "Four &lt;noises&gt;.", "Four <noises>."),
        (cells[2], "An empty plot.", "An empty plot."),
    ):
        (output,) = cell.outputs  # one image, not an HTML one and a PNG one
        assert set(output.data) == {"text/html", "text/plain"}
        assert output.data["text/html"].startswith(f'<img alt="{alt}"')
        assert output.data["text/plain"] == text


NAMES = {  # label: to draw, with the label where a user's name stands
    "grid": lambda name: plots.image_grid(images(), title=name),
    "rows": lambda name: plots.image_rows({name: images()}, above=[name] * 6),
    "curves": lambda name: plots.training_curves({name: history(), "b": history()}, title=name),
    "law": lambda name: plots.variance_law({name: statistics()}),
    "bars": lambda name: plots.score_bars(
        [{"label": name, "value": 1.0, "group": g} for g in (name, "b")], xlabel=name
    ),
    "plane": lambda name: plots.split_plane([kind(0.1, 0.5, "semantic")], [name]),
}


@pytest.mark.parametrize("draw", NAMES.values(), ids=NAMES)
def test_two_dollar_signs_that_hold_no_formula_are_drawn_as_they_are(draw) -> None:
    name = "$5_ or ^^$6"
    figure = draw(name)
    assert plots.png(figure)
    shown = [t for t in figure.findobj(matplotlib.text.Text) if "^^" in t.get_text()]
    assert shown and not any(t.get_parse_math() for t in shown)
    if draw is not NAMES["plane"]:  # whose text names no group
        assert name in figure.alt_text
    formula = draw("$x_1$")
    shown = [t for t in formula.findobj(matplotlib.text.Text) if "$" in t.get_text()]
    assert shown and all(t.get_parse_math() for t in shown)
    assert "$" not in formula.alt_text


@pytest.mark.parametrize("n", [0, -3])
def test_split_rows_refuse_a_count_by_its_name(n: int) -> None:
    with pytest.raises(InputError, match=r"^n must be at least 1"):
        plots.split_rows(split(), n)


def test_an_error_of_a_single_seed_is_not_drawn() -> None:
    rows = [{"label": "a", "value": 1.0, "error": math.inf}, {"label": "b", "value": 2.0}]
    figure = plots.score_bars(rows, xlabel="FID")
    assert "±" not in figure.alt_text

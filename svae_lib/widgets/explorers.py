"""Sliders over a trained model: its latent variables, its map, the splits of several models."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from torch import Tensor

from ..data import to_float
from ..diagnostics import split_kind
from ..inference import encode_all, reconstruct_all
from ..models import VAE, Decoded
from ..objective import reconstruction_error
from ..sampling import explore, mix, prior_latents
from ..support.checks import InputError, check_counts, check_uint8_images
from .frames import Frame, draw, parts_of
from .panel import Panel, Values, load_ipywidgets


def latent_frame(model: VAE, z: Tensor, changes: Mapping[int, float]) -> Frame:
    """What the decoder makes of a latent vector (L,) with some of its variables changed."""
    rows, maps = parts_of(explore(model, z, changes))
    moves = ", ".join(f"z[{k}] = {value:.2f}" for k, value in changes.items())
    alt = f"{', '.join(rows)} decoded from a latent vector with {moves}."
    return Frame.of(draw(rows, maps, across=True), alt)


def latent_explorer(
    model: VAE, images: Tensor | None = None, *, mu: Tensor | None = None, sliders: int = 6
) -> Panel:
    """Move the most active latent variables of an image, and see what the decoder makes of it.

    The variables with the largest var(mu) get a slider each; the others stay as the image, or the
    draw from the prior, has them. The controls are ``image`` (where to start), ``z0``, ``z3``, ...
    (one for each of the variables, named by its index), and the buttons ``reset`` and ``prior``.

    Args:
        model: a VAE or SplitVAE in evaluation mode.
        images: uint8 (N, C, S, S) to start from, at least two; a hundred tell what is active.
        mu: in place of images, their posterior means, float (N, L).
        sliders: latent variables to move; fewer where the model has fewer.
    """
    ipy = load_ipywidgets()
    if (images is None) == (mu is None):
        raise InputError("give either images or mu, their posterior means.")
    means = encode_all(model, images)[0] if mu is None else mu  # type: ignore[arg-type]
    if means.ndim != 2 or len(means) < 2 or means.shape[1] != model.config.latent_dim:
        raise InputError(
            f"mu must have the shape (N, {model.config.latent_dim}) with N at least 2, not "
            f"{tuple(means.shape)}: several images are needed to tell which variables are active."
        )
    means = means.detach().float().cpu()
    check_counts(sliders=sliders)
    order = means.var(dim=0, correction=0).argsort(descending=True)[:sliders].tolist()
    reach = max(3, int(means[:, order].abs().max().ceil()))
    layout, fitting = ipy.Layout(width="340px"), ipy.Layout(width="auto")
    limits = {"min": -reach, "max": reach, "step": 0.05, "layout": layout}
    moved = {
        f"z{k}": ipy.FloatSlider(means[0, k].item(), description=f"z[{k}]", **limits) for k in order
    }
    start = ipy.IntSlider(0, min=0, max=len(means) - 1, description="image", layout=layout)
    reset = ipy.Button(description="Back to the image", layout=fitting)
    prior = ipy.Button(description="Draw from the prior", layout=fitting)
    base, seeds = means[0], itertools.count()

    def picture(values: Values) -> Frame:
        return latent_frame(model, base, {k: values[f"z{k}"] for k in order})

    first_row = {"image": start, "reset": reset, "prior": prior}
    panel = Panel([first_row, moved], picture, silent=["image"])

    def go(z: Tensor) -> None:
        nonlocal base
        base = z
        panel.set(**{f"z{k}": z[k].item() for k in order})

    start.observe(lambda change: go(means[change["new"]]), names="value")
    reset.on_click(lambda _: go(means[start.value]))
    prior.on_click(lambda _: go(prior_latents(1, means.shape[1], next(seeds))[0]))
    return panel


def mixer_frame(
    own: Decoded,
    originals: Tensor,
    constant: float | None = None,
    *,
    sharpness: float = 1.0,
    swap: bool = False,
) -> Frame:
    """x1 and x2 mixed anew, and what that costs.

    Args:
        own: a split into two as its model makes it.
        originals: the images, float (N, C, S, S), that it reconstructs.
        constant: sigma in every pixel; None for the model's map.
        sharpness: t of :func:`svae_lib.sampling.sharpen`.
        swap: exchange x1 and x2 under the map.
    """
    mixed = mix(own, constant, swap=swap, sharpness=sharpness)
    rows = {"original": originals, "σ": mixed.sigma_map, "x₁": own.x1, "x₂": own.x2}
    rows |= {"x (model)": own.x_hat, "x (now)": mixed.x_hat}
    what = "σ the model's" if constant is None else f"σ {constant:.2f} everywhere"
    what += f", sharpness {sharpness:.1f}" + (", x1 and x2 swapped" if swap else "")
    now, before = (reconstruction_error(originals, o.x_hat).mean().item() for o in (mixed, own))
    readout = f"Mean reconstruction error: {now:.1f} now, {before:.1f} by the model's map."
    alt = f"{len(own.x_hat)} images in rows: {', '.join(rows)}; {what}."
    return Frame.of(draw(rows, ("σ",)), alt, readout)


def sigma_mixer(model: VAE, images: Tensor, n: int = 8) -> Panel:
    """Mix x1 and x2 of some images under another map: constant, sharper, swapped.

    The controls are ``map`` ("the model's" or "constant"), ``constant`` (its value), ``sharpness``
    and ``swap``.

    Args:
        model: a SplitVAE with two components, in evaluation mode.
        images: uint8 (N, C, S, S).
        n: how many to show, at most.
    """
    ipy = load_ipywidgets()
    check_uint8_images(images)
    originals, own = to_float(images[:n]), reconstruct_all(model, images[:n])
    mix(own)  # refuses what has no two components
    wide = {"min": 0, "layout": ipy.Layout(width="340px")}
    choice = ipy.Dropdown(options=["the model's", "constant"], description="σ is")
    constant = ipy.FloatSlider(0.5, max=1, step=0.01, description="constant", disabled=True, **wide)
    sharpness = ipy.FloatSlider(1, max=10, step=0.1, description="sharpness t", **wide)
    swap = ipy.Checkbox(False, description="swap x₁ and x₂", indent=False)

    def picture(values: Values) -> Frame:
        constant.disabled = values["map"] != "constant"
        sigma = None if constant.disabled else values["constant"]
        t, swapped = values["sharpness"], values["swap"]
        return mixer_frame(own, originals, sigma, sharpness=t, swap=swapped)

    first_row = {"map": choice, "constant": constant}
    return Panel([first_row, {"sharpness": sharpness, "swap": swap}], picture)


def split_gallery(models: Mapping[str, VAE], images: Tensor, n: int = 8) -> Panel:
    """The splits of several models, each with the kind of split that it is.

    The controls are ``model`` and ``first``, the first of the images that are shown.

    Args:
        models: SplitVAEs by name, in evaluation mode.
        images: uint8 (N, C, S, S), in random order: the first 200 decide the kind of split.
        n: images to show at a time, at most.
    """
    ipy = load_ipywidgets()
    if not models:
        raise InputError("there is no model to show: give at least one SplitVAE.")
    n = min(n, len(images))
    kinds = {name: _kind(name, model, images[:200]) for name, model in models.items()}
    choice = ipy.Dropdown(options=list(models), description="model")
    first = ipy.IntSlider(0, min=0, max=max(0, len(images) - n), description="first image")

    def picture(values: Values) -> Frame:
        name, shown = values["model"], images[values["first"] : values["first"] + n]
        rows, maps = parts_of(reconstruct_all(models[name], shown))
        rows = {"original": to_float(shown), **rows}
        alt = f"Split of {len(shown)} images by {name} in rows: {', '.join(rows)}."
        return Frame.of(draw(rows, maps), alt, f"{name}: {kinds[name]}")

    return Panel([{"model": choice, "first": first}], picture)


def _kind(name: str, model: VAE, images: Tensor) -> str:
    output = reconstruct_all(model, images)
    if output.components is None or output.weights is None:
        raise InputError(f"{name} is a plain VAE, which has no split: give SplitVAEs only.")
    return str(split_kind(output.weights[:, 0], to_float(images), output.components))

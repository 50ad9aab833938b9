"""Sliders over a trained model: its latent variables, and its map."""

import itertools

import torch
from torch import Tensor

from ..data import to_float
from ..inference import decode_all, encode_all, reconstruct_all
from ..models import VAE
from ..objective import reconstruction_error
from ..sampling import mix, prior_latents
from ..support.checks import InputError, check_counts, check_uint8_images
from .frames import Frame, draw, parts_of
from .panel import Panel, Values, load_ipywidgets


def latent_explorer(model: VAE, images: Tensor) -> Panel:
    """Move the most active latent variables of an image, and see what the decoder makes of it.

    The six variables with the largest var(mu) get a slider each; the others stay as the image, or
    the draw from the prior, has them. The controls are ``image`` (where to start), ``z0``, ``z3``
    and so on, by the index of a variable, and the buttons ``reset`` and ``prior``.

    Args:
        model: a VAE or SplitVAE in evaluation mode.
        images: uint8 (N, C, S, S) to start from, at least two; a hundred tell what is active.
    """
    ipy = load_ipywidgets()
    means, _ = encode_all(model, images)
    if len(means) < 2:
        raise InputError("give at least 2 images: one does not tell which variables are active.")
    order = means.var(dim=0, correction=0).argsort(descending=True)[:6].tolist()
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
        changes = {k: values[f"z{k}"] for k in order}
        z = base.clone()
        z[order] = torch.tensor([*changes.values()])
        rows, maps = parts_of(decode_all(model, z[None]))
        moves = ", ".join(f"z[{k}] = {value:.2f}" for k, value in changes.items())
        alt = f"{', '.join(rows)} decoded from a latent vector with {moves}."
        return Frame(draw(rows, maps, across=True), alt)

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


def sigma_mixer(model: VAE, images: Tensor, n: int = 8) -> Panel:
    """Mix x1 and x2 of some images under another map: constant, sharper, swapped.

    The controls are ``map`` ("the model's" or "constant"), ``constant`` (its value), ``sharpness``
    (t of :func:`svae_lib.sampling.sharpen`) and ``swap``.

    Args:
        model: a SplitVAE with two components, in evaluation mode.
        images: uint8 (N, C, S, S).
        n: how many to show, at most.
    """
    ipy = load_ipywidgets()
    check_uint8_images(images)
    check_counts(n=n)
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
        mixed = mix(own, sigma, swap=swapped, sharpness=t)
        rows = {"original": originals, "σ": mixed.sigma_map, "x₁": own.x1, "x₂": own.x2}
        rows |= {"x (model)": own.x_hat, "x (now)": mixed.x_hat}
        what = "σ the model's" if sigma is None else f"σ {sigma:.2f} everywhere"
        what += f", sharpness {t:.1f}" + (", x1 and x2 swapped" if swapped else "")
        now, before = (reconstruction_error(originals, o.x_hat).mean().item() for o in (mixed, own))
        readout = f"Mean reconstruction error: {now:.1f} now, {before:.1f} by the model's map."
        alt = f"{len(own.x_hat)} images in rows: {', '.join(rows)}; {what}."
        return Frame(draw(rows, ("σ",)), alt, readout)

    first_row = {"map": choice, "constant": constant}
    return Panel([first_row, {"sharpness": sharpness, "swap": swap}], picture)

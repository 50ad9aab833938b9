"""Live pictures for notebooks: sliders over plain functions of the library.

Each function returns a :class:`Panel`, the last value of a notebook's cell: controls with a picture
below. Where nothing answers the controls (an exported page, a stored notebook), the same picture
stays, with its alternative text. Pictures are drawn by Pillow, since a slider has to be followed
within a tenth of a second or so; ``benchmarks/widgets.py`` measures it.

What is drawn comes from :mod:`svae_lib.interventions` and :mod:`svae_lib.diagnostics`.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib
import numpy as np
import torch
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .data import to_float
from .diagnostics import split_kind
from .inference import encode_all, reconstruct_all
from .interventions import explore, mix
from .models import VAE, Decoded
from .objective import reconstruction_error
from .plots.figure import BLUE, MAP_COLOURS
from .runs import Run
from .sampling import prior_latents
from .training import Trainer
from .validation import InputError, check_counts, check_uint8_images

Values: TypeAlias = Mapping[str, Any]
"""The controls of a panel by name, and what they are set to."""

# ------------------------------------------------------------------ pictures


@dataclass(frozen=True)
class Frame:
    """One state of a live picture."""

    png: bytes
    size: tuple[int, int]
    """Width and height in pixels."""
    alt_text: str
    """What the picture shows."""
    readout: str = ""
    """The numbers that belong to it, in one line below it."""

    def html(self) -> str:
        """The picture, its alternative text and its readout."""
        data = base64.b64encode(self.png).decode("ascii")
        alt = html.escape(self.alt_text, quote=True)
        # With its size known beforehand, nothing jumps when one picture replaces another.
        size = f'width="{self.size[0]}" height="{self.size[1]}" style="max-width: 100%"'
        image = f'<img alt="{alt}" {size} src="data:image/png;base64,{data}">'
        return f"{image}<p>{html.escape(self.readout)}</p>" if self.readout else image

    def bundle(self) -> dict[str, str]:
        """The frame for a notebook's output, by media type."""
        return {"text/html": self.html(), "text/plain": f"{self.alt_text} {self.readout}".strip()}


_GAP = 4
"""Pixels between two pictures."""
_WIDTH = 760
"""Pixels that a picture is fitted into, where whole multiples of its own pixels allow."""
_LARGEST = 128
"""Pixels a side of one image, at most, unless it has more by itself."""
_LINE = 20
"""Pixels of a line of text."""


def draw(
    rows: Mapping[str, Tensor], maps: Collection[str] = (), *, across: bool = False
) -> Image.Image:
    """Labelled rows of images as one picture, each of their pixels a square of whole pixels.

    Args:
        rows: label to float images (n, C, H, W) in [0, 1], C 1 or 3, all of one shape but for C.
        maps: labels of the rows that are maps (n, 1, H, W), drawn in colours.
        across: lay the rows side by side, their labels above, as suits a single image.
    """
    pixels = {label: _pixels(images, label in maps) for label, images in rows.items()}
    n, height, width = next(iter(pixels.values())).shape[:3]
    columns = n * len(pixels) if across else n
    left = 0 if across else 8 + max(round(_font().getlength(label)) for label in pixels)
    top = _LINE if across else 0
    scale = max(1, min(((_WIDTH - left) // columns - _GAP) // width, _LARGEST // height))
    step_x, step_y = scale * width + _GAP, scale * height + _GAP
    lines = 1 if across else len(pixels)
    canvas = np.full((top + lines * step_y - _GAP, left + columns * step_x - _GAP, 3), 255, "uint8")
    anchors = {}
    for i, (label, pictures) in enumerate(pixels.items()):
        first, line = (i * n, 0) if across else (0, i)
        y = top + line * step_y
        for j, picture in enumerate(pictures.repeat(scale, axis=1).repeat(scale, axis=2)):
            x = left + (first + j) * step_x
            canvas[y : y + scale * height, x : x + scale * width] = picture
        anchors[label] = (first * step_x, 2) if across else (0, y + (step_y - _LINE) // 2)
    image = Image.fromarray(canvas)
    pen = ImageDraw.Draw(image)
    for label, place in anchors.items():
        pen.text(place, label, fill="black", font=_font())
    return image


def _pixels(images: Tensor, is_map: bool) -> NDArray[np.uint8]:
    """Float images (n, C, H, W) in [0, 1] to RGB (n, H, W, 3); maps through colours."""
    levels = (255 * images.detach().clamp(0, 1)).round().to(torch.uint8)
    array = levels.permute(0, 2, 3, 1).cpu().numpy()  # (n, H, W, C)
    if is_map:
        return np.asarray(_map_colours()[array[..., 0]], dtype=np.uint8)
    return np.broadcast_to(array, (*array.shape[:3], 3))


@functools.cache
def _map_colours() -> NDArray[np.uint8]:
    """The colours of the 256 levels of a map, (256, 3)."""
    return np.asarray(matplotlib.colormaps[MAP_COLOURS](np.arange(256), bytes=True)[:, :3])


@functools.cache
def _font(size: int = 14) -> ImageFont.FreeTypeFont:
    # Matplotlib's font: it is always there, and it has Greek letters and subscripts.
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=1)  # more would take longer than sending it
    return buffer.getvalue()


def _frame(
    rows: Mapping[str, Tensor],
    maps: Collection[str],
    alt_text: str,
    readout: str = "",
    *,
    across: bool = False,
) -> Frame:
    image = draw(rows, maps, across=across)
    return Frame(_png(image), image.size, alt_text, readout)


_SUBSCRIPTS = "₁₂₃₄₅₆₇₈₉"


def _parts(output: Decoded) -> tuple[dict[str, Tensor], list[str]]:
    """The images of a decoder's answer by their symbols, and which of them are maps."""
    rows: dict[str, Tensor] = {}
    if output.components is not None and output.weights is not None:
        ways = range(output.components.shape[1])
        if len(ways) == 2:
            rows["σ"] = output.sigma_map
        else:
            rows |= {f"w{_SUBSCRIPTS[k]}": output.weights[:, k] for k in ways}
        maps = list(rows)
        rows |= {f"x{_SUBSCRIPTS[k]}": output.components[:, k] for k in ways}
        return rows | {"x": output.x_hat}, maps
    return {"x": output.x_hat}, []


# ------------------------------------------------------------------ the panel


def _ipywidgets() -> Any:
    # Imported here: the library, and its command line, work without it.
    try:
        import ipywidgets
    except ImportError:
        raise InputError(
            "live widgets need ipywidgets: run `pip install ipywidgets` and restart the kernel."
        ) from None
    return ipywidgets


class Panel:
    """Controls, and a picture that follows them.

    Attributes:
        controls: the ipywidgets by name; setting a ``.value`` redraws, as moving a slider does.
        frame: the picture as it is now.
        box: everything as one ipywidget, to be put into a layout of one's own.
    """

    frame: Frame

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        picture: Callable[[Values], Frame],
        silent: Collection[str] = (),
    ) -> None:
        """Arrange named controls in rows above the picture that a function makes of their values.

        Args:
            rows: the controls by name, a mapping per row.
            picture: makes the picture for what the controls are set to.
            silent: controls that do not redraw by themselves.

        Raises:
            InputError: ipywidgets is not installed.
        """
        ipy = _ipywidgets()
        self.controls = {name: control for row in rows for name, control in row.items()}
        self._picture = picture
        self._held = False
        # Not an ipywidgets.Image, which has no alternative text.
        self._view = ipy.HTML()
        wrap = ipy.Layout(flex_flow="row wrap")
        lines = [ipy.HBox(list(row.values()), layout=wrap) for row in rows]
        self.box = ipy.VBox([*lines, self._view])
        for name, control in self.controls.items():
            if control.has_trait("value") and name not in silent:
                control.observe(lambda change: self.redraw(), names="value")
        self.redraw()

    @property
    def values(self) -> dict[str, Any]:
        """What the controls are set to; buttons have no value."""
        return {name: c.value for name, c in self.controls.items() if c.has_trait("value")}

    def set(self, **values: Any) -> None:
        """Set several controls and redraw once."""
        self._held = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._held = False
        self.redraw()

    def redraw(self) -> None:
        """Draw the picture for the current values."""
        if self._held:
            return
        self.frame = self._picture(self.values)
        self._view.value = self.frame.html()

    def __repr__(self) -> str:
        return self.frame.bundle()["text/plain"]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """The live panel for front ends that know widgets, the picture for all others."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, **self.frame.bundle()}


# ------------------------------------------------------------------ the widgets


def latent_explorer(
    model: VAE, images: Tensor | None = None, *, mu: Tensor | None = None, sliders: int = 6
) -> Panel:
    """Move the most active latent variables of an image, and see what the decoder makes of it.

    The variables with the largest var(mu) get a slider each; the others stay as the image, or the
    draw from the prior, has them.

    Args:
        model: a VAE or SplitVAE in evaluation mode.
        images: uint8 (N, C, S, S) to start from, at least two; a hundred tell what is active.
        mu: in place of images, their posterior means, float (N, L).
        sliders: latent variables to move; fewer where the model has fewer.

    Returns:
        A panel with the controls ``image`` (where to start), ``z0``, ``z3``, ... (one for each of
        the variables, named by its index), and the buttons ``reset`` and ``prior``.

    Raises:
        InputError: neither or both of images and mu, fewer than two of them, or images that do not
            fit the model; ipywidgets is not installed.
    """
    ipy = _ipywidgets()
    means = _posterior_means(model, images, mu)
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
    base, draws = means[0], 0

    def picture(values: Values) -> Frame:
        changes = {k: values[f"z{k}"] for k in order}
        rows, maps = _parts(explore(model, base, changes))
        moves = ", ".join(f"z[{k}] = {value:.2f}" for k, value in changes.items())
        alt = f"{', '.join(rows)} decoded from a latent vector with {moves}."
        return _frame(rows, maps, alt, across=True)

    first_row = {"image": start, "reset": reset, "prior": prior}
    panel = Panel([first_row, moved], picture, silent=["image"])

    def go(z: Tensor) -> None:
        nonlocal base
        base = z
        panel.set(**{f"z{k}": z[k].item() for k in order})

    def draw_from_prior(_: object) -> None:
        nonlocal draws
        go(prior_latents(1, means.shape[1], seed=draws)[0])
        draws += 1

    start.observe(lambda change: go(means[change["new"]]), names="value")
    reset.on_click(lambda _: go(means[start.value]))
    prior.on_click(draw_from_prior)
    return panel


def _posterior_means(model: VAE, images: Tensor | None, mu: Tensor | None) -> Tensor:
    if images is not None and mu is None:
        means = encode_all(model, images)[0]
    elif mu is not None and images is None:
        means = mu
    else:
        raise InputError("give either images or mu, their posterior means.")
    if means.ndim != 2 or len(means) < 2 or means.shape[1] != model.config.latent_dim:
        raise InputError(
            f"mu must have the shape (N, {model.config.latent_dim}) with N at least 2, not "
            f"{tuple(means.shape)}: several images are needed to tell which variables are active."
        )
    return means.detach().float().cpu()


def sigma_mixer(model: VAE, images: Tensor, n: int = 8) -> Panel:
    """Mix x1 and x2 of some images under another map: constant, sharper, swapped.

    Args:
        model: a SplitVAE with two components, in evaluation mode.
        images: uint8 (N, C, S, S).
        n: how many to show, at most.

    Returns:
        A panel with the controls ``map`` ("the model's" or "constant"), ``constant`` (its value),
        ``sharpness`` (t of :func:`svae_lib.interventions.sharpen`) and ``swap``.

    Raises:
        InputError: images that do not fit the model, or one without two components; ipywidgets is
            not installed.
    """
    ipy = _ipywidgets()
    check_uint8_images(images)
    originals = to_float(images[:n])
    own = reconstruct_all(model, images[:n])
    mix(own)  # refuses what has no two components
    layout = ipy.Layout(width="340px")
    choice = ipy.Dropdown(options=["the model's", "constant"], description="σ is")
    constant = ipy.FloatSlider(
        0.5, min=0, max=1, step=0.01, description="constant", disabled=True, layout=layout
    )
    sharpness = ipy.FloatSlider(
        1, min=0, max=10, step=0.1, description="sharpness t", layout=layout
    )
    swap = ipy.Checkbox(False, description="swap x₁ and x₂", indent=False)

    def picture(values: Values) -> Frame:
        is_constant = values["map"] == "constant"
        constant.disabled = not is_constant
        mixed = mix(
            own,
            values["constant"] if is_constant else None,
            swap=values["swap"],
            sharpness=values["sharpness"],
        )
        rows = {"original": originals, "σ": mixed.sigma_map, "x₁": own.x1, "x₂": own.x2}
        rows |= {"x (model)": own.x_hat, "x (now)": mixed.x_hat}
        what = f"σ {values['constant']:.2f} everywhere" if is_constant else "σ the model's"
        what += f", sharpness {values['sharpness']:.1f}"
        what += ", x1 and x2 swapped" if values["swap"] else ""
        errors = [reconstruction_error(originals, o.x_hat).mean().item() for o in (mixed, own)]
        readout = (
            f"Mean reconstruction error: {errors[0]:.1f} now, {errors[1]:.1f} by the model's map."
        )
        alt = f"{len(own.x_hat)} images in rows: {', '.join(rows)}; {what}."
        return _frame(rows, ("σ",), alt, readout)

    return Panel(
        [{"map": choice, "constant": constant}, {"sharpness": sharpness, "swap": swap}], picture
    )


def split_gallery(models: Mapping[str, VAE] | Sequence[Run], images: Tensor, n: int = 8) -> Panel:
    """The splits of several models, side by side with what kind each of them is.

    Args:
        models: SplitVAEs by name, in evaluation mode, or finished runs.
        images: uint8 (N, C, S, S), in random order. The first 200 decide the kind of split; the
            control ``first`` leafs through all of them.
        n: images to show at a time, at most.

    Returns:
        A panel with the controls ``model`` and ``first``.

    Raises:
        InputError: no model, one without a split, or images that do not fit; ipywidgets is not
            installed.
    """
    ipy = _ipywidgets()
    loaded = _models(models)
    n = min(n, len(images))
    kinds = {name: _kind(name, model, images[:200]) for name, model in loaded.items()}
    choice = ipy.Dropdown(options=list(loaded), description="model")
    first = ipy.IntSlider(0, min=0, max=max(0, len(images) - n), description="first image")

    def picture(values: Values) -> Frame:
        shown = images[values["first"] : values["first"] + n]
        rows, maps = _parts(reconstruct_all(loaded[values["model"]], shown))
        rows = {"original": to_float(shown), **rows}
        alt = f"Split of {len(shown)} images by {values['model']} in rows: {', '.join(rows)}."
        return _frame(rows, maps, alt, f"{values['model']}: {kinds[values['model']]}")

    return Panel([{"model": choice, "first": first}], picture)


def _models(models: Mapping[str, VAE] | Sequence[Run]) -> dict[str, VAE]:
    if isinstance(models, Mapping):
        loaded = dict(models)
    else:
        loaded = {run.folder.name: run.load_model() for run in models}
    if not loaded:
        raise InputError("there is no model to show: give at least one SplitVAE or run.")
    return loaded


def _kind(name: str, model: VAE, images: Tensor) -> str:
    output = reconstruct_all(model, images)
    if output.components is None or output.weights is None:
        raise InputError(f"{name} is a plain VAE, which has no split: give SplitVAEs only.")
    return str(split_kind(output.weights[:, 0], to_float(images), output.components))


# ------------------------------------------------------------------ training


class TrainingMonitor:
    """Redraws a trainer's curves in a notebook while it trains; see :func:`training_monitor`.

    Attributes:
        frame: the curves as last drawn; None before the first entry of the history.
    """

    def __init__(self, keys: Sequence[str], every: float) -> None:
        self.keys = tuple(keys)
        self.every = every
        self.frame: Frame | None = None
        self._drawn = float("-inf")
        self._handle: Any = None

    def __call__(self, trainer: Trainer) -> None:
        """Draw the history so far, unless that was done less than ``every`` seconds ago."""
        last = trainer.step >= trainer.config.steps
        if last or time.monotonic() - self._drawn >= self.every:
            self.draw(trainer)

    def draw(self, trainer: Trainer) -> None:
        """Draw the history so far; call it after a training that stopped before its last step."""
        self.frame = curves(trainer.history, self.keys)
        self._show(self.frame.bundle())
        self._drawn = time.monotonic()

    def _show(self, bundle: dict[str, str]) -> None:
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            return
        if get_ipython() is None:  # plain Python has nothing to draw into
            return
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


def training_monitor(
    trainer: Trainer, keys: Sequence[str] = ("loss", "gamma"), *, every: float = 1.0
) -> TrainingMonitor:
    """A monitor of a training: ``trainer.fit(on_log=[training_monitor(trainer)])``.

    The curves appear below the cell and are replaced as the training goes on; the last ones stay
    in a stored notebook. The kernel is busy while it trains and could answer no control, so this is
    a picture alone, and needs no ipywidgets. Outside notebooks only its ``frame`` changes.

    Args:
        trainer: whose history is drawn.
        keys: quantities of the history, a panel each.
        every: seconds that pass between two drawings, at least.

    Raises:
        InputError: the history has no such quantity, or none was named.
    """
    unknown = [key for key in keys if key not in trainer.history]
    if unknown or not keys:
        raise InputError(
            f"keys must name quantities of the history, {sorted(trainer.history)}, not {keys}."
        )
    monitor = TrainingMonitor(keys, every)
    if trainer.history["step"]:
        monitor.draw(trainer)
    return monitor


def curves(history: Mapping[str, Sequence[float]], keys: Sequence[str]) -> Frame:
    """A trainer's history as curves, a panel per quantity, gamma and mse on a logarithmic scale.

    :func:`svae_lib.plots.training_curves` is finer, and takes as long as several training steps.
    """
    steps = history["step"]
    panels = [_curve(key, steps, history[key]) for key in keys]
    image = Image.new("RGB", (len(panels) * _PANEL[0], _PANEL[1]), "white")
    for i, panel in enumerate(panels):
        image.paste(panel, (i * _PANEL[0], 0))
    ends = [f"{key} from {history[key][0]:.3g} to {history[key][-1]:.3g}" for key in keys]
    alt = f"Training curves. Step {steps[0]:g} to {steps[-1]:g}: {', '.join(ends)}."
    return Frame(_png(image), image.size, alt)


_PANEL = (380, 240)
"""Width and height of a curve's panel in pixels."""
_FRAME = (64, 30, 368, 206)
"""Left, top, right, bottom of the curve within its panel."""
_TITLES = {"gamma": "γ (variance per pixel)", "kl": "KL divergence (nats)", "mse": "squared error"}
_LOGARITHMIC = ("gamma", "mse")


def _curve(key: str, x: Sequence[float], y: Sequence[float]) -> Image.Image:
    """One panel: title, ticks with grid lines, and the curve with a dot at its end."""
    logarithmic = key in _LOGARITHMIC and min(y) > 0
    left, top, right, bottom = (2 * side for side in _FRAME)  # twice as large: smooth lines
    image = Image.new("RGB", (2 * _PANEL[0], 2 * _PANEL[1]), "white")
    pen = ImageDraw.Draw(image)
    across = _Scale(min(x), max(x), left, right)
    up = _Scale(min(y), max(y), bottom - 10, top + 10, logarithmic)
    pen.text((left, 8), _TITLES.get(key, key), fill="black", font=_font(28))
    for value in up.ticks():
        pen.line([(left, up(value)), (right, up(value))], fill="#dddddd", width=2)
        pen.text((left - 10, up(value)), f"{value:.4g}", fill="black", font=_font(24), anchor="rm")
    for value in across.ticks():
        pen.text((across(value), bottom + 8), f"{value:g}", "black", _font(24), anchor="ma")
    pen.text((right, bottom + 40), "step", fill="black", font=_font(24), anchor="ra")
    pen.line([(left, top), (left, bottom), (right, bottom)], fill="black", width=2)
    points = [(across(a), up(b)) for a, b in zip(x, y, strict=True)]
    pen.line(points, fill=BLUE, width=4, joint="curve")
    x_end, y_end = points[-1]
    pen.ellipse((x_end - 7, y_end - 7, x_end + 7, y_end + 7), fill=BLUE)
    return image.reduce(2)


@dataclass(frozen=True)
class _Scale:
    """Values from ``low`` to ``high`` to pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, here = (
            math.log(v) if self.logarithmic else v for v in (self.low, self.high, value)
        )
        part = (here - low) / (high - low) if high > low else 0.5
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        """A few round values from low to high."""
        whole = MaxNLocator(4, integer=self.high - self.low > 4)  # no half steps
        locator = LogLocator(subs=(1, 2, 5)) if self.logarithmic else whole
        found = [float(v) for v in locator.tick_values(self.low, self.high)]
        return [v for v in found if self.low <= v <= self.high] or [self.low]

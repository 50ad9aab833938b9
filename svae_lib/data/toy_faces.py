"""Cartoon faces drawn by code: 64x64 RGB with known factors of variation.

They stand in for CelebA where nothing can be downloaded: one object in varying pose, light and
background, with large smooth areas that a VAE learns and fine hair, freckles and cloth that it
blurs. Being drawn, they come with the truth about each image, as labels.

Coordinates: x to the right and y downwards, from -1 to 1; (u, v) the same in the frame of the
head. Every plane has the shape (N, 1, H, W), every factor (N, 1, 1, 1), every colour (N, 3, 1, 1).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..support.checks import InputError
from .image_sets import ImageSets
from .shapes import blend, capsule, coverage, ellipse, hue, palette, smoothstep

SOURCE = (
    "Cartoon faces drawn by this library, with their factors of variation as labels; they stand "
    "in for CelebA where nothing can be downloaded, and numbers on them say nothing about CelebA."
)
TRAIN_COUNT, TEST_COUNT, MANY = 8000, 1000, 32_000
TRAIN_SEED, TEST_SEED = 1, 2
CHUNK_PIXELS = 1 << 19  # drawn together, 128 images of 64x64: their planes stay in the cache

# name: (lowest, highest) value, drawn uniformly and independently of the others
RANGES: dict[str, tuple[float, float]] = {
    "yaw": (-35, 35),  # degrees, positive: looks to the right of the image
    "pitch": (-12, 12),  # degrees, positive: looks down
    "tilt": (-13, 13),  # degrees, positive: clockwise
    "scale": (1.12, 1.38),
    "shift_x": (-0.07, 0.07),
    "shift_y": (-0.05, 0.05),
    "face_width": (0.41, 0.49),
    "jaw": (0, 1),  # 0 round, 1 pointed
    "skin_tone": (0, 1),  # 0 light, 1 dark
    "hair_colour": (0, 1),  # a place in HAIR
    "hair_length": (-0.6, 1),  # <= 0: ends at the ears, 1: over the shoulders
    "hair_volume": (0.05, 0.3),
    "hair_line": (0.1, 0.75),  # 0 covers the forehead, 1 bald
    "parting": (-1, 1),
    "curl": (-0.6, 1),  # <= 0: straight
    "beard": (-3, 1),  # <= 0: none
    "freckles": (-1.5, 1),  # <= 0: none
    "glasses": (-1.6, 1),  # <= 0: none, 0 to 0.75: clear, above: dark
    "glasses_roundness": (0, 1),
    "gaze": (-1, 1),
    "eye_opening": (0.4, 1),
    "eye_colour": (0, 1),  # a place in EYES
    "brow_height": (0, 1),
    "brow_angle": (-1, 1),
    "smile": (-0.6, 1),
    "mouth_opening": (-0.7, 1),  # <= 0: closed
    "light_azimuth": (-75, 75),  # degrees, 0: from the viewer, positive: from the right
    "light_height": (0, 50),  # degrees above the horizon
    "background_hue": (0, 1),
    "background_value": (0.25, 0.95),
    "background_pattern": (-1, 1),  # <= 0: none, else the contrast of a check
    "shirt_hue": (0, 1),
}
FACTOR_NAMES = tuple(RANGES)

SKIN = (
    (255, 223, 200),
    (243, 196, 160),
    (222, 165, 118),
    (183, 122, 80),
    (134, 82, 54),
    (88, 54, 39),
)
HAIR = (
    (34, 28, 30), (62, 40, 30), (104, 62, 36), (158, 78, 38), (204, 128, 58), (232, 192, 116),
    (226, 216, 198), (150, 150, 156), (96, 78, 140), (220, 104, 142),
)  # fmt: skip
HALF_HEIGHT, HEAD_Y = 0.56, -0.08  # of the head
EYES = ((58, 36, 24), (110, 72, 36), (96, 122, 60), (70, 124, 168), (120, 132, 146))


@dataclass
class _Scene:
    """What all parts of a drawing share."""

    factors: dict[str, Tensor]  # name to (N, 1, 1, 1); angles in radians
    image: Tensor  # (N, 3, H, W), painted over from back to front
    x: Tensor  # (1, 1, H, W)
    y: Tensor
    u: Tensor  # (N, 1, H, W), frame of the head
    v: Tensor
    p: Tensor  # u and v in half axes of the head, an ellipsoid whose outline has p^2 + q^2 = 1
    q: Tensor
    r: Tensor  # sqrt(p^2 + q^2)
    shade: Tensor  # how much light meets the head or the hair, about 0.2 to 1.1
    noise: Tensor  # (N, 1, H, W), standard normal
    phase: Tensor  # (N, 4, 1, 1) in [0, 2 pi), places the textures
    light: tuple[Tensor, Tensor, Tensor]  # unit vector towards the light: right, down, to viewer
    skin: Tensor
    hair: Tensor
    pixel: float

    def __getitem__(self, name: str) -> Tensor:
        return self.factors[name]

    def on_head(self, azimuth: float, elevation: float) -> tuple[Tensor, Tensor, Tensor]:
        """Place (u, v) of a point on the turned head, and its foreshortening across.

        Angles in degrees: 0, 0 is the tip of the nose; positive is right and down.
        """
        turned = self["yaw"] + math.radians(azimuth)
        tipped = self["pitch"] + math.radians(elevation)
        u = self["face_width"] * torch.sin(turned) * torch.cos(tipped)
        return u, HALF_HEIGHT * torch.sin(tipped), torch.cos(turned)

    @contextmanager
    def patch(
        self, canvas: Tensor, at: tuple[Tensor, Tensor], half_size: tuple[float, float]
    ) -> Iterator[tuple[Tensor, ...]]:
        """Copy what lies around (u, v) = ``at``, and write it back when the block has drawn on it.

        Small things then cost little, wherever they are in each image.

        Yields:
            The part of ``canvas`` (N, 3, h, w), and of the planes u - at, v - at and noise.
        """
        size = canvas.shape[-1]
        half = [min(math.ceil(1.4 * length / self.pixel), size // 2) for length in half_size]
        corners = self._corner(at, half)
        places = [
            (image, slice(None), slice(top, top + 2 * half[1]), slice(left, left + 2 * half[0]))
            for image, (top, left) in enumerate(corners)
        ]
        parts = []
        for plane in (canvas, self.u, self.v, self.noise):
            whole = plane.numpy()
            parts.append(torch.from_numpy(np.stack([whole[place] for place in places])))
        yield parts[0], parts[1].sub_(at[0]), parts[2].sub_(at[1]), parts[3]
        whole, drawn = canvas.numpy(), parts[0].numpy()
        for place, part in zip(places, drawn, strict=True):
            whole[place] = part

    def _corner(self, at: tuple[Tensor, Tensor], half: list[int]) -> list[list[int]]:
        """First row and column of patches that reach ``half`` columns and rows around ``at``."""
        scale = self["scale"]
        cos, sin = torch.cos(self["tilt"]) * scale, torch.sin(self["tilt"]) * scale
        x = cos * at[0] - sin * at[1] + self["shift_x"]
        y = sin * at[0] + cos * at[1] + self["shift_y"] + HEAD_Y
        size = self.image.shape[-1]
        corner = [
            (((centre.flatten() + 1) / self.pixel).round().long() - length).clamp(
                0, size - 2 * length
            )
            for centre, length in ((y, half[1]), (x, half[0]))
        ]
        places: list[list[int]] = torch.stack(corner, dim=1).tolist()
        return places


def draw_faces(n: int, seed: int, image_size: int = 64) -> tuple[Tensor, Tensor]:
    """Draw ``n`` faces.

    The first k faces of a seed are the same whatever ``n`` is. Beside the factors, only the
    places of fine texture (strands of hair, freckles, cloth) are random.

    Returns:
        Images uint8 (n, 3, image_size, image_size), and factors float32 (n, F) whose columns
        ``FACTOR_NAMES`` lists, with units and meaning in ``RANGES``.

    Raises:
        InputError: ``n`` is below 1 or ``image_size`` below 16.
    """
    if n < 1:
        raise InputError(f"cannot draw {n} faces: ask for at least one.")
    if image_size < 16:
        raise InputError(f"faces need at least 16x16 pixels, not {image_size}x{image_size}.")
    uniform = _uniform(n, seed)
    factors = _factors(uniform)
    images = torch.empty(n, 3, image_size, image_size, dtype=torch.uint8)
    chunk = max(CHUNK_PIXELS // image_size**2, 1)
    with _one_thread():
        for start in range(0, n, chunk):
            part = slice(start, start + chunk)
            painted = _paint(factors[part], uniform[part, len(FACTOR_NAMES) :], image_size)
            images[part] = painted.mul_(255).add_(0.5).clamp_(0, 255)  # + 0.5 and cut: rounded
    return images, factors


def load_toy_faces(root: str | os.PathLike[str] | None = None) -> ImageSets:
    """8,000 training and 1,000 test faces, uint8 (N, 3, 64, 64); the labels are the factors.

    Args:
        root: not used; the faces are drawn when this is called.
    """
    return _drawn("toy-faces", TRAIN_COUNT)


def load_many_toy_faces(root: str | os.PathLike[str] | None = None) -> ImageSets:
    """32,000 training faces, of which the first 8,000 are those of ``toy-faces``; its test set.

    Args:
        root: not used; the faces are drawn when this is called, in half a minute.
    """
    return _drawn("toy-faces-32k", MANY)


def _drawn(name: str, count: int) -> ImageSets:
    train, train_factors = draw_faces(count, TRAIN_SEED)
    test, test_factors = draw_faces(TEST_COUNT, TEST_SEED)
    return ImageSets(name, train, test, train_factors, test_factors, FACTOR_NAMES, SOURCE)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let PyTorch work on one core: among many small steps, threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _uniform(n: int, seed: int) -> Tensor:
    """One row of uniform numbers per image: the factors, then six that place textures."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.random((n, len(FACTOR_NAMES) + 6), dtype=np.float32))


def _factors(uniform: Tensor) -> Tensor:
    low, high = torch.tensor(list(RANGES.values())).T
    return torch.lerp(low, high, uniform[:, : len(FACTOR_NAMES)])


def _paint(factors: Tensor, extra: Tensor, size: int) -> Tensor:
    """From factors (N, F) and texture places (N, 6) to images (N, 3, size, size) near [0, 1]."""
    scene = _set_up(factors, extra, size)
    strands = _strands(scene)
    _paint_background(scene)
    _paint_shirt(scene)
    _paint_hair_behind(scene, strands)
    _paint_neck(scene)
    _paint_head(scene)
    _paint_mouth(scene)
    for side in (-1, 1):
        _paint_eye(scene, side)
    _paint_nose(scene)
    _paint_hair_in_front(scene, strands)
    for side in (-1, 1):
        _paint_brow(scene, side)
    _paint_glasses(scene)
    return scene.image


def _set_up(factors: Tensor, extra: Tensor, size: int) -> _Scene:
    named = {
        name: column[:, None, None, None]
        for name, column in zip(FACTOR_NAMES, factors.T, strict=True)
    }
    for name in ("yaw", "pitch", "tilt", "light_azimuth", "light_height"):
        named[name] = torch.deg2rad(named[name])
    pixel = 2 / size
    axis = (torch.arange(size) + 0.5) * pixel - 1
    x, y = axis.view(1, 1, 1, size), axis.view(1, 1, size, 1)
    u, v = _head_frame(x, y, named)
    light = _light(named)
    q = v * (1 / HALF_HEIGHT)
    taper = 1 - (0.1 + 0.2 * named["jaw"]) * q.clamp(min=0).square_()
    p = u / taper.mul_(named["face_width"])
    r = (p * p).addcmul_(q, q).sqrt_()
    return _Scene(
        factors=named,
        image=torch.empty(len(factors), 3, size, size),
        x=x.expand(1, 1, size, size),
        y=y.expand(1, 1, size, size),
        u=u,
        v=v,
        p=p,
        q=q,
        r=r,
        shade=_shade(p, q, r, light),
        noise=_noise(extra[:, :2], size),
        phase=2 * math.pi * extra[:, 2:, None, None],
        light=light,
        skin=palette(named["skin_tone"], SKIN),
        hair=palette(named["hair_colour"], HAIR),
        pixel=pixel,
    )


def _head_frame(x: Tensor, y: Tensor, named: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    across = x - named["shift_x"]
    down = y - named["shift_y"] - HEAD_Y
    cos, sin = (f(named["tilt"]) / named["scale"] for f in (torch.cos, torch.sin))
    return cos * across + sin * down, cos * down - sin * across


def _light(named: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    azimuth, height = named["light_azimuth"], named["light_height"]
    across = torch.cos(height)
    return torch.sin(azimuth) * across, -torch.sin(height), torch.cos(azimuth) * across


def _shade(p: Tensor, q: Tensor, r: Tensor, light: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Lambert's law on a sphere, plus ambient light; beyond its outline as on the outline."""
    to_viewer = (1 - r.square()).clamp_(min=0).sqrt_()
    across = (p * light[0] + q * light[1]) / r.clamp(min=1)
    return across.addcmul_(to_viewer, light[2]).clamp_(min=0).mul_(0.9).add_(0.2)


_NOISE_TILE = 256


def _noise(places: Tensor, size: int) -> Tensor:
    """Normal noise (N, 1, size, size), cut out of one tile at ``places`` (N, 2) in [0, 1)."""
    tile = torch.from_numpy(
        np.random.default_rng(0).standard_normal((_NOISE_TILE, _NOISE_TILE), dtype=np.float32)
    )
    corner = (places * _NOISE_TILE).long()
    steps = torch.arange(size)
    rows = (corner[:, :1] + steps) % _NOISE_TILE
    columns = (corner[:, 1:] + steps) % _NOISE_TILE
    return tile[rows[:, :, None], columns[:, None, :]][:, None]


def _lit(colour: Tensor, shade: Tensor) -> Tensor:
    """A colour under light: (N, 3, 1, 1) and (N, 1, H, W) to (N, 3, H, W); shadows are warm."""
    dark = _tone(colour, 0.42, 0.32, 0.34)
    return torch.addcmul(dark, shade, colour * 1.06 + 0.03 - dark)


def _tone(colour: Tensor, red: float, green: float, blue: float) -> Tensor:
    return colour * torch.tensor([red, green, blue]).view(1, 3, 1, 1)


def _plain(red: float, green: float, blue: float) -> Tensor:
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1)


BLACK, WHITE = _plain(0.07, 0.05, 0.06), _plain(0.97, 0.96, 0.95)


def _bell(u: Tensor, v: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """A soft spot, near exp(-r^2) but 0 from r = 2: 1 in the middle, r = 1 on the ellipse."""
    square = (u * (1 / a)).square_().add_((v * (1 / b)).square_())
    return square.mul_(-0.25).add_(1).clamp_(min=0).square_().square_()


def _paint_background(scene: _Scene) -> None:
    tone, value = scene["background_hue"], scene["background_value"]
    phase = scene.phase
    near, far = hue(tone, 0.3, value), hue(tone + 0.13, 0.55, value * 0.62)
    angle = phase[:, :1]
    along = (torch.cos(angle) * scene.x + torch.sin(angle) * scene.y) * 0.4 + 0.5
    pitch = 14 + 2.5 * phase[:, 1:2]
    across = torch.cos(phase[:, 2:3]) * scene.x + torch.sin(phase[:, 2:3]) * scene.y
    along_too = torch.cos(phase[:, 2:3]) * scene.y - torch.sin(phase[:, 2:3]) * scene.x
    weave = torch.sin(pitch * across) * torch.cos(pitch * along_too + phase[:, 3:4])
    along += weave.mul_(scene["background_pattern"].clamp(min=0) * 0.35)
    torch.lerp(near, far, along, out=scene.image)


def _strands(scene: _Scene) -> Tensor:
    """Texture of the hair, about -1 to 1: a fan of lines from above the crown, wavy if curly."""
    phase, curl = scene.phase, scene["curl"].clamp(min=0)
    fan = (scene.u - 0.12 * scene["parting"]) / (scene.v + 1.15)
    wave = torch.sin(17 * scene.v + 9 * scene.u + phase[:, :1])
    fan.addcmul_(curl * 0.07, wave)
    lines = torch.sin(34 * fan + phase[:, 1:2]) + 0.6 * torch.sin(61 * fan + phase[:, 2:3])
    return lines.mul_(0.45).add_(scene.noise, alpha=0.28)


def _paint_hair_behind(scene: _Scene, strands: Tensor) -> None:
    volume, length = scene["hair_volume"], scene["hair_length"].clamp(min=0)
    a = scene["face_width"] * (1.02 + volume) + 0.08 * scene.v.clamp(min=0)
    outline = ellipse(scene.u, scene.v.clamp(max=0), a, HALF_HEIGHT * (1 + 0.7 * volume))
    outline += _ruffle(scene)
    end = (0.08 + 0.85 * length) - scene.v + 0.03 * strands
    alpha = coverage(torch.minimum(outline, end), scene.pixel)
    colour = _lit(scene.hair * 0.62, scene.shade * (1 + 0.3 * strands))
    blend(scene.image, colour, alpha)


def _ruffle(scene: _Scene) -> Tensor:
    """How curls move the outline of the hair."""
    bumps = torch.sin(15 * scene.u + scene.phase[:, 3:4]) * torch.cos(13 * scene.v)
    return bumps.mul_(0.05 * scene["curl"].clamp(min=0))


def _paint_shirt(scene: _Scene) -> None:
    rows = slice(int(0.8 * scene.image.shape[2]), None)
    x, y = scene.x[..., rows, :] - scene["shift_x"], scene.y[..., rows, :]
    image, light = scene.image[..., rows, :], scene.light
    body, collar = ellipse(x, y - 1.22, 0.95, 0.5), _collar(x, y)
    skin_shade = 0.5 + 0.5 * x * light[0]
    blend(image, _lit(scene.skin, skin_shade), coverage(body, scene.pixel))
    knit = torch.sin(40 * y + 3 * torch.cos(2.5 * x)) * (scene.phase[:, 1:2] > 3)
    shade = (0.7 * light[2] + 0.25 + 0.5 * x * light[0]) * (1 + 0.1 * knit)
    shirt = _lit(hue(scene["shirt_hue"], 0.55, 0.85), shade)
    blend(image, shirt, coverage(torch.minimum(body, -collar), scene.pixel))


def _paint_neck(scene: _Scene) -> None:
    rows = slice(int(0.55 * scene.image.shape[2]), int(0.93 * scene.image.shape[2]))
    x, y = scene.x[..., rows, :] - scene["shift_x"], scene.y[..., rows, :]
    # the head keeps light from the neck
    shade = 0.3 + 0.3 * smoothstep(1.05, 1.4, scene.r[..., rows, :]) + 0.8 * x * scene.light[0]
    end = torch.maximum(0.7 - y, _collar(x, y))
    column = coverage(torch.minimum(0.23 - x.abs(), end), scene.pixel)
    blend(scene.image[..., rows, :], _lit(scene.skin, shade), column)


def _collar(x: Tensor, y: Tensor) -> Tensor:
    return ellipse(x, y - 0.7, 0.3, 0.19)


def _paint_head(scene: _Scene) -> None:
    width = scene["face_width"]
    for side in (-1, 1):
        at = (width * (side * 0.98 - 0.1 * torch.sin(scene["yaw"])), torch.full_like(width, 0.05))
        with scene.patch(scene.image, at, (0.1, 0.15)) as (image, u, v, _):
            shade = 0.5 + 0.3 * side * scene.light[0] + 3 * side * u
            blend(image, _lit(scene.skin, shade), coverage(ellipse(u, v, 0.075, 0.12), scene.pixel))
    skin = _lit(scene.skin, scene.shade)
    _tint_skin(scene, skin)
    blend(scene.image, skin, coverage((1 - scene.r) * width, scene.pixel))


def _tint_skin(scene: _Scene, skin: Tensor) -> None:
    """Rosy cheeks, freckles and a beard, on the colours (N, 3, H, W) of the whole plane."""
    for side in (-1, 1):
        *at, turned = scene.on_head(side * 34, 20)
        with scene.patch(skin, (at[0], at[1]), (0.22, 0.17)) as (colours, u, v, _):
            cheek = _bell(u, v, 0.12 * turned.clamp(min=0.3), 0.09)
            blend(colours, _tone(scene.skin, 0.95, 0.5, 0.5), cheek.mul_(0.4))
    *at, turned = scene.on_head(0, 8)
    with scene.patch(skin, (at[0], at[1]), (0.4, 0.2)) as (colours, u, v, noise):
        spots = smoothstep(0.7, 1.5, noise) * _bell(u, v, 0.28, 0.1)
        blend(colours, scene.skin * 0.55, spots.mul_(scene["freckles"].clamp(min=0)))
    *at, turned = scene.on_head(0, 22)
    beard = scene["beard"]
    with scene.patch(skin, (at[0], at[1] + 0.15), (0.5, 0.3)) as (colours, u, v, noise):
        edge = v + 0.05 + 1.2 * u.square()
        dense = smoothstep(-0.06, 0.06, edge) * (0.75 + 0.25 * noise)
        dense *= (0.35 + 0.65 * beard) * (beard > 0)
        hair = _lit(scene.hair * 0.8, 0.75 + 0.6 * u * scene.light[0])
        blend(colours, hair, dense.clamp_(0, 1))


def _paint_mouth(scene: _Scene) -> None:
    at_u, at_v, turned = scene.on_head(0, 34)
    smile, opening = scene["smile"], scene["mouth_opening"].clamp(min=0) * 0.13
    pixel = scene.pixel
    with scene.patch(scene.image, (at_u, at_v), (0.22, 0.18)) as (image, u, v, _):
        square = (u / ((0.15 + 0.04 * smile) * turned)).square_()
        bulge = 1 - square  # lips taper off towards the corners
        below = v + 0.075 * smile * square.clamp(max=1.5)  # 0 where closed lips meet
        lips = torch.minimum(below + 0.03 * bulge, (opening + 0.045) * bulge - below)
        inside = torch.minimum(below, opening * bulge - below)
        blend(image, _tone(scene.skin, 0.86, 0.42, 0.44), coverage(lips, pixel))
        line = torch.minimum(0.011 - below.abs(), 0.03 * (1.15 - square))
        blend(image, _plain(0.25, 0.06, 0.08), coverage(line, pixel).mul_(0.85))
        blend(image, _plain(0.25, 0.06, 0.08), coverage(inside - 0.004, pixel))
        blend(image, WHITE, coverage(torch.minimum(inside - 0.006, 0.042 - below), pixel))


def _paint_eye(scene: _Scene, side: int) -> None:
    at_u, at_v, turned = scene.on_head(side * 25, -5)
    pixel, turned = scene.pixel, turned.clamp(min=0.35)
    with scene.patch(scene.image, (at_u, at_v), (0.2, 0.17)) as (image, u, v, _):
        blend(image, scene.skin * 0.6, _bell(u, v, 0.15 * turned, 0.12).mul_(0.3))
        v = v + 0.08 * side * u  # outer corners are higher
        lid = 0.1 * scene["eye_opening"] * (1 - (u / (0.13 * turned)).square_())
        ball = coverage(lid - v.abs(), pixel)
        blend(image, WHITE, ball)
        u = u - 0.045 * scene["gaze"] * turned
        iris = coverage(ellipse(u, v, 0.066 * turned, 0.066), pixel) * ball
        blend(image, palette(scene["eye_colour"], EYES), iris)
        pupil = coverage(ellipse(u, v, 0.036 * turned, 0.036), pixel) * ball
        blend(image, BLACK, pupil)
        glint = coverage(ellipse(u - 0.025 * scene.light[0], v + 0.03, 0.02, 0.02), pixel) * ball
        blend(image, WHITE, glint)
        lash = torch.minimum(0.015 - (v + lid).abs(), lid + 0.01)
        blend(image, BLACK, coverage(lash, pixel).mul_(0.85))


def _paint_brow(scene: _Scene, side: int) -> None:
    at_u, _, turned = scene.on_head(side * 25, 0)
    height = torch.deg2rad(-23 - 8 * scene["brow_height"])
    at_v, turned = HALF_HEIGHT * torch.sin(scene["pitch"] + height), turned.clamp(min=0.35)
    with scene.patch(scene.image, (at_u, at_v), (0.2, 0.12)) as (image, u, v, _):
        along = side * u / (0.13 * turned)  # -1 at the nose, 1 at the temple
        bow = v + 0.035 * (1 - along.square()) + 0.03 * scene["brow_angle"] * along
        bar = torch.minimum(0.027 - 0.01 * along - bow.abs(), 0.13 * turned - u.abs())
        blend(image, scene.hair * 0.55, coverage(bar, scene.pixel).mul_(0.92))


def _paint_nose(scene: _Scene) -> None:
    base_u, tip_v, _ = scene.on_head(0, 12)
    tip_u = base_u + 0.1 * torch.sin(scene["yaw"])  # it stands out from the head
    light, lean = scene.light, 0.06 * torch.sin(scene["yaw"])
    with scene.patch(scene.image, (tip_u, tip_v - 0.08), (0.2, 0.27)) as (image, u, v, _):
        dark, v = scene.skin * 0.45, v - 0.08
        # the bridge leans towards the tip; its side away from the light is in shadow
        across = u + lean * v
        bridge = _bell(across, v + 0.14, 0.07, 0.17)
        blend(image, dark, bridge * smoothstep(0, 0.05, -across * light[0]).mul_(0.6))
        under = smoothstep(-0.01, 0.06, v - 0.3 * u * light[0])
        blend(image, dark, _bell(u, v, 0.085, 0.06).mul_(under).mul_(0.8))
        spot = _bell(u - 0.03 * light[0], v - 0.03 * light[1] + 0.012, 0.04, 0.033)
        blend(image, scene.skin * 0.75 + 0.3, spot.mul_(0.6))


def _paint_hair_in_front(scene: _Scene, strands: Tensor) -> None:
    rows = slice(None, int(0.75 * scene.image.shape[2]))  # fringe and sides end above the jaw
    u, v, q, r, shade, strands = (
        plane[..., rows, :] for plane in (scene.u, scene.v, scene.q, scene.r, scene.shade, strands)
    )
    width, ruffle = scene["face_width"], _ruffle(scene)[..., rows, :]
    outline = (1 + 0.55 * scene["hair_volume"] - r).mul_(width).add_(ruffle)
    # the hair line: a parabola that comes down at the sides, and turns with the head
    across = u - 0.6 * width * torch.sin(scene["yaw"])
    line = HALF_HEIGHT * (0.5 * scene["pitch"] - 0.18 - 0.82 * scene["hair_line"])
    line = line + (across * 2.1 + 0.45 * scene["parting"]) * across + 0.035 * strands
    above = torch.minimum(line, 0.12 + 0.02 * strands) - v
    colour = _lit(scene.hair, shade * (1 + 0.3 * strands))
    colour += shade.square() * _bell(u, q + 0.72, 1.0, 0.22) * (0.07 + 0.08 * strands)
    alpha = coverage(torch.minimum(outline, above), scene.pixel)
    blend(scene.image[..., rows, :], colour, alpha)


def _paint_glasses(scene: _Scene) -> None:
    kind, roundness, light = scene["glasses"], scene["glasses_roundness"], scene.light
    worn, dark = (kind > 0).float(), (kind > 0.75).float()
    frame = hue(scene["shirt_hue"] + 0.4, 0.5, 0.3)
    left, at_v, _ = scene.on_head(-25, -4)
    right, _, _ = scene.on_head(25, -4)
    middle = (left + right) / 2
    with scene.patch(scene.image, (middle, at_v), (0.6, 0.2)) as (image, u, v, _):
        wire = capsule(u, v + 0.03, 0.06, 0.013)  # the bridge
        for side, centre in ((-1, left - middle), (1, right - middle)):
            _, _, turned = scene.on_head(side * 25, -4)
            half = 0.165 * turned.clamp(min=0.4)
            across, down = ((u - centre) / half).abs_(), (v / 0.145).abs_()
            outline = torch.maximum(across, down)
            outline = torch.lerp(outline, (across.square_() + down.square_()).sqrt_(), roundness)
            inside = (1 - outline).mul_(0.145)
            glare = smoothstep(0.05, 0.0, (u - centre + 0.6 * v + 0.05 * light[0]).abs())
            opacity = worn * (0.1 + 0.75 * dark + 0.25 * glare * (1 - dark))
            blend(image, frame * 0.5 + 0.4 * glare, coverage(inside, scene.pixel) * opacity)
            arm = capsule(u - centre - side * (half + 0.2), v, 0.2, 0.013)
            arm = torch.minimum(arm, scene["face_width"] - (u + middle).abs())
            wire = torch.maximum(wire, torch.maximum(0.016 - inside.abs_(), arm))
        blend(image, frame, coverage(wire, scene.pixel) * worn)

"""What all parts of a toy face share: the frame of the head, light, noise and places.

Coordinates: x to the right and y downwards, from -1 to 1; (u, v) the same in the frame of the
head. Every plane has the shape (N, 1, H, W), every factor (N, 1, 1, 1), every colour (N, 3, 1, 1).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

SKIN = (
    *((255, 223, 200), (243, 196, 160), (222, 165, 118)),
    *((183, 122, 80), (134, 82, 54), (88, 54, 39)),
)
HAIR = (
    *((34, 28, 30), (62, 40, 30), (104, 62, 36), (158, 78, 38), (204, 128, 58)),
    *((232, 192, 116), (226, 216, 198), (150, 150, 156), (96, 78, 140), (220, 104, 142)),
)
HALF_HEIGHT, HEAD_Y = 0.56, -0.08  # of the head
NOISE_TILE = 256


class Scene:
    """What all parts of a drawing share.

    Attributes:
        image: (N, 3, H, W), painted over from back to front.
        x, y: coordinates (1, 1, H, W).
        u, v: coordinates (N, 1, H, W) in the frame of the head.
        p, q: u and v in half axes of the head, an ellipsoid whose outline has p^2 + q^2 = 1.
        r: sqrt(p^2 + q^2).
        light: unit vector towards the light: right, down, towards the viewer.
        shade: how much light meets the head or the hair, about 0.2 to 1.1.
        noise: (N, 1, H, W), standard normal.
        phase: (N, 4, 1, 1) in [0, 2 pi), places the textures.
        strands: texture of the hair, about -1 to 1.
    """

    def __init__(self, factors: dict[str, Tensor], places: Tensor, size: int) -> None:
        self.factors, self.pixel = factors, 2 / size
        for name in ("yaw", "pitch", "tilt", "light_azimuth", "light_height"):
            factors[name] = torch.deg2rad(factors[name])
        self.skin, self.hair = palette(self["skin_tone"], SKIN), palette(self["hair_colour"], HAIR)
        self.image = torch.empty(len(places), 3, size, size, dtype=torch.float32)
        axis = (torch.arange(size, dtype=torch.float32) + 0.5) * self.pixel - 1
        x, y = axis.view(1, 1, 1, size), axis.view(1, 1, size, 1)
        self.x, self.y = x.expand(1, 1, size, size), y.expand(1, 1, size, size)
        across, down = x - self["shift_x"], y - self["shift_y"] - HEAD_Y
        cos, sin = (f(self["tilt"]) / self["scale"] for f in (torch.cos, torch.sin))
        self.u, self.v = cos * across + sin * down, cos * down - sin * across
        self.q = self.v * (1 / HALF_HEIGHT)
        taper = 1 - (0.1 + 0.2 * self["jaw"]) * self.q.clamp(min=0).square_()
        self.p = self.u / taper.mul_(self["face_width"])
        self.r = (self.p * self.p).addcmul_(self.q, self.q).sqrt_()
        azimuth, height = self["light_azimuth"], self["light_height"]
        level = torch.cos(height)
        self.light = (torch.sin(azimuth) * level, -torch.sin(height), torch.cos(azimuth) * level)
        self.shade, self.noise = self._shade(), _noise(places[:, :2], size)
        self.phase = 2 * math.pi * places[:, 2:, None, None]
        self.strands = self._strands()

    def __getitem__(self, name: str) -> Tensor:
        return self.factors[name]

    def _shade(self) -> Tensor:
        """Lambert's law on a sphere, plus ambient light; beyond its outline, as on the outline."""
        to_viewer = (1 - self.r.square()).clamp_(min=0).sqrt_()
        across = (self.p * self.light[0] + self.q * self.light[1]) / self.r.clamp(min=1)
        return across.addcmul_(to_viewer, self.light[2]).clamp_(min=0).mul_(0.9).add_(0.2)

    def _strands(self) -> Tensor:
        """A fan of lines from above the crown, wavy if curly."""
        phase, curl = self.phase, self["curl"].clamp(min=0)
        fan = (self.u - 0.12 * self["parting"]) / (self.v + 1.15)
        fan.addcmul_(curl * 0.07, torch.sin(17 * self.v + 9 * self.u + phase[:, :1]))
        lines = torch.sin(34 * fan + phase[:, 1:2]) + 0.6 * torch.sin(61 * fan + phase[:, 2:3])
        return lines.mul_(0.45).add_(self.noise, alpha=0.28)

    def ruffle(self) -> Tensor:
        """How curls move the outline of the hair."""
        bumps = torch.sin(15 * self.u + self.phase[:, 3:4]) * torch.cos(13 * self.v)
        return bumps.mul_(0.05 * self["curl"].clamp(min=0))

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
        """Copy the part around (u, v) = ``at``, and write it back after the block has drawn on it.

        So small things cost little, wherever they are in each image.

        Yields:
            The part of ``canvas`` (N, 3, h, w), and of the planes u - at, v - at and noise.
        """
        size, scale = canvas.shape[-1], self["scale"]
        cos, sin = torch.cos(self["tilt"]) * scale, torch.sin(self["tilt"]) * scale
        x = cos * at[0] - sin * at[1] + self["shift_x"]
        y = sin * at[0] + cos * at[1] + self["shift_y"] + HEAD_Y
        spans = []  # of columns, then of rows, in each image
        for centre, length in zip((x, y), half_size, strict=True):
            half = min(math.ceil(1.4 * length / self.pixel), size // 2)
            first = ((centre.flatten() + 1) / self.pixel).round().long() - half
            starts = first.clamp(0, size - 2 * half).tolist()
            spans.append([slice(start, start + 2 * half) for start in starts])
        places = [(i, slice(None), *span) for i, span in enumerate(zip(*spans[::-1], strict=True))]
        planes = [plane.numpy() for plane in (canvas, self.u, self.v, self.noise)]
        parts = [np.stack([plane[place] for place in places]) for plane in planes]
        drawn, u, v, noise = (torch.from_numpy(part) for part in parts)
        yield drawn, u.sub_(at[0]), v.sub_(at[1]), noise
        for place, part in zip(places, parts[0], strict=True):
            planes[0][place] = part


def _noise(places: Tensor, size: int) -> Tensor:
    """Normal noise (N, 1, size, size), cut out of one tile at ``places`` (N, 2) in [0, 1)."""
    rng = np.random.default_rng(0)
    tile = torch.from_numpy(rng.standard_normal((NOISE_TILE, NOISE_TILE), dtype=np.float32))
    corner = (places * NOISE_TILE).long()[..., None]
    rows, columns = ((corner + torch.arange(size)) % NOISE_TILE).unbind(1)
    return tile[rows[:, :, None], columns[:, None, :]][:, None]


def palette(position: Tensor, colours: tuple[tuple[int, int, int], ...]) -> Tensor:
    """Colours along a list of 0-255 anchors: position (N, 1, 1, 1) in [0, 1] to (N, 3, 1, 1)."""
    anchors = torch.tensor(colours, dtype=torch.float32) / 255
    place = position.flatten() * (len(colours) - 1)
    left = place.floor().long().clamp(0, len(colours) - 2)
    return torch.lerp(anchors[left], anchors[left + 1], (place - left)[:, None])[..., None, None]

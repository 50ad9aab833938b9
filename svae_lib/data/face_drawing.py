"""The parts of a toy face, painted over one another from back to front.

They are made of soft-edged shapes: planes of signed distances (N, 1, H, W), positive inside, in
units of half an image. :func:`coverage` turns one into the share of each pixel that the shape
covers, so edges are anti-aliased without drawing at a larger size.
"""

import torch
from torch import Tensor

from .face_scene import HALF_HEIGHT, Scene, palette


def plain(red: float, green: float, blue: float) -> Tensor:
    """A colour (1, 3, 1, 1)."""
    return torch.tensor([red, green, blue], dtype=torch.float32).view(1, 3, 1, 1)


EYES = ((58, 36, 24), (110, 72, 36), (96, 122, 60), (70, 124, 168), (120, 132, 146))
BLACK, WHITE = plain(0.07, 0.05, 0.06), plain(0.97, 0.96, 0.95)
THROAT = plain(0.25, 0.06, 0.08)


def paint(factors: dict[str, Tensor], places: Tensor, size: int) -> Tensor:
    """Draw factors, each (N, 1, 1, 1), and places of textures (N, 6) as (N, 3, size, size).

    The values lie in [0, 1], or a little outside through rounding.
    """
    scene = Scene(dict(factors), places, size)
    _paint_background(scene)
    _paint_shirt(scene)
    _paint_hair_behind(scene)
    _paint_neck(scene)
    _paint_head(scene)
    _paint_mouth(scene)
    _paint_eye(scene, -1)
    _paint_eye(scene, 1)
    _paint_nose(scene)
    _paint_hair_in_front(scene)
    _paint_brow(scene, -1)
    _paint_brow(scene, 1)
    _paint_glasses(scene)
    return scene.image


def _paint_background(scene: Scene) -> None:
    colour, value = scene["background_hue"], scene["background_value"]
    phase = scene.phase
    near, far = hue(colour, 0.3, value), hue(colour + 0.13, 0.55, value * 0.62)
    along = (torch.cos(phase[:, :1]) * scene.x + torch.sin(phase[:, :1]) * scene.y) * 0.4 + 0.5
    pitch = 14 + 2.5 * phase[:, 1:2]
    across = torch.cos(phase[:, 2:3]) * scene.x + torch.sin(phase[:, 2:3]) * scene.y
    along_too = torch.cos(phase[:, 2:3]) * scene.y - torch.sin(phase[:, 2:3]) * scene.x
    weave = torch.sin(pitch * across) * torch.cos(pitch * along_too + phase[:, 3:4])
    along += weave.mul_(scene["background_pattern"].clamp(min=0) * 0.35)
    torch.lerp(near, far, along, out=scene.image)


def _paint_hair_behind(scene: Scene) -> None:
    volume, length = scene["hair_volume"], scene["hair_length"].clamp(min=0)
    a = scene["face_width"] * (1.02 + volume) + 0.08 * scene.v.clamp(min=0)
    outline = ellipse(scene.u, scene.v.clamp(max=0), a, HALF_HEIGHT * (1 + 0.7 * volume))
    outline += scene.ruffle()
    end = (0.08 + 0.85 * length) - scene.v + 0.03 * scene.strands
    alpha = coverage(torch.minimum(outline, end), scene.pixel)
    colour = lit(scene.hair * 0.62, scene.shade * (1 + 0.3 * scene.strands))
    blend(scene.image, colour, alpha)


def _paint_shirt(scene: Scene) -> None:
    rows = slice(int(0.8 * scene.image.shape[2]), None)
    x, y = scene.x[..., rows, :] - scene["shift_x"], scene.y[..., rows, :]
    image, light = scene.image[..., rows, :], scene.light
    body, collar = ellipse(x, y - 1.22, 0.95, 0.5), _collar(x, y)
    skin_shade = 0.5 + 0.5 * x * light[0]
    blend(image, lit(scene.skin, skin_shade), coverage(body, scene.pixel))
    knit = torch.sin(40 * y + 3 * torch.cos(2.5 * x)) * (scene.phase[:, 1:2] > 3)
    shade = (0.7 * light[2] + 0.25 + 0.5 * x * light[0]) * (1 + 0.1 * knit)
    shirt = lit(hue(scene["shirt_hue"], 0.55, 0.85), shade)
    blend(image, shirt, coverage(torch.minimum(body, -collar), scene.pixel))


def _paint_neck(scene: Scene) -> None:
    rows = slice(int(0.55 * scene.image.shape[2]), int(0.93 * scene.image.shape[2]))
    x, y = scene.x[..., rows, :] - scene["shift_x"], scene.y[..., rows, :]
    # the head shades the neck
    shade = 0.3 + 0.3 * smoothstep(1.05, 1.4, scene.r[..., rows, :]) + 0.8 * x * scene.light[0]
    end = torch.maximum(0.7 - y, _collar(x, y))
    column = coverage(torch.minimum(0.23 - x.abs(), end), scene.pixel)
    blend(scene.image[..., rows, :], lit(scene.skin, shade), column)


def _collar(x: Tensor, y: Tensor) -> Tensor:
    return ellipse(x, y - 0.7, 0.3, 0.19)


def _paint_head(scene: Scene) -> None:
    width = scene["face_width"]
    for side in (-1, 1):
        at = (width * (side * 0.98 - 0.1 * torch.sin(scene["yaw"])), torch.full_like(width, 0.05))
        with scene.patch(scene.image, at, (0.1, 0.15)) as (image, u, v, _):
            shade = 0.5 + 0.3 * side * scene.light[0] + 3 * side * u
            blend(image, lit(scene.skin, shade), coverage(ellipse(u, v, 0.075, 0.12), scene.pixel))
    skin = lit(scene.skin, scene.shade)
    _tint_skin(scene, skin)
    blend(scene.image, skin, coverage((1 - scene.r) * width, scene.pixel))


def _tint_skin(scene: Scene, skin: Tensor) -> None:
    """Rosy cheeks, freckles and a beard, on the colours (N, 3, H, W) of the whole plane."""
    for side in (-1, 1):
        at_u, at_v, turned = scene.on_head(side * 34, 20)
        with scene.patch(skin, (at_u, at_v), (0.22, 0.17)) as (colours, u, v, _):
            cheek = bell(u, v, 0.12 * turned.clamp(min=0.3), 0.09)
            blend(colours, scene.skin * plain(0.95, 0.5, 0.5), cheek.mul_(0.4))
    at_u, at_v, _ = scene.on_head(0, 8)
    with scene.patch(skin, (at_u, at_v), (0.4, 0.2)) as (colours, u, v, noise):
        spots = smoothstep(0.7, 1.5, noise) * bell(u, v, 0.28, 0.1)
        blend(colours, scene.skin * 0.55, spots.mul_(scene["freckles"].clamp(min=0)))
    (at_u, at_v, _), beard = scene.on_head(0, 22), scene["beard"]
    with scene.patch(skin, (at_u, at_v + 0.15), (0.5, 0.3)) as (colours, u, v, noise):
        edge = v + 0.05 + 1.2 * u.square()
        dense = smoothstep(-0.06, 0.06, edge) * (0.75 + 0.25 * noise)
        dense *= (0.35 + 0.65 * beard) * (beard > 0)
        hair = lit(scene.hair * 0.8, 0.75 + 0.6 * u * scene.light[0])
        blend(colours, hair, dense.clamp_(0, 1))


def _paint_mouth(scene: Scene) -> None:
    at_u, at_v, turned = scene.on_head(0, 34)
    smile, opening = scene["smile"], scene["mouth_opening"].clamp(min=0) * 0.13
    pixel = scene.pixel
    with scene.patch(scene.image, (at_u, at_v), (0.22, 0.18)) as (image, u, v, _):
        square = (u / ((0.15 + 0.04 * smile) * turned)).square_()
        bulge = 1 - square  # lips taper off towards the corners
        below = v + 0.075 * smile * square.clamp(max=1.5)  # 0 where closed lips meet
        lips = torch.minimum(below + 0.03 * bulge, (opening + 0.045) * bulge - below)
        inside = torch.minimum(below, opening * bulge - below)
        blend(image, scene.skin * plain(0.86, 0.42, 0.44), coverage(lips, pixel))
        line = torch.minimum(0.011 - below.abs(), 0.03 * (1.15 - square))
        blend(image, THROAT, coverage(line, pixel).mul_(0.85))
        blend(image, THROAT, coverage(inside - 0.004, pixel))
        blend(image, WHITE, coverage(torch.minimum(inside - 0.006, 0.042 - below), pixel))


def _paint_eye(scene: Scene, side: int) -> None:
    at_u, at_v, turned = scene.on_head(side * 25, -5)
    pixel, turned = scene.pixel, turned.clamp(min=0.35)
    with scene.patch(scene.image, (at_u, at_v), (0.2, 0.17)) as (image, u, v, _):
        blend(image, scene.skin * 0.6, bell(u, v, 0.15 * turned, 0.12).mul_(0.3))
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


def _paint_brow(scene: Scene, side: int) -> None:
    at_u, _, turned = scene.on_head(side * 25, 0)
    height = torch.deg2rad(-23 - 8 * scene["brow_height"])
    at_v, turned = HALF_HEIGHT * torch.sin(scene["pitch"] + height), turned.clamp(min=0.35)
    with scene.patch(scene.image, (at_u, at_v), (0.2, 0.12)) as (image, u, v, _):
        along = side * u / (0.13 * turned)  # -1 at the nose, 1 at the temple
        bow = v + 0.035 * (1 - along.square()) + 0.03 * scene["brow_angle"] * along
        bar = torch.minimum(0.027 - 0.01 * along - bow.abs(), 0.13 * turned - u.abs())
        blend(image, scene.hair * 0.55, coverage(bar, scene.pixel).mul_(0.92))


def _paint_nose(scene: Scene) -> None:
    base_u, tip_v, _ = scene.on_head(0, 12)
    tip_u = base_u + 0.1 * torch.sin(scene["yaw"])  # it stands out from the head
    light, lean = scene.light, 0.06 * torch.sin(scene["yaw"])
    with scene.patch(scene.image, (tip_u, tip_v - 0.08), (0.2, 0.27)) as (image, u, v, _):
        dark, v = scene.skin * 0.45, v - 0.08
        # the bridge leans towards the tip; its side away from the light is in shadow
        across = u + lean * v
        bridge = bell(across, v + 0.14, 0.07, 0.17)
        blend(image, dark, bridge * smoothstep(0, 0.05, -across * light[0]).mul_(0.6))
        under = smoothstep(-0.01, 0.06, v - 0.3 * u * light[0])
        blend(image, dark, bell(u, v, 0.085, 0.06).mul_(under).mul_(0.8))
        spot = bell(u - 0.03 * light[0], v - 0.03 * light[1] + 0.012, 0.04, 0.033)
        blend(image, scene.skin * 0.75 + 0.3, spot.mul_(0.6))


def _paint_hair_in_front(scene: Scene) -> None:
    rows = slice(None, int(0.75 * scene.image.shape[2]))  # fringe and sides end above the jaw
    planes = (scene.u, scene.v, scene.q, scene.r, scene.shade, scene.strands)
    u, v, q, r, shade, strands = (plane[..., rows, :] for plane in planes)
    width, ruffle = scene["face_width"], scene.ruffle()[..., rows, :]
    outline = (1 + 0.55 * scene["hair_volume"] - r).mul_(width).add_(ruffle)
    # the hair line: a parabola that comes down at the sides, and turns with the head
    across = u - 0.6 * width * torch.sin(scene["yaw"])
    line = HALF_HEIGHT * (0.5 * scene["pitch"] - 0.18 - 0.82 * scene["hair_line"])
    line = line + (across * 2.1 + 0.45 * scene["parting"]) * across + 0.035 * strands
    above = torch.minimum(line, 0.12 + 0.02 * strands) - v
    colour = lit(scene.hair, shade * (1 + 0.3 * strands))
    colour += shade.square() * bell(u, q + 0.72, 1.0, 0.22) * (0.07 + 0.08 * strands)
    alpha = coverage(torch.minimum(outline, above), scene.pixel)
    blend(scene.image[..., rows, :], colour, alpha)


def _paint_glasses(scene: Scene) -> None:
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


def coverage(distance: Tensor, pixel: float) -> Tensor:
    """Share of each pixel inside the shape, in [0, 1]; ``pixel`` is the width of one."""
    return (distance * (1 / pixel)).add_(0.5).clamp_(0, 1)


def ellipse(u: Tensor, v: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """Distance to an ellipse's outline: exact along the shorter axis, softer at the far ends."""
    radius = ((u * (1 / a)).square_() + (v * (1 / b)).square_()).sqrt_()  # 1 on the outline
    shorter = torch.minimum(*(torch.as_tensor(axis, dtype=torch.float32) for axis in (a, b)))
    return (1 - radius).mul_(shorter)


def capsule(u: Tensor, v: Tensor, half_length: Tensor | float, thickness: Tensor | float) -> Tensor:
    """Distance to the outline of a bar along u with round ends; ``thickness`` is half its width."""
    beyond = (u.abs() - half_length).clamp_(min=0)
    return thickness - (beyond.square_() + v.square()).sqrt_()


def smoothstep(low: float, high: float, x: Tensor) -> Tensor:
    """0 below ``low``, 1 above ``high``, a smooth cubic between."""
    t = ((x - low) / (high - low)).clamp_(0, 1)
    return t * t * (3 - 2 * t)


def blend(image: Tensor, colour: Tensor, alpha: Tensor) -> None:
    """Paint ``colour`` (N, 3, H or 1, W or 1) over ``image`` where ``alpha`` (N, 1, H, W) is 1."""
    image.lerp_(colour.expand_as(image), alpha)


def hue(position: Tensor, saturation: Tensor | float, value: Tensor | float) -> Tensor:
    """Colours around the hue circle: position (N, 1, 1, 1), period 1, to RGB (N, 3, 1, 1)."""
    offsets = torch.tensor([0.0, 2 / 3, 1 / 3], dtype=torch.float32).view(1, 3, 1, 1)
    pure = ((((position + offsets) % 1) * 6 - 3).abs() - 1).clamp(0, 1)
    return value * (1 - saturation + saturation * pure)


def lit(colour: Tensor, shade: Tensor) -> Tensor:
    """A colour under light: (N, 3, 1, 1) and (N, 1, H, W) to (N, 3, H, W); shadows are warm."""
    dark = colour * plain(0.42, 0.32, 0.34)
    return torch.addcmul(dark, shade, colour * 1.06 + 0.03 - dark)


def bell(u: Tensor, v: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """A soft spot, near exp(-r^2) but 0 from r = 2 on; r is 0 at the centre, 1 on the ellipse."""
    square = (u * (1 / a)).square_().add_((v * (1 / b)).square_())
    return square.mul_(-0.25).add_(1).clamp_(min=0).square_().square_()

"""Cartoon faces drawn by code: 64x64 RGB with known factors of variation.

They stand in for CelebA where nothing can be downloaded: one object in varying pose, light and
background, with large smooth areas that a VAE learns, and fine hair, freckles and cloth that it
blurs. Since they are drawn, the true factors of each image are known; they are the labels.
"""

import os

import numpy as np
import torch
from torch import Tensor

from ..support.checks import check_counts
from .face_drawing import paint
from .image_sets import ImageSets

SOURCE = (
    "Cartoon faces drawn by this library, with their factors of variation as labels; they stand "
    "in for CelebA where nothing can be downloaded, and numbers on them say nothing about CelebA."
)
TRAIN_COUNTS, TEST_COUNT = {"toy-faces": 8000, "toy-faces-32k": 32_000}, 1000
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


def draw_faces(n: int, seed: int, image_size: int = 64) -> tuple[Tensor, Tensor]:
    """Draw ``n`` faces.

    The first k faces of a seed are the same whatever ``n`` is. Besides the factors, only the
    places of fine textures (strands of hair, freckles, cloth) are random.

    Returns:
        Images uint8 (n, 3, image_size, image_size), and factors float32 (n, F) whose columns
        ``FACTOR_NAMES`` lists, with units and meaning in ``RANGES``.
    """
    check_counts(n=n)
    check_counts(16, image_size=image_size)
    # one row per image: the factors, then six numbers that place textures
    uniform = np.random.default_rng(seed).random((n, len(RANGES) + 6), dtype=np.float32)
    values, places = torch.from_numpy(uniform).split([len(RANGES), 6], dim=1)
    low, high = torch.tensor(list(RANGES.values()), dtype=torch.float32).T
    factors = torch.lerp(low, high, values)
    images = torch.empty(n, 3, image_size, image_size, dtype=torch.uint8)
    chunk = max(CHUNK_PIXELS // image_size**2, 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # among many small steps, threads mostly wait for each other
    try:
        for start in range(0, n, chunk):
            part = slice(start, start + chunk)
            columns = factors[part].T[..., None, None, None]
            named = dict(zip(FACTOR_NAMES, columns, strict=True))
            painted = paint(named, places[part], image_size)
            images[part] = painted.mul_(255).add_(0.5).clamp_(0, 255)  # + 0.5 and cut: rounded
    finally:
        torch.set_num_threads(threads)
    return images, factors


def load_toy_faces(
    root: str | os.PathLike[str] | None = None, *, name: str = "toy-faces"
) -> ImageSets:
    """Faces of 64x64, 1,000 of them to test on; the labels are the factors. ``root`` is not used.

    "toy-faces" has 8,000 to train on, "toy-faces-32k" 24,000 more, which takes half a minute.
    """
    train, train_factors = draw_faces(TRAIN_COUNTS[name], TRAIN_SEED)
    test, test_factors = draw_faces(TEST_COUNT, TEST_SEED)
    return ImageSets(name, train, test, train_factors, test_factors, FACTOR_NAMES, SOURCE)

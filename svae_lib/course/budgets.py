"""How much a notebook computes: in a test, on a laptop, on a graphics card."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, TypeVar

from ..support.checks import InputError
from ..support.devices import default_device

Profile = Literal["smoke", "laptop", "gpu"]
T = TypeVar("T")


@dataclass(frozen=True)
class Budget:
    """Numbers that several notebooks share."""

    preset: str
    """Name in :data:`svae_lib.presets.PRESETS` of the model to train."""
    steps: int
    """Training steps of one model."""
    train_images: int
    """Images to train on, at most."""
    test_images: int
    """Images to look at or to score, at most."""
    samples: int
    """Images to generate for a score."""


BUDGETS: dict[Profile, Budget] = {
    # Enough for every cell to run, too little to learn anything.
    "smoke": Budget("quick", steps=20, train_images=500, test_images=100, samples=100),
    # A few minutes on two cores.
    "laptop": Budget("quick", steps=800, train_images=4000, test_images=1000, samples=1000),
    "gpu": Budget("compact", steps=6000, train_images=60_000, test_images=10_000, samples=10_000),
}


def profile() -> Profile:
    """The environment variable SVAE_PROFILE; without it "gpu" where CUDA is, else "laptop".

    Raises:
        InputError: SVAE_PROFILE is none of the three.
    """
    machine = "gpu" if default_device().type == "cuda" else "laptop"
    chosen = os.environ.get("SVAE_PROFILE") or machine
    for known in BUDGETS:
        if chosen == known:
            return known
    raise InputError(f"SVAE_PROFILE must be smoke, laptop or gpu, not {chosen!r}.")


def budget() -> Budget:
    """The numbers of the current profile."""
    return BUDGETS[profile()]


def pick(*, smoke: T, laptop: T, gpu: T) -> T:
    """The value for the current profile: ``pick(smoke=20, laptop=800, gpu=6000)``."""
    return {"smoke": smoke, "laptop": laptop, "gpu": gpu}[profile()]

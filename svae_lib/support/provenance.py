"""Where a result comes from: commit, device and versions, for the record of a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from .._version import __version__


def provenance(device: torch.device | str) -> dict[str, str]:
    """Commit of the checkout, device, threads and versions, as text."""
    on_cuda = torch.device(device).type == "cuda"
    return {
        "commit": commit(),
        "device": torch.cuda.get_device_name(device) if on_cuda else str(torch.device(device)),
        "processor": platform.machine(),
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "scikit_learn": version("scikit-learn"),  # fits the mixtures
        "torchvision": version("torchvision"),  # without importing it: that takes seconds
        "svae_lib": __version__,
    }


@cache
def commit() -> str:
    """Commit that the library runs from ("-dirty" if there are changes on top), or "unknown".

    For a copy without git history, set the variable SVAE_COMMIT.
    """
    if told := os.environ.get("SVAE_COMMIT"):
        return told
    here = Path(__file__).parents[1]
    if not (here.parent / ".git").exists():  # a wheel's, perhaps inside another checkout
        return "unknown"
    describe = ["git", "-C", str(here), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        found = subprocess.check_output(describe, stderr=subprocess.DEVNULL, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.strip()

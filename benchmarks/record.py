"""How a measurement is recorded: a JSON file that says what, on what, from which commit, when."""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from svae_lib.support.files import write_json
from svae_lib.support.provenance import provenance

RESULTS = Path(__file__).parent / "results"


def conditions(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Commit, time, device and versions of a measurement made now."""
    return {
        "measured": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "system": platform.system(),
        "vector_extensions": torch.backends.cpu.get_cpu_capability(),
        **provenance(device),
    }


def save(name: str, result: dict[str, Any], device: torch.device | str = "cpu") -> Path:
    """Write ``results/NAME.json``, replacing an earlier measurement of the same name."""
    path = RESULTS / f"{name}.json"
    write_json(path, {**result, "conditions": conditions(device)}, overwrite=True)
    print(f"recorded: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return path

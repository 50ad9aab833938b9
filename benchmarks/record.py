"""How a measurement is recorded: a JSON file that says what, on what, from which commit, when."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from svae_lib.support.devices import cpu_has_bf16
from svae_lib.support.files import write_json
from svae_lib.support.provenance import provenance

RESULTS = Path(__file__).parent / "results"


def vector_extensions() -> str:
    """The processor's fastest instructions that torch names: "AVX2", "AVX512 and AMX" and so on."""
    best = torch.backends.cpu.get_cpu_capability()
    return f"{best} and AMX" if has_amx() else best


def has_amx() -> bool:
    """Whether the processor multiplies whole tiles of bf16 numbers at once."""
    return cpu_has_bf16("amx_bf16")


def conditions(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Commit, time, device and versions of a measurement made now."""
    return {
        "measured": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "system": platform.system(),
        "vector_extensions": vector_extensions(),
        **provenance(device),
    }


def peak_memory_mib() -> int | None:
    """Most memory that this process has had, in MiB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit >> 20


def load_average() -> float | None:
    """Processes that compute on this machine, over the last minute; None on Windows."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def save(name: str, result: dict[str, Any], device: torch.device | str = "cpu") -> Path:
    """Write ``results/NAME.json``, replacing an earlier measurement of the same name."""
    path = RESULTS / f"{name}.json"
    write_json(path, {**result, "conditions": conditions(device)}, overwrite=True)
    print(f"recorded: {path}")
    return path

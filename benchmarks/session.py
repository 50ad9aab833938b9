"""Stages that are run one after the other within a time, each recorded as soon as it ends.

``OUT/session.json`` holds an entry per stage: its status, seconds, result, and the conditions of
its measurement. Stages come in the order of their importance. One that is recorded as done is not
repeated; one that no longer fits into the time is skipped; one that fails leaves its traceback;
one that outlasts the time is cut off. In each case the next has its turn.
"""

from __future__ import annotations

import gc
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from record import conditions

from svae_lib.checkpoints import save_model
from svae_lib.files import atomic_path, read_json, sha256, write_json
from svae_lib.models import VAE

LARGEST = 16 << 20  # bytes of a file in OUT


class Skipped(Exception):
    """What a stage needs is not at hand; the message says what."""


@dataclass(frozen=True)
class Context:
    """What every stage is given."""

    device: torch.device
    out: Path
    """Folder of the results: files of at most :data:`LARGEST` bytes."""
    work: Path
    """Folder for runs and other large files."""
    root: Path | None = None
    """Folder with data sets."""
    tiny: bool = False
    """The smallest sizes at which everything still runs, to test the session on a CPU."""
    commit: str | None = None
    """Of this copy of the code, where it has no history of its own."""
    done: dict[str, Any] = field(default_factory=dict)
    """Results of the stages before."""

    def pick(self, full: Any, tiny: Any) -> Any:
        """The first in a real session, the second in a tiny one."""
        return tiny if self.tiny else full

    def synchronise(self) -> None:
        """Wait until the device has done its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Stage:
    """One part of a session."""

    name: str
    minutes: float
    """Minutes that it is thought to take: it is not begun with fewer left."""
    run: Callable[[Context], dict[str, Any]]


def run_session(stages: Sequence[Stage], context: Context, minutes: float) -> dict[str, Any]:
    """Run what is not done yet and fits into the time; return the record of all stages."""
    deadline = time.monotonic() + 60 * minutes
    path = context.out / "session.json"
    record: dict[str, Any] = read_json(path) if path.exists() else {"format": 1, "stages": {}}
    entries = record["stages"]
    for stage in stages:
        if entries.get(stage.name, {}).get("status") == "done":
            context.done[stage.name] = entries[stage.name]["result"]
            print(f"{stage.name}: done already", flush=True)
            continue
        entry = _attempt(stage, context, deadline - time.monotonic())
        if entry["status"] == "done":
            context.done[stage.name] = entry["result"]
        if entry["status"] != "no time" or stage.name not in entries:
            entries[stage.name] = entry
        write_json(path, record, overwrite=True)
        seconds = f" after {entry['seconds']} s" if "seconds" in entry else ""
        why = entry.get("why", "").strip().splitlines()[-1:]
        print(": ".join([stage.name, entry["status"] + seconds, *why]), flush=True)
    return record


def _attempt(stage: Stage, context: Context, left: float) -> dict[str, Any]:
    """The entry of a stage that has ``left`` seconds."""
    if left < 60 * stage.minutes:
        why = f"it takes about {stage.minutes:g} minutes, and {max(left, 0) / 60:.1f} are left"
        return {"status": "no time", "why": why}
    print(f"{stage.name} ...", flush=True)
    torch.manual_seed(0)
    torch.compiler.reset()  # it translates a function for a few models only, then gives up
    started = time.monotonic()
    entry: dict[str, Any] = {}
    with _time_limit(left) as limit:
        try:
            entry = {"status": "done", "result": stage.run(context)}
            _check_sizes(context.out)
        except KeyboardInterrupt:
            if not limit.expired:  # it was the user
                raise
        except Skipped as reason:
            entry = {"status": "skipped", "why": str(reason)}
        except Exception:
            entry = {"status": "failed", "why": traceback.format_exc()}
    if limit.expired:  # a training that was stopped returns as if nothing had happened
        entry = {"status": "cut off", "why": "the session's time was over; it can be continued"}
    gc.collect()
    if context.device.type == "cuda":
        torch.cuda.empty_cache()
    where = conditions(context.device) | ({"commit": context.commit} if context.commit else {})
    return entry | {"seconds": round(time.monotonic() - started, 1), "conditions": where}


class _Limit:
    expired = False


@contextmanager
def _time_limit(seconds: float) -> Iterator[_Limit]:
    """Interrupt the block as Ctrl-C would, which a training answers by saving, after a time."""
    limit = _Limit()

    def expire(number: int, frame: FrameType | None) -> None:
        limit.expired = True
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield limit
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _check_sizes(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size > LARGEST:
            raise ValueError(f"{path.name} is larger than {LARGEST >> 20} MiB")


def save_small(model: VAE, name: str, about: dict[str, Any], out: Path) -> dict[str, Any]:
    """Save a model in files that are small enough, and say which.

    It is stored as float32 if that fits, else as float16, else as float16 cut into parts, which
    ``cat NAME.safetensors.part* > NAME.safetensors`` puts together.
    """
    path = out / f"{name}.safetensors"
    for dtype in (torch.float32, torch.float16):
        save_model(path, model, about=about, dtype=dtype, overwrite=True)
        if path.stat().st_size <= LARGEST:
            break
    found = {"stored_as": str(dtype).removeprefix("torch."), "sha256": sha256(path)}
    if path.stat().st_size <= LARGEST:
        return found | {"files": [path.name]}
    content = path.read_bytes()
    path.unlink()
    files = []
    for number, start in enumerate(range(0, len(content), LARGEST), start=1):
        part = out / f"{path.name}.part{number}"
        with atomic_path(part, overwrite=True) as temporary:
            temporary.write_bytes(content[start : start + LARGEST])
        files.append(part.name)
    return found | {"files": files}

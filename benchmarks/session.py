"""Stages that are run one after the other within a time, each recorded as soon as it ends.

``OUT/session.json`` holds an entry per stage: its status, seconds, result, and the conditions of
its measurement. Stages come in the order of their importance. One that is recorded as done is not
repeated; one that no longer fits into the time is skipped; one that fails leaves its traceback;
one that outlasts the time is cut off. In each case the next has its turn. A stage that measures
several things notes each as it comes; what it noted survives, and is not measured again.
"""

from __future__ import annotations

import gc
import math
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

from svae_lib.experiments.checkpoints import save_model
from svae_lib.models import VAE
from svae_lib.support.files import atomic_path, read_json, sha256, write_json

LARGEST = 16 << 20  # bytes of a file in OUT


class Skipped(Exception):
    """What a stage needs is not at hand; the message says what."""


class DeviceLost(Exception):
    """The device answers no longer: this process can do nothing more with it."""


@dataclass
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
    done: dict[str, Any] = field(default_factory=dict)
    """Results of the stages before."""
    noted: dict[str, Any] = field(default_factory=dict)
    """What the running stage has measured so far, in an earlier session perhaps: to be added to."""
    note: Callable[[], None] = lambda: None
    """Writes :attr:`noted` to the disk: whatever happens now, it is not lost."""
    ends: float = math.inf
    """When the running stage has used up its minutes, on the clock time.monotonic."""

    def pick(self, full: Any, tiny: Any) -> Any:
        """The first in a real session, the second in a tiny one."""
        return tiny if self.tiny else full

    def synchronise(self) -> None:
        """Wait until the device has done its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def left(self) -> float:
        """Seconds that the running stage has left."""
        return self.ends - time.monotonic()

    def check_device(self) -> None:
        """Raise DeviceLost unless the device still computes: some errors end all work on it."""
        try:
            self.synchronise()
            alive = torch.ones(2, device=self.device).sum().item() == 2
        except Exception as error:
            raise DeviceLost(f"the device answers no longer: {error}") from error
        if not alive:
            raise DeviceLost("the device miscounts")


@dataclass(frozen=True)
class Stage:
    """One part of a session."""

    name: str
    minutes: float
    """Minutes that it is thought to take, or may."""
    run: Callable[[Context], dict[str, Any]]
    at_least: float | None = None
    """It is not begun with fewer minutes left; default: all of its minutes."""


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
        left = deadline - time.monotonic()
        entry = _attempt(stage, context, left, record, path)
        if entry["status"] == "done":
            context.done[stage.name] = entry["result"]
        if entry["status"] != "no time" or stage.name not in entries:
            entries[stage.name] = entry
        _write(path, record)
        seconds = f" after {entry['seconds']} s" if "seconds" in entry else ""
        why = entry.get("why", "").strip().splitlines()[-1:]
        print(": ".join([stage.name, entry["status"] + seconds, *why]), flush=True)
        if entry.get("device_lost"):
            print("the device answers no longer: start the session again", flush=True)
            break
    return record


def _write(path: Path, record: dict[str, Any]) -> None:
    write_json(path, _finite(record), overwrite=True)


def _finite(value: Any) -> Any:
    """The same with NaN and infinity, which JSON does not know, as text."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _prepare_notes(stage: Stage, context: Context, record: dict[str, Any], path: Path) -> None:
    """Hand a stage what it noted when it was begun before, and a way to note more."""
    entries = record["stages"]
    context.noted = noted = entries.get(stage.name, {}).get("noted", {})

    def note() -> None:
        entries[stage.name] = {"status": "begun", "noted": noted}
        _write(path, record)

    context.note = note


def _attempt(
    stage: Stage, context: Context, left: float, record: dict[str, Any], path: Path
) -> dict[str, Any]:
    """The entry of a stage that has ``left`` seconds."""
    needed = stage.minutes if stage.at_least is None else stage.at_least
    if left < 60 * needed:
        why = f"it needs about {needed:g} minutes, and {max(left, 0) / 60:.1f} are left"
        return {"status": "no time", "why": why}
    print(f"{stage.name} ...", flush=True)
    _prepare_notes(stage, context, record, path)
    context.ends = time.monotonic() + min(60 * stage.minutes or left, left)
    torch.manual_seed(0)
    torch.compiler.reset()  # it translates a function for a few models only, then gives up
    started = time.monotonic()
    entry: dict[str, Any] = {}
    with time_limit(left) as limit:
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
    if entry["status"] != "done" and context.noted:
        entry["noted"] = context.noted
    try:
        context.check_device()
        gc.collect()
        if context.device.type == "cuda":
            torch.cuda.empty_cache()
    except DeviceLost:
        entry["device_lost"] = True
    took = round(time.monotonic() - started, 1)
    return entry | {"seconds": took, "conditions": conditions(context.device)}


class Limit:
    """Whether a time has passed."""

    expired = False


@contextmanager
def time_limit(seconds: float, again: float = 15) -> Iterator[Limit]:
    """Interrupt the block as Ctrl-C would, which a training answers by saving, after a time.

    What does not end then is interrupted again every ``again`` seconds: in a training, that ends a
    step that hangs (in the compiler, say). Limits may be nested; the outer one goes on afterwards.
    """
    limit = Limit()

    def expire(number: int, frame: FrameType | None) -> None:
        limit.expired = True
        signal.raise_signal(signal.SIGINT)

    started = time.monotonic()
    outer, outer_again = signal.getitimer(signal.ITIMER_REAL)
    if 0 < outer <= seconds:  # the outer limit comes first, and is not this one's to handle
        yield limit
        return
    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, again)
    try:
        yield limit
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer:
            left = max(outer - (time.monotonic() - started), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left, outer_again)


def _check_sizes(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size > LARGEST:
            raise ValueError(f"{path.name} is larger than {LARGEST >> 20} MiB")


def save_small(model: VAE, name: str, about: dict[str, Any], out: Path) -> dict[str, Any]:
    """Save a model in files that are small enough, and say which.

    In half precision, as the course's models are. A larger file is cut into parts, which
    ``cat NAME.safetensors.part* > NAME.safetensors`` puts together.
    """
    path = out / f"{name}.safetensors"
    about = {**about, "stored_as": "float16"}
    save_model(path, model, about=about, dtype=torch.float16, overwrite=True)
    found = {"stored_as": "float16", "sha256": sha256(path)}
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

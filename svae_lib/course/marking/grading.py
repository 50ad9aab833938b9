"""Marks for handed-in notebooks: the grader itself checks what their functions return."""

from __future__ import annotations

import builtins
import inspect
import math
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .. import exercises
from ..exercises.exercise import Result, RowCounter, Status
from . import wire
from .handed_in import HandedIn
from .learner import VERSIONS
from .process import Process, Stopped

_HEAD = 10**6
"""Numbers in the largest head that a learner's module may have."""


@dataclass(frozen=True)
class Limits:
    """What each handed-in notebook may take."""

    seconds: float = 180.0
    """To run from top to bottom."""
    call_seconds: float = 20.0
    """For one call of one function; all calls for one exercise may take three times as long."""
    memory_gb: float = 4.0


@dataclass(frozen=True)
class Mark:
    """The result of one exercise."""

    status: Status | Literal["missing"]
    message: str

    @property
    def points(self) -> int:
        """1 for a correct function, else 0."""
        return int(self.status == "correct")


@dataclass
class Marked:
    """A handed-in notebook with its marks."""

    handed_in: HandedIn
    marks: dict[str, Mark] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Points of all its exercises."""
        return sum(mark.points for mark in self.marks.values())


def grade(
    handed_in: HandedIn, limits: Limits, seed: int | None = None, *, whole: bool = True
) -> Marked:
    """Grade one notebook. Whatever it does, this returns.

    Args:
        handed_in: the notebook.
        limits: on time and memory.
        seed: for the random inputs; None draws one.
        whole: run the notebook from top to bottom first. If it does not reach its end, or without
            ``whole``, only what its functions need is run.
    """
    marked = Marked(handed_in, remarks=[*handed_in.remarks])
    if handed_in.problem:
        marked.remarks.append(handed_in.problem)
        return marked
    seed = secrets.randbits(32) if seed is None else seed
    if not whole:
        marked.remarks += handed_in.unreadable()[:3]
    left = list(handed_in.exercises)
    while left:
        process = Process(int(limits.memory_gb * 2**30))
        try:
            found = _run(process, handed_in, left, limits, whole)
            if not marked.marks:
                marked.remarks += found.troubles[:3]
            while left:
                mark = _mark(handed_in, left[0], found, process, limits, seed)
                marked.marks[left.pop(0)] = mark
        except _NotRun as stopped:
            if not whole:
                marked.marks |= dict.fromkeys(left, Mark("error", f"Not reached: {stopped}."))
                left = []
            marked.remarks.append(f"stopped: {stopped}")
        except wire.Lost as lost:
            marked.marks[left.pop(0)] = Mark("error", f"The function was stopped: {_why(lost)}.")
        finally:
            process.end()
        whole = False  # a second process is for the functions alone
    if named := handed_in.with_library():
        marked.remarks.append(f"look at {', '.join(named)}: calls the course's library")
    return marked


class _NotRun(Exception):
    """The notebook itself did not reach its end."""


def _run(
    process: Process, handed_in: HandedIn, names: list[str], limits: Limits, whole: bool
) -> wire.Found:
    cells = list(handed_in.cells) if whole else handed_in.needed()
    process.begin()
    try:
        found = process.ask(("run", cells, names), limits.seconds)
    except wire.Lost as lost:
        raise _NotRun(_why(lost)) from None
    if not isinstance(found, wire.Found):
        raise _NotRun(_why(None))
    return found


def _why(lost: wire.Lost | None) -> str:
    return str(lost) if isinstance(lost, Stopped) else "its process answered nonsense"


def _mark(
    handed_in: HandedIn,
    name: str,
    found: wire.Found,
    process: Process,
    limits: Limits,
    seed: int,
) -> Mark:
    """The mark for one exercise: its last definition counts, unless an earlier one is right."""
    versions = found.functions.get(name, [])[:VERSIONS]
    if not versions:
        like = handed_in.like(name)
        renamed = f" {like} may be it: give it back its name." if like else ""
        return Mark("missing", f"There is no function {name} of your own.{renamed}")
    marks = []
    end = time.monotonic() + 3 * limits.call_seconds
    for version in reversed(range(len(versions))):
        remote = Remote(process, name, version, versions[version], limits.call_seconds, end)
        try:
            marks.append(remote.marked(exercises.grade(name, remote, seed)))
        except Exception as error:  # one student's answer must not end everybody's grading
            kind = type(error).__name__
            marks.append(Mark("error", f"The answers cannot be graded ({kind})."))
        if marks[-1].status == "correct":
            return marks[-1]
    return marks[0]


class Remote:
    """A learner's function as the engine of the exercises calls it; it runs in its own process."""

    def __init__(
        self,
        process: Process,
        name: str,
        version: int,
        parameters: list[str],
        seconds: float,
        end: float,
    ) -> None:
        self.__name__ = name
        if len(set(parameters)) == len(parameters) and all(map(_is_name, parameters)):
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            self.__signature__ = inspect.Signature([inspect.Parameter(p, kind) for p in parameters])
        self._process, self._version = process, version
        self._seconds, self._end = seconds, end
        self._line = ""

    def marked(self, result: Result) -> Mark:
        """The mark for a result of grading this function."""
        message = result.message
        if result.status == "error" and self._line:
            message = f"{message.rstrip('.')} (in the line: {self._line})."
        return Mark(result.status, message)

    def __call__(self, *arguments: Any) -> Any:
        """Call the function; gradients flow back through it."""
        sent = tuple(
            a.detach().requires_grad_(a.requires_grad) if isinstance(a, Tensor) else a
            for a in arguments
        )
        answer = self.ask("call", self.__name__, self._version, sent, torch.get_rng_state())
        for place, data in answer.changed.items():
            if 0 <= place < len(arguments):
                _write_into(arguments[place], self.value(data))
        value = self.value(answer.value)
        leaves = [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]
        if answer.graph is None or not leaves or not isinstance(value, Tensor):
            return value
        return _Through.apply(self, answer.graph, value, *leaves)  # type: ignore[no-untyped-call]

    def ask(self, *request: Any) -> wire.Answer:
        """Ask the other process to do something.

        Raises:
            Exception: what the learner's code raised.
            Lost: the process can no longer be used.
        """
        if (left := self._end - time.monotonic()) <= 0:
            raise Stopped("its calls took too long, all together")
        reply = self._process.ask(request, min(self._seconds, left))
        if isinstance(reply, wire.Failed):
            self._line = reply.line
            raise _raised(reply)
        if not isinstance(reply, wire.Answer):
            raise wire.Garbled("no answer")
        return reply

    def value(self, data: wire.Value) -> Any:
        """The value that data from the other process stand for."""
        return wire.decode(data, lambda module: _RemoteModule(self, module))


class _Through(torch.autograd.Function):
    """A value from the other process, which also knows its gradient."""

    @staticmethod
    def forward(ctx: Any, remote: Remote, graph: int, value: Tensor, *leaves: Tensor) -> Tensor:
        ctx.remote, ctx.graph, ctx.shapes = remote, graph, [leaf.shape for leaf in leaves]
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        answer = ctx.remote.ask("gradients", ctx.graph, gradients[0].detach().contiguous())
        found = ctx.remote.value(answer.value)
        if not isinstance(found, tuple) or [getattr(g, "shape", None) for g in found] != ctx.shapes:
            raise wire.Garbled("no gradients")
        return None, None, None, *found


class _RemoteModule(nn.Module):
    """A learner's module; its head is kept here, to be filled, and is sent with each call."""

    def __init__(self, remote: Remote, module: wire.Module) -> None:
        super().__init__()
        self._remote, self._key = remote, module.key
        self.head: Any = module.head
        if isinstance(module.head, wire.Convolution):
            outputs, inputs, *kernel = module.head.shape
            if min(module.head.shape) < 1 or math.prod(module.head.shape) > _HEAD:
                raise wire.Garbled("a head of impossible size")
            self.head = nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), bias=module.head.bias)

    def forward(self, *arguments: Any) -> Any:
        head = self.head.state_dict() if isinstance(self.head, nn.Module) else {}
        return self._remote.value(self._remote.ask("apply", self._key, head, arguments).value)


def _is_name(text: str) -> bool:
    return text.isidentifier() and len(text) < 100


def _write_into(argument: Any, value: Any) -> None:
    """Repeat here what a function did to its argument there, so that the engine sees it."""
    if isinstance(argument, Tensor) and isinstance(value, Tensor):
        with torch.no_grad():
            if argument.shape == value.shape and argument.dtype == value.dtype:
                argument.copy_(value)
            else:  # resized: any change says as much
                argument.add_(1)
    elif isinstance(argument, RowCounter):
        argument.rows = value
    elif isinstance(argument, list):
        argument[:] = value if isinstance(value, list) else []


def _raised(failed: wire.Failed) -> Exception:
    """The error that the other process reports, as the same type of error if that is known."""
    known = getattr(builtins, failed.name, getattr(torch.linalg, failed.name.lstrip("_"), None))
    if not (isinstance(known, type) and issubclass(known, Exception)):
        known = type(failed.name if _is_name(failed.name) else "Error", (Exception,), {})
    try:
        error: Exception = known(failed.text) if failed.text else known()
    except TypeError:  # one that needs more than a text
        error = RuntimeError(failed.text)
    return error

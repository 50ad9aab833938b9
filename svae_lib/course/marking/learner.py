"""The process that runs a handed-in notebook, and then answers the grader's calls.

It decides nothing, since handed-in code may have replaced anything in it.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import linecache
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

from .. import exercises
from ..exercises.compare import equal
from ..exercises.exercise import RowCounter
from . import wire

VERSIONS = 5
"""How many definitions of one function are kept: the last ones."""


def main() -> None:
    """Serve the grader on standard input and output until it closes them."""
    requests, replies = _private(0, "rb"), _private(1, "wb")
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    learner = Learner()
    while (request := _read(requests)) is not None:
        try:
            reply = wire.pack(getattr(learner, request[0])(*request[1:]))
        except BaseException as error:  # whatever handed-in code may raise
            reply = wire.pack(_failed(error))
        replies.write(len(reply).to_bytes(8, "little") + reply)
        replies.flush()


def _private(number: int, mode: str) -> BinaryIO:
    """Move a standard stream to another number; in its place there is nothing to read or write."""
    copy = os.fdopen(os.dup(number), mode)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, number)
    os.close(nothing)
    return copy  # type: ignore[return-value]


def _read(stream: BinaryIO) -> Any:
    size = stream.read(8)
    return pickle.loads(stream.read(int.from_bytes(size, "little"))) if len(size) == 8 else None


class Learner:
    """A notebook's functions, and the values computed with them."""

    def __init__(self) -> None:
        self.functions: dict[str, list[Callable[..., Any]]] = {}
        self.graphs: dict[int, tuple[Tensor, list[Tensor]]] = {}
        self.modules: dict[int, nn.Module] = {}

    def begin(self) -> wire.Found:
        """Report that all is imported; from here on, what the notebook prints is not read."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        return wire.Found({}, [])

    def run(self, cells: list[tuple[int, str]], names: list[str]) -> wire.Found:
        """Execute cells in order, each up to its first error, and keep what is bound to ``names``.

        Args:
            cells: number and code of each.
            names: of the exercises' functions.
        """
        registry = exercises.registry()
        exercises.check = lambda name, answer, seed=None: registry[name].reference  # type: ignore[assignment]
        scope: dict[str, Any] = {"__name__": "__main__"}
        scope |= dict.fromkeys(("display", "get_ipython"), MagicMock())  # as Jupyter has them
        scope |= {name: registry[name].reference for name in names}  # for functions that use others
        self.functions = {name: [] for name in names}
        troubles: list[str] = []
        for number, code in cells:
            try:
                self._cell(f"cell {number}", code, scope)
            except BaseException as error:  # a cell that fails stops none of the others
                troubles.append(f"cell {number}: {_sentence(error)}")
        found = {
            name: [_parameters(function) for function in versions[-VERSIONS:]]
            for name, versions in self.functions.items()
        }
        return wire.Found(found, troubles)

    def _cell(self, file: str, code: str, scope: dict[str, Any]) -> None:
        lines = code.splitlines(keepends=True)
        linecache.cache[file] = (len(code), None, lines, file)
        for statement in ast.parse(code, file).body:
            before = {name: scope.get(name) for name in self.functions}
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            waits = eval(compile(ast.Module([statement], []), file, "exec", flags), scope)
            if inspect.iscoroutine(waits):
                asyncio.run(waits)
            for name, old in before.items():
                new: Any = scope.get(name)
                library = exercises.registry()[name].reference
                if not any(new is each for each in (None, old, library)):
                    self.functions[name].append(new)

    def call(
        self, name: str, version: int, arguments: tuple[Any, ...], random: Tensor
    ) -> wire.Answer:
        """Call a version of a function.

        Args:
            name: the function's.
            version: its place among those that :meth:`run` found.
            arguments: what to call it with; tensors that require a gradient get one.
            random: the state of torch's random numbers.
        """
        function = self.functions[name][-VERSIONS:][version]
        before = pickle.loads(pickle.dumps(arguments))
        torch.set_rng_state(random)
        with torch.enable_grad():
            value = function(*arguments)
        leaves = [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]
        graph = None
        if leaves and isinstance(value, Tensor) and value.requires_grad:
            graph = len(self.graphs)
            self.graphs[graph] = (value, leaves)
        changed = {
            place: self._encoded(argument)
            for place, (argument, old) in enumerate(zip(arguments, before, strict=True))
            if isinstance(argument, Tensor | list) and not equal(argument, old)
        } | {
            place: self._encoded(argument.rows)
            for place, argument in enumerate(arguments)
            if isinstance(argument, RowCounter)
        }
        return wire.Answer(self._encoded(value), graph, changed)

    def gradients(self, graph: int, gradient: Tensor) -> wire.Answer:
        """Gradients of an earlier call's arguments, given the gradient of its value."""
        value, leaves = self.graphs.pop(graph)
        found = torch.autograd.grad(
            value, leaves, gradient, allow_unused=True, materialize_grads=True
        )
        return wire.Answer(self._encoded(found))

    def apply(self, key: int, head: dict[str, Tensor], arguments: tuple[Any, ...]) -> wire.Answer:
        """Call a module with its head filled with the given numbers."""
        module = self.modules[key]
        with torch.no_grad():
            if head:
                module.head.load_state_dict(head)  # type: ignore[union-attr, operator]
            return wire.Answer(self._encoded(module(*arguments)))

    def _encoded(self, value: Any) -> wire.Value:
        return wire.encode(value, self._keep)

    def _keep(self, module: nn.Module) -> int:
        self.modules[key := len(self.modules)] = module
        return key


def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _text(error: BaseException) -> str:
    try:
        return str(error)[:10_000]
    except BaseException:  # an error that cannot say what it is
        return ""


def _sentence(error: BaseException) -> str:
    first = (_text(error).splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _failed(error: BaseException) -> wire.Failed:
    try:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f.line or "" for f in frames if f.filename.startswith("cell ")]
    except Exception:
        lines = []
    return wire.Failed(type(error).__name__, _text(error), lines[-1][:200] if lines else "")

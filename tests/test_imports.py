"""The library's map in README.md: a module imports only from those below it, or to its right."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "svae_lib"
DOORS = ("__init__", "__main__", "_version")  # what everybody may import, and what imports all


def order() -> list[str]:
    """The modules in the order of the map, from the top."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```\n(cli .*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = (re.split(r" {3,}", line)[0] for line in block.splitlines())
    return [name.rstrip("/") for line in lines for name in line.split()]


def module_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Modules of the library that a file imports, at its head or within a function."""
    depth = len(path.relative_to(LIBRARY).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            named = [alias.name for alias in node.names]
            yield from [node.module.split(".")[0]] if node.module else named


def test_the_map_lists_every_module_once() -> None:
    modules = {module_of(path) for path in LIBRARY.rglob("*.py")} - {*DOORS}
    assert sorted(order()) == sorted(modules)


def test_imports_go_down() -> None:
    place = {name: i for i, name in enumerate(order())}
    upwards = {
        f"{path.relative_to(LIBRARY)} imports {name}"
        for path in LIBRARY.rglob("*.py")
        if (here := module_of(path)) not in DOORS
        for name in imported(path)
        if name not in DOORS and place[name] <= place[here]
    }
    assert not upwards

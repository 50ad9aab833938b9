"""Tables as files: read with types and limits, written with a row of scores per line.

A file has what many rows share (feature network, reference, versions) once, in the lists "scores"
and "how"; rows and models name it by its place there. In memory each row carries all of it, as in
the files of format 2, which are read, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from filelock import FileLock
from msgspec import UNSET, UnsetType

from ..diagnostics import SplitKind
from ..likelihood import LikelihoodBound
from ..support.checks import InputError
from ..support.files import read_json, write_text
from ..support.records import convert, to_json
from .definitions import TABLES
from .scoring import Metric, Protocol, Reference

FORMAT = 3  # 2: everything in every row
_OWN = ("model", "model_sha256", "seed")  # of "how": what each model has for itself

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Facts = dict[str, int | float | str | bool | None]


@dataclass(kw_only=True)
class _Definition:
    metric: str
    network: str
    weights: str
    weights_hash: str
    n: _Count
    reference: str
    n_reference: _Count
    resize: str
    value_range: str


@dataclass(kw_only=True)
class _Score(_Definition):
    value: float
    standard_error: float | None


@dataclass(kw_only=True)
class _Row:
    source: str
    part: str
    fid: _Score
    kid: _Score
    precision: _Score | UnsetType = UNSET
    recall: _Score | UnsetType = UNSET


@dataclass(kw_only=True)
class _Latent:
    latent_dim: _Count
    active: _Count
    inactive: _Count
    law_mean: float
    law_lowest: float
    law_highest: float


@dataclass(kw_only=True)
class _Model:
    variant: str
    kind: str
    seed: _Count
    beta: float
    components: _Count
    parameters: _Count
    train_seconds: Annotated[float, msgspec.Meta(ge=0)]
    threads: _Count
    precision: str | UnsetType = UNSET
    format: Literal[1] = 1
    test_mse: float
    test_kl: float | None
    latent: _Latent
    split: SplitKind | None
    likelihood: LikelihoodBound | UnsetType | None = UNSET


@dataclass(kw_only=True)
class _Cell(_Model):
    rows: list[_Row]
    how: _Facts


@dataclass(kw_only=True)
class _StoredCell(_Model):
    rows: list[tuple[str, str, dict[Metric, tuple[_Count, float, float | None]]]]
    how: tuple[_Count, _Facts]


@dataclass(kw_only=True)
class _Settings:
    data: str
    model: _Facts
    train: _Facts
    features: str
    protocol: Protocol
    mixture_components: _Count | None
    second_stage_steps: _Count
    n: _Count | None = None
    n_reference: _Count | None = None
    reference: Reference = "test"
    likelihood_draws: _Count = 0


@dataclass(kw_only=True)
class _Head:
    format: int
    table: str
    settings: _Settings
    claim: list[dict[str, Any]] | UnsetType = UNSET


@dataclass(kw_only=True)
class _Old(_Head):
    cells: list[_Cell]


@dataclass(kw_only=True)
class _Stored(_Head):
    scores: list[_Definition]
    how: list[_Facts]
    cells: list[_StoredCell]


def lock_of(path: Path) -> FileLock:
    """The lock to hold while a table's file is read, changed and written back."""
    return FileLock(path.with_name(f".{path.name}.lock"))


def read_table(path: Path) -> dict[str, Any]:
    """Read a table's file: table, settings, and a dictionary per model in "cells".

    Raises:
        InputError: missing, damaged, or of another version.
    """
    return _checked(read_json(path, dict[str, Any]), path)


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """The tables in a folder by name, the library's own first and in their order.

    Raises:
        InputError: a damaged file, or a table of another version.
    """
    read = {path: read_json(path, dict[str, Any]) for path in sorted(folder.glob("[!.]*.json"))}
    there = {path.stem: _checked(raw, path) for path, raw in read.items() if "cells" in raw}
    return {name: there[name] for name in (*TABLES, *there) if name in there}


def _checked(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """The content of a file, if it is a table of this version."""
    found = raw.get("format")
    if isinstance(found, bool) or found not in (2, FORMAT):
        raise InputError(
            f"{path} has format {found!r}, this library reads 2 and {FORMAT}: make the table again."
        )
    convert(raw, _Stored if found == FORMAT else _Old, path)
    try:
        return _unfolded(raw) if found == FORMAT else raw | {"format": FORMAT}
    except IndexError:
        raise InputError(f"{path} is damaged: it refers to scores that it does not hold.") from None


def _unfolded(raw: dict[str, Any]) -> dict[str, Any]:
    """The content of a file with each definition where it is referred to."""
    record = {key: value for key, value in raw.items() if key not in ("scores", "how")}
    record["cells"] = []
    for cell in raw["cells"]:
        place, own = cell["how"]
        rows = []
        for source, part, scores in cell["rows"]:
            named = {
                metric: raw["scores"][i] | {"value": value, "standard_error": error}
                for metric, (i, value, error) in scores.items()
            }
            rows.append({"source": source, "part": part, **named})
        record["cells"].append(cell | {"rows": rows, "how": raw["how"][place] | own})
    return record


def write_table(path: Path, record: dict[str, Any]) -> None:
    """Write a table as :func:`read_table` gives it, whole or not at all, over what was there."""
    write_text(path, "\n".join(_lines(record)) + "\n", overwrite=True)


def _lines(record: dict[str, Any]) -> Iterator[str]:
    scores: dict[str, int] = {}
    hows: dict[str, int] = {}
    cells = []
    for cell in record["cells"]:
        rows = [to_json(_folded(row, scores)) for row in cell["rows"]]
        own = {key: value for key, value in cell["how"].items() if key in _OWN}
        shared = {key: value for key, value in cell["how"].items() if key not in _OWN}
        head = cell | {"how": [_place(shared, hows), own]}
        del head["rows"]
        cells.append(to_json(head)[:-1] + ', "rows": [\n' + ",\n".join(rows) + "\n]}")
    yield f'{{\n"format": {FORMAT},'
    yield f'"table": {to_json(record["table"])},'
    yield f'"settings": {to_json(record["settings"])},'
    lists = {"scores": list(scores), "how": list(hows), "cells": cells}
    if "claim" in record:
        lists["claim"] = [to_json(test) for test in record["claim"]]
    yield ",\n".join(f'"{name}": [\n' + ",\n".join(of) + "\n]" for name, of in lists.items())
    yield "}"


def _folded(row: dict[str, Any], scores: dict[str, int]) -> list[Any]:
    found = {}
    for metric, score in row.items():
        if metric not in ("source", "part"):
            shared = {k: v for k, v in score.items() if k not in ("value", "standard_error")}
            found[metric] = [_place(shared, scores), score["value"], score["standard_error"]]
    return [row["source"], row["part"], found]


def _place(shared: dict[str, Any], known: dict[str, int]) -> int:
    """Where a definition stands in its list; a new one is added at the end."""
    return known.setdefault(to_json(shared), len(known))

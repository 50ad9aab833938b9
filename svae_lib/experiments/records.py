"""Tables as files: read with types and limits, written with a row of scores per line.

A file has what many rows share (feature network, reference, versions) once, in the lists "scores"
and "how"; rows and models name it by its place there. In memory each row carries all of it, as the
files of format 2 did, which are read, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from filelock import FileLock
from msgspec import UNSET, Struct, UnsetType

from ..support.checks import InputError
from ..support.files import write_text
from .definitions import TABLES
from .scoring import Metric, Protocol, Reference

FORMAT = 3  # 2: everything in every row
_OWN = ("model", "model_sha256", "seed")  # of "how": what each model has for itself

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_NOT_FINITE = ("Infinity", "-Infinity", "NaN")
_Number = float | Literal["Infinity", "-Infinity", "NaN"]
_Scalar = int | float | str | bool | None


class _Strict(Struct, forbid_unknown_fields=True, kw_only=True):
    """A part of a file, in which no field may be missing, surplus or of another type."""


class _Definition(_Strict, kw_only=True):
    metric: str
    network: str
    weights: str
    weights_hash: str
    n: _Count
    reference: str
    n_reference: _Count
    resize: str
    value_range: str


class _Score(_Definition, kw_only=True):
    value: _Number
    standard_error: _Number | None


class _Row(_Strict, kw_only=True):
    source: str
    part: str
    fid: _Score
    kid: _Score
    precision: _Score | UnsetType = UNSET
    recall: _Score | UnsetType = UNSET


class _Latent(_Strict, kw_only=True):
    latent_dim: _Count
    active: _Count
    inactive: _Count
    law_mean: _Number
    law_lowest: _Number
    law_highest: _Number


class _Split(_Strict, kw_only=True):
    syntactic: float
    semantic: float
    activity: float
    label: str
    sigma_share: float
    difference_share: float
    contrast: float
    chance: float


class _Bound(_Strict, kw_only=True):
    elbo: _Number
    importance_weighted: _Number
    bits_per_dim: _Number
    gamma: float
    draws: _Count
    n: _Count


class _Model(_Strict, kw_only=True):
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
    test_mse: _Number
    test_kl: _Number | None
    latent: _Latent
    split: _Split | None
    likelihood: _Bound | UnsetType | None = UNSET


class _Cell(_Model, kw_only=True):
    rows: list[_Row]
    how: dict[str, _Scalar]


class _StoredCell(_Model, kw_only=True):
    rows: list[tuple[str, str, dict[Metric, tuple[_Count, _Number, _Number | None]]]]
    how: tuple[_Count, dict[str, _Scalar]]


class _Settings(_Strict, kw_only=True):
    data: str
    model: dict[str, _Scalar]
    train: dict[str, _Scalar]
    features: str
    protocol: Protocol
    mixture_components: _Count | None
    second_stage_steps: _Count
    n: _Count | None = None
    n_reference: _Count | None = None
    reference: Reference = "test"
    likelihood_draws: _Count = 0


class _Head(_Strict, kw_only=True):
    format: int
    table: str
    settings: _Settings
    claim: list[dict[str, Any]] | UnsetType = UNSET


class _Old(_Head, kw_only=True):
    cells: list[_Cell]


class _Stored(_Head, kw_only=True):
    scores: list[_Definition]
    how: list[dict[str, _Scalar]]
    cells: list[_StoredCell]


def lock_of(path: Path) -> FileLock:
    """The lock to hold while a table's file is read, changed and written back."""
    return FileLock(path.with_name(f".{path.name}.lock"))


def read_table(path: Path) -> dict[str, Any]:
    """Read a table's file: table, settings, and a dictionary per model in "cells".

    Raises:
        InputError: missing, damaged, or of another version.
    """
    return _checked(_decoded(path), path)


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """The tables in a folder by name: the library's own in their order, then others.

    Raises:
        InputError: a damaged file, or a table of another version.
    """
    read = {path: _decoded(path) for path in sorted(folder.glob("[!.]*.json"))}
    there = {path.stem: _checked(raw, path) for path, raw in read.items() if "cells" in raw}
    return {name: there[name] for name in (*TABLES, *there) if name in there}


def _decoded(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); it may be damaged.") from None


def _checked(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """The content of a file if it is a table of this version; else InputError."""
    found = raw.get("format")
    if isinstance(found, bool) or found not in (2, FORMAT):
        raise InputError(
            f"{path} has format {found!r}, this library reads 2 and {FORMAT}: make the table again."
        )
    try:
        msgspec.convert(raw, _Stored if found == FORMAT else _Old)
        record = _unfolded(raw) if found == FORMAT else raw | {"format": FORMAT}
    except (msgspec.ValidationError, IndexError) as error:
        raise InputError(
            f"{path} is damaged or no table ({error}): bring it back as it was, or make the "
            "table again."
        ) from None
    record["cells"] = _restored(record["cells"])
    return record


def _unfolded(raw: dict[str, Any]) -> dict[str, Any]:
    """The content of a file with every definition where it is meant."""
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


def _restored(value: Any) -> Any:
    """The value with the numbers that JSON has not, and that were written as text."""
    if isinstance(value, dict):
        return {key: _restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item) for item in value]
    return float(value) if isinstance(value, str) and value in _NOT_FINITE else value


def _storable(value: Any) -> Any:
    """The value with every infinite or NaN number in it as text: JSON has no other way."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list | tuple) else value


def write_table(path: Path, record: dict[str, Any]) -> None:
    """Write a table, whole or not at all, in place of what was there.

    Args:
        path: the file.
        record: as :func:`read_table` gives it.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    write_text(path, "\n".join(_lines(_storable(record))) + "\n", overwrite=True)


def _lines(record: dict[str, Any]) -> Iterator[str]:
    scores: dict[str, int] = {}
    hows: dict[str, int] = {}
    cells = []
    for cell in record["cells"]:
        rows = [json.dumps(_folded(row, scores)) for row in cell["rows"]]
        own = {key: value for key, value in cell["how"].items() if key in _OWN}
        shared = {key: value for key, value in cell["how"].items() if key not in _OWN}
        head = cell | {"how": [_place(shared, hows), own]}
        del head["rows"]
        cells.append(json.dumps(head)[:-1] + ', "rows": [\n' + ",\n".join(rows) + "\n]}")
    yield f'{{\n"format": {FORMAT},'
    yield f'"table": {json.dumps(record["table"])},'
    yield f'"settings": {json.dumps(record["settings"])},'
    lists = {"scores": list(scores), "how": list(hows), "cells": cells}
    if "claim" in record:
        lists["claim"] = [json.dumps(test) for test in record["claim"]]
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
    return known.setdefault(json.dumps(shared), len(known))

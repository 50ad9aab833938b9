"""Tables as files: read as dictionaries, written with a row of scores per line.

A file has what many rows share (feature network, reference, versions) once, in the lists "scores"
and "how"; rows and models name it by its place there. In memory each row carries all of it.
"""

from pathlib import Path
from typing import Any

from ..support.checks import InputError
from ..support.files import read_json, to_json, write_text
from .definitions import TABLES

FORMAT = 3
_OWN = ("model", "model_sha256", "seed")  # of "how": what each model has for itself
_VALUES = ("value", "standard_error")  # of a score: what it does not share


def read_table(path: Path) -> dict[str, Any]:
    """Read a table's file: table, settings, and a dictionary per model in "cells".

    One that is missing, damaged, or of another version is an InputError.
    """
    return _checked(read_json(path, dict[str, Any]), path)


def recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """The tables in a folder by name, as :func:`read_table`, the library's own first."""
    read = {path: read_json(path, dict[str, Any]) for path in sorted(folder.glob("[!.]*.json"))}
    there = {path.stem: _checked(raw, path) for path, raw in read.items() if "cells" in raw}
    return {name: there[name] for name in (*TABLES, *there) if name in there}


def _checked(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """The content of a file, if it is a table of this version."""
    if (found := raw.get("format")) != FORMAT:
        raise InputError(
            f"{path} has format {found!r}, this library reads {FORMAT}: make the table again "
            "(its trained models are used again, and only scored)."
        )
    if missing := {"table", "settings", "cells"} - raw.keys():
        raise InputError(f"{path} is no table: it has no {', '.join(sorted(missing))}.")
    try:
        return _unfolded(raw)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: its scores cannot be read ({error!r}).") from None


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
    scores: dict[str, int] = {}
    hows: dict[str, int] = {}
    cells = []
    for cell in record["cells"]:
        rows = [to_json(_folded(row, scores)) for row in cell["rows"]]
        own = {key: value for key, value in cell["how"].items() if key in _OWN}
        head = cell | {"how": [_place(cell["how"], _OWN, hows), own]}
        del head["rows"]
        cells.append(to_json(head)[:-1] + ', "rows": [\n' + ",\n".join(rows) + "\n]}")
    lists = {"scores": list(scores), "how": list(hows), "cells": cells}
    single = {"format": FORMAT, "table": record["table"], "settings": record["settings"]}
    lines = [f'"{name}": {to_json(value)}' for name, value in single.items()]
    lines += [f'"{name}": [\n' + ",\n".join(of) + "\n]" for name, of in lists.items()]
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n", overwrite=True)


def _folded(row: dict[str, Any], scores: dict[str, int]) -> list[Any]:
    found = {
        metric: [_place(score, _VALUES, scores), score["value"], score["standard_error"]]
        for metric, score in row.items()
        if metric not in ("source", "part")
    }
    return [row["source"], row["part"], found]


def _place(facts: dict[str, Any], own: tuple[str, ...], known: dict[str, int]) -> int:
    """Where facts, but for a row's or model's own, stand in their list; new ones at the end."""
    shared = {key: value for key, value in facts.items() if key not in own}
    return known.setdefault(to_json(shared), len(known))

"""Write facts as JSON, and read them back into the dataclass that they came from."""

from __future__ import annotations

import json
import math
import os
from typing import Any, TypeVar

import msgspec

from .checks import InputError

T = TypeVar("T")
# JSON lacks these numbers. pydantic stores them under the same names (ser_json_inf_nan="strings").
_NOT_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON of dictionaries, lists, text and numbers; infinity and NaN become strings."""
    try:
        return json.dumps(_named(value), indent=indent, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"facts must be text, numbers, lists and dictionaries ({error}): "
            "turn tensors and arrays into lists with tolist()."
        ) from None


def from_json(text: str | bytes, wanted: Any, source: str | os.PathLike[str]) -> Any:
    """What :func:`to_json` wrote, as the type ``wanted``: see :func:`convert`."""
    try:
        value = _numbered(json.loads(text, parse_int=_int64))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not valid JSON ({error}); it may be damaged.") from None
    return convert(value, wanted, source)


def convert(value: Any, wanted: type[T], source: str | os.PathLike[str]) -> T:
    """A value of the type ``wanted``, made of dictionaries, lists, text and numbers.

    Types must match: True is not a number and 3.0 not an integer, but an integer may stand for a
    float. A dataclass's own checks run too. A wrong, missing or surplus field raises an
    :class:`InputError` that names the file and the field.

    Args:
        value: as JSON holds it.
        wanted: a dataclass or any other type that msgspec knows, such as ``list[float]``.
        source: the file, for the message.
    """
    try:
        found = msgspec.convert(value, wanted, strict=True)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        field = place.strip("`.").replace("[...]", "") or "its content"
        raise InputError(f"{source} does not fit this version: {field}: {reason}") from None
    if surplus := _surplus(value, msgspec.to_builtins(found)):
        raise InputError(f"{source} does not fit this version: it has no field {surplus}.")
    return found


def _int64(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError("an integer beyond 64 bits")
    return int(digits)


def _named(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(float(value))
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    return [_named(item) for item in value] if isinstance(value, list | tuple) else value


def _numbered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbered(item) for item in value]
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value


def _surplus(given: Any, known: Any) -> str | None:
    """The first field that was given but is not known, with its place: "model.size"."""
    if isinstance(given, list) and isinstance(known, list):
        pairs = [(f"[{i}]", a, b) for i, (a, b) in enumerate(zip(given, known, strict=True))]
    elif isinstance(given, dict) and isinstance(known, dict):
        if unknown := sorted(given.keys() - known.keys()):
            return str(unknown[0])
        pairs = [(key, given[key], known[key]) for key in given]
    else:
        return None
    found = ((name, _surplus(a, b)) for name, a, b in pairs)
    return next((f"{name}.{inner}" for name, inner in found if inner), None)

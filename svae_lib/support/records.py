"""Write facts as JSON, and read them back into the dataclass that they came from."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from .checks import InputError

T = TypeVar("T")
# JSON lacks these numbers. pydantic stores them under the same names (ser_json_inf_nan="strings").
_NOT_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON of dictionaries, lists, text and numbers; infinity and NaN become strings."""

    def named(x: Any) -> Any:
        return json.dumps(float(x)) if isinstance(x, float) and not math.isfinite(x) else x

    try:
        return json.dumps(_each(value, named), indent=indent)
    except TypeError as error:
        raise InputError(
            f"facts must be text, numbers, lists and dictionaries ({error}): "
            "turn tensors and arrays into lists with tolist()."
        ) from None


def from_json(text: str | bytes, wanted: Any, source: str | os.PathLike[str]) -> Any:
    """What :func:`to_json` wrote, as the type ``wanted``: see :func:`convert`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not valid JSON ({error}); it may be damaged.") from None
    numbered = _each(value, lambda x: _NOT_FINITE.get(x, x) if isinstance(x, str) else x)
    return convert(numbered, wanted, source)


def convert(value: Any, wanted: type[T], source: str | os.PathLike[str]) -> T:
    """A value of the type ``wanted``, made of dictionaries, lists, text and numbers.

    Types must match: True is not a number and 3.0 not an integer, but an integer may stand for a
    float. A dataclass's own checks run too. A wrong, missing or surplus field raises an
    :class:`InputError` that names the file ``source`` and the field.
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


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same dictionaries and lists with everything else in them changed."""
    if isinstance(value, dict):
        return {key: _each(item, change) for key, item in value.items()}
    return [_each(x, change) for x in value] if isinstance(value, list | tuple) else change(value)


def _surplus(given: Any, known: Any) -> str | None:
    """The first field that was given but is not known, with its place: "model.size"."""
    if isinstance(given, list) and isinstance(known, list):
        return next(filter(None, map(_surplus, given, known)), None)
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key not in known:
                return str(key)
            if inner := _surplus(value, known[key]):
                return f"{key}.{inner}"
    return None

"""The messages between the grader and a process with handed-in code.

The grader's requests are pickled, since the process that reads them trusts the grader. What comes
back is data of fixed kinds, validated as it is read: nothing that a process with handed-in code
sends is ever executed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

LONGEST = 64 * 2**20
"""Longest message that a process with handed-in code may send, in bytes."""
_DTYPES = {
    str(dtype): dtype
    for dtype in (
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool),
        *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.complex64),
    )
}
_ARRAYS = "biufc"
_NAMED = {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}


class Numbers(msgspec.Struct, tag="numbers", frozen=True):
    """A tensor or a NumPy array."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes
    numpy: bool = False
    gradient: bool = False
    """Whether a gradient hangs on it, which some exercises ask to be cut."""


class Plain(msgspec.Struct, tag="plain", frozen=True):
    """A number, a text or None."""

    value: bool | int | float | str | None


class Named(msgspec.Struct, tag="named", frozen=True):
    """Ellipsis or NotImplemented."""

    name: str


class Several(msgspec.Struct, tag="several", frozen=True):
    """A tuple or a list."""

    items: list[Value]
    mutable: bool


class Convolution(msgspec.Struct, tag="convolution", frozen=True):
    """A module's head, if that is a convolution."""

    shape: tuple[int, int, int, int]
    bias: bool


class Module(msgspec.Struct, tag="module", frozen=True):
    """A module that stays in the other process."""

    key: int
    head: Convolution | str | None
    """A string if the head has another type: that type's name."""


class Other(msgspec.Struct, tag="other", frozen=True):
    """A value of any other type; only the type's name is sent."""

    name: str


Value: TypeAlias = Numbers | Plain | Named | Several | Module | Other


class Found(msgspec.Struct, tag="found", frozen=True):
    """After the notebook ran: parameter names of each version of each function, and problems."""

    functions: dict[str, list[list[str]]]
    troubles: list[str]


class Answer(msgspec.Struct, tag="answer", frozen=True):
    """A function's value."""

    value: Value
    graph: int | None = None
    """Key with which to ask for a gradient of the value; None if it has none."""
    changed: dict[int, Value] = {}
    """Arguments that the function has changed, by position; of a RowCounter, its rows."""


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """A function raised an error."""

    name: str
    text: str
    line: str
    """Line of the notebook in which it was raised; "" if that is not known."""


Reply: TypeAlias = Found | Answer | Failed
_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


class Lost(BaseException):
    """A process can no longer be used.

    Not an Exception: the exercises' engine takes these for the learner's own errors.
    """


class Garbled(Lost):
    """What the other process sent is not a reply."""


def pack(reply: Reply) -> bytes:
    """A reply as bytes."""
    return msgspec.msgpack.encode(reply)


def unpack(data: bytes) -> Reply:
    """The reply that the bytes hold.

    Raises:
        Garbled: they do not hold a reply.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise Garbled(str(error)) from None


def encode(value: Any, keep: Callable[[nn.Module], int]) -> Value:
    """A value as data that can be sent.

    Args:
        value: of any type.
        keep: keeps a module and returns its key.
    """
    if isinstance(value, Tensor) and str(value.dtype) in _DTYPES:
        dense = value.detach().to_dense().cpu().resolve_conj().resolve_neg().contiguous()
        data = dense.reshape(-1).view(torch.uint8).numpy().tobytes() if dense.numel() else b""
        shape = tuple(value.shape)
        return Numbers(str(value.dtype), shape, data, gradient=value.requires_grad)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _ARRAYS:
        array = np.ascontiguousarray(value)
        return Numbers(value.dtype.str, tuple(value.shape), array.tobytes(), numpy=True)
    if value is None or type(value) in (bool, float, str):
        return Plain(value)
    if type(value) is int and abs(value) < 2**63:
        return Plain(value)
    if isinstance(value, tuple | list):
        return Several([encode(item, keep) for item in value], isinstance(value, list))
    if isinstance(value, nn.Module):
        return Module(keep(value), _head(value))
    for name, constant in _NAMED.items():
        if value is constant:
            return Named(name)
    return Other(type(value).__name__)


def _head(module: nn.Module) -> Convolution | str | None:
    head = getattr(module, "head", None)
    if head is None:
        return None
    if not isinstance(head, nn.Conv2d) or head.weight.ndim != 4:
        return type(head).__name__
    shape = tuple(head.weight.shape)
    return Convolution((shape[0], shape[1], shape[2], shape[3]), head.bias is not None)


def decode(value: Value, module: Callable[[Module], Any]) -> Any:
    """The value that the data represent.

    Args:
        value: from :func:`unpack`.
        module: makes the stand-in for a module in the other process.

    Raises:
        Garbled: sizes and numbers do not agree, or a dtype is unknown.
    """
    if isinstance(value, Numbers):
        return _numbers(value)
    if isinstance(value, Plain):
        return value.value
    if isinstance(value, Several):
        items = [decode(item, module) for item in value.items]
        return items if value.mutable else tuple(items)
    if isinstance(value, Named):
        return _NAMED.get(value.name)
    if isinstance(value, Module):
        return module(value)
    return type(value.name if value.name.isidentifier() else "object", (), {})()


def _numbers(value: Numbers) -> Any:
    try:
        count = math.prod(value.shape)
        if min(value.shape, default=0) < 0:
            raise ValueError("a negative size")
        if value.numpy:
            dtype = np.dtype(value.dtype)
            if dtype.kind not in _ARRAYS or dtype.itemsize * count != len(value.data):
                raise ValueError("not as many numbers as the sizes say")
            return np.frombuffer(bytearray(value.data), dtype).reshape(value.shape)
        kind = _DTYPES[value.dtype]
        if kind.itemsize * count != len(value.data):
            raise ValueError("not as many numbers as the sizes say")
        data = bytearray(value.data)
        flat = torch.frombuffer(data, dtype=kind) if count else torch.empty(0, dtype=kind)
        return flat.reshape(value.shape).requires_grad_(value.gradient)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise Garbled(f"numbers that are none: {error}") from None

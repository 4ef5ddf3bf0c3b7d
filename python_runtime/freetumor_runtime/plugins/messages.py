"""Messages between freetumor and a plug-in on a Unix stream socket (docs/plugins.md#protocol-version-1).

Nothing that a plug-in announces is allocated before it was compared with what is expected of it.
"""

import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from freetumor_runtime.foreign_text import parse_json

PROTOCOL = 1
MAX_HEADER_BYTES = 64 << 10
# largest array that is sent or received: a crop of 512^3 in float32
MAX_ARRAY_BYTES = 512 << 20
_TYPES = {"uint8": np.dtype("u1"), "int16": np.dtype("<i2"), "float32": np.dtype("<f4")}
_LENGTH = struct.Struct("<I")


class Fault(Exception):
    """A plug-in broke the protocol; the text completes the sentence `the plug-in ...`."""


class Closed(Fault):
    """The connection ended."""


class TooLate(Fault):
    """The time limit is over."""


@dataclass(frozen=True)
class Announced:
    """An array that a header announces; `dtype` is one of the protocol's names."""

    name: str
    dtype: str
    shape: tuple[int, ...]


# Returns the arrays that are expected, given the header and what it announces; raises Fault for others.
Accept = Callable[[Mapping[str, Any], tuple[Announced, ...]], None]


def send_message(
    connection: socket.socket, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], deadline: float
) -> None:
    """Send a message before the deadline, a time of time.monotonic."""
    listed = [{"name": name, "dtype": _name_of(array), "shape": list(array.shape)} for name, array in arrays.items()]
    text = json.dumps({**header, **({"arrays": listed} if listed else {})}, allow_nan=False).encode()
    assert len(text) <= MAX_HEADER_BYTES
    _send(connection, _LENGTH.pack(len(text)) + text, deadline)
    for array in arrays.values():
        # little-endian and in C order; a view of one that is so already
        ordered = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        _send(connection, memoryview(ordered).cast("B"), deadline)


def receive_message(
    connection: socket.socket, accept: Accept, deadline: float
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and arrays of the next message; `accept` refuses arrays before memory is allocated."""
    (length,) = _LENGTH.unpack(_receive(connection, _LENGTH.size, deadline))
    if not 2 <= length <= MAX_HEADER_BYTES:
        raise Fault(f"announced a wrong header (expected 2 to {MAX_HEADER_BYTES} bytes, found {length})")
    header = _parsed(bytes(_receive(connection, length, deadline)))
    announced = _announced(header)
    accept(header, announced)
    arrays = {}
    for one in announced:
        array = np.empty(one.shape, _TYPES[one.dtype])
        if array.size > 0:
            _receive_into(connection, memoryview(array).cast("B"), deadline)
        arrays[one.name] = array
    return header, arrays


def refuse_unread(connection: socket.socket) -> None:
    """Raise Fault if the other side has sent something, Closed if it has closed the connection."""
    connection.settimeout(0)
    try:
        found = connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return
    except OSError as error:
        raise Closed("closed its connection") from error
    raise Fault("sent a message without a request") if found else Closed("closed its connection")


def shown(value: Any) -> str:
    """Return a foreign value for a message, at most 60 characters."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _name_of(array: np.ndarray) -> str:
    return next(name for name, dtype in _TYPES.items() if dtype == array.dtype.newbyteorder("<"))


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        header = parse_json(text.decode())
    except (ValueError, RecursionError) as error:
        raise Fault("sent a header that is no JSON") from error
    if not isinstance(header, dict):
        raise Fault(f"sent a wrong header (expected a JSON object, found {shown(header)})")
    return header


def _announced(header: Mapping[str, Any]) -> tuple[Announced, ...]:
    listed = header.get("arrays", [])
    if not isinstance(listed, list) or len(listed) > 4:
        raise Fault(f"announced wrong arrays (expected a list of at most 4, found {shown(listed)})")
    found = []
    for one in listed:
        keys = one if isinstance(one, dict) else {}
        name, dtype, shape = keys.get("name"), keys.get("dtype"), keys.get("shape")
        sides = shape if isinstance(shape, list) and len(shape) <= 4 else [0]
        if (
            not isinstance(name, str)
            or dtype not in _TYPES
            or not all(type(side) is int and side > 0 for side in sides)
        ):
            raise Fault(f"announced a wrong array (expected name, dtype and shape, found {shown(one)})")
        found.append(Announced(name, dtype, tuple(sides)))
    return tuple(found)


def _send(connection: socket.socket, data: bytes | memoryview, deadline: float) -> None:
    view = memoryview(data)
    while len(view) > 0:
        with _Limited(connection, deadline):
            view = view[connection.send(view) :]


def _receive(connection: socket.socket, length: int, deadline: float) -> bytearray:
    data = bytearray(length)
    _receive_into(connection, memoryview(data), deadline)
    return data


def _receive_into(connection: socket.socket, view: memoryview, deadline: float) -> None:
    while len(view) > 0:
        with _Limited(connection, deadline):
            count = connection.recv_into(view)
        if count == 0:
            raise Closed("closed its connection")
        view = view[count:]


class _Limited:
    """Bounds one call of a socket by the deadline, and names its errors."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TooLate("did not answer in time")
        connection.settimeout(left)

    def __enter__(self) -> None: ...

    def __exit__(self, _kind, error: BaseException | None, _trace) -> None:
        if isinstance(error, TimeoutError):
            raise TooLate("did not answer in time") from error
        if isinstance(error, OSError):
            raise Closed("closed its connection") from error

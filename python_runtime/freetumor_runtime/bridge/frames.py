"""Encode messages of named tensors for ZeroMQ: an envelope, then raw bytes in chunks (proto/freetumor/transport/v1).

A message has one or more parts, which ZeroMQ calls `frames`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from google.protobuf.message import DecodeError
from torch import Tensor

from freetumor_runtime.bridge.protocol import PROTOCOL
from freetumor_runtime.errors import FreetumorError
from freetumor_runtime.generated.freetumor.transport.v1 import tensor_pb2

# Longest frame: longer tensors are split into chunks, and an envelope must fit into one frame. src/transport/frames.ts
# has the same limits. The sender refuses larger messages, and so does the receiver before it allocates memory.
MAX_FRAME_BYTES = 16 << 20
CHUNK_BYTES = 4 << 20
MAX_TENSORS = 4096
MAX_DIMENSIONS = 8
MAX_TENSOR_BYTES = 2**31
# all tensors of a message
MAX_MESSAGE_BYTES = 2**32

_TYPES = {
    tensor_pb2.ELEMENT_TYPE_UINT8: torch.uint8,
    tensor_pb2.ELEMENT_TYPE_INT16: torch.int16,
    tensor_pb2.ELEMENT_TYPE_INT32: torch.int32,
    tensor_pb2.ELEMENT_TYPE_FLOAT32: torch.float32,
    tensor_pb2.ELEMENT_TYPE_FLOAT64: torch.float64,
}
_CODES = {dtype: code for code, dtype in _TYPES.items()}


class ProtocolError(FreetumorError):
    """A message does not match its envelope, is too large, or has another protocol version."""

    kind = "runtime"

    def __init__(self, message: str) -> None:
        super().__init__(message, "run `freetumor setup` again: the TypeScript and Python versions may differ")


@dataclass(frozen=True)
class Message:
    """The full name of a protobuf message, its bytes, and CPU tensors by name."""

    kind: str
    body: bytes
    tensors: Mapping[str, Tensor]


def encode_message(message: Message, sequence: int) -> list[bytes | memoryview]:
    """Return the `frames` of a message. They are views of its tensors: do not change these until it is received.

    `sequence` is the number of messages that this sender sent to this receiver before. Raises ProtocolError that names
    the tensor that cannot be sent, or the limit that is exceeded.
    """
    if len(message.tensors) > MAX_TENSORS:
        raise ProtocolError(f"too many tensors (expected at most {MAX_TENSORS}, found {len(message.tensors)})")
    envelope = tensor_pb2.Envelope(protocol=PROTOCOL, sequence=sequence, kind=message.kind, body=message.body)
    frames: list[bytes | memoryview] = []
    for name, tensor in message.tensors.items():
        if tensor.dtype not in _CODES or tensor.device.type != "cpu":
            raise ProtocolError(f"tensor {name}: {tensor.dtype} on {tensor.device} cannot be sent")
        bytes_ = _checked_bytes(name, tensor.dtype, tensor.shape)
        chunks = _chunks(tensor)
        envelope.tensors.add(
            name=name, element_type=_CODES[tensor.dtype], shape=tensor.shape, bytes=bytes_, frames=len(chunks)
        )
        frames += chunks
    _check_total(envelope.tensors)
    first = envelope.SerializeToString()
    if len(first) > MAX_FRAME_BYTES:
        raise ProtocolError(
            f"envelope of {message.kind} too large (expected at most {MAX_FRAME_BYTES} bytes, found {len(first)})"
        )
    return [first, *frames]


def decode_message(frames: Sequence[memoryview]) -> tuple[Message, int]:
    """Return the message and its sequence number. Lengths are checked before memory is allocated.

    A tensor of one frame is a view of that frame: it keeps the frame in memory, and may not be aligned. A tensor of
    several is a copy. Raises ProtocolError that names the expected and the received value.
    """
    envelope = _decode_envelope(frames)
    if envelope.protocol != PROTOCOL:
        raise ProtocolError(f"wrong protocol (expected {PROTOCOL}, found {envelope.protocol})")
    if len(envelope.tensors) > MAX_TENSORS:
        raise ProtocolError(f"too many tensors (expected at most {MAX_TENSORS}, found {len(envelope.tensors)})")
    _check_total(envelope.tensors)
    tensors: dict[str, Tensor] = {}
    following = 1
    for header in envelope.tensors:
        if header.name in tensors:
            raise ProtocolError(f"duplicate tensor {header.name}")
        dtype = _checked_header(header)
        parts = frames[following : following + header.frames]
        following += header.frames
        _check_parts(header, parts)
        tensors[header.name] = _as_tensor(parts, dtype, list(header.shape))
    if following != len(frames):
        raise ProtocolError(f"too many parts (expected {following}, found {len(frames)})")
    return Message(envelope.kind, envelope.body, tensors), envelope.sequence


def _chunks(tensor: Tensor) -> list[memoryview]:
    content = memoryview(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
    size = CHUNK_BYTES if len(content) > MAX_FRAME_BYTES else MAX_FRAME_BYTES
    return [content[at : at + size] for at in range(0, len(content), size)]


def _decode_envelope(frames: Sequence[memoryview]) -> tensor_pb2.Envelope:
    if not frames:
        raise ProtocolError("message without parts")
    if len(frames[0]) > MAX_FRAME_BYTES:
        raise ProtocolError(f"envelope too large (expected at most {MAX_FRAME_BYTES} bytes, found {len(frames[0])})")
    try:
        return tensor_pb2.Envelope.FromString(bytes(frames[0]))
    except DecodeError as error:
        raise ProtocolError(f"the first part is not an envelope ({error})") from error


def _checked_header(header: tensor_pb2.TensorHeader) -> torch.dtype:
    dtype = _TYPES.get(header.element_type)
    if dtype is None:
        raise ProtocolError(f"tensor {header.name}: unknown element type {header.element_type}")
    expected = _checked_bytes(header.name, dtype, header.shape)
    if expected != header.bytes:
        raise ProtocolError(
            f"tensor {header.name}: wrong size "
            f"(expected {expected} bytes for shape {list(header.shape)} of {dtype}, found {header.bytes})"
        )
    return dtype


def _check_parts(header: tensor_pb2.TensorHeader, parts: Sequence[memoryview]) -> None:
    came = sum(len(part) for part in parts)
    if len(parts) != header.frames or came != header.bytes:
        raise ProtocolError(
            f"tensor {header.name}: wrong size "
            f"(expected {header.bytes} bytes in {header.frames} parts, found {came} in {len(parts)})"
        )
    for part in parts:
        if not 1 <= len(part) <= MAX_FRAME_BYTES:
            raise ProtocolError(
                f"tensor {header.name}: wrong part (expected 1 to {MAX_FRAME_BYTES} bytes, found {len(part)})"
            )


def _checked_bytes(name: str, dtype: torch.dtype, shape: Sequence[int]) -> int:
    if len(shape) > MAX_DIMENSIONS:
        raise ProtocolError(
            f"tensor {name}: too many dimensions (expected at most {MAX_DIMENSIONS}, found {len(shape)})"
        )
    # The strides of an empty tensor must be representable too, so its sides that are not 0 count.
    span = math.prod(max(side, 1) for side in shape) * dtype.itemsize
    if span > MAX_TENSOR_BYTES:
        raise ProtocolError(
            f"tensor {name}: too large "
            f"(expected at most {MAX_TENSOR_BYTES} bytes, found {span} for shape {list(shape)})"
        )
    return 0 if 0 in shape else span


def _check_total(headers: Iterable[tensor_pb2.TensorHeader]) -> None:
    total = sum(header.bytes for header in headers)
    if total > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"message too large (expected at most {MAX_MESSAGE_BYTES} bytes, found {total})")


def _as_tensor(parts: Sequence[memoryview], dtype: torch.dtype, shape: list[int]) -> Tensor:
    if not parts:
        return torch.empty(shape, dtype=dtype)
    if len(parts) == 1:
        return torch.frombuffer(parts[0], dtype=dtype).reshape(shape)
    whole = torch.empty(shape, dtype=dtype)
    target = whole.reshape(-1).view(torch.uint8)
    at = 0
    for part in parts:
        target[at : at + len(part)] = torch.frombuffer(part, dtype=torch.uint8)
        at += len(part)
    return whole

"""Messages of named tensors as ZeroMQ frames: an envelope, then raw bytes in chunks (proto/freetumor/transport/v1)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from google.protobuf.message import DecodeError
from torch import Tensor

from freetumor_runtime.errors import FreetumorError
from freetumor_runtime.generated.freetumor.transport.v1 import tensor_pb2

# Wire version of envelopes and of the control stream; both sides refuse another one.
PROTOCOL = 1

_CHUNK_BYTES = 4 << 20
_MAX_TENSORS = 4096
_MAX_DIMENSIONS = 8
# Refused before anything is allocated.
_MAX_TENSOR_BYTES = 2**31

_TYPES = {
    tensor_pb2.ELEMENT_TYPE_UINT8: torch.uint8,
    tensor_pb2.ELEMENT_TYPE_INT16: torch.int16,
    tensor_pb2.ELEMENT_TYPE_INT32: torch.int32,
    tensor_pb2.ELEMENT_TYPE_FLOAT32: torch.float32,
    tensor_pb2.ELEMENT_TYPE_FLOAT64: torch.float64,
}
_CODES = {dtype: code for code, dtype in _TYPES.items()}


class ProtocolError(FreetumorError):
    """What came is not what was announced, or of another version."""

    kind = "runtime"


@dataclass(frozen=True)
class Message:
    """The full name of a protobuf message, its bytes, and CPU tensors by name."""

    kind: str
    body: bytes
    tensors: Mapping[str, Tensor]


def encode_message(message: Message, sequence: int) -> list[bytes | memoryview]:
    """Frames that look into the tensors: they must stay unchanged until the message has been received."""
    envelope = tensor_pb2.Envelope(protocol=PROTOCOL, sequence=sequence, kind=message.kind, body=message.body)
    frames: list[bytes | memoryview] = []
    for name, tensor in message.tensors.items():
        content = memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
        chunks = [content[at : at + _CHUNK_BYTES] for at in range(0, len(content), _CHUNK_BYTES)]
        envelope.tensors.add(
            name=name,
            element_type=_CODES[tensor.dtype],
            shape=tensor.shape,
            bytes=len(content),
            frames=len(chunks),
        )
        frames += chunks
    return [envelope.SerializeToString(), *frames]


def decode_message(frames: Sequence[memoryview]) -> tuple[Message, int]:
    """The message and its sequence number. Lengths are checked before memory is taken; tensors are views or one copy.

    Raises ProtocolError that says what was expected and what came.
    """
    envelope = _decode_envelope(frames)
    if envelope.protocol != PROTOCOL:
        raise ProtocolError(f"protocol {PROTOCOL} was expected, the other side speaks {envelope.protocol}")
    if len(envelope.tensors) > _MAX_TENSORS:
        raise ProtocolError(f"{len(envelope.tensors)} tensors in one message")
    tensors: dict[str, Tensor] = {}
    following = 1
    for header in envelope.tensors:
        if header.name in tensors:
            raise ProtocolError(f"tensor {header.name} comes twice")
        dtype, expected = _checked(header)
        parts = frames[following : following + header.frames]
        came = sum(len(part) for part in parts)
        if len(parts) != header.frames or came != expected:
            raise ProtocolError(
                f"tensor {header.name}: {expected} bytes in {header.frames} frames were announced, "
                f"{came} in {len(parts)} came"
            )
        following += header.frames
        tensors[header.name] = _as_tensor(parts, dtype, list(header.shape))
    if following != len(frames):
        raise ProtocolError(f"{len(frames) - following} frames too many")
    return Message(envelope.kind, envelope.body, tensors), envelope.sequence


def _decode_envelope(frames: Sequence[memoryview]) -> tensor_pb2.Envelope:
    if not frames:
        raise ProtocolError("a message without a frame")
    try:
        return tensor_pb2.Envelope.FromString(bytes(frames[0]))
    except DecodeError as error:
        raise ProtocolError(f"the first frame is no envelope ({error})") from error


def _checked(header: tensor_pb2.TensorHeader) -> tuple[torch.dtype, int]:
    dtype = _TYPES.get(header.element_type)
    if dtype is None:
        raise ProtocolError(f"tensor {header.name}: unknown element type {header.element_type}")
    if len(header.shape) > _MAX_DIMENSIONS:
        raise ProtocolError(f"tensor {header.name}: {len(header.shape)} dimensions")
    expected = math.prod(header.shape) * dtype.itemsize
    if expected > _MAX_TENSOR_BYTES:
        raise ProtocolError(f"tensor {header.name}: {expected} bytes, the limit is {_MAX_TENSOR_BYTES}")
    if expected != header.bytes:
        raise ProtocolError(
            f"tensor {header.name}: shape {list(header.shape)} of {dtype} is {expected} bytes, "
            f"the header says {header.bytes}"
        )
    return dtype, expected


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

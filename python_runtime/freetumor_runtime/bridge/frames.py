"""Messages of named tensors as ZeroMQ frames: an envelope, then raw bytes in chunks (proto/freetumor/transport/v1)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from google.protobuf.message import DecodeError
from torch import Tensor

from freetumor_runtime.bridge.protocol import PROTOCOL
from freetumor_runtime.errors import FreetumorError
from freetumor_runtime.generated.freetumor.transport.v1 import tensor_pb2

# No frame is longer: longer tensors are cut into chunks, an envelope must fit into one. The figures are those of
# src/transport/frames.ts; the sender refuses what is above them, and so does the receiver before it takes memory.
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
    """What came, or is to be sent, is not what was announced, too large, or of another version."""

    kind = "runtime"


@dataclass(frozen=True)
class Message:
    """The full name of a protobuf message, its bytes, and CPU tensors by name."""

    kind: str
    body: bytes
    tensors: Mapping[str, Tensor]


def encode_message(message: Message, sequence: int) -> list[bytes | memoryview]:
    """Frames that look into the tensors: they must stay unchanged until the message has been received.

    `sequence` is how many messages this sender has sent to this receiver before. Raises ProtocolError that names the
    tensor that cannot travel, or what is above a limit.
    """
    if len(message.tensors) > MAX_TENSORS:
        raise ProtocolError(f"{len(message.tensors)} tensors in one message, the limit is {MAX_TENSORS}")
    envelope = tensor_pb2.Envelope(protocol=PROTOCOL, sequence=sequence, kind=message.kind, body=message.body)
    frames: list[bytes | memoryview] = []
    for name, tensor in message.tensors.items():
        if tensor.dtype not in _CODES or tensor.device.type != "cpu":
            raise ProtocolError(f"tensor {name}: {tensor.dtype} on {tensor.device} cannot travel")
        bytes_ = _checked_bytes(name, tensor.dtype, tensor.shape)
        chunks = _chunks(tensor)
        envelope.tensors.add(
            name=name, element_type=_CODES[tensor.dtype], shape=tensor.shape, bytes=bytes_, frames=len(chunks)
        )
        frames += chunks
    _check_total(envelope.tensors)
    first = envelope.SerializeToString()
    if len(first) > MAX_FRAME_BYTES:
        raise ProtocolError(f"the envelope of {message.kind} is {len(first)} bytes, the limit is {MAX_FRAME_BYTES}")
    return [first, *frames]


def decode_message(frames: Sequence[memoryview]) -> tuple[Message, int]:
    """The message and its sequence number. Lengths are checked before memory is taken; tensors are views or one copy.

    A tensor of one frame is a view of that frame: it keeps it alive, and may not be aligned.
    Raises ProtocolError that says what was expected and what came.
    """
    envelope = _decode_envelope(frames)
    if envelope.protocol != PROTOCOL:
        raise ProtocolError(f"protocol {PROTOCOL} was expected, the other side speaks {envelope.protocol}")
    if len(envelope.tensors) > MAX_TENSORS:
        raise ProtocolError(f"{len(envelope.tensors)} tensors in one message, the limit is {MAX_TENSORS}")
    _check_total(envelope.tensors)
    tensors: dict[str, Tensor] = {}
    following = 1
    for header in envelope.tensors:
        if header.name in tensors:
            raise ProtocolError(f"tensor {header.name} comes twice")
        dtype = _checked_header(header)
        parts = frames[following : following + header.frames]
        following += header.frames
        _check_parts(header, parts)
        tensors[header.name] = _as_tensor(parts, dtype, list(header.shape))
    if following != len(frames):
        raise ProtocolError(f"{len(frames) - following} frames too many")
    return Message(envelope.kind, envelope.body, tensors), envelope.sequence


def _chunks(tensor: Tensor) -> list[memoryview]:
    content = memoryview(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
    size = CHUNK_BYTES if len(content) > MAX_FRAME_BYTES else MAX_FRAME_BYTES
    return [content[at : at + size] for at in range(0, len(content), size)]


def _decode_envelope(frames: Sequence[memoryview]) -> tensor_pb2.Envelope:
    if not frames:
        raise ProtocolError("a message without a frame")
    if len(frames[0]) > MAX_FRAME_BYTES:
        raise ProtocolError(f"an envelope of {len(frames[0])} bytes, the limit is {MAX_FRAME_BYTES}")
    try:
        return tensor_pb2.Envelope.FromString(bytes(frames[0]))
    except DecodeError as error:
        raise ProtocolError(f"the first frame is no envelope ({error})") from error


def _checked_header(header: tensor_pb2.TensorHeader) -> torch.dtype:
    dtype = _TYPES.get(header.element_type)
    if dtype is None:
        raise ProtocolError(f"tensor {header.name}: unknown element type {header.element_type}")
    expected = _checked_bytes(header.name, dtype, header.shape)
    if expected != header.bytes:
        raise ProtocolError(
            f"tensor {header.name}: shape {list(header.shape)} of {dtype} is {expected} bytes, "
            f"the header says {header.bytes}"
        )
    return dtype


def _check_parts(header: tensor_pb2.TensorHeader, parts: Sequence[memoryview]) -> None:
    came = sum(len(part) for part in parts)
    if len(parts) != header.frames or came != header.bytes:
        raise ProtocolError(
            f"tensor {header.name}: {header.bytes} bytes in {header.frames} frames were announced, "
            f"{came} in {len(parts)} came"
        )
    for part in parts:
        if not 1 <= len(part) <= MAX_FRAME_BYTES:
            raise ProtocolError(
                f"tensor {header.name}: a frame of {len(part)} bytes; 1 to {MAX_FRAME_BYTES} are allowed"
            )


def _checked_bytes(name: str, dtype: torch.dtype, shape: Sequence[int]) -> int:
    if len(shape) > MAX_DIMENSIONS:
        raise ProtocolError(f"tensor {name}: {len(shape)} dimensions, the limit is {MAX_DIMENSIONS}")
    # The strides of an empty tensor must be representable, too: its other sides count.
    span = math.prod(max(side, 1) for side in shape) * dtype.itemsize
    if span > MAX_TENSOR_BYTES:
        raise ProtocolError(f"tensor {name}: shape {list(shape)} spans {span} bytes, the limit is {MAX_TENSOR_BYTES}")
    return 0 if 0 in shape else span


def _check_total(headers: Iterable[tensor_pb2.TensorHeader]) -> None:
    total = sum(header.bytes for header in headers)
    if total > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"the tensors of a message have {total} bytes, the limit is {MAX_MESSAGE_BYTES}")


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

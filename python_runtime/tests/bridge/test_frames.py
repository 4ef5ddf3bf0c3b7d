"""Messages of tensors survive the way, and what is too large or not as announced is refused before memory is taken."""

import pytest
import torch

from freetumor_runtime.bridge import frames
from freetumor_runtime.bridge.frames import Message, ProtocolError, decode_message, encode_message
from freetumor_runtime.generated.freetumor.transport.v1 import tensor_pb2

UINT8 = tensor_pb2.ELEMENT_TYPE_UINT8


def received(sent):
    """Frames as a socket gives them: bytes of their own."""
    return [memoryview(bytearray(frame)) for frame in sent]


def envelope(*headers, protocol=frames.PROTOCOL):
    message = tensor_pb2.Envelope(protocol=protocol, sequence=0, kind="test.Kind", body=b"")
    for header in headers:
        message.tensors.add(**header)
    return message.SerializeToString()


def header(name="t", shape=(2,), bytes=2, count=1, element_type=UINT8):
    return {"name": name, "element_type": element_type, "shape": shape, "bytes": bytes, "frames": count}


def decode(*parts):
    return decode_message(received(parts))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.float32, torch.float64])
def test_a_tensor_of_every_type_comes_back(dtype):
    tensor = torch.arange(60).reshape(3, 4, 5).to(dtype)
    message, sequence = decode_message(received(encode_message(Message("test.Kind", b"body", {"t": tensor}), 7)))
    assert (message.kind, message.body, sequence) == ("test.Kind", b"body", 7)
    assert message.tensors["t"].dtype == dtype and torch.equal(message.tensors["t"], tensor)


def test_long_empty_and_strided_tensors_keep_their_order(monkeypatch):
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 1000)
    monkeypatch.setattr(frames, "CHUNK_BYTES", 1000)
    tensors = {
        "long": torch.arange(3001, dtype=torch.int16),
        "empty": torch.empty(0, 5),
        "strided": torch.arange(24, dtype=torch.int32).reshape(4, 6).T,
        "scalar": torch.tensor(4.5),
    }
    sent = encode_message(Message("test.Kind", b"", tensors), 0)
    assert max(len(frame) for frame in sent) <= 1000 and len(sent) == 1 + 7 + 0 + 1 + 1
    got = decode_message(received(sent))[0].tensors
    assert list(got) == list(tensors)
    assert all(torch.equal(got[name], tensor) for name, tensor in tensors.items())


def test_a_tensor_of_one_frame_is_not_copied():
    content = bytearray(b"\x01\x02")
    message, _ = decode_message([memoryview(envelope(header())), memoryview(content)])
    content[0] = 9
    assert message.tensors["t"].tolist() == [9, 2]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "without parts"),
        ([b"\xff\xff garbage"], "not an envelope"),
        ([envelope(protocol=99)], r"wrong protocol \(expected 1, found 99\)"),
        ([envelope(header(element_type=77)), b"ab"], "unknown element type 77"),
        ([envelope(header(shape=(3,))), b"ab"], "expected 3 bytes for .*, found 2"),
        ([envelope(header()), b"abc"], "expected 2 bytes in 1 parts, found 3 in 1"),
        ([envelope(header())], "expected 2 bytes in 1 parts, found 0 in 0"),
        ([envelope(header(count=3)), b"a", b"", b"b"], "wrong part .*, found 0"),
        ([envelope(header()), b"ab", b"c"], r"too many parts \(expected 2, found 3\)"),
        ([envelope(header(), header()), b"ab", b"ab"], "duplicate tensor t"),
        ([envelope(header(shape=(1,) * 9, bytes=1)), b"a"], "too many dimensions .*, found 9"),
    ],
)
def test_what_is_not_as_announced_is_refused_with_the_reason(parts, reason):
    with pytest.raises(ProtocolError, match=reason):
        decode(*parts)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([envelope(header(shape=(1 << 16, 1 << 16), bytes=1 << 32))], "too large .*, found 4294967296"),
        # empty, but with strides that no integer holds
        ([envelope(header(shape=(0, 1 << 31, 8), bytes=0, count=0))], "too large"),
        ([envelope(*(header(name=str(n), shape=(1 << 31,), bytes=1 << 31) for n in range(3)))], "message too large"),
        (
            [envelope(*(header(name=str(n), shape=(0,), bytes=0, count=0) for n in range(4097)))],
            "too many tensors .*, found 4097",
        ),
        ([b"\x00" * (frames.MAX_FRAME_BYTES + 1)], "envelope too large"),
    ],
)
def test_what_is_above_a_limit_is_refused_before_memory_is_taken(parts, reason, monkeypatch):
    monkeypatch.setattr(torch, "empty", lambda *_, **__: pytest.fail("memory was taken"))
    with pytest.raises(ProtocolError, match=reason):
        decode(*parts)


def test_what_cannot_travel_is_refused_by_the_sender_with_its_name():
    with pytest.raises(ProtocolError, match="tensor mask: torch.bool on cpu cannot be sent"):
        encode_message(Message("test.Kind", b"", {"mask": torch.zeros(2, dtype=torch.bool)}), 0)
    with pytest.raises(ProtocolError, match="too many dimensions .*, found 9"):
        encode_message(Message("test.Kind", b"", {"t": torch.zeros((1,) * 9)}), 0)
    with pytest.raises(ProtocolError, match=r"envelope of test\.Kind too large"):
        encode_message(Message("test.Kind", b"x" * frames.MAX_FRAME_BYTES, {}), 0)

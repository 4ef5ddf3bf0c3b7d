"""The Python side of the frames' contract: JSON lines in and out.

First it prints protocol and limits, then golden-frames.json with the frames that its messages have here (that is how
that file was made). Then it reads the frames of a message a line (base64) and sends each back after decoding it, one
place further in the sequence.
"""

import base64
import json
import sys
from pathlib import Path

import torch

from freetumor_runtime.bridge import frames

GOLDEN = Path(__file__).parent / "golden-frames.json"
LIMITS = (
    "PROTOCOL",
    "MAX_FRAME_BYTES",
    "CHUNK_BYTES",
    "MAX_TENSORS",
    "MAX_DIMENSIONS",
    "MAX_TENSOR_BYTES",
    "MAX_MESSAGE_BYTES",
)


def main() -> None:
    print(json.dumps({name: getattr(frames, name) for name in LIMITS}))
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    print(json.dumps([{**entry, "frames": golden_frames(entry)} for entry in golden]))
    for line in sys.stdin:
        received = [
            memoryview(bytearray(base64.b64decode(frame))) for frame in json.loads(line)
        ]
        message, sequence = frames.decode_message(received)
        sent = frames.encode_message(message, sequence + 1)
        print(json.dumps([base64.b64encode(frame).decode() for frame in sent]))


def golden_frames(entry: dict) -> list[str]:
    tensors = {
        one["name"]: torch.tensor(
            one["values"], dtype=getattr(torch, one["elementType"])
        ).reshape(one["shape"])
        for one in entry["tensors"]
    }
    message = frames.Message(entry["kind"], bytes.fromhex(entry["body"]), tensors)
    return [
        bytes(frame).hex()
        for frame in frames.encode_message(message, entry["sequence"])
    ]


if __name__ == "__main__":
    main()

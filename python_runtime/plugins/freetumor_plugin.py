"""The protocol of a freetumor plug-in (docs/plugins.md): copy this file next to your program.

    from freetumor_plugin import serve
    serve(name="mine", version="1", licence="MIT", segment=my_function, segments={"outputs": ["background", "tumor"]})

It needs Python 3.9 and NumPy. It may be copied and changed freely (CC0).
"""

import json
import os
import socket
import struct

import numpy as np

TYPES = {"uint8": "u1", "int16": "<i2", "float32": "<f4"}


def serve(name, version, licence, synthesize=None, synthesizes=None, segment=None, segments=None):
    """Connect to freetumor and answer requests until the connection ends.

    `synthesize(request)` returns the crop with the tumor in HU. `synthesizes` states {"organs": [...]} and, if the
    plug-in needs certain ones, spacingMm, windowHu and patchVoxels. `segment(request)` returns label ids (uint8) or
    logits (float32 [C, X, Y, Z]); `segments` states {"outputs": [...]} and the same. A request is a dictionary with the
    keys of the message and its arrays.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(os.environ["FREETUMOR_PLUGIN_SOCKET"])
    hello = {"type": "hello", "protocol": 1, "name": name, "version": version, "licence": licence}
    work = {"synthesize": synthesizes, "segment": segments}
    send(connection, {**hello, **{key: part for key, part in work.items() if part is not None}})
    while (request := receive(connection)) is not None and request["type"] != "end":
        try:
            if request["type"] == "synthesize":
                answer = {"type": "synthesized", "id": request["id"]}
                arrays = {"image": np.asarray(synthesize(request))}
            else:
                found = np.asarray(segment(request))
                answer = {"type": "segmented", "id": request["id"]}
                arrays = {"labels" if found.ndim == 3 else "logits": found}
        except Exception as error:
            answer, arrays = {"type": "error", "id": request["id"], "message": f"{type(error).__name__}: {error}"}, {}
        send(connection, answer, arrays)


def send(connection, header, arrays=None):
    """Send a header and its arrays."""
    arrays = {key: np.ascontiguousarray(array) for key, array in (arrays or {}).items()}
    listed = [{"name": key, "dtype": array.dtype.name, "shape": list(array.shape)} for key, array in arrays.items()]
    text = json.dumps({**header, "arrays": listed}).encode()
    connection.sendall(struct.pack("<I", len(text)) + text)
    for array in arrays.values():
        connection.sendall(array.astype(TYPES[array.dtype.name], copy=False).tobytes())


def receive(connection):
    """Return the next header, with each array under its name; None when the connection has ended."""
    length = read(connection, 4)
    if length is None:
        return None
    message = json.loads(read(connection, struct.unpack("<I", length)[0]))
    for one in message.get("arrays", []):
        count = int(np.prod(one["shape"]))
        dtype = np.dtype(TYPES[one["dtype"]])
        message[one["name"]] = np.frombuffer(read(connection, count * dtype.itemsize), dtype).reshape(one["shape"])
    return message


def read(connection, count):
    """Return the next `count` bytes; None when the connection has ended."""
    data = bytearray(count)
    view, done = memoryview(data), 0
    while done < count:
        more = connection.recv_into(view[done:])
        if more == 0:
            return None
        done += more
    return data

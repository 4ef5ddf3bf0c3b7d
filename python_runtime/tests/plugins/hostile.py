"""A plug-in that behaves badly in one way: hostile.py MODE [FILE]. FILE receives the ids of its processes.

`good` answers: it adds 10 HU everywhere, and labels everything as output 0.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

MODES = {
    "hang at start": "did not connect in time",
    "no hello": "did not answer in time",
    "exit at once": "ended with exit code 0",
    "exit after hello": "ended with exit code 0",
    "other version": "has another protocol (expected 1, found 2)",
    "version as text": 'has another protocol (expected 1, found "1")',
    "hello of rubbish": "no JSON",
    "rubbish": "announced a wrong header",
    "deep header": "no JSON",
    "list as header": "expected a JSON object",
    "huge header": "announced a wrong header",
    "hang": "did not answer in time",
    "never reads": "did not answer in time",
    "half an answer": "did not answer in time",
    "wrong shape": "announced wrong arrays",
    "wrong dtype": "announced wrong arrays",
    "unsupported dtype": "announced a wrong array",
    "huge array announced": "announced wrong arrays",
    "negative side": "announced a wrong array",
    "huge array sent": "announced wrong arrays",
    "NaN": "NaN or infinite",
    "infinite": "NaN or infinite",
    "absurd HU": "returned wrong HU",
    "label without output": "returned a label without an output",
    "killed": "ended with SIGKILL",
    "answers twice": "a message without a request",
    "another id": "a message without a request",
    "prints 100 MB": "ended with exit code 3",
    "refuses": "refused the request: no \\u001b[31mmemory",
    "ignores SIGTERM": "did not answer in time",
    "leaves a grandchild": "did not answer in time",
}


def send(connection, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    connection.sendall(struct.pack("<I", len(text) if length is None else length) + text + data)


def read(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(min(count - len(data), 1 << 20))
        if not more:
            os._exit(0)
        data += more
    return data


def receive(connection):
    header = json.loads(read(connection, struct.unpack("<I", read(connection, 4))[0]))
    sizes = {"uint8": 1, "int16": 2, "float32": 4}
    arrays = {}
    for one in header.get("arrays", []):
        count = sizes[one["dtype"]]
        for side in one["shape"]:
            count *= side
        arrays[one["name"]] = read(connection, count)
    return header, arrays


def main(mode, record=None):
    pids = [os.getpid()]
    if mode == "ignores SIGTERM":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "leaves a grandchild":
        code = "import os,time; os.setsid(); time.sleep(600)"
        pids.append(subprocess.Popen([sys.executable, "-c", code]).pid)
    if record is not None:
        with open(record, "a", encoding="utf-8") as file:
            file.write(" ".join(map(str, pids)) + "\n")
    if mode == "exit at once":
        return 0
    if mode == "hang at start":
        time.sleep(600)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(os.environ["FREETUMOR_PLUGIN_SOCKET"])
    if mode == "no hello":
        time.sleep(600)
    if mode == "hello of rubbish":
        send(connection, b"\xff" * 40)
        time.sleep(600)
    version = {"other version": 2, "version as text": "1"}.get(mode, 1)
    part = {"spacingMm": None, "windowHu": None, "patchVoxels": [16, 16, 16]}
    hello = {"type": "hello", "protocol": version, "name": "hostile", "version": "1", "licence": "none"}
    work = {
        "synthesize": {"organs": ["liver", "pancreas", "kidney"], **part},
        "segment": {"outputs": ["background", "liver_tumor", "pancreas_tumor", "kidney_tumor"], **part},
    }
    send(connection, {**hello, **work})
    if mode == "exit after hello":
        return 0
    if mode == "never reads":
        time.sleep(600)
    while True:
        header, arrays = receive(connection)
        if header["type"] == "end":
            return 0
        answer(connection, mode, header, arrays)


def answer(connection, mode, header, arrays):
    shape = header["arrays"][0]["shape"]
    kinds = {"synthesize": ("synthesized", "image", "float32"), "segment": ("segmented", "labels", "uint8")}
    kind, name, dtype = kinds[header["type"]]
    image = arrays["image"]
    count = len(image) // 4
    values = [value + 10 for value in struct.unpack(f"<{count}f", image)]
    if mode in ("NaN", "infinite", "absurd HU"):
        values[count // 2] = {"NaN": float("nan"), "infinite": float("inf"), "absurd HU": 1e6}[mode]
    data = struct.pack(f"<{count}f", *values)
    if name == "labels":
        data = bytes([200 if mode == "label without output" else 0]) * count
        if mode == "NaN":
            name, dtype, shape = "logits", "float32", [4, *shape]
            data = struct.pack("<f", float("nan")) * 4 * count
    array = {"name": name, "dtype": dtype, "shape": shape}
    plain = {"type": kind, "id": header["id"]}
    if mode in ("hang", "ignores SIGTERM", "leaves a grandchild"):
        time.sleep(600)
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "prints 100 MB":
        for _ in range(1600):
            sys.stdout.write("x" * 65535 + "\n")
        print("the last line", flush=True)
        os._exit(3)
    if mode == "refuses":
        send(connection, {"type": "error", "id": header["id"], "message": "no \x1b[31mmemory"})
        return
    if mode == "rubbish":
        connection.sendall(b"\xde\xad\xbe\xef" * 1000)
        return
    if mode == "huge header":
        send(connection, b"{}", length=(1 << 32) - 1)
        return
    if mode == "deep header":
        send(connection, b"[" * 60000)
        return
    if mode == "list as header":
        send(connection, b"[1, 2]")
        return
    if mode == "half an answer":
        send(connection, {**plain, "arrays": [array]}, data[: len(data) // 2])
        return
    changed = {
        "wrong shape": {"shape": [side + 1 for side in shape]},
        "wrong dtype": {"dtype": "uint8" if dtype != "uint8" else "int16"},
        "unsupported dtype": {"dtype": "object"},
        "huge array announced": {"shape": [1 << 20, 1 << 20, 1 << 20]},
        "negative side": {"shape": [-1, 16, 16]},
        "huge array sent": {"shape": [600, 600, 600]},
    }.get(mode, {})
    if mode == "huge array sent":
        send(connection, {**plain, "arrays": [{**array, **changed}]})
        try:
            while True:
                connection.sendall(bytes(1 << 20))
        except OSError:
            time.sleep(600)
    if mode == "another id":
        plain = {**plain, "id": header["id"] + 5}
    for _ in range(2 if mode == "answers twice" else 1):
        send(connection, {**plain, "arrays": [{**array, **changed}]}, data)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

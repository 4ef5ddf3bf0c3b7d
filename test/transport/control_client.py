"""A job's end of the control stream: `control_client.py ADDRESS`, the token by FREETUMOR_TOKEN; prints JSON lines.

Says what it is and reports a note. It holds a command from step 10 on, refuses to pause, leaves checkpoints unanswered,
and ends when it is told to stop (with one more note) or when the stream ends. `--large BYTES` reports a note so long.
"""

import json
import os
import sys

from freetumor_runtime.bridge.control import ControlClient
from freetumor_runtime.errors import FreetumorError
from freetumor_runtime.generated.freetumor.runtime.v1 import control_pb2


def main() -> None:
    hello = control_pb2.Hello(run_id="run", world_size=2, device="cpu")
    try:
        client = ControlClient(sys.argv[1], os.environ["FREETUMOR_TOKEN"], hello)
    except FreetumorError as error:
        tell({"kind": error.kind, "message": str(error)})
        return
    note(client, "begun")
    if "--large" in sys.argv:
        note(client, "x" * int(sys.argv[-1]))
    obey(client)
    client.close()
    tell("closed")


def obey(client: ControlClient) -> None:
    while client.alive:
        for command in client.poll_commands():
            what = command.WhichOneof("command")
            tell(what)
            if what == "stop":
                client.ack(command.id, 10, "")
                note(client, "ended")
                return
            if what == "pause":
                client.ack(command.id, 0, "nothing to pause")
            elif what == "set_learning_rate":
                client.ack(command.id, 10, "")
        os.sched_yield()
    try:
        note(client, "to nobody")
    except FreetumorError as error:
        tell({"kind": error.kind, "message": str(error)})


def note(client: ControlClient, text: str) -> None:
    client.report(control_pb2.JobEvent(note=control_pb2.Note(level="info", text=text)))


def tell(value) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()

"""A job whose feed a stranger disturbs: started in the runtime's place, it asks for work like a rank until it gets none.

A message of the stranger is in the feed before the rank's first request is: the rank connects only then.
"""

import json
import os
import sys

import zmq
from zmq.utils.monitor import recv_monitor_message

from freetumor_runtime.bridge.control import ControlClient
from freetumor_runtime.bridge.feed import FeedSocket
from freetumor_runtime.generated.freetumor.runtime.v1 import calls_pb2, control_pb2, feed_pb2

REQUESTS = {"predict": feed_pb2.CaseRequest, "synthesize": feed_pb2.VariantRequest, "serve": calls_pb2.CallRequest}


def main() -> None:
    with open(sys.argv[-1]) as file:
        job = json.load(file)["job"]
    address, token = os.environ["FREETUMOR_FEED"], os.environ["FREETUMOR_TOKEN"]
    control = ControlClient(os.environ["FREETUMOR_CONTROL"], token, control_pb2.Hello(run_id="run", world_size=1))
    disturb(address)
    feed = FeedSocket(address, 0, token)
    for _ in range(1 if job == "serve" else 3):
        feed.send(REQUESTS[job]())
        feed.receive()
    control.report(control_pb2.JobEvent(finished=control_pb2.Finished(outcome="completed")))
    feed.close()
    control.close()


def disturb(address: str) -> None:
    """Send one message without the token, and return when the connection has taken it."""
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    monitor = stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    stranger.connect(address)
    recv_monitor_message(monitor)
    stranger.send(b"\x1b[31mnonsense")
    context.destroy(linger=-1)


if __name__ == "__main__":
    main()

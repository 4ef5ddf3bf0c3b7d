"""Pulls steps from a tensor server as a rank does: `feed_client.py ADDRESS RANK STEPS TOKEN`; prints a word a line, as JSON.

For each step that is the SHA-256 of every tensor and then the verdicts; at the end the error, if one ended it.
"""

import hashlib
import json
import sys

from freetumor_runtime.bridge.feed import FeedClient
from freetumor_runtime.errors import FreetumorError
from freetumor_runtime.generated.freetumor.runtime.v1 import feed_pb2

AHEAD = 4


def main() -> None:
    address, rank, steps, token = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    client = FeedClient(address, rank, token)
    tell("connected")
    try:
        for step in range(steps):
            for ahead in range(step, min(step + AHEAD, steps)):
                client.request(ahead)
            message, tensors = client.crops(step)
            tell({name: digest(tensor) for name, tensor in tensors.items()})
            measures = [feed_pb2.CropMeasures(item=crop.item, synthetic_voxels=step) for crop in message.crops]
            client.send_measures(feed_pb2.StepMeasures(step=step, crops=measures, wants_verdicts=True))
            tell([[verdict.item, verdict.accepted, verdict.reason] for verdict in client.verdicts(step).verdicts])
            client.ack(step)
    except FreetumorError as error:
        tell({"kind": error.kind, "message": str(error)})
    finally:
        client.close()


def digest(tensor) -> str:
    content = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
    return f"{tensor.dtype} {list(tensor.shape)} {content}"


def tell(value) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
